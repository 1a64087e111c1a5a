//! From changed sources to a published catalog. Whatever changes while one is built is in the next.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use leno_model::snapshot::ObjectReport;
use leno_model::span::{Severity, Verdict};
use leno_model::unit::BundleUnit;
use leno_runtime::task::{self, Ended};
use leno_wire::server::{Catalog as _, Catalogs};
use tokio::sync::watch;

use crate::catalog::{Catalog, Memos};
use crate::history::History;
use crate::limits::GATHER;
use crate::metrics::Metrics;
use crate::source::directory::Read;
use crate::source::workloads::Workloads;
use crate::store::{Sources, Store};

type Bundles = Vec<Arc<BundleUnit>>;

/// Publishes catalogs.
pub(super) struct Publisher {
    /// Behind a lock only so that a panic of the reader doesn't lose it.
    store: Arc<Mutex<Store>>,
    files: Option<watch::Receiver<Read>>,
    workloads: Workloads,
    history: History,
    changes: watch::Receiver<u64>,
    memos: Arc<Memos>,
    metrics: Metrics,
    catalogs: watch::Sender<Arc<Catalog>>,
    served: watch::Sender<Arc<dyn leno_wire::server::Catalog>>,
    /// How many of the changes that were told of are in the newest catalog.
    taken: watch::Sender<u64>,
}

impl Publisher {
    /// Builds the first catalog.
    pub(super) async fn start(
        store: Store,
        files: Option<watch::Receiver<Read>>,
        workloads: Workloads,
        bundles: Bundles,
        metrics: Metrics,
    ) -> Result<Self, Ended> {
        let memos = Arc::new(Memos::new(&metrics.counts));
        let building = Building { store: Arc::new(Mutex::new(store)), memos, metrics, last: None };
        let changes = workloads.changes();
        let sources = sources(files.as_ref(), &workloads);
        let first = building.build(sources, bundles, Instant::now()).await?;
        let served: Arc<dyn leno_wire::server::Catalog> = first.clone();
        let Building { store, memos, metrics, .. } = building;
        let history = History::default();
        tell(&history, None, &first);
        Ok(Self {
            history,
            store,
            files,
            workloads,
            changes,
            memos,
            metrics,
            catalogs: watch::Sender::new(first),
            served: watch::Sender::new(served),
            taken: watch::Sender::new(0),
        })
    }

    /// The last snapshots.
    pub(super) fn history(&self) -> History {
        self.history.clone()
    }

    /// The newest catalog.
    pub(super) fn catalogs(&self) -> watch::Receiver<Arc<Catalog>> {
        self.catalogs.subscribe()
    }

    /// The same, as discovery takes it.
    pub(super) fn served(&self) -> Catalogs {
        self.served.subscribe()
    }

    /// How many of the changes that were told of are in the newest catalog.
    pub(super) fn taken(&self) -> watch::Receiver<u64> {
        self.taken.subscribe()
    }

    /// Publishes a catalog for every change, until cancelled.
    pub(super) async fn run(mut self, mut bundles: watch::Receiver<Bundles>) {
        loop {
            let heard_at = tokio::select! {
                () = changed(self.files.as_mut()) => self.files.as_ref().map(|read| read.borrow().heard_at),
                () = changed(Some(&mut self.changes)) => Some(Instant::now()),
                () = changed(Some(&mut bundles)) => None,
            };
            let heard_at = heard_at.unwrap_or_else(Instant::now);
            tokio::time::sleep(GATHER).await;
            if let Some(files) = &mut self.files {
                files.mark_unchanged();
            }
            self.changes.mark_unchanged();
            let roots = bundles.borrow_and_update().clone();
            self.publish(roots, heard_at).await;
        }
    }

    async fn publish(&self, bundles: Bundles, heard_at: Instant) {
        let last = Arc::clone(&self.catalogs.borrow());
        let building = Building {
            store: Arc::clone(&self.store),
            memos: Arc::clone(&self.memos),
            metrics: self.metrics.clone(),
            last: Some(Arc::clone(&last)),
        };
        let told = self.workloads.told();
        let sources = sources(self.files.as_ref(), &self.workloads);
        match building.build(sources, bundles, heard_at).await {
            Ok(catalog) if Arc::ptr_eq(&catalog, &last) => {}
            Ok(catalog) => {
                tell(&self.history, Some(&last), &catalog);
                // First who may ask, then what there is: a workload that is new is admitted when it asks.
                self.catalogs.send_replace(Arc::clone(&catalog));
                self.served.send_replace(catalog);
            }
            Err(ended) => {
                tracing::error!(%ended, "the configuration can't be read; the last one stays in effect");
                return;
            }
        }
        self.taken.send_replace(told);
    }
}

fn sources(files: Option<&watch::Receiver<Read>>, workloads: &Workloads) -> Sources {
    let files = files.map_or_else(Arc::default, |read| Arc::clone(&read.borrow().files));
    Sources { files, announced: workloads.announced() }
}

/// Waits for a change; for ever where there is nothing that could change.
async fn changed<T>(of: Option<&mut watch::Receiver<T>>) {
    match of {
        Some(receiver) => {
            if receiver.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
        None => std::future::pending().await,
    }
}

/// What building a catalog needs.
struct Building {
    store: Arc<Mutex<Store>>,
    memos: Arc<Memos>,
    metrics: Metrics,
    last: Option<Arc<Catalog>>,
}

impl Building {
    /// The catalog of what the sources know now, which is the last one if nothing is different.
    async fn build(
        &self,
        sources: Sources,
        bundles: Bundles,
        heard_at: Instant,
    ) -> Result<Arc<Catalog>, Ended> {
        let (store, memos, metrics) =
            (Arc::clone(&self.store), Arc::clone(&self.memos), self.metrics.clone());
        let last = self.last.clone();
        task::spawn_blocking("control.build", move || {
            let began = Instant::now();
            let number = last.as_ref().map_or(1, |last| last.snapshot() + 1);
            let mut store = store.lock().unwrap_or_else(PoisonError::into_inner);
            let snapshot = store.build(&sources, number);
            if let Some(last) = last
                && Arc::ptr_eq(last.configuration(), &snapshot)
                && last.bundles() == bundles
            {
                return last;
            }
            let catalog = Catalog::new(number, snapshot, bundles, memos).heard_at(heard_at);
            let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            metrics.published(number, catalog.configuration(), took);
            metrics.addresses(store.addresses());
            Arc::new(catalog)
        })
        .await
    }
}

/// Logs what is newly found about objects, and remembers the snapshot.
fn tell(history: &History, last: Option<&Catalog>, catalog: &Catalog) {
    let last = last.map(|last| &**last.configuration());
    let reports = &catalog.configuration().objects;
    let told: BTreeSet<*const ObjectReport> =
        last.iter().flat_map(|last| &last.objects).map(Arc::as_ptr).collect();
    let news = reports.iter().filter(|report| !told.contains(&Arc::as_ptr(report)));
    for diagnostic in news.flat_map(|report| &report.diagnostics) {
        match diagnostic.severity {
            Severity::Error => tracing::error!("{diagnostic}"),
            Severity::Warning => tracing::warn!("{diagnostic}"),
            Severity::Info => tracing::info!("{diagnostic}"),
        }
    }
    let snapshot = catalog.snapshot();
    let changed = history.add(snapshot, last, catalog.configuration());
    let refused = reports.iter().filter(|report| report.verdict == Verdict::Refused).count();
    if changed > 0 {
        tracing::info!(snapshot, objects = reports.len(), changed, refused, "the configuration is published");
    } else {
        tracing::debug!(snapshot, "a snapshot is published");
    }
}
