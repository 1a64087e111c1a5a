//! What the document's types can't rule out.
//!
//! Every problem names the field by its path in the document and says what to do; all are found in one
//! go.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use leno_dialects::table::nearest;

use super::{
    Health, LocalMesh, Service, Tracing, Workload,
    template::{self, Names},
};
use crate::limits::{NAME_BYTES, REPLICAS};

/// Something wrong in a mesh file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where: a path such as `spec.workloads[2].user`.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

impl Problem {
    /// A problem whose text has the remedy after its first semicolon; `usual` is that of a text without.
    pub(super) fn told(field: String, text: &str, usual: &str) -> Self {
        let (message, remedy) = text.split_once("; ").unwrap_or((text, usual));
        Self { field, message: message.to_owned(), remedy: remedy.to_owned() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.field, self.message, self.remedy)
    }
}

/// Everything wrong in this mesh. `root` says whether it is to be run by root.
pub fn check(mesh: &LocalMesh, root: bool) -> Vec<Problem> {
    let mut problems = Problems::default();
    if mesh.metadata.name.contains('.') || !is_label(&mesh.metadata.name) {
        problems.add("metadata.name", not_a_label(&mesh.metadata.name));
    }
    let mut services = BTreeMap::new();
    for (index, service) in mesh.spec.services.iter().enumerate() {
        let field = format!("spec.services[{index}]");
        check_service(&mut problems, &field, service);
        if services.insert(service.name.as_str(), service).is_some() {
            problems.add(format!("{field}.name"), format!("a second service {:?}; rename one", service.name));
        }
    }
    check_published(&mut problems, mesh);
    if mesh.spec.workloads.is_empty() {
        problems.add("spec.workloads", "no workload; add what to run");
    }
    if let Some(tracing) = &mesh.spec.tracing {
        check_tracing(&mut problems, tracing);
    }
    let mut names = BTreeMap::new();
    let mut replicas = BTreeSet::new();
    for (index, workload) in mesh.spec.workloads.iter().enumerate() {
        let field = format!("spec.workloads[{index}]");
        check_workload(&mut problems, &field, workload, &services, root);
        for name in (0..workload.replicas()).map(|number| workload.replica_name(number)) {
            if !replicas.insert(name.clone()) {
                let message = format!("{name:?} is taken by another workload; set `name` or `version`");
                problems.add(&field, message);
            }
        }
        names.insert(workload.name(), workload);
    }
    check_dependencies(&mut problems, mesh, &names);
    let count: u32 = mesh.spec.workloads.iter().map(|workload| u32::from(workload.replicas())).sum();
    if count > REPLICAS {
        problems
            .add("spec.workloads", format!("{count} replicas in all; at most {REPLICAS} run in one mesh"));
    }
    problems.0
}

fn check_tracing(problems: &mut Problems, tracing: &Tracing) {
    let rest = ["http://", "https://"].iter().find_map(|scheme| tracing.endpoint.strip_prefix(scheme));
    if rest
        .is_none_or(|rest| rest.is_empty() || rest.starts_with(['/', ':']) || rest.contains(['@', '?', ' ']))
    {
        let message = format!("{:?} is no address of a collector; write http://HOST:PORT", tracing.endpoint);
        problems.add("spec.tracing.endpoint", message);
    }
    if tracing.propagation.is_empty() {
        problems
            .add("spec.tracing.propagation", "no format; leave the field out, or name w3c, b3 or b3multi");
    }
}

#[derive(Default)]
struct Problems(Vec<Problem>);

impl Problems {
    /// Takes a problem whose text has the remedy after its first semicolon.
    fn add(&mut self, field: impl Into<String>, text: impl AsRef<str>) {
        self.0.push(Problem::told(field.into(), text.as_ref(), "see the schema"));
    }
}

