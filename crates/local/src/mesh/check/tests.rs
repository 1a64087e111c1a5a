use serde_json::{Value, json};

use super::*;

fn mesh(change: impl FnOnce(&mut Value)) -> LocalMesh {
    let mut document = json!({
        "apiVersion": "leno.dev/v1alpha1",
        "kind": "LocalMesh",
        "metadata": {"name": "shop"},
        "spec": {
            "services": [{"name": "cart", "port": 80}, {"name": "db", "ports": [{"port": 5432}]}],
            "workloads": [
                {"service": "cart", "version": "v1", "command": ["cart"], "dependsOn": ["db"]},
                {"service": "db", "command": "exec db"},
            ],
        },
    });
    change(&mut document);
    serde_json::from_value(document).unwrap()
}

#[track_caller]
fn expect(change: impl FnOnce(&mut Value), root: bool, expected: &[&str]) {
    let found: Vec<String> = check(&mesh(change), root).iter().map(Problem::to_string).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_sound_mesh_has_no_problem() {
    expect(|_| {}, false, &[]);
    assert_eq!(mesh(|_| {}).spec.workloads[0].name(), "cart-v1");
}

#[test]
fn names() {
    expect(
        |d| d["metadata"]["name"] = json!("Shop"),
        false,
        &["metadata.name: \"Shop\" isn't a name; use 1 to 40 of a-z, 0-9 and -, not - at the ends"],
    );
    expect(
        |d| d["spec"]["services"][1]["name"] = json!("cart"),
        false,
        &[
            "spec.services[1].name: a second service \"cart\"; rename one",
            "spec.workloads[1].service: no service \"db\"; add it to `spec.services`",
        ],
    );
}

#[test]
fn replicas_have_names_of_their_own() {
    expect(
        |d| {
            d["spec"]["workloads"][0]["name"] = json!("db-1");
            d["spec"]["workloads"][1]["replicas"] = json!(2);
        },
        false,
        &["spec.workloads[1]: \"db-1\" is taken by another workload; set `name` or `version`"],
    );
}

#[test]
fn ports() {
    expect(
        |d| d["spec"]["services"][0] = json!({"name": "cart"}),
        false,
        &["spec.services[0]: no port; add `port: NUMBER`"],
    );
    expect(
        |d| d["spec"]["services"][1]["publish"] = json!(80),
        false,
        &["spec.services[1].publish: goes with `port` alone; write it in the entry of `ports`"],
    );
    expect(
        |d| {
            d["spec"]["services"][0]["publish"] = json!(8080);
            d["spec"]["services"][1]["ports"][0]["publish"] = json!("127.0.0.1:8080");
        },
        false,
        &["spec.services[1].ports[0].publish: 127.0.0.1:8080 is published twice; choose another host port"],
    );
}

#[test]
fn users() {
    let root = "root must say as whom each workload runs; add `user: NAME`, best one without privileges";
    expect(
        |_| {},
        true,
        &[&format!("spec.workloads[0].user: {root}"), &format!("spec.workloads[1].user: {root}")],
    );
    expect(
        |d| d["spec"]["workloads"][1]["user"] = json!("postgres"),
        false,
        &["spec.workloads[1].user: only root can change users; remove it"],
    );
}

#[test]
fn dependencies() {
    expect(
        |d| d["spec"]["workloads"][1]["dependsOn"] = json!(["cart-v1"]),
        false,
        &["spec.workloads[0].dependsOn: cart-v1, db wait for each other; remove one `dependsOn`"],
    );
    expect(
        |d| d["spec"]["workloads"][0]["dependsOn"] = json!(["cache"]),
        false,
        &["spec.workloads[0].dependsOn[0]: no workload \"cache\"; there are: cart-v1, db"],
    );
}

#[test]
fn health() {
    expect(
        |d| d["spec"]["workloads"][0]["health"] = json!({"tcp": 1, "http": {"path": "x"}, "interval": "0s"}),
        false,
        &[
            "spec.workloads[0].health: not exactly one check; give one of `http`, `tcp` and `command`",
            "spec.workloads[0].health.http.path: \"x\" isn't a request path; start with / and encode spaces",
            "spec.workloads[0].health.interval: 0s is no time; choose a longer one",
        ],
    );
}

#[test]
fn unknown_fields_are_refused() {
    let error = serde_json::from_value::<LocalMesh>(json!({
        "apiVersion": "leno.dev/v1alpha1", "kind": "LocalMesh", "metadata": {"name": "x"},
        "spec": {"workloads": [{"command": ["x"], "replica": 2}]},
    }))
    .unwrap_err();
    assert!(error.to_string().starts_with("unknown field `replica`"), "{error}");
}
