//! The model as text, short and complete, for golden files. What is at its default is left out.

use std::fmt::Write as _;

use leno_model::destination::{Destination, Subset, TrafficPolicy};
use leno_model::gateway::Gateway;
use leno_model::labels::Labels;
use leno_model::policy::{Clause, PolicyRule, ScopedMtls, ScopedPolicy, Selection};
use leno_model::retry::RepeatRule;
use leno_model::route::{Action, Backend, HeaderEdits, Match, Rule};
use leno_model::service::{Service, Workload};
use leno_model::snapshot::{RouteObject, Snapshot};

/// The whole snapshot.
pub(crate) fn snapshot(snapshot: &Snapshot) -> String {
    let mut out = String::new();
    for report in &snapshot.objects {
        line(&mut out, 0, format!("{}: {}", report.origin.object, report.verdict.as_str()));
    }
    if snapshot.mesh.repeat == RepeatRule::Any {
        line(&mut out, 0, "everything may be repeated".to_owned());
    }
    for (name, labels) in &snapshot.namespaces {
        line(&mut out, 0, format!("namespace {name}{}", show_labels(labels)));
    }
    snapshot.services.values().for_each(|value| service(&mut out, value));
    snapshot.workloads.values().for_each(|value| workload(&mut out, value));
    for ((namespace, name), secret) in &snapshot.secrets {
        let roots = if secret.client_roots.is_some() { " with client roots" } else { "" };
        line(&mut out, 0, format!("secret {namespace}/{name}: {} bytes{roots}", secret.chain.len()));
    }
    snapshot.gateways.values().for_each(|value| gateway(&mut out, value));
    snapshot.routes.iter().for_each(|value| routes(&mut out, value));
    for object in &snapshot.destinations {
        let visible =
            object.visible_in.as_ref().map(|list| format!(" visible in {list:?}")).unwrap_or_default();
        line(&mut out, 0, format!("destination {} of {}{visible}", object.host, object.namespace));
        destination(&mut out, &object.destination);
    }
    snapshot.mtls.iter().for_each(|value| mtls(&mut out, value));
    snapshot.policies.iter().for_each(|value| policy(&mut out, value));
    out
}

fn line(out: &mut String, depth: usize, text: String) {
    writeln!(out, "{}{text}", "  ".repeat(depth)).unwrap();
}

fn show_labels(labels: &Labels) -> String {
    labels.0.iter().map(|(key, value)| format!(" {key}={value}")).collect()
}

fn service(out: &mut String, service: &Service) {
    let Service { host, vips, ports, selector, fixed, external_name, external, .. } = service;
    line(out, 0, format!("service {host}"));
    if service.is_headless() {
        line(out, 1, "headless".to_owned());
    }
    for ip in vips {
        line(out, 1, format!("vip {ip}"));
    }
    if let Some(name) = external_name {
        line(out, 1, format!("stands for {name}{}", if *external { ", external" } else { "" }));
    }
    for port in ports {
        let protocol = port.protocol.as_str();
        line(out, 1, format!("port {} {:?} {protocol} to {:?}", port.port, port.name, port.target));
    }
    if let Some(labels) = selector {
        line(out, 1, format!("selects{}", show_labels(labels)));
    }
    for endpoint in fixed {
        let hostname = endpoint.hostname.as_deref().unwrap_or("-");
        let ready = if endpoint.ready { "ready" } else { "not ready" };
        line(out, 1, format!("endpoint {} {:?} {ready} {hostname}", endpoint.ip, endpoint.ports));
    }
}

fn workload(out: &mut String, workload: &Workload) {
    line(out, 0, format!("workload {} {}", workload.name, workload.identity.as_str()));
    line(out, 1, format!("at {:?} by {:?}", workload.addresses, workload.transport));
    line(out, 1, format!("labels{}", show_labels(&workload.labels)));
    let Workload { owner, weight, locality, network, named_ports, .. } = workload;
    line(out, 1, format!("owner {owner} weight {weight} network {network:?} {locality:?} {named_ports:?}"));
}

fn gateway(out: &mut String, gateway: &Gateway) {
    line(out, 0, format!("gateway {}/{} as {}", gateway.namespace, gateway.name, gateway.service_account));
    for listener in &gateway.listeners {
        let host = listener.hostname.as_ref().map_or("*", |host| host.as_str());
        line(
            out,
            1,
            format!(
                "listener {} {:?} {}:{}{}",
                listener.name,
                listener.protocol,
                host,
                listener.port,
                if listener.proxy_protocol { " behind PROXY" } else { "" }
            ),
        );
        line(out, 2, format!("allows {:?} certificates {:?}", listener.allowed, listener.certificates));
    }
}