/// RFC 1123 label, short enough for socket paths.
fn is_label(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !name.is_empty()
        && name.len() <= NAME_BYTES
        && name.chars().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// A label's value, as Kubernetes has it.
fn is_label_value(value: &str) -> bool {
    value.len() <= 63 && value.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

const NO_PORT: &str = "nobody listens on port 0; use 1 to 65535";

fn not_a_label(name: &str) -> String {
    format!("{name:?} isn't a name; use 1 to {NAME_BYTES} of a-z, 0-9 and -, not - at the ends")
}

fn check_service(problems: &mut Problems, field: &str, service: &Service) {
    if !is_label(&service.name) {
        problems.add(format!("{field}.name"), not_a_label(&service.name));
    }
    let shorthand = [
        ("protocol", service.protocol.is_some()),
        ("targetPort", service.target_port.is_some()),
        ("publish", service.publish.is_some()),
    ];
    match (service.port, service.ports.is_empty()) {
        (None, true) => problems.add(field, "no port; add `port: NUMBER`"),
        (Some(_), false) => {
            problems.add(format!("{field}.port"), "`port` beside `ports`; give only one of them")
        }
        (None, false) => {
            for (name, _) in shorthand.iter().filter(|(_, given)| *given) {
                problems.add(
                    format!("{field}.{name}"),
                    "goes with `port` alone; write it in the entry of `ports`",
                );
            }
        }
        (Some(_), true) => {}
    }
    let (mut numbers, mut names) = (BTreeSet::new(), BTreeSet::new());
    for (index, port) in service.all_ports().into_iter().enumerate() {
        let field = port_field(field, service, index);
        if port.port == 0 {
            problems.add(format!("{field}port"), "port 0 can't be called; use 1 to 65535");
        }
        if port.target_port == Some(0) {
            problems.add(format!("{field}targetPort"), NO_PORT);
        }
        if !numbers.insert(port.port) {
            problems.add(format!("{field}port"), format!("port {} twice; leave one of them", port.port));
        }
        if let Some(name) = port.name.filter(|name| !names.insert(name.clone())) {
            problems.add(format!("{field}name"), format!("a second port {name:?}; rename one"));
        }
    }
}

/// The path of a port's fields up to their names.
fn port_field(service_field: &str, service: &Service, index: usize) -> String {
    if service.ports.is_empty() {
        format!("{service_field}.")
    } else {
        format!("{service_field}.ports[{index}].")
    }
}

fn check_published(problems: &mut Problems, mesh: &LocalMesh) {
    let mut published = BTreeSet::new();
    for (index, service) in mesh.spec.services.iter().enumerate() {
        for (number, port) in service.all_ports().iter().enumerate() {
            let Some(address) = port.publish else { continue };
            if !published.insert(address.0) {
                let message = format!("{} is published twice; choose another host port", address.0);
                let field = port_field(&format!("spec.services[{index}]"), service, number);
                problems.add(format!("{field}publish"), message);
            }
        }
    }
}

fn check_workload(
    problems: &mut Problems,
    field: &str,
    workload: &Workload,
    services: &BTreeMap<&str, &Service>,
    root: bool,
) {
    if workload.name.is_none() && workload.service.is_none() {
        problems.add(field, "neither `service` nor `name`; a workload without service needs a name");
    } else if !is_label(&workload.name()) {
        problems.add(format!("{field}.name"), not_a_label(&workload.name()));
    }
    let service = workload.service.as_deref();
    if let Some(name) = service.filter(|name| !services.contains_key(name)) {
        let remedy = match nearest(name, services.keys().copied()) {
            Some(near) => format!("did you mean {near}?"),
            None => "add it to `spec.services`".to_owned(),
        };
        problems.add(format!("{field}.service"), format!("no service {name:?}; {remedy}"));
    }
    match (root, &workload.user) {
        (true, None) => {
            let message =
                "root must say as whom each workload runs; add `user: NAME`, best one without privileges";
            problems.add(format!("{field}.user"), message);
        }
        (false, Some(_)) => problems.add(format!("{field}.user"), "only root can change users; remove it"),
        _ => {}
    }
    let values = workload.version.iter().chain(workload.labels.values());
    for value in values.filter(|value| !is_label_value(value)) {
        let name = if workload.version.as_ref() == Some(value) { "version" } else { "labels" };
        let message =
            format!("{value:?} can't be a label's value; use up to 63 of a-z, A-Z, 0-9, '-', '_' and '.'");
        problems.add(format!("{field}.{name}"), message);
    }
    if workload.replicas() == 0 {
        problems.add(format!("{field}.replicas"), "0 replicas run nothing; remove the workload instead");
    }
    for (index, path) in workload.share.iter().enumerate().filter(|(_, path)| !path.is_absolute()) {
        let message = format!("{} isn't absolute; write the whole path", path.display());
        problems.add(format!("{field}.share[{index}]"), message);
    }
    for (index, _) in workload.host_access.iter().enumerate().filter(|(_, port)| **port == 0) {
        problems.add(format!("{field}.hostAccess[{index}]"), NO_PORT);
    }
    for name in workload.env.keys().filter(|name| name.is_empty() || name.contains(['=', '\0'])) {
        problems.add(
            format!("{field}.env"),
            format!("{name:?} can't be a variable's name; leave out = and zero bytes"),
        );
    }
    check_templates(problems, field, workload, services);
    if let Some(health) = &workload.health {
        let port = service
            .and_then(|name| services.get(name))
            .and_then(|service| service.all_ports().into_iter().next());
        check_health(problems, &format!("{field}.health"), health, port.is_some());
    }
}

/// Every template stands for something.
fn check_templates(
    problems: &mut Problems,
    field: &str,
    workload: &Workload,
    services: &BTreeMap<&str, &Service>,
) {
    let of = |service: &&Service| (service.name.clone(), (service.name.clone(), 1));
    let own = workload.service.as_deref().filter(|name| services.contains_key(name));
    let names = Names { services: services.values().map(of).collect(), port: own.map(|_| 1) };
    let words = workload.command.words();
    let texts =
        words.iter().map(|word| ("command", word)).chain(workload.env.values().map(|text| ("env", text)));
    for (name, text) in texts {
        if let Err(unknown) = template::expand(text, &names) {
            let message = format!(
                "${{{unknown}}} stands for nothing; write ${{service.NAME.addr}}, .host or .port with a service's name, \
                 or ${{workload.port}} where the workload has a service"
            );
            problems.add(format!("{field}.{name}"), message);
        }
    }
}

fn check_health(problems: &mut Problems, field: &str, health: &Health, has_port: bool) {
    let ways = [health.http.is_some(), health.tcp.is_some(), health.command.is_some()]
        .into_iter()
        .filter(|way| *way);
    if ways.count() != 1 {
        problems.add(field, "not exactly one check; give one of `http`, `tcp` and `command`");
    }
    if health.tcp == Some(0) {
        problems.add(format!("{field}.tcp"), NO_PORT);
    }
    if let Some(http) = &health.http {
        if http.port == Some(0) {
            problems.add(format!("{field}.http.port"), NO_PORT);
        }
        if http.port.is_none() && !has_port {
            problems.add(format!("{field}.http.port"), "no service port to default to; add `port`");
        }
        if let Some(path) = http.path.as_ref().filter(|path| !is_request_target(path)) {
            let message = format!("{path:?} isn't a request path; start with / and encode spaces");
            problems.add(format!("{field}.http.path"), message);
        }
    }
    for (name, value) in [("interval", health.interval), ("timeout", health.timeout)] {
        if value.is_some_and(|value| value.0.is_zero()) {
            problems.add(format!("{field}.{name}"), "0s is no time; choose a longer one");
        }
    }
    if health.failures == Some(0) {
        problems.add(format!("{field}.failures"), "0 failures would always be too many; choose at least 1");
    }
}

fn is_request_target(path: &str) -> bool {
    path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Unknown names, and circles, in which nothing could ever start.
fn check_dependencies(problems: &mut Problems, mesh: &LocalMesh, names: &BTreeMap<String, &Workload>) {
    let mut before: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (index, workload) in mesh.spec.workloads.iter().enumerate() {
        for (place, dependency) in workload.depends_on.iter().enumerate() {
            let field = format!("spec.workloads[{index}].dependsOn[{place}]");
            match names.get_key_value(dependency.as_str()) {
                None => {
                    let known = || names.keys().map(String::as_str);
                    let remedy = match nearest(dependency, known()) {
                        Some(near) => format!("did you mean {near}?"),
                        None => format!("there are: {}", known().collect::<Vec<_>>().join(", ")),
                    };
                    problems.add(field, format!("no workload {dependency:?}; {remedy}"));
                }
                Some((name, _)) => {
                    let own = names.get_key_value(workload.name().as_str()).map(|(own, _)| own.as_str());
                    before.entry(own.unwrap_or_default()).or_default().insert(name);
                }
            }
        }
    }
    let mut settled: BTreeSet<&str> =
        names.keys().map(String::as_str).filter(|name| !before.contains_key(name)).collect();
    loop {
        let next: Vec<&str> = before
            .iter()
            .filter(|(name, dependencies)| !settled.contains(*name) && dependencies.is_subset(&settled))
            .map(|(name, _)| *name)
            .collect();
        if next.is_empty() {
            break;
        }
        settled.extend(next);
    }
    let circle: Vec<&str> = before.keys().copied().filter(|name| !settled.contains(name)).collect();
    let first = mesh.spec.workloads.iter().position(|workload| circle.contains(&workload.name().as_str()));
    if let Some(first) = first {
        let message = match circle.as_slice() {
            [one] => format!("{one} waits for itself; remove it"),
            _ => format!("{} wait for each other; remove one `dependsOn`", circle.join(", ")),
        };
        problems.add(format!("spec.workloads[{first}].dependsOn"), message);
    }
}

#[cfg(test)]
mod tests;
