//! What becomes of changes: whole per object, or not at all.

use std::sync::Arc;

use leno_control::source::workloads::{LocalGateway, LocalWorkload, Workloads};
use leno_control::store::{Sources, Store};
use leno_model::labels::Labels;
use leno_model::name::{Host, WorkloadName};
use leno_model::service::{Address, Service, ServicePort, TargetPort, Transport};
use leno_model::snapshot::{ObjectReport, Snapshot};
use leno_model::span::Verdict;

use crate::world;

const ROUTES: &str = "\
apiVersion: v1
kind: Service
metadata: {name: reviews}
spec: {selector: {app: reviews}, ports: [{port: 80, name: http}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http: [{timeout: 1s, route: [{destination: {host: reviews}}]}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: allow}
spec: {rules: [{}]}
";

fn build(store: &mut Store, files: &[(&str, &str)], version: u64) -> Arc<Snapshot> {
    store.build(&world::sources(files), version)
}

fn report<'s>(snapshot: &'s Snapshot, kind: &str) -> &'s ObjectReport {
    snapshot.objects.iter().find(|report| &*report.origin.object.kind == kind).unwrap()
}

#[test]
fn a_broken_edit_keeps_the_last_good_version_and_says_so() {
    let mut store = world::store();
    let first = build(&mut store, &[("a.yaml", ROUTES)], 1);
    let broken =
        ROUTES.replace("timeout: 1s", "timeuot: 2s").replace("rules: [{}]", "action: DENY, rules: [{}]");
    let second = build(&mut store, &[("a.yaml", &broken)], 2);
    assert_eq!(second.version, 2);
    assert_eq!(second.routes.len(), 1);
    assert_eq!(second.routes[0].rules, first.routes[0].rules, "the route stays as it was");
    assert_ne!(
        second.policies[0].policy.action, first.policies[0].policy.action,
        "what is right beside it counts"
    );
    let report = report(&second, "VirtualService");
    assert_eq!(report.verdict, Verdict::Refused);
    let findings: Vec<String> = report.diagnostics.iter().map(ToString::to_string).collect();
    let findings = findings.join("\n");
    for part in ["a.yaml:11", "timeuot", "help: ", "LENO0804", "its last good version stays in effect"] {
        assert!(findings.contains(part), "{part} is not in\n{findings}");
    }
    // Unrelated changes don't end it, and mending does.
    let third = build(&mut store, &[("a.yaml", &broken), ("b.yaml", "")], 3);
    assert!(Arc::ptr_eq(&second, &third), "nothing is different");
    let mended = ROUTES.replace("timeout: 1s", "timeout: 2s");
    let fourth = build(&mut store, &[("a.yaml", &mended)], 4);
    assert_ne!(fourth.routes[0].rules, first.routes[0].rules);
    assert_eq!(fourth.objects.iter().filter(|report| report.verdict == Verdict::Refused).count(), 0);
}

#[test]
fn a_document_that_is_no_yaml_disturbs_nobody() {
    let mut store = world::store();
    let good = build(&mut store, &[("a.yaml", ROUTES), ("b.yaml", "")], 1);
    let next = build(&mut store, &[("a.yaml", ROUTES), ("b.yaml", "kind: [unclosed\n")], 2);
    assert_eq!(next.services, good.services);
    assert_eq!(next.routes, good.routes);
    let refused: Vec<_> = next.objects.iter().filter(|report| report.verdict == Verdict::Refused).collect();
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused[0].diagnostics.iter().any(|diagnostic| &*diagnostic.location.file == "b.yaml"));
}

#[test]
fn removal_is_removal() {
    let mut store = world::store();
    build(&mut store, &[("a.yaml", ROUTES)], 1);
    let without = ROUTES.split("---").next().unwrap();
    let next = build(&mut store, &[("a.yaml", without)], 2);
    assert!(next.routes.is_empty() && next.policies.is_empty());
    let nothing = build(&mut store, &[], 3);
    assert!(nothing.services.is_empty() && nothing.objects.is_empty());
}

#[test]
fn a_broken_policy_denies_at_the_start() {
    let mut store = world::store();
    let broken = ROUTES.replace("rules: [{}]", "ruels: [{}]");
    let snapshot = build(&mut store, &[("a.yaml", &broken)], 1);
    assert_eq!(snapshot.policies.len(), 1);
    assert!(snapshot.policies[0].policy.rules.is_empty(), "it allows nothing");
    let report = report(&snapshot, "AuthorizationPolicy");
    assert!(
        !report.diagnostics.iter().any(|diagnostic| diagnostic.code == "LENO0804"),
        "no good version is there"
    );
}

#[test]
fn virtual_addresses_stay_through_every_change() {
    let mut store = world::store();
    let vips = |snapshot: &Snapshot| {
        snapshot
            .services
            .iter()
            .map(|(host, service)| (host.clone(), service.vips.clone()))
            .collect::<Vec<_>>()
    };
    let before = vips(&build(&mut store, &[("m.yaml", ROUTES)], 1));
    let more = "apiVersion: v1\nkind: Service\nmetadata: {name: aaa}\nspec: {ports: [{port: 80}]}\n";
    let after = vips(&build(&mut store, &[("a.yaml", more), ("m.yaml", ROUTES)], 2));
    assert_eq!(after.len(), 2);
    assert!(after.contains(&before[0]) && after[0].1 != after[1].1);
}

