//! Selectors that select nothing, and settings of one scope.
//!
//! Without any workload in the snapshot (a directory that is checked offline) nothing is said about selectors.

use std::collections::BTreeMap;
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
    for service in snapshot.services.values() {
        check_service(analysis, service);
    }
    for object in &snapshot.destinations {
        if let Some(service) = analysis.service(&object.host) {
            object.destination.subsets.iter().for_each(|subset| check_subset(analysis, service, subset));
        }
    }
    for scoped in &snapshot.policies {
        check_selection(analysis, &scoped.selection, &scoped.policy.origin);
    }
    for setting in &snapshot.mtls {
        check_selection(analysis, &setting.selection, &setting.origin);
    }
}

fn check_service(analysis: &mut Analysis<'_>, service: &Service) {
    let Some(selector) = &service.selector else { return };
    if service.fixed.is_empty()
        && !any_workload(analysis, &service.namespace, |labels| labels.contains(selector))
    {
        let message = format_args!("no workload carries the labels that {} selects", service.host);
        analysis.report(codes::NO_ENDPOINTS, &service.origin, message);
    }
}

fn check_subset(analysis: &mut Analysis<'_>, service: &Service, subset: &Subset) {
    let Some(selector) = &service.selector else { return };
    let selected = |labels: &Labels| labels.contains(selector);
    // A service without workloads has its own finding.
    if any_workload(analysis, &service.namespace, selected)
        && !any_workload(analysis, &service.namespace, |labels| {
            selected(labels) && labels.contains(&subset.labels)
        })
    {
        let message = format_args!("subset {} selects no workload of {}", subset.name, service.host);
        analysis.report(codes::EMPTY_SUBSET, &subset.origin, message);
    }
}

fn check_selection(analysis: &mut Analysis<'_>, selection: &Selection, origin: &Origin) {
    if selection.labels.0.is_empty() {
        return;
    }
    let in_scope = |workload: &Workload| {
        selection.namespace.as_ref().is_none_or(|namespace| *namespace == workload.name.namespace)
    };
    let workloads = analysis.snapshot.workloads.values();
    let at_workload = workloads
        .into_iter()
        .any(|workload| in_scope(workload) && workload.labels.contains(&selection.labels));
    let mut gateways = analysis.snapshot.gateways.values();
    let at_gateway = gateways.any(|gateway| gateway.labels.contains(&selection.labels));
    if !at_workload && !at_gateway {
        let labels: Vec<String> =
            selection.labels.0.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let message = format_args!("the selector {} selects no workload", labels.join(","));
        analysis.report(codes::NO_WORKLOADS, origin, message);
    }
}

fn any_workload(analysis: &Analysis<'_>, namespace: &str, matches: impl Fn(&Labels) -> bool) -> bool {
    let mut workloads = analysis.snapshot.workloads.values();
    workloads.any(|workload| *workload.name.namespace == *namespace && matches(&workload.labels))
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
