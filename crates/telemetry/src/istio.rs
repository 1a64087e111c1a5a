//! Istio's standard metrics, so that dashboards, Kiali and Flagger work unchanged.
//!
//! Names, labels, their order and the buckets are Istio's (`testdata/metric` of istio/proxy). Two things are better here:
//! durations are counted in microseconds before they are put into the millisecond buckets, and bytes and messages of
//! long streams count at once instead of every five seconds.
//!
//! A handle is resolved once per source, destination and service and held by what carries the traffic (a connection, a
//! pool of an endpoint). It belongs to its thread. What ends is recorded when its record is dropped, so that a cancelled
//! request counts too.

mod http;
mod pairs;
mod tcp;

use std::cell::RefCell;

use crate::labels;
use crate::registry::Registry;

pub use http::{HttpHandle, HttpMetrics, HttpRecord, RequestProtocol};
pub use tcp::{TcpHandle, TcpMetrics, TcpRecord};

/// The value of a label that isn't known.
pub const UNKNOWN: &str = "unknown";

/// Who reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reporter {
    /// The proxy of the caller, or a gateway for what it sends into the mesh.
    Source,
    /// The proxy of the called workload.
    Destination,
    /// A waypoint.
    Waypoint,
}

/// How the connection between the proxies is secured, as far as the reporter knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Security {
    /// Mutual TLS.
    MutualTls,
    /// Plain text, or TLS that isn't the mesh's.
    None,
    /// Not known. Istio's client side always says this.
    Unknown,
}

impl Security {
    fn as_str(self) -> &'static str {
        match self {
            Self::MutualTls => "mutual_tls",
            Self::None => "none",
            Self::Unknown => UNKNOWN,
        }
    }
}

/// One side of the traffic. What is empty is shown as [`UNKNOWN`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Workload<'a> {
    /// The workload's name.
    pub name: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its SPIFFE id.
    pub principal: &'a str,
    /// Its label `app`.
    pub app: &'a str,
    /// Its label `version`.
    pub version: &'a str,
    /// The cluster it runs in.
    pub cluster: &'a str,
    /// `service.istio.io/canonical-name`, or what stands in for it.
    pub canonical_service: &'a str,
    /// `service.istio.io/canonical-revision`, or what stands in for it.
    pub canonical_revision: &'a str,
}

/// The called service. What is empty is shown as [`UNKNOWN`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Service<'a> {
    /// Its host, or the requested host where it is no known service.
    pub host: &'a str,
    /// Its short name; `PassthroughCluster` and `BlackHoleCluster` where there is none.
    pub name: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
}

/// What is the same for all traffic of a handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Labels<'a> {
    /// Who reports.
    pub reporter: Reporter,
    /// Who calls.
    pub source: Workload<'a>,
    /// Who is called.
    pub destination: Workload<'a>,
    /// As what.
    pub service: Service<'a>,
    /// How the connection is secured.
    pub security: Security,
}

/// The labels that [`Labels`] gives, without the security, which Istio shows last.
const PAIR: [&str; 20] = [
    "reporter",
    "source_workload",
    "source_canonical_service",
    "source_canonical_revision",
    "source_workload_namespace",
    "source_principal",
    "source_app",
    "source_version",
    "source_cluster",
    "destination_workload",
    "destination_workload_namespace",
    "destination_principal",
    "destination_app",
    "destination_version",
    "destination_service",
    "destination_canonical_service",
    "destination_canonical_revision",
    "destination_service_name",
    "destination_service_namespace",
    "destination_cluster",
];

impl Labels<'_> {
    fn values(&self) -> [&str; 20] {
        let Self { source, destination, service, .. } = self;
        [
            match self.reporter {
                Reporter::Source => "source",
                Reporter::Destination => "destination",
                Reporter::Waypoint => "waypoint",
            },
            source.name,
            source.canonical_service,
            source.canonical_revision,
            source.namespace,
            source.principal,
            source.app,
            source.version,
            source.cluster,
            destination.name,
            destination.namespace,
            destination.principal,
            destination.app,
            destination.version,
            service.host,
            destination.canonical_service,
            destination.canonical_revision,
            service.name,
            service.namespace,
            destination.cluster,
        ]
    }

    /// Calls `f` with the labels in rendered form.
    fn render<T>(&self, f: impl FnOnce(&str) -> T) -> T {
        thread_local! {
            static TEXT: RefCell<String> = const { RefCell::new(String::new()) };
        }
        let mut text = TEXT.take();
        text.clear();
        for (name, value) in PAIR.into_iter().zip(self.values()) {
            labels::push(&mut text, name, if value.is_empty() { UNKNOWN } else { value });
        }
        let result = f(&text);
        TEXT.set(text);
        result
    }
}

/// Registers `istio_build`, a gauge of 1 that says what runs where. `component` is `proxy` for every data-plane role,
/// as in Istio.
pub fn build(registry: &Registry, component: &str, tag: &str) {
    let labels = &["component", "tag"];
    registry
        .gauges("istio_build", "The component and its version; always 1.", labels)
        .with([component, tag])
        .set(1);
}