fn workload(name: &str, ready: bool) -> LocalWorkload {
    LocalWorkload {
        name: name.into(),
        namespace: "default".into(),
        service_account: "reviews".into(),
        owner: name.into(),
        labels: Labels::from_iter([("app", "reviews")]),
        addresses: vec!["10.240.0.2".parse().unwrap()],
        transport: Transport::Native(Address::Unix("/run/leno/x.in".into())),
        named_ports: Vec::new(),
        ready,
    }
}

fn service(port: u16) -> Service {
    let origin =
        leno_control::source::workloads::announced_origin("Service", &"default".into(), &"reviews".into());
    Service {
        host: "reviews.default.svc.cluster.local".parse().unwrap(),
        namespace: "default".into(),
        name: "reviews".into(),
        vips: Vec::new(),
        ports: vec![ServicePort {
            port,
            name: "".into(),
            protocol: leno_model::service::Protocol::Http,
            target: TargetPort::Number(port),
        }],
        selector: Some(Labels::from_iter([("app", "reviews")])),
        fixed: Vec::new(),
        external_name: None,
        external: false,
        origin,
    }
}

#[test]
fn announcements_count_and_changes_of_them_are_counted_once() {
    let workloads = Workloads::new("cluster.local".parse().unwrap());
    let changes = workloads.changes();
    let host: Host = "reviews.default.svc.cluster.local".parse().unwrap();
    let name = WorkloadName { namespace: "default".into(), name: "reviews-v1".into() };
    workloads.set_service(service(9080), true);
    workloads.set(workload("reviews-v1", false)).unwrap();
    let counted = *changes.borrow();
    workloads.set_service(service(9080), true);
    workloads.set(workload("reviews-v1", false)).unwrap();
    workloads.ready(&name, false);
    workloads.ready(&WorkloadName { namespace: "x".into(), ..name.clone() }, true);
    assert_eq!(*changes.borrow(), counted, "nothing new was said");

    let mut store = world::store();
    let mut snapshot =
        |version| store.build(&Sources { announced: workloads.announced(), ..Sources::default() }, version);
    let first = snapshot(1);
    assert!(!first.workloads[&name].ready);
    assert_eq!(first.workloads[&name].identity.principal(), "cluster.local/ns/default/sa/reviews");
    assert_eq!(first.services[&host].vips.len(), 2);
    workloads.ready(&name, true);
    let second = snapshot(2);
    assert!(second.workloads[&name].ready);
    assert!(Arc::ptr_eq(&first.services[&host], &second.services[&host]), "only the workload is new");
    workloads.remove(&name);
    workloads.remove_service(&host);
    let third = snapshot(3);
    assert!(third.workloads.is_empty() && third.services.is_empty());
}

#[test]
fn what_cannot_be_announced_is_told() {
    let workloads = Workloads::new("cluster.local".parse().unwrap());
    let wrong = LocalWorkload { service_account: "a/../b".into(), ..workload("x", true) };
    assert_eq!(workloads.set(wrong).unwrap_err().to_string(), "default/a/../b is not a service account");
    let wrong = LocalWorkload { addresses: Vec::new(), ..workload("x", true) };
    assert_eq!(workloads.set(wrong).unwrap_err().to_string(), "default/x has no address");
    assert!(workloads.announced().workloads.is_empty());
}

#[test]
fn an_announced_gateway_keeps_its_account_and_takes_its_listeners_from_its_object() {
    let workloads = Workloads::new("cluster.local".parse().unwrap());
    workloads
        .set_gateway(LocalGateway {
            name: "gateway".into(),
            namespace: "default".into(),
            service_account: "gateway".into(),
            labels: Labels::from_iter([("app", "gateway")]),
        })
        .unwrap();
    let mut store = world::store();
    let mut snapshot = |text: &str, version| {
        let sources = Sources { files: world::files(&[("g.yaml", text)]), announced: workloads.announced() };
        Arc::clone(store.build(&sources, version).gateways.values().next().unwrap())
    };
    let bare = snapshot("", 1);
    assert!(bare.listeners.is_empty() && &*bare.service_account == "gateway");
    let object = "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: gateway, labels: {team: a}}\nspec: {gatewayClassName: leno, listeners: [{name: http, port: 80, protocol: HTTP}]}\n";
    let declared = snapshot(object, 2);
    assert_eq!((declared.listeners.len(), &*declared.service_account), (1, "gateway"));
    assert_eq!(declared.labels, Labels::from_iter([("app", "gateway"), ("team", "a")]));
    let again = snapshot(&format!("{object}---\n"), 3);
    assert!(Arc::ptr_eq(&declared, &again), "an equal gateway is the same");
}