fn routes(out: &mut String, route: &RouteObject) {
    line(out, 0, format!("routes {} {:?} {:?} age {}", route.origin, route.dialect, route.order, route.age));
    for attachment in &route.attachments {
        line(out, 1, format!("at {attachment:?}"));
    }
    if let Some(visible) = &route.visible_in {
        line(out, 1, format!("visible in {visible:?}"));
    }
    let hosts: Vec<&str> = route.hosts.iter().map(|host| host.as_str()).collect();
    if !hosts.is_empty() {
        line(out, 1, format!("hosts {}", hosts.join(", ")));
    }
    route.rules.iter().for_each(|value| rule(out, value));
}

fn rule(out: &mut String, rule: &Rule) {
    let name = rule.name.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
    line(out, 1, format!("rule{name} line {}", rule.origin.location.line));
    rule.matches.iter().for_each(|value| line(out, 2, format!("match{}", show_match(value))));
    edits(out, 2, "request", &rule.request_headers);
    edits(out, 2, "response", &rule.response_headers);
    match &rule.action {
        Action::Forward(forward) => {
            forward.backends.iter().for_each(|value| backend(out, value));
            if let Some(authority) = &forward.rewrite.authority {
                line(out, 2, format!("rewrite authority {authority}"));
            }
            if let Some(path) = &forward.rewrite.path {
                line(out, 2, format!("rewrite path {path:?}"));
            }
            if forward.backends.is_empty() {
                line(out, 2, "no backend".to_owned());
            }
            let times = [
                ("timeout", forward.timeout),
                ("per try", forward.per_try_timeout),
                ("hedge after", forward.hedge_after),
            ];
            for (name, timeout) in times {
                if let Some(timeout) = timeout {
                    line(out, 2, format!("{name} {timeout:?}"));
                }
            }
            if let Some(retry) = &forward.retry {
                line(out, 2, format!("{retry:?}"));
            }
            for mirror in &forward.mirrors {
                line(out, 2, format!("mirror {} share {}", mirror.target, mirror.share));
            }
            if let Some(fault) = &forward.fault {
                line(out, 2, format!("{fault:?}"));
            }
            if forward.repeatable {
                line(out, 2, "repeatable".to_owned());
            }
        }
        Action::Redirect(redirect) => line(out, 2, format!("{redirect:?}")),
        Action::Respond(response) => {
            let body = String::from_utf8_lossy(&response.body);
            line(out, 2, format!("respond {} {body:?}", response.status));
        }
    }
}

fn show_match(found: &Match) -> String {
    let mut out = String::new();
    if let Some(path) = &found.path {
        let case = if found.path_ignore_case { " without case" } else { "" };
        out += &format!(" path {path}{case};");
    }
    for (name, value) in
        [("method", &found.method), ("scheme", &found.scheme), ("authority", &found.authority)]
    {
        if let Some(value) = value {
            out += &format!(" {name} {value};");
        }
    }
    for header in &found.headers {
        out +=
            &format!(" {}header {} {};", if header.invert { "not " } else { "" }, header.name, header.value);
    }
    for query in &found.query {
        out += &format!(" query {} {};", query.name, query.value);
    }
    if let Some(port) = found.port {
        out += &format!(" port {port};");
    }
    if !found.source_labels.0.is_empty() {
        out += &format!(" from{};", show_labels(&found.source_labels));
    }
    if let Some(namespace) = &found.source_namespace {
        out += &format!(" from namespace {namespace};");
    }
    if let Some(scopes) = &found.scopes {
        out += &format!(" in {scopes:?};");
    }
    if let Some(stream) = &found.stream {
        let names: Vec<&str> = stream.server_names.iter().map(|name| name.as_str()).collect();
        out += &format!(" connections to {:?} at {:?};", names, stream.subnets);
    }
    out
}

fn backend(out: &mut String, backend: &Backend) {
    line(out, 2, format!("to {} weight {}", backend.target, backend.weight));
    edits(out, 3, "request", &backend.request_headers);
    edits(out, 3, "response", &backend.response_headers);
}

fn edits(out: &mut String, depth: usize, name: &str, edits: &HeaderEdits) {
    for (verb, list) in [("set", &edits.set), ("add", &edits.add)] {
        for (header, value) in list {
            line(out, depth, format!("{name} {verb} {header}: {value}"));
        }
    }
    for header in &edits.remove {
        line(out, depth, format!("{name} remove {header}"));
    }
}

