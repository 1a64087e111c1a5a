//! Requests and the traces that they belong to.
//!
//! A proxy that takes part in tracing reads a request's trace context once it is prepared, and makes it say where the
//! request is now before anything else is done with it: every try of the request carries the same. One that takes no
//! part leaves all of that as it is. Of a request that isn't sampled nothing is kept.
//!
//! What asks a workload is a server's span, what a workload asks is a client's. A request from outside the mesh has both:
//! the gateway is asked, and asks. Further tries are events of the span of whoever asks.

mod begun;
pub(crate) mod collector;
mod endpoint;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use leno_http::head::{Fields, Known, RequestHead};
use leno_model::name::WorkloadName;
use leno_model::request::RequestView as _;
use leno_model::secret::SecretBytes;
use leno_runtime::task;
use leno_telemetry::Registry;
use leno_telemetry::export::{Exporter, Resource};
use leno_telemetry::id::Ids;
use leno_telemetry::limits::TRACE_FINISH;
use leno_telemetry::propagation::{Carrier, Place, Propagation};
use leno_telemetry::sampling::Sampler;
use leno_telemetry::span::Kind;
use leno_telemetry::trace::TRACEPARENT;

use crate::core::{Core, Shared};
use crate::local::Local;
use crate::parties;
use crate::path::Path;
pub(crate) use begun::Span;
pub use endpoint::{Endpoint, EndpointError, Protocol};

const PARENT: Known = Known::new(TRACEPARENT);

/// How a proxy takes part in tracing.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How trace context is read and written.
    pub propagation: Propagation,
    /// Which traces are recorded, where nobody has decided before.
    pub sampler: Sampler,
    /// Where spans go; `None` passes context on and tells nobody.
    pub collector: Option<Collector>,
    /// What the proxy's workload is called; `APP.NAMESPACE` where absent, as with Istio.
    pub service: Option<String>,
    /// More attributes of the workload.
    pub attributes: Vec<(String, String)>,
}

/// Where spans go.
#[derive(Clone, Debug)]
pub struct Collector {
    /// Its address.
    pub endpoint: Endpoint,
    /// Headers of each export; they may be credentials.
    pub headers: Vec<(String, SecretBytes)>,
    /// Whether an address outside the mesh is reached by the mesh's egress, where it has one, which knows it.
    pub by_egress: bool,
    /// File of roots to trust where the endpoint is `https`; the system's where absent.
    pub roots: Option<Arc<str>>,
}

/// Takes part in tracing.
pub(crate) struct Tracing {
    settings: Settings,
    exporter: Option<Exporter>,
    resources: Mutex<HashMap<WorkloadName, Arc<Resource>>>,
}

impl Tracing {
    pub(crate) fn new(settings: Settings, registry: &Registry) -> Self {
        let exporter = settings.collector.is_some().then(|| Exporter::new(registry));
        Self { settings, exporter, resources: Mutex::default() }
    }

    /// Sends spans in the background. To be called on the thread that isn't for traffic.
    pub(crate) fn start(shared: &Arc<Shared>, local: &Arc<Local>) {
        let Some(tracing) = &shared.tracing else { return };
        let (Some(exporter), Some(collector)) = (&tracing.exporter, &tracing.settings.collector) else {
            return;
        };
        let core = Core::new(Arc::clone(shared), fastrand::u64(..));
        let link =
            collector::Link::new(core, Arc::clone(local), collector.clone(), tracing.settings.propagation);
        task::spawn_local("traces", exporter.clone().run(link)).detach();
    }

    /// Sends what is left.
    pub(crate) async fn finish(shared: &Shared) {
        let exporter = shared.tracing.as_ref().and_then(|tracing| tracing.exporter.as_ref());
        if let Some(exporter) = exporter {
            exporter.finish(TRACE_FINISH).await;
        }
    }

    /// Where the collector is, for those whose network doesn't lead there.
    pub(crate) async fn address_for_others(&self) -> Option<SocketAddr> {
        self.settings.collector.as_ref()?.address().await.ok()
    }

    /// A request begins: it goes on as a part of what this proxy does. Returns its span if it is sampled.
    pub(crate) fn begin(&self, core: &Core, path: &Path, head: &mut RequestHead) -> Option<Span> {
        let Settings { propagation, sampler, .. } = &self.settings;
        let mut headers = Headers(head.fields_mut());
        let given = propagation.read(&headers);
        let (place, asks) = core.with_ids(|ids: &mut Ids| {
            let place = Place::begin(&given, sampler, ids);
            // Both what was asked of the mesh and what it asks of a workload.
            (place, path.is_edge().then(|| place.below(ids)))
        });
        propagation.write(asks.as_ref().unwrap_or(&place), &mut headers);
        let exporter = self.exporter.as_ref().filter(|_| place.context.is_sampled())?;
        let kind =
            if matches!(path, Path::Outbound(_)) && asks.is_none() { Kind::Client } else { Kind::Server };
        let scheme = if head.scheme() == "https" { "https" } else { "http" };
        let resource = self.resource(path.local());
        Some(Span::new(exporter.clone(), resource, place, asks, kind, scheme, path.own_service().cloned()))
    }

    /// Whose the spans are.
    fn resource(&self, local: &Local) -> Arc<Resource> {
        let mut resources = self.resources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(resource) = resources.get(&local.name) {
            return Arc::clone(resource);
        }
        let resource = Arc::new(self.describe(local));
        resources.insert(local.name.clone(), Arc::clone(&resource));
        resource
    }

    fn describe(&self, local: &Local) -> Resource {
        let WorkloadName { namespace, name } = &local.name;
        let own = parties::workload(&local.owner, namespace, &local.cluster, None, &local.labels);
        let app = if own.app.is_empty() { own.canonical_service } else { own.app };
        let usual = format!("{app}.{namespace}");
        let service = self.settings.service.as_deref().unwrap_or(&usual);
        let mut resource = vec![
            ("service.name", service),
            ("service.namespace", &**namespace),
            ("service.instance.id", &**name),
            ("telemetry.sdk.name", "leno"),
            ("telemetry.sdk.language", "rust"),
            ("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
        ];
        if !own.version.is_empty() {
            resource.push(("service.version", own.version));
        }
        let more = self.settings.attributes.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        // What was configured counts.
        resource.retain(|(key, _)| self.settings.attributes.iter().all(|(given, _)| given != key));
        let span = [
            ("component", "proxy"),
            ("istio.canonical_revision", own.canonical_revision),
            ("istio.canonical_service", own.canonical_service),
            ("istio.cluster_id", &*local.cluster),
            ("istio.mesh_id", &*local.cluster),
            ("istio.namespace", &**namespace),
        ];
        Resource::new(resource.into_iter().chain(more), span)
    }
}

/// A request's headers.
struct Headers<'h>(&'h mut Fields);

impl Carrier for Headers<'_> {
    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.0.get_all(name)
    }

    fn set(&mut self, name: &'static str, value: &[u8]) {
        let _invalid = match name {
            // In nearly every request.
            TRACEPARENT => self.0.put(PARENT, value),
            _ => self.0.set(name, value),
        };
    }

    fn remove(&mut self, name: &'static str) {
        self.0.remove(name);
    }
}
