//! Selectors that select nothing, and settings of one scope.
//!
//! Without any workload in the snapshot (a directory that is checked offline) nothing is said about selectors.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use leno_model::destination::Subset;
use leno_model::labels::Labels;
use leno_model::policy::Selection;
use leno_model::service::{Service, Workload};
use leno_model::span::Origin;

use super::Analysis;
use crate::codes;

pub(super) fn check(analysis: &mut Analysis<'_>) {
    check_scopes(analysis);
    let snapshot = analysis.snapshot;
    if snapshot.workloads.is_empty() {
        return;
    }
    let carriers = Carriers::new(snapshot.workloads.values());
    for service in snapshot.services.values() {
        check_service(analysis, &carriers, service);
    }
    for object in &snapshot.destinations {
        if let Some(service) = analysis.service(&object.host) {
            let subsets = object.destination.subsets.iter();
            subsets.for_each(|subset| check_subset(analysis, &carriers, service, subset));
        }
    }
    for scoped in &snapshot.policies {
        check_selection(analysis, &carriers, &scoped.selection, &scoped.policy.origin);
    }
    for setting in &snapshot.mtls {
        check_selection(analysis, &carriers, &setting.selection, &setting.origin);
    }
}

/// Workloads by each of their labels, so that a selector looks at few of them.
struct Carriers<'s> {
    all: Vec<&'s Workload>,
    by_label: HashMap<(&'s str, &'s str), Vec<&'s Workload>>,
}

impl<'s> Carriers<'s> {
    fn new(workloads: impl Iterator<Item = &'s Arc<Workload>>) -> Self {
        let all: Vec<&Workload> = workloads.map(|workload| &**workload).collect();
        let mut by_label: HashMap<_, Vec<_>> = HashMap::new();
        for workload in &all {
            for (key, value) in &workload.labels.0 {
                by_label.entry((&**key, &**value)).or_default().push(*workload);
            }
        }
        Self { all, by_label }
    }

    /// The workloads that carry these labels.
    fn of<'c>(&'c self, labels: &'c Labels) -> impl Iterator<Item = &'c Workload> {
        let rarest = labels.0.iter().map(|(key, value)| self.with(key, value));
        let candidates = rarest.min_by_key(|carriers| carriers.len()).unwrap_or(&self.all);
        candidates.iter().copied().filter(|workload| workload.labels.contains(labels))
    }

    /// Those of them in a namespace.
    fn of_namespace<'c>(
        &'c self,
        labels: &'c Labels,
        namespace: &'c str,
    ) -> impl Iterator<Item = &'c Workload> {
        self.of(labels).filter(move |workload| *workload.name.namespace == *namespace)
    }

    fn with<'c>(&'c self, key: &'c str, value: &'c str) -> &'c [&'c Workload] {
        self.by_label.get(&(key, value)).map_or(&[], Vec::as_slice)
    }
}

fn check_service(analysis: &mut Analysis<'_>, carriers: &Carriers<'_>, service: &Service) {
    let Some(selector) = &service.selector else { return };
    if service.fixed.is_empty() && carriers.of_namespace(selector, &service.namespace).next().is_none() {
        let message = format_args!("no workload carries the labels that {} selects", service.host);
        analysis.report(codes::NO_ENDPOINTS, &service.origin, message);
    }
}

fn check_subset(analysis: &mut Analysis<'_>, carriers: &Carriers<'_>, service: &Service, subset: &Subset) {
    let Some(selector) = &service.selector else { return };
    let mut selected = carriers.of_namespace(selector, &service.namespace).peekable();
    // A service without workloads has its own finding.
    if selected.peek().is_some() && !selected.any(|workload| workload.labels.contains(&subset.labels)) {
        let message = format_args!("subset {} selects no workload of {}", subset.name, service.host);
        analysis.report(codes::EMPTY_SUBSET, &subset.origin, message);
    }
}

fn check_selection(
    analysis: &mut Analysis<'_>,
    carriers: &Carriers<'_>,
    selection: &Selection,
    origin: &Origin,
) {
    if selection.labels.0.is_empty() {
        return;
    }
    let in_scope = |workload: &Workload| {
        selection.namespace.as_ref().is_none_or(|namespace| *namespace == workload.name.namespace)
    };
    let at_workload = carriers.of(&selection.labels).any(in_scope);
    let mut gateways = analysis.snapshot.gateways.values();
    let at_gateway = gateways.any(|gateway| gateway.labels.contains(&selection.labels));
    if !at_workload && !at_gateway {
        let labels: Vec<String> =
            selection.labels.0.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let message = format_args!("the selector {} selects no workload", labels.join(","));
        analysis.report(codes::NO_WORKLOADS, origin, message);
    }
}

/// Of mutual TLS settings of one scope the oldest counts.
fn check_scopes(analysis: &mut Analysis<'_>) {
    let mut settings: Vec<_> = analysis.snapshot.mtls.iter().collect();
    settings.sort_by_key(|setting| setting.age);
    let mut oldest: BTreeMap<(Option<Arc<str>>, Labels), &Origin> = BTreeMap::new();
    for setting in settings {
        let scope = (setting.selection.namespace.clone(), setting.selection.labels.clone());
        match oldest.get(&scope) {
            Some(winner) => {
                let message = format_args!("{winner} has the same scope and counts instead");
                analysis.report(codes::SHADOWED_SETTINGS, &setting.origin, message);
            }
            None => {
                oldest.insert(scope, &setting.origin);
            }
        }
    }
}