fn destination(out: &mut String, destination: &Destination) {
    traffic(out, 1, "all", &destination.policy);
    destination.ports.iter().for_each(|(port, policy)| traffic(out, 1, &format!("port {port}"), policy));
    for Subset { name, labels, policy, ports, .. } in &destination.subsets {
        line(out, 1, format!("subset {name}{}", show_labels(labels)));
        traffic(out, 2, "all", policy);
        ports.iter().for_each(|(port, policy)| traffic(out, 2, &format!("port {port}"), policy));
    }
}

fn traffic(out: &mut String, depth: usize, name: &str, policy: &TrafficPolicy) {
    if *policy != TrafficPolicy::default() {
        let TrafficPolicy {
            balancer,
            tls,
            connect_timeout,
            retry_budget,
            max_retries,
            warmup,
            pool,
            outlier,
            proxy_protocol,
        } = policy;
        let balancer = balancer.as_ref().map(|balancer| format!(" {balancer:?}")).unwrap_or_default();
        let tls = tls.as_ref().map(|tls| format!(" {tls:?}")).unwrap_or_default();
        let connect = connect_timeout.map(|time| format!(" connect {time:?}")).unwrap_or_default();
        let budget = retry_budget.map(|budget| format!(" {budget:?}")).unwrap_or_default();
        let retries = max_retries.map(|most| format!(" retries {most}")).unwrap_or_default();
        let warmup = warmup.map(|warmup| format!(" {warmup:?}")).unwrap_or_default();
        let pool = pool.map(|pool| format!(" {pool:?}")).unwrap_or_default();
        let outlier = outlier.as_ref().map(|outlier| format!(" {outlier:?}")).unwrap_or_default();
        let header = proxy_protocol.map(|version| format!(" PROXY {version:?}")).unwrap_or_default();
        line(
            out,
            depth,
            format!("{name}:{balancer}{tls}{connect}{budget}{retries}{warmup}{pool}{outlier}{header}"),
        );
    }
}

fn selection(selection: &Selection) -> String {
    let namespace = selection.namespace.as_deref().unwrap_or("every namespace");
    let targets: String = selection.targets.iter().map(|target| format!(" {target:?}")).collect();
    format!("{namespace}{}{targets}", show_labels(&selection.labels))
}

fn mtls(out: &mut String, setting: &ScopedMtls) {
    line(
        out,
        0,
        format!("mtls {:?} for {} age {}", setting.mode, selection(&setting.selection), setting.age),
    );
    setting.ports.iter().for_each(|(port, mode)| line(out, 1, format!("port {port} {mode:?}")));
}

fn policy(out: &mut String, scoped: &ScopedPolicy) {
    let dry_run = if scoped.policy.dry_run { " as a shadow" } else { "" };
    line(out, 0, format!("policy {:?}{dry_run} for {}", scoped.policy.action, selection(&scoped.selection)));
    scoped.policy.rules.iter().for_each(|value| policy_rule(out, value));
}

fn policy_rule(out: &mut String, rule: &PolicyRule) {
    let incomplete = if rule.incomplete { " incomplete" } else { "" };
    line(out, 1, format!("rule{incomplete} line {}", rule.origin.location.line));
    for source in &rule.sources {
        let clauses = [
            clause("principals", &source.principals),
            clause("namespaces", &source.namespaces),
            clause("accounts", &source.service_accounts),
            clause("trust domains", &source.trust_domains),
            clause("ips", &source.ips),
            clause("remote ips", &source.remote_ips),
        ];
        line(out, 2, format!("from{}", clauses.concat()));
    }
    for operation in &rule.operations {
        let clauses = [
            clause("hosts", &operation.hosts),
            clause("ports", &operation.ports),
            clause("methods", &operation.methods),
            clause("paths", &operation.paths),
        ];
        line(out, 2, format!("to{}", clauses.concat()));
    }
    for condition in &rule.conditions {
        line(out, 2, format!("when {:?}{}", condition.key, clause("", &condition.values)));
    }
}

fn clause<T: std::fmt::Debug>(name: &str, clause: &Clause<T>) -> String {
    let mut out = String::new();
    for (word, list) in [("", &clause.any), ("not ", &clause.none)] {
        if !list.is_empty() {
            out += &format!(" {word}{name} {list:?};");
        }
    }
    out
}
