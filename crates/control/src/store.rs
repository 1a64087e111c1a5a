//! Joins what the sources know into the next snapshot.
//!
//! Object by object a change counts whole or not at all: a refused object's last good version stays, what is right beside
//! it counts, and what is gone is gone. A snapshot that would be equal to the last one is none. Building blocks and does
//! no I/O but keeping virtual addresses.

mod reports;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use leno_dialects::link::Surroundings;
use leno_dialects::load::{Document, LoadOptions, Loaded, ObjectKey, Outcome, load};
use leno_model::gateway::Gateway;
use leno_model::service::Service;
use leno_model::snapshot::Snapshot;
use leno_model::unit::MeshSettings;

use crate::source::addresses::Addresses;
use crate::source::directory::Files;
use crate::source::workloads::{Announced, LocalGateway};

/// What the sources know at one moment.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// What is written in files.
    pub files: Arc<Files>,
    /// What is announced.
    pub announced: Announced,
}

/// The store of one mesh.
#[derive(Debug)]
pub struct Store {
    options: LoadOptions,
    mesh: MeshSettings,
    addresses: Addresses,
    /// The files that `loaded` was read from.
    files: Arc<Files>,
    /// Each file's text with what it says by itself.
    read: BTreeMap<Arc<str>, (Arc<str>, Loaded)>,
    loaded: Option<Loaded>,
    /// Objects that are refused and count in their last good version.
    kept: BTreeSet<ObjectKey>,
    snapshot: Option<Arc<Snapshot>>,
}

impl Store {
    /// A store that knows nothing yet. `mesh` has the settings but for what follows from services.
    #[must_use]
    pub fn new(options: LoadOptions, mesh: MeshSettings, addresses: Addresses) -> Self {
        Self {
            options,
            mesh,
            addresses,
            files: Arc::default(),
            read: BTreeMap::new(),
            loaded: None,
            kept: BTreeSet::new(),
            snapshot: None,
        }
    }

    /// The next snapshot, of this version if it differs from the last one.
    pub fn build(&mut self, sources: &Sources, version: u64) -> Arc<Snapshot> {
        if self.loaded.is_none() || !Arc::ptr_eq(&self.files, &sources.files) {
            self.load(&sources.files);
        }
        let mut snapshot = self.link(&sources.announced, version);
        self.keep_addresses(&snapshot);
        if let Some(last) = self.snapshot.as_ref().filter(|last| is_same(last, &snapshot)) {
            return Arc::clone(last);
        }
        snapshot.version = version;
        Arc::clone(self.snapshot.insert(Arc::new(snapshot)))
    }

    /// How many hosts have virtual addresses.
    #[must_use]
    pub fn addresses(&self) -> usize {
        self.addresses.len()
    }

    /// Reads the files that are new or different, and lets everything stay that is refused.
    fn load(&mut self, files: &Arc<Files>) {
        let mut before = std::mem::take(&mut self.read);
        for (file, text) in &files.files {
            let read = before.remove(file).filter(|(known, _)| known == text).unwrap_or_else(|| {
                let document = Document { file: Arc::clone(file), text };
                (Arc::clone(text), load(&[document], &self.options))
            });
            self.read.insert(Arc::clone(file), read);
        }
        let mut loaded = Loaded::join(self.read.values().map(|(_, loaded)| loaded), &self.options);
        if let Some(previous) = &self.loaded {
            loaded.keep_last_good(previous);
            self.kept = kept(&loaded, previous, &self.kept);
        }
        self.files = Arc::clone(files);
        self.loaded = Some(loaded);
    }

    fn link(&mut self, announced: &Announced, version: u64) -> Snapshot {
        let mut exhausted = Vec::new();
        let addresses = &mut self.addresses;
        let services = announced.services.values().map(|announcement| {
            if !announcement.wants_vip {
                return Arc::clone(&announcement.service);
            }
            let vips = addresses.of(&announcement.service.host);
            if vips.is_empty() {
                exhausted.push(announcement.service.host.clone());
            }
            Arc::new(Service { vips, ..(*announcement.service).clone() })
        });
        let services = services.collect();
        let mut vips = |host: &leno_model::name::Host| {
            let vips = addresses.of(host);
            if vips.is_empty() {
                exhausted.push(host.clone());
            }
            vips
        };
        let surroundings = Surroundings {
            mesh: self.mesh.clone(),
            services,
            workloads: announced.workloads.values().cloned().collect(),
            vips: &mut vips,
            previous: self.snapshot.as_deref(),
        };
        let Some(loaded) = &self.loaded else { return Snapshot::empty(self.options.trust_domain.clone()) };
        let mut snapshot = loaded.snapshot(version, surroundings);
        self.take_gateways(announced, &mut snapshot);
        reports::complete(&mut snapshot, loaded, &self.kept, &self.files, &exhausted);
        if let Some(last) = &self.snapshot {
            reports::share(&mut snapshot.objects, &last.objects);
        }
        snapshot
    }

    /// A gateway that is announced has the account that its proxy runs as, whatever its object's class says.
    fn take_gateways(&self, announced: &Announced, snapshot: &mut Snapshot) {
        for (key, local) in &announced.gateways {
            let gateway = joined(local, snapshot.gateways.get(key).map(|gateway| &**gateway));
            let last = self.snapshot.as_ref().and_then(|last| last.gateways.get(key));
            if let Some(last) = last.filter(|last| ***last == gateway) {
                snapshot.gateways.insert(key.clone(), Arc::clone(last));
                continue;
            }
            snapshot.gateways.insert(key.clone(), Arc::new(gateway));
        }
    }

    fn keep_addresses(&mut self, snapshot: &Snapshot) {
        self.addresses.retain(|host| snapshot.services.contains_key(host));
        if let Err(error) = self.addresses.keep() {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "virtual addresses can't be kept; after a restart they may be others");
        }
    }
}

fn joined(local: &LocalGateway, declared: Option<&Gateway>) -> Gateway {
    let Some(declared) = declared else { return local.bare() };
    let mut gateway = declared.clone();
    gateway.service_account = local.service_account.clone();
    for (key, value) in &local.labels.0 {
        gateway.labels.0.entry(key.clone()).or_insert_with(|| value.clone());
    }
    gateway
}

/// The refused objects whose last good version counts.
fn kept(now: &Loaded, previous: &Loaded, before: &BTreeSet<ObjectKey>) -> BTreeSet<ObjectKey> {
    let good = previous.parsed.iter().filter(|parsed| parsed.is_accepted()).filter_map(|parsed| parsed.key());
    let good: BTreeSet<ObjectKey> = good.chain(before.iter().cloned()).collect();
    let refused =
        now.parsed.iter().filter(|parsed| matches!(parsed.outcome, Outcome::Refused { instead: Some(_) }));
    refused.filter_map(|parsed| parsed.key()).filter(|key| good.contains(key)).collect()
}

/// Whether two snapshots say the same. Shared objects are compared by address.
fn is_same(a: &Snapshot, b: &Snapshot) -> bool {
    a.mesh == b.mesh
        && a.namespaces == b.namespaces
        && a.services == b.services
        && a.workloads == b.workloads
        && a.routes == b.routes
        && a.destinations == b.destinations
        && a.policies == b.policies
        && a.mtls == b.mtls
        && a.gateways == b.gateways
        && a.secrets == b.secrets
        && a.objects == b.objects
}
