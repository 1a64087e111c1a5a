//! Requests and the traces that they belong to.
//!
//! A proxy that takes part in tracing reads a request's trace context once it is prepared, and makes it say where the
//! request is now before anything else is done with it: every try of the request carries the same. One that takes no
//! part leaves all of that as it is.

use leno_http::head::{Fields, RequestHead};
use leno_telemetry::propagation::{Carrier, Place, Propagation};
use leno_telemetry::sampling::Sampler;

use crate::core::Core;
use crate::path::Path;

/// How a proxy takes part in tracing.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How trace context is read and written.
    pub propagation: Propagation,
    /// Which traces are recorded, where nobody has decided before.
    pub sampler: Sampler,
}

/// Takes part in tracing.
pub(crate) struct Tracing {
    settings: Settings,
}

impl Tracing {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// A request begins: it goes on as a part of what this proxy does.
    pub(crate) fn begin(&self, core: &Core, path: &Path, head: &mut RequestHead) {
        let Settings { propagation, sampler } = &self.settings;
        let mut headers = Headers(head.fields_mut());
        let given = propagation.read(&headers);
        let sent = core.with_ids(|ids| {
            let place = Place::begin(&given, sampler, ids);
            // Both what was asked of the mesh and what it asks of a workload.
            if path.is_edge() { place.below(ids) } else { place }
        });
        propagation.write(&sent, &mut headers);
    }
}

/// A request's headers.
struct Headers<'h>(&'h mut Fields);

impl Carrier for Headers<'_> {
    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.0.get_all(name)
    }

    fn set(&mut self, name: &'static str, value: &[u8]) {
        let _managed = self.0.set(name, value);
    }

    fn remove(&mut self, name: &'static str) {
        self.0.remove(name);
    }
}
