//! What objects say to each other: references that lead nowhere, rules that never apply, settings that beat others.
//!
//! Nothing found here changes what is in effect; that is decided where a snapshot is made and compiled. The findings
//! are about the parts of the snapshot that came from texts, and name the place.

mod gateways;
mod matches;
mod references;
mod routes;
mod selectors;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use leno_model::destination::Subset;
use leno_model::name::Host;
use leno_model::service::Service;
use leno_model::snapshot::{DestinationObject, Snapshot};
use leno_model::span::{Diagnostic, Origin};

use crate::codes::Code;
use crate::limits::MAX_NAME_HINTS;
use crate::table::nearest;

/// Everything there is to say about how a snapshot's objects fit together, by place.
#[must_use]
pub fn analyze(snapshot: &Snapshot) -> Vec<Diagnostic> {
    let mut analysis = Analysis::new(snapshot);
    references::check(&mut analysis);
    routes::check(&mut analysis);
    gateways::check(&mut analysis);
    selectors::check(&mut analysis);
    let mut found = analysis.found;
    found.sort_by(|a, b| (&a.location, a.code, &a.message).cmp(&(&b.location, b.code, &b.message)));
    found.dedup();
    found
}

/// A snapshot with the indexes that checks share.
struct Analysis<'s> {
    snapshot: &'s Snapshot,
    /// Destination settings by exact host.
    exact: BTreeMap<&'s Host, Vec<&'s DestinationObject>>,
    /// Destination settings of wildcard hosts.
    wildcards: Vec<&'s DestinationObject>,
    found: Vec<Diagnostic>,
    name_hints: usize,
}

impl<'s> Analysis<'s> {
    fn new(snapshot: &'s Snapshot) -> Self {
        let mut exact: BTreeMap<&Host, Vec<&DestinationObject>> = BTreeMap::new();
        let mut wildcards = Vec::new();
        for object in &snapshot.destinations {
            if object.host.is_wildcard() {
                wildcards.push(&**object);
            } else {
                exact.entry(&object.host).or_default().push(object);
            }
        }
        Self { snapshot, exact, wildcards, found: Vec::new(), name_hints: MAX_NAME_HINTS }
    }

    fn report(&mut self, code: &'static Code, origin: &Origin, message: impl fmt::Display) {
        let hint = (!code.help.is_empty()).then(|| code.help.to_owned());
        self.push(code, origin, message, hint);
    }

    fn report_with(
        &mut self,
        code: &'static Code,
        origin: &Origin,
        message: impl fmt::Display,
        hint: impl Into<String>,
    ) {
        self.push(code, origin, message, Some(hint.into()));
    }

    fn push(
        &mut self,
        code: &'static Code,
        origin: &Origin,
        message: impl fmt::Display,
        hint: Option<String>,
    ) {
        self.found.push(Diagnostic {
            code: code.code,
            severity: code.severity(),
            object: Some(origin.object.clone()),
            location: origin.location.clone(),
            message: message.to_string(),
            hint,
        });
    }

    fn service(&self, host: &Host) -> Option<&'s Arc<Service>> {
        self.snapshot.services.get(host)
    }

    /// Whether a host, which may be a wildcard, is or covers a service.
    fn has_service(&self, host: &Host) -> bool {
        if host.is_wildcard() {
            self.snapshot.services.keys().any(|service| host.covers(service.as_str()))
        } else {
            self.snapshot.services.contains_key(host)
        }
    }

    /// The subset of that name, from the settings of the host or of a wildcard that covers it.
    fn subset(&self, host: &Host, name: &str) -> Option<&'s Subset> {
        let exact = self.exact.get(host).into_iter().flatten();
        let wildcards = self.wildcards.iter().filter(|object| object.host.covers(host.as_str()));
        exact.chain(wildcards).find_map(|object| object.destination.subset(name))
    }

    /// A hint for a host that no service has: the service that was probably meant.
    fn host_hint(&mut self, host: &Host) -> String {
        let domain = &self.snapshot.mesh.cluster_domain;
        let expanded = format!("{}.svc.{domain}", host.as_str());
        if self.snapshot.services.contains_key(expanded.as_str()) {
            return format!("write {expanded}: only names without dots are completed");
        }
        let left = self.name_hints.checked_sub(1);
        let near = left.and_then(|left| {
            self.name_hints = left;
            nearest(host.as_str(), self.snapshot.services.keys().map(Host::as_str))
        });
        match near {
            Some(near) => format!("did you mean {near}?"),
            None => "create the service, or correct the name".to_owned(),
        }
    }
}
