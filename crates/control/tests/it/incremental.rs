//! Compiling what changed equals compiling everything, and touches nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Instant;

use leno_control::catalog::{Catalog, Memos};
use leno_control::compile::memo::Counts;
use leno_control::store::Sources;
use leno_model::unit::Question;
use leno_wire::server::Catalog as _;
use leno_wire::{Encoded, Key, Kind};
use proptest::prelude::*;

use crate::world;

/// One object of a small mesh: what it is, which one, and a variant of its content.
type Object = (u8, u8, u8);

const NAMESPACES: [&str; 3] = ["default", "shop", "istio-system"];
const APPS: [&str; 3] = ["a", "b", "c"];

fn pick<'a>(from: &[&'a str], by: u8) -> &'a str {
    from[usize::from(by) % from.len()]
}

fn text((kind, which, variant): Object) -> String {
    let namespace = pick(&NAMESPACES, which);
    let app = pick(&APPS, which / 3);
    let other = pick(&APPS, variant);
    let visible = if variant % 2 == 0 { "[\"*\"]" } else { "[\".\"]" };
    let meta = |name: &str| format!("metadata: {{name: {name}, namespace: {namespace}}}");
    match kind % 8 {
        0 => {
            let ip = if variant % 4 == 3 { ", clusterIP: None" } else { "" };
            let meta = meta(app);
            format!(
                "apiVersion: v1\nkind: Service\n{meta}\nspec: {{selector: {{app: {app}}}, ports: [{{port: 80, name: http}}, {{port: 81, name: http-b, targetPort: {}}}]{ip}}}\n",
                8000 + u16::from(variant)
            )
        }
        1 => {
            let meta = format!(
                "metadata: {{name: {app}-{}, namespace: {namespace}, labels: {{leno.dev/transport: native}}}}",
                variant % 2
            );
            format!(
                "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\n{meta}\nspec: {{address: 10.0.{which}.{variant}, labels: {{app: {other}, version: v{}}}}}\n",
                variant % 2
            )
        }
        2 => format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\n{}\nspec: {{hosts: [{app}], exportTo: {visible}, http: [{{route: [{{destination: {{host: {other}.default.svc.cluster.local}}}}]}}]}}\n",
            meta(app)
        ),
        3 => {
            let parent = pick(&NAMESPACES, variant);
            format!(
                "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n{}\nspec: {{parentRefs: [{{kind: Service, group: \"\", name: {app}, namespace: {parent}}}, {{name: gw, namespace: default}}], rules: [{{backendRefs: [{{name: {other}, port: 80}}]}}]}}\n",
                meta(app)
            )
        }
        4 => format!(
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\n{}\nspec: {{host: \"{}\", exportTo: {visible}, subsets: [{{name: v{}, labels: {{version: v1}}}}]}}\n",
            meta(app),
            if variant % 3 == 0 {
                "*.default.svc.cluster.local".to_owned()
            } else {
                format!("{app}.default.svc.cluster.local")
            },
            variant % 3
        ),
        5 => format!(
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n{}\nspec: {{selector: {{matchLabels: {{app: {other}}}}}, action: {}, rules: [{{}}]}}\n",
            meta(app),
            if variant % 2 == 0 { "ALLOW" } else { "DENY" }
        ),
        6 => format!(
            "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n{}\nspec: {{{}mtls: {{mode: {}}}}}\n",
            meta(app),
            if namespace == "istio-system" {
                String::new()
            } else {
                format!("selector: {{matchLabels: {{app: {other}}}}}, ")
            },
            pick(&["STRICT", "PERMISSIVE", "DISABLE"], variant)
        ),
        _ => format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: gw, namespace: default}}\nspec: {{gatewayClassName: leno, listeners: [{{name: http, port: {}, protocol: HTTP, allowedRoutes: {{namespaces: {{from: {}}}}}}}]}}\n",
            80 + u16::from(variant % 2),
            pick(&["All", "Same"], variant)
        ),
    }
}

