//! What the reports about objects say beyond what reading them found.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use leno_dialects::analyze::analyze;
use leno_dialects::load::{Loaded, ObjectKey, Outcome, Parsed};
use leno_model::name::Host;
use leno_model::snapshot::{ObjectReport, Snapshot};
use leno_model::span::{Diagnostic, ObjectRef, Origin, Verdict};

use crate::codes::{self, finding};
use crate::source::directory::Files;

/// The kind under which a file that can't be read is reported.
const FILE: &str = "File";
/// The kind under which a document that can't be named is reported.
const DOCUMENT: &str = "Document";

/// Adds what the sources and the store know: files that can't be read, documents without a name, objects whose last
/// good version counts, services without an address.
pub(super) fn complete(
    snapshot: &mut Snapshot,
    loaded: &Loaded,
    kept: &BTreeSet<ObjectKey>,
    files: &Files,
    exhausted: &[Host],
) {
    let kept: BTreeSet<&ObjectRef> = kept.iter().map(|(_, object)| object).collect();
    let services = exhausted.iter().filter_map(|host| snapshot.services.get(host));
    let exhausted: BTreeSet<ObjectRef> = services.map(|service| service.origin.object.clone()).collect();
    let mut findings: HashMap<ObjectRef, Vec<Diagnostic>> = HashMap::new();
    for diagnostic in analyze(snapshot) {
        if let Some(object) = diagnostic.object.clone() {
            findings.entry(object).or_default().push(diagnostic);
        }
    }
    for report in &mut snapshot.objects {
        let origin = &report.origin;
        let mut more = findings.remove(&origin.object).unwrap_or_default();
        let about =
            |code, message| finding(code, Some(origin.object.clone()), origin.location.clone(), message);
        if kept.contains(&origin.object) {
            let message = format!("{} is refused; its last good version stays in effect", origin.object);
            more.push(about(codes::LAST_GOOD, message));
        }
        if exhausted.contains(&origin.object) {
            more.push(about(codes::NO_ADDRESS, format!("no virtual address is left for {}", origin.object)));
        }
        if !more.is_empty() {
            Arc::make_mut(report).diagnostics.append(&mut more);
        }
    }
    // What is announced rather than written has a report only if there is something to say.
    let mut announced: Vec<_> = findings.into_iter().collect();
    announced.sort_by(|(a, _), (b, _)| a.cmp(b));
    let announced = announced.into_iter().filter_map(|(object, diagnostics)| {
        let location = diagnostics.first()?.location.clone();
        let origin = Origin { object, location };
        Some(Arc::new(ObjectReport { origin, verdict: Verdict::Exact, diagnostics, content: 0 }))
    });
    snapshot.objects.extend(announced);
    let mut by_file: BTreeMap<(&str, Arc<str>), Vec<Diagnostic>> = BTreeMap::new();
    for problem in &files.problems {
        by_file.entry((FILE, problem.location.file.clone())).or_default().push(problem.clone());
    }
    let is_nameless =
        |parsed: &&Arc<Parsed>| parsed.object.is_none() && matches!(parsed.outcome, Outcome::Refused { .. });
    for parsed in loaded.parsed.iter().filter(is_nameless) {
        let diagnostics = by_file.entry((DOCUMENT, parsed.location.file.clone())).or_default();
        diagnostics.extend(parsed.diagnostics.iter().cloned());
    }
    let named = by_file.into_iter().filter_map(|((kind, file), diagnostics)| {
        let location = diagnostics.first()?.location.clone();
        let object = ObjectRef { kind: kind.into(), namespace: "".into(), name: file };
        Some(Arc::new(ObjectReport {
            origin: Origin { object, location },
            verdict: Verdict::Refused,
            diagnostics,
            content: 0,
        }))
    });
    snapshot.objects.extend(named);
}

/// Shares the reports that are equal to those before.
pub(super) fn share(now: &mut [Arc<ObjectReport>], before: &[Arc<ObjectReport>]) {
    let before: HashMap<&Origin, &Arc<ObjectReport>> =
        before.iter().map(|report| (&report.origin, report)).collect();
    for report in now {
        if let Some(old) = before.get(&report.origin)
            && **old == *report
        {
            *report = Arc::clone(old);
        }
    }
}
