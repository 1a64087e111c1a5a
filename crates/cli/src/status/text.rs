//! The answer for people, in as many columns as they see.

use leno_local::Phase;
use leno_local::protocol::ReplicaStatus;
use leno_model::span::Severity;

use super::{Object, Proxy, Report, State};
use crate::finding::place;
use crate::output::Table;

/// The lines of a report at a time (in seconds since 1970), on a screen of so many columns.
pub(super) fn lines(report: &Report, now: u64, width: usize) -> Vec<String> {
    let mut lines = head(report);
    lines.push(String::new());
    lines.extend(processes(report, now, width));
    lines.extend(troubles(report));
    if !report.objects.is_empty() {
        lines.push(String::new());
        lines.extend(objects(report, width));
        lines.extend(waiting(report));
        lines.extend(findings(report));
    }
    lines
}

fn head(report: &Report) -> Vec<String> {
    let mesh = &report.mesh;
    let state = if mesh.ready { "is ready" } else { "is not ready" };
    let snapshot = report.snapshot.map(|number| format!(", snapshot {number}")).unwrap_or_default();
    let mut lines = vec![format!("mesh {} {state}{snapshot}, process {}", mesh.mesh, mesh.process)];
    if let Some(address) = mesh.metrics {
        lines.push(format!("metrics of all of it: http://{address}/metrics"));
    }
    if let Some(error) = &report.control.error {
        lines.push(format!("the control plane does not answer: {error}"));
        lines.push("proxies go on with what they have; what follows is what they say themselves".to_owned());
    }
    lines
}

/// What runs: a line for each program and replica.
fn processes(report: &Report, now: u64, width: usize) -> Vec<String> {
    let heads = ["NAME", "SERVICE", "STATE", "SNAPSHOT", "CERTIFICATE", "RESTARTS", "VERSION", "ADDRESS"];
    let mut table = Table::new(&heads);
    let of = |name: &str| report.proxies.iter().find(|proxy| proxy.name == name);
    for program in &report.mesh.programs {
        let state = if program.ready { "ready" } else { "starting" };
        let proxy = of(&program.name);
        table.row([
            program.name.clone(),
            String::new(),
            state.to_owned(),
            proxy.map(snapshot).unwrap_or_default(),
            proxy.map(|proxy| certificate(proxy, now)).unwrap_or_default(),
            program.restarts.to_string(),
            proxy.and_then(|proxy| proxy.version.clone()).unwrap_or_default(),
            String::new(),
        ]);
    }
    for replica in &report.mesh.replicas {
        let proxy = of(&replica.name);
        table.row([
            replica.name.clone(),
            replica.service.clone().unwrap_or_default(),
            state(replica).to_owned(),
            proxy.map(snapshot).unwrap_or_default(),
            proxy.map(|proxy| certificate(proxy, now)).unwrap_or_default(),
            replica.restarts.to_string(),
            proxy.and_then(|proxy| proxy.version.clone()).unwrap_or_default(),
            replica.addresses.first().map(ToString::to_string).unwrap_or_default(),
        ]);
    }
    table.fit(width, &["ADDRESS", "VERSION", "SERVICE", "RESTARTS"]).lines()
}

fn state(replica: &ReplicaStatus) -> &'static str {
    match replica.phase {
        Phase::Ready if !replica.sidecar_ready => "no sidecar",
        phase => phase.as_str(),
    }
}

fn snapshot(proxy: &Proxy) -> String {
    let number = proxy.snapshot.map_or_else(|| "-".to_owned(), |number| number.to_string());
    match proxy.state {
        State::Current | State::Unknown => number,
        State::Behind => format!("{number}, behind"),
        State::Refuses => format!("{number}, refuses {}", proxy.refused.len()),
        State::Disconnected => format!("{number}, alone"),
        State::Silent => "no answer".to_owned(),
    }
}

fn certificate(proxy: &Proxy, now: u64) -> String {
    match &proxy.certificate {
        None => "-".to_owned(),
        Some(valid) if valid.not_after > now => duration(valid.not_after - now),
        Some(valid) => format!("expired {} ago", duration(now - valid.not_after)),
    }
}

/// A duration in its two largest units.
fn duration(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {}m", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

/// Why something that should run does not, and what proxies refuse.
fn troubles(report: &Report) -> Vec<String> {
    let is_due = |replica: &&ReplicaStatus| !matches!(replica.phase, Phase::Ready | Phase::Done);
    let notes = report
        .mesh
        .replicas
        .iter()
        .filter(is_due)
        .filter_map(|replica| replica.note.as_ref().map(|note| format!("{}: {note}", replica.name)));
    let refused = report.proxies.iter().flat_map(|proxy| {
        proxy
            .refused
            .iter()
            .map(move |refused| format!("{} refuses {}: {}", proxy.name, refused.unit, refused.reason))
    });
    let lines: Vec<String> = notes.chain(refused).collect();
    if lines.is_empty() { lines } else { [String::new()].into_iter().chain(lines).collect() }
}

/// Where each object is in effect.
fn objects(report: &Report, width: usize) -> Vec<String> {
    let mut table = Table::new(&["OBJECT", "IN EFFECT", "VERDICT", "WHERE"]);
    for object in &report.objects {
        table.row([
            name(object),
            effect(object),
            object.verdict.clone(),
            place(&object.file, object.line, 0),
        ]);
    }
    table.fit(width, &["VERDICT", "WHERE"]).lines()
}

fn name(object: &Object) -> String {
    match object.namespace.as_str() {
        "" => format!("{} {}", object.kind, object.name),
        namespace => format!("{} {namespace}/{}", object.kind, object.name),
    }
}

fn effect(object: &Object) -> String {
    let counts = format!("{} of {}", object.in_effect, object.proxies);
    match (object.verdict.as_str(), object.last_good) {
        ("refused", true) => format!("last good: {counts}"),
        ("refused", false) => "nowhere".to_owned(),
        // No proxy asked for anything that follows from it.
        _ if object.proxies == 0 => "unused".to_owned(),
        _ => counts,
    }
}

/// Who does not have an object yet, and who refuses it and why.
fn waiting(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    for object in &report.objects {
        if !object.waiting.is_empty() {
            lines.push(format!("{} waits for {}", name(object), object.waiting.join(", ")));
        }
        for refusal in &object.refused {
            lines.push(format!("{} is refused by {}: {}", name(object), refusal.proxy, refusal.reason));
        }
    }
    if !lines.is_empty() {
        lines.insert(0, String::new());
    }
    lines
}

/// Errors with place and remedy; of the rest, how many there are.
fn findings(report: &Report) -> Vec<String> {
    let all = || report.objects.iter().flat_map(|object| &object.findings);
    let mut lines: Vec<String> =
        all().filter(|finding| finding.severity == Severity::Error).map(ToString::to_string).collect();
    let more = all().filter(|finding| finding.severity != Severity::Error).count();
    if more > 0 {
        let noun = if more == 1 { "finding" } else { "findings" };
        lines.push(format!("{more} more {noun}: leno analyze"));
    }
    if !lines.is_empty() {
        lines.insert(0, String::new());
    }
    lines
}

#[cfg(test)]
mod tests;