/// Everything that anybody could have of a catalog.
fn everything(catalog: &Catalog) -> BTreeMap<(String, &'static str), Arc<Encoded>> {
    let snapshot = catalog.configuration();
    let hosts =
        snapshot.services.keys().flat_map(|host| [Key::Host(host.clone()), Key::Endpoints(host.clone())]);
    let workloads = snapshot.workloads.keys().cloned().map(Key::Workload);
    let gateways = snapshot
        .gateways
        .keys()
        .map(|(namespace, name)| Key::Gateway { namespace: namespace.clone(), name: name.clone() });
    let names = APPS.iter().map(|app| Key::Answer(Question::Name((*app).into())));
    let addresses = snapshot
        .workloads
        .values()
        .flat_map(|workload| workload.addresses.clone())
        .map(|ip| Key::Answer(Question::Address(ip, 80)));
    let keys: BTreeSet<Key> = [Key::Mesh]
        .into_iter()
        .chain(hosts)
        .chain(workloads)
        .chain(gateways)
        .chain(names)
        .chain(addresses)
        .collect();
    let mut all = BTreeMap::new();
    for key in keys {
        for namespace in NAMESPACES {
            let client = world::client(namespace);
            if let Some(compiled) = catalog.compiled(&key, &client) {
                all.insert((key.to_string(), namespace), compiled.encoded.clone().unwrap());
            }
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

    #[test]
    fn incremental_compiling_equals_full_compiling(
        changes in prop::collection::vec((0..8_u8, 0..9_u8, prop::option::weighted(0.8, 0..6_u8)), 1..40),
    ) {
        let mut store = world::store();
        let memos = Arc::new(Memos::new(&Counts::default()));
        let mut objects: BTreeMap<(u8, u8), u8> = BTreeMap::new();
        let mut version = 0;
        for batch in changes.chunks(4) {
            for (kind, which, variant) in batch {
                match variant {
                    Some(variant) => objects.insert((*kind, *which), *variant),
                    None => objects.remove(&(*kind, *which)),
                };
            }
            let files: Vec<(String, String)> = objects
                .iter()
                .map(|((kind, which), variant)| (format!("{kind}-{which}.yaml"), text((*kind, *which, *variant))))
                .collect();
            let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
            let sources = world::sources(&files);
            version += 1;
            let snapshot = store.build(&sources, version);
            let incremental = Catalog::new(version, Arc::clone(&snapshot), Vec::new(), Arc::clone(&memos));
            let fresh = Arc::new(Memos::new(&Counts::default()));
            let full = Catalog::new(version, Arc::clone(&snapshot), Vec::new(), fresh);
            prop_assert_eq!(everything(&incremental), everything(&full));
        }
    }
}

/// `count` services with a workload, a route and settings each, one file for each.
pub(crate) fn large(count: usize) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for i in 0..count {
        let mut text = String::new();
        write!(text, "apiVersion: v1\nkind: Service\nmetadata: {{name: s{i}}}\nspec: {{selector: {{app: s{i}}}, ports: [{{port: 80, name: http}}]}}\n---\n").unwrap();
        write!(text, "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {{name: s{i}-0, labels: {{leno.dev/transport: native}}}}\nspec: {{address: 10.1.{}.{}, labels: {{app: s{i}, version: v1}}}}\n---\n", i / 250, i % 250 + 1).unwrap();
        write!(text, "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: s{i}}}\nspec: {{hosts: [s{i}], http: [{{route: [{{destination: {{host: s{i}, subset: v1}}}}]}}]}}\n---\n").unwrap();
        write!(text, "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: s{i}}}\nspec: {{host: s{i}, subsets: [{{name: v1, labels: {{version: v1}}}}]}}\n").unwrap();
        files.push((format!("s{i}.yaml"), text));
    }
    files
}

fn refs(files: &[(String, String)]) -> Vec<(&str, &str)> {
    files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect()
}

#[test]
fn a_change_recompiles_what_it_touches_and_equal_units_stay_the_same() {
    let mut files = large(300);
    let counts = Counts::default();
    let memos = Arc::new(Memos::new(&counts));
    let mut store = world::store();
    let build = |store: &mut leno_control::store::Store, sources: &Sources, version| {
        Catalog::new(version, store.build(sources, version), Vec::new(), Arc::clone(&memos))
    };
    let units = |catalog: &Catalog| {
        let client = world::client("default");
        let keys = |kind| {
            (0..300).map(move |i| Key::parse(kind, &format!("s{i}.default.svc.cluster.local")).unwrap())
        };
        let keys = keys(Kind::Host).chain(keys(Kind::Endpoints));
        keys.map(|key| (key.clone(), catalog.unit(&key, &client).unwrap())).collect::<BTreeMap<_, _>>()
    };
    let before = units(&build(&mut store, &world::sources(&refs(&files)), 1));
    assert_eq!(counts.compiled.value(), 600);

    // Unrelated services, and a change of one route.
    files.extend(large(400).drain(300..));
    files[7].1 = files[7].1.replace("subset: v1}}]}]}", "subset: v1}}], timeout: 3s}]}");
    let after = units(&build(&mut store, &world::sources(&refs(&files)), 2));
    assert_eq!(counts.compiled.value(), 601, "only the host of the changed route is compiled");
    let changed: Vec<&Key> =
        before.iter().filter(|(key, unit)| !Arc::ptr_eq(unit, &after[*key])).map(|(key, _)| key).collect();
    assert_eq!(changed, [&Key::Host("s7.default.svc.cluster.local".parse().unwrap())]);

    // A change that moves everything in a file without changing a unit's content gives the same unit.
    let quiet = units(&build(&mut store, &world::sources(&refs(&files)), 3));
    assert!(after.iter().all(|(key, unit)| Arc::ptr_eq(unit, &quiet[key])));
}

#[test]
fn thousands_of_services_are_published_within_the_time_that_users_feel() {
    let mut files = large(3_000);
    let mut store = world::store();
    let memos = Arc::new(Memos::new(&Counts::default()));
    let first = Instant::now();
    let snapshot = store.build(&world::sources(&refs(&files)), 1);
    assert_eq!(snapshot.services.len(), 3_000);
    drop(Catalog::new(1, snapshot, Vec::new(), Arc::clone(&memos)));
    let first = first.elapsed();
    files[7].1 = files[7].1.replace("subset: v1}}]}]}", "subset: v1}}], timeout: 3s}]}");
    let sources = world::sources(&refs(&files));
    let second = Instant::now();
    let catalog = Catalog::new(2, store.build(&sources, 2), Vec::new(), memos);
    let key = Key::Host("s7.default.svc.cluster.local".parse().unwrap());
    assert!(catalog.unit(&key, &world::client("default")).is_some());
    let second = second.elapsed();
    println!("first snapshot of 12,000 objects: {first:?}; the next after one change: {second:?}");
    assert!(second.as_secs() < 5, "{second:?}");
}
