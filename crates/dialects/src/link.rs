//! Joining objects into a snapshot.
//!
//! Here, and only here, an object's meaning may depend on others: endpoints find their service, references find
//! their grant, ages are counted. What that changes about an object is told in its report.

mod gateways;
mod routes;
mod services;
mod share;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use leno_model::name::Host;
use leno_model::policy::ScopedMtls;
use leno_model::service::{Service, Workload};
use leno_model::snapshot::{DestinationObject, ObjectReport, Snapshot};
use leno_model::span::{Diagnostic, Location, ObjectRef, Verdict};
use leno_model::unit::MeshSettings;

use crate::codes::{Code, Effect};
use crate::load::{LoadOptions, Parsed};
use crate::object::{Grant, Object};

/// What a snapshot gets from elsewhere than texts.
pub struct Surroundings<'a> {
    /// Mesh-wide settings.
    pub mesh: MeshSettings,
    /// Services of other sources; a service that texts declare under the same host wins.
    pub services: Vec<Arc<Service>>,
    /// Workloads of other sources; a workload that texts declare under the same name wins.
    pub workloads: Vec<Arc<Workload>>,
    /// Chooses virtual addresses for a service that has none written down. It must give the same ones every time.
    /// With none the service is headless.
    pub vips: &'a mut dyn FnMut(&Host) -> Vec<IpAddr>,
    /// The snapshot before, whose objects are shared where they are equal.
    pub previous: Option<&'a Snapshot>,
}

/// An object that counts, with its age.
struct Counted<'p> {
    parsed: &'p Parsed,
    object: &'p Object,
    age: u32,
}

/// What joining found out about objects, to be added to their reports.
#[derive(Default)]
struct Notes(BTreeMap<ObjectRef, Vec<(&'static Code, Diagnostic)>>);

impl Notes {
    fn add(
        &mut self,
        parsed: &Parsed,
        code: &'static Code,
        at: &Location,
        message: String,
        hint: Option<String>,
    ) {
        let Some(object) = &parsed.object else { return };
        let help = (!code.help.is_empty()).then(|| code.help.to_owned());
        let diagnostic = Diagnostic {
            code: code.code,
            severity: code.severity(),
            object: Some(object.clone()),
            location: at.clone(),
            message,
            hint: hint.or(help),
        };
        self.0.entry(object.clone()).or_default().push((code, diagnostic));
    }
}

pub(crate) fn snapshot(
    version: u64,
    parsed: &[Arc<Parsed>],
    options: &LoadOptions,
    surroundings: Surroundings<'_>,
) -> Snapshot {
    let Surroundings { mesh, services, workloads, vips, previous } = surroundings;
    let mut snapshot = Snapshot::empty(options.trust_domain.clone());
    snapshot.version = version;
    snapshot.mesh = Arc::new(mesh);
    snapshot.services = services.into_iter().map(|service| (service.host.clone(), service)).collect();
    snapshot.workloads = workloads.into_iter().map(|workload| (workload.name.clone(), workload)).collect();
    let objects = by_age(parsed);
    let grants: Vec<&Grant> = objects
        .iter()
        .filter_map(|counted| match counted.object {
            Object::Grant(grant) => Some(grant),
            _ => None,
        })
        .collect();
    let mut notes = Notes::default();
    for counted in &objects {
        take_simple(counted, &mut snapshot);
    }
    services::take(&objects, vips, &mut snapshot, &mut notes);
    gateways::take(&objects, &grants, &mut snapshot, &mut notes);
    routes::take(&objects, &grants, &mut snapshot, &mut notes);
    snapshot.objects = reports(parsed, notes);
    if let Some(previous) = previous {
        share::with(&mut snapshot, previous);
    }
    snapshot
}

/// The objects that count, oldest first.
fn by_age(parsed: &[Arc<Parsed>]) -> Vec<Counted<'_>> {
    let mut sorted: Vec<&Parsed> = parsed.iter().map(|parsed| &**parsed).collect();
    sorted.sort_by(|a, b| a.age().cmp(&b.age()));
    let counted = (0_u32..).zip(sorted);
    counted.filter_map(|(age, parsed)| Some(Counted { parsed, object: parsed.effective()?, age })).collect()
}

/// Takes an object that depends on no other.
fn take_simple(counted: &Counted<'_>, snapshot: &mut Snapshot) {
    match counted.object {
        Object::Namespace { name, labels, repeat } => {
            snapshot.namespaces.insert(name.clone(), labels.clone());
            if let Some(rule) = repeat {
                Arc::make_mut(&mut snapshot.mesh).repeat = *rule;
            }
        }
        Object::Secret(secret) => {
            if let Some(name) = &counted.parsed.object {
                snapshot.secrets.insert((name.namespace.clone(), name.name.clone()), secret.clone());
            }
        }
        Object::Workload(workload) => {
            snapshot.workloads.insert(workload.name.clone(), workload.clone());
        }
        Object::Destination(settings) => snapshot.destinations.push(Arc::new(DestinationObject {
            namespace: settings.namespace.clone(),
            host: settings.host.clone(),
            visible_in: settings.visible_in.clone(),
            destination: settings.destination.clone(),
            age: counted.age,
        })),
        Object::Policy(policy) => snapshot.policies.push(policy.clone()),
        Object::Mtls(setting) => {
            snapshot.mtls.push(Arc::new(ScopedMtls { age: counted.age, ..setting.clone() }));
        }
        Object::Service(_)
        | Object::Endpoints(_)
        | Object::Routes(_)
        | Object::Gateway(_)
        | Object::Grant(_)
        | Object::Inert
        | Object::Foreign => {}
    }
}

/// The reports by file and position, with what joining found out.
fn reports(parsed: &[Arc<Parsed>], mut notes: Notes) -> Vec<Arc<ObjectReport>> {
    let mut reports = Vec::new();
    for parsed in parsed {
        let Some(mut report) = parsed.report() else { continue };
        // A second object of one name is refused; what was found is about the one that counts.
        if parsed.effective().is_some()
            && let Some(found) = notes.0.remove(&report.origin.object)
        {
            let approximates = found.iter().any(|(code, _)| code.effect == Effect::Approximates);
            if approximates && report.verdict == Verdict::Exact {
                report.verdict = Verdict::Approximated;
            }
            report.diagnostics.extend(found.into_iter().map(|(_, diagnostic)| diagnostic));
            report.diagnostics.sort_by_key(|diagnostic| diagnostic.location.line);
        }
        reports.push(Arc::new(report));
    }
    reports
}
