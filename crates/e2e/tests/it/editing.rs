//! Edits of the mesh file, applied to the mesh while it runs.

use std::collections::BTreeMap;

use leno_testkit::mesh::{Declaration, Mesh, eventually, report};
use serde_json::Value;

use crate::alone;

/// A mesh file's services and workloads. `web` is what is edited.
fn spec(web: &str, more: &str) -> String {
    format!(
        "services:
  - {{name: web, port: 80, protocol: http}}
  - {{name: idle, port: 80, protocol: http}}
  - {{name: late, port: 80, protocol: http}}
workloads:
  - {{service: web, {web}}}
  - {{service: idle, command: [leno-sample, serve, idle, --listen=http://:80]}}
  - {{name: caller, command: [sleep, infinity]}}
{more}"
    )
}

fn web(version: &str, replicas: u16) -> String {
    format!(
        "replicas: {replicas}, command: [leno-sample, serve, web, --version={version}, --listen=http://:80]"
    )
}

#[test]
fn edits_of_the_mesh_file_change_what_they_name_and_cost_no_request() {
    let _alone = alone();
    let mesh = Declaration::new("editing").spec(&spec(&web("v1", 2), "")).argument("--watch").start();
    let before = processes(&mesh);

    let [at_web, at_idle] = ["http://web/", "http://idle/"]
        .map(|url| mesh.start_load("caller", &["--rate", "100", "--duration", "20s", url]));
    mesh.edit(&spec(&web("v2", 2), ""));
    runs(&mesh, "the new version", |mesh| {
        has_ready(mesh, &["web", "web-1"])?;
        let output = mesh.output();
        let told = ["web", "web-1"].map(|name| format!("{name} runs as the mesh file says now"));
        told.iter().all(|line| output.contains(line)).then_some(()).ok_or(output)
    });
    mesh.edit(&spec(&web("v2", 3), ""));
    runs(&mesh, "one replica more", |mesh| has_ready(mesh, &["web", "web-1", "web-2"]));
    mesh.edit(&spec(&web("v2", 1), ""));
    runs(&mesh, "two replicas less", |mesh| has_only(mesh, &["web", "idle", "caller"]));
    let late = "  - {service: late, command: [leno-sample, serve, late, --listen=http://:80]}";
    mesh.edit(&spec(&web("v2", 1), late));
    runs(&mesh, "a workload more", |mesh| has_ready(mesh, &["late"]));
    eventually("the new service is called", || {
        let answer = mesh.sample("caller", &["call", "http://late/"]);
        if answer.status.success() { Ok(()) } else { Err(format!("{answer:?}")) }
    });
    mesh.edit(&spec(&web("v2", 1).replace("replicas", "replica"), late));
    runs(&mesh, "a refusal", |mesh| {
        let output = mesh.output();
        let is_told = ["mesh.yaml:11:", "did you mean replicas?", "the edit is refused"];
        is_told.iter().all(|part| output.contains(part)).then_some(()).ok_or(output)
    });
    mesh.edit(&spec(&web("v2", 1), ""));
    runs(&mesh, "the new workload gone", |mesh| has_only(mesh, &["web", "idle", "caller"]));
    for load in [at_web, at_idle] {
        let report = report(load);
        assert_eq!(report["failed"], 0, "{report}\n{}", mesh.output());
    }

    let after = processes(&mesh);
    for untouched in ["idle", "caller", "control", "gateway"] {
        assert_eq!(after[untouched], before[untouched], "{untouched} was disturbed\n{}", mesh.output());
    }
    assert_ne!(after["web"], before["web"]);
}

#[test]
fn replicas_share_the_load_and_restart_one_after_the_other() {
    // By turns, since by latency the quickest would get most.
    let turns = "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web}
spec: {host: web, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}}
";
    let mesh =
        Declaration::new("replicas").spec(&spec(&web("v1", 3), "")).config("turns.yaml", turns).start();
    let load = mesh.load("caller", &["--rate", "100", "--requests", "300", "http://web/"]);
    assert_eq!(load["ok"], 300, "{load}");
    for replica in ["web", "web-1", "web-2"] {
        let labels = [("reporter", "destination")];
        let served = mesh.counted(replica).sum("istio_requests_total", &labels);
        assert!(served > 90.0, "{replica} served {served} of 300");
    }
    let addresses: std::collections::BTreeSet<String> =
        replicas(&mesh).into_iter().map(|replica| replica["addresses"][0].to_string()).collect();
    assert_eq!(addresses.len(), 5, "each has its own");
    let logs = |name: &str| -> std::collections::BTreeSet<String> {
        let lines = mesh.leno_json_lines(&["logs", name]);
        lines.iter().map(|line| line["source"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(logs("web").len(), 3, "the workload's name stands for all replicas");
    assert_eq!(logs("web-2").into_iter().collect::<Vec<_>>(), ["web-2"]);

    let load = mesh.start_load("caller", &["--rate", "100", "--duration", "8s", "http://web/"]);
    assert!(mesh.leno(&["restart", "web"]).status.success());
    runs(&mesh, "all restarted", |mesh| {
        let restarted = |replica: &Value| replica["workload"] != "web" || replica["restarts"] == 1;
        let all = replicas(mesh);
        (all.iter().all(restarted) && all.iter().all(|replica| replica["phase"] == "ready"))
            .then_some(())
            .ok_or_else(|| format!("{all:?}"))
    });
    let report = report(load);
    assert_eq!(report["failed"], 0, "{report}\n{}", mesh.output());
}

fn runs(mesh: &Mesh, what: &str, check: impl Fn(&Mesh) -> Result<(), String>) {
    eventually(what, || check(mesh));
}

fn replicas(mesh: &Mesh) -> Vec<Value> {
    mesh.leno_json(&["status"])["replicas"].as_array().unwrap().clone()
}

fn has_ready(mesh: &Mesh, names: &[&str]) -> Result<(), String> {
    let all = replicas(mesh);
    let is_ready =
        |name: &&str| all.iter().any(|replica| replica["name"] == **name && replica["phase"] == "ready");
    names.iter().all(is_ready).then_some(()).ok_or_else(|| format!("{all:?}"))
}

fn has_only(mesh: &Mesh, names: &[&str]) -> Result<(), String> {
    has_ready(mesh, names)?;
    let all = replicas(mesh);
    (all.len() == names.len()).then_some(()).ok_or_else(|| format!("{all:?}"))
}

/// The process of each program, and each replica's supervisor.
fn processes(mesh: &Mesh) -> BTreeMap<String, i64> {
    let status = mesh.leno_json(&["status"]);
    let of = |list: &str, field: &str| -> Vec<(String, i64)> {
        let parts = status[list].as_array().unwrap().iter();
        parts.map(|part| (part["name"].as_str().unwrap().to_owned(), part[field].as_i64().unwrap())).collect()
    };
    of("programs", "process").into_iter().chain(of("replicas", "supervisor")).collect()
}
