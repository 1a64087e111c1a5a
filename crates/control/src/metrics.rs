//! The control plane's metrics.
//!
//! Names that Istio's dashboards know are used where the figure is exactly the same; everything else is `leno_control_*`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use leno_model::snapshot::Snapshot;
use leno_model::span::Verdict;
use leno_telemetry::{Buckets, Counter, Family, Gauge, Histogram, Registry};
use leno_wire::server::SessionReport;

use crate::compile::memo::Counts;

/// The metrics, registered once.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Callers that were refused.
    pub refused: Counter,
    /// Certificates that were signed.
    pub certificates: Counter,
    /// Requests for certificates that failed.
    pub certificate_failures: Counter,
    /// Compilations, and those that were spared.
    pub counts: Counts,
    snapshot: Gauge,
    snapshots: Counter,
    build: Histogram,
    objects: Family<Gauge, 1>,
    services: Gauge,
    virtual_services: Gauge,
    addresses: Gauge,
    convergence: Histogram,
    rejected: Gauge,
    sessions: Family<Gauge, 1>,
    /// Versions that have a series of `sessions`.
    versions: Arc<Mutex<BTreeSet<String>>>,
}

impl Metrics {
    /// Registers the metrics.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        let counter = |name, help| registry.counter(name, help);
        let gauge = |name, help| registry.gauge(name, help);
        let histogram = |name, help| registry.histogram(name, help, Buckets::SECONDS);
        Self {
            refused: counter("leno_control_refused_callers_total", "Callers that were refused."),
            certificates: counter("leno_control_certificates_total", "Certificates that were signed."),
            certificate_failures: counter(
                "leno_control_certificate_failures_total",
                "Requests for a certificate that were not answered with one.",
            ),
            counts: Counts {
                compiled: counter("leno_control_compilations_total", "Units that were compiled."),
                reused: counter(
                    "leno_control_compilations_spared_total",
                    "Units that were found compiled from the same objects.",
                ),
            },
            snapshot: gauge("leno_control_snapshot", "The number of the newest snapshot."),
            snapshots: counter("leno_control_snapshots_total", "Snapshots that were published."),
            build: histogram(
                "leno_control_build_seconds",
                "Time from looking at the sources to a published snapshot.",
            ),
            objects: registry.gauges(
                "leno_control_objects",
                "Objects that were read, by verdict.",
                &["verdict"],
            ),
            services: gauge("pilot_services", "Services that are known."),
            virtual_services: gauge("pilot_virt_services", "VirtualServices that are known."),
            addresses: gauge("leno_control_addresses", "Hosts that a virtual address was chosen for."),
            convergence: histogram(
                "pilot_proxy_convergence_time",
                "Time from hearing of a change to its being in effect in a proxy, in seconds.",
            ),
            rejected: gauge("leno_control_rejected_units", "Units that connected proxies refuse."),
            sessions: registry.gauges("pilot_xds", "Proxies that are connected, by version.", &["version"]),
            versions: Arc::default(),
        }
    }

    /// Shows a snapshot that was published, and how many microseconds it took.
    pub fn published(&self, number: u64, snapshot: &Snapshot, took: u64) {
        self.snapshots.inc();
        self.snapshot.set(whole(number));
        self.build.observe(took);
        self.services.set(whole(snapshot.services.len() as u64));
        let of_kind =
            |kind: &str| snapshot.objects.iter().filter(|report| &*report.origin.object.kind == kind).count();
        self.virtual_services.set(whole(of_kind("VirtualService") as u64));
        for verdict in [Verdict::Exact, Verdict::Approximated, Verdict::Refused] {
            let count = snapshot.objects.iter().filter(|report| report.verdict == verdict).count();
            self.objects.with([verdict.as_str()]).set(whole(count as u64));
        }
    }

    /// Shows how many hosts have virtual addresses.
    pub fn addresses(&self, count: usize) {
        self.addresses.set(whole(count as u64));
    }

    /// Counts the time, in microseconds, until a snapshot was in effect in a proxy.
    pub fn converged(&self, took: u64) {
        self.convergence.observe(took);
    }

    /// Shows the proxies that are connected.
    pub fn sessions(&self, sessions: &[SessionReport]) {
        let mut counts: BTreeMap<String, i64> = BTreeMap::new();
        for session in sessions {
            *counts.entry(session.client.version.to_string()).or_default() += 1;
        }
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in versions.iter().filter(|version| !counts.contains_key(*version)) {
            self.sessions.remove([gone]);
        }
        for (version, count) in &counts {
            self.sessions.with([version]).set(*count);
        }
        *versions = counts.into_keys().collect();
        self.rejected.set(whole(sessions.iter().map(|session| session.rejections.len() as u64).sum()));
    }
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
