//! What a sidecar holds depends on the services that it talks to, not on the size of the mesh.

use std::{fmt::Write as _, fs};

use leno_testkit::mesh::{Admin, Declaration, Mesh, eventually};
use rustix::process::Pid;
use serde_json::{Value, json};

use crate::alone;

/// Services that nobody calls.
const MORE: usize = 1000;

/// How much more anonymous memory they may cost each sidecar.
const LIMIT_KIB: u64 = 256;

const SIDECARS: [&str; 4] = ["caller", "web-v1", "web-v2", "idle"];

#[test]
fn services_that_nobody_calls_cost_a_sidecar_nothing() {
    let _alone = alone();
    let mesh = Declaration::new("memory")
        .spec(
            "services:
  - {name: web, port: 80, protocol: http}
  - {name: caller, port: 80, protocol: http}
  - {name: idle, port: 80, protocol: http}
workloads:
  - {service: web, version: v1, command: [leno-sample, serve, web, --version=v1, --listen=http://:80]}
  - {service: web, version: v2, command: [leno-sample, serve, web, --version=v2, --listen=http://:80]}
  - {service: caller, command: [leno-sample, serve, caller, --listen=http://:80]}
  - {service: idle, command: [leno-sample, serve, idle, --listen=http://:80]}
",
        )
        .start();
    exercise(&mesh);
    let sidecars = SIDECARS.map(|name| (name, mesh.sidecar(name)));
    let before = settled(&sidecars);
    let services = mesh.counted("control").sum("pilot_services", &[]);
    mesh.replace("more.yaml", &more());
    eventually("the control plane knows them", || {
        let more = mesh.counted("control").sum("pilot_services", &[]) - services;
        if more >= MORE as f64 { Ok(()) } else { Err(format!("{more} services")) }
    });
    // What everybody is sent on account of them arrives before the answer about one of them does.
    let mut gateway = mesh.admin("gateway");
    assert_eq!(rule(&mut gateway, MORE - 1), "rest", "they are in effect");
    let report = mesh
        .load("caller", &["http://web/status/200", "--closed", "--requests", "100", "--connections", "1"]);
    assert_eq!(report["ok"], 100, "{report}");
    let after = settled(&sidecars);
    println!("anonymous memory in KiB: before {before:?}, after {after:?}");
    for ((before, after), name) in before.iter().zip(&after).zip(SIDECARS) {
        assert!(*after <= before + LIMIT_KIB, "{name} grew from {before} to {after} KiB");
    }
    asking_costs(&mesh, &sidecars[..1], after[0]);
}

/// The measure sees it when a sidecar does learn of them.
fn asking_costs(mesh: &Mesh, sidecar: &[(&str, Pid)], before: u64) {
    let mut admin = mesh.admin("caller");
    for number in 0..MORE {
        assert_eq!(rule(&mut admin, number), "rest");
    }
    let after = anonymous(sidecar)[0];
    assert!(after > before + LIMIT_KIB, "{MORE} services cost only {before} to {after} KiB");
}

/// The rule by which a request to one of the services would be sent.
fn rule(admin: &mut Admin, number: usize) -> Value {
    let authority = format!("more-{number}");
    let question =
        json!({"method": "GET", "authority": authority, "target": "/", "port": 80, "from": "workload"});
    let (status, answer) = admin.post("/explain", &question).unwrap();
    assert_eq!(status, 200, "{answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    answer["rule"]["name"].clone()
}

/// Services with subsets and routes.
fn more() -> String {
    let mut text = String::new();
    for number in 0..MORE {
        write!(
            text,
            "---
apiVersion: v1
kind: Service
metadata: {{name: more-{number}, namespace: default}}
spec:
  selector: {{app: web}}
  ports: [{{name: http, port: 80}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: more-{number}, namespace: default}}
spec:
  host: more-{number}
  subsets: [{{name: v1, labels: {{version: v1}}}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: more-{number}, namespace: default}}
spec:
  hosts: [more-{number}]
  http:
    - match: [{{uri: {{prefix: /a}}}}]
      route: [{{destination: {{host: more-{number}, subset: v1}}}}]
    - name: rest
      route: [{{destination: {{host: web}}}}]
"
        )
        .unwrap();
    }
    text
}

/// Enough traffic for every buffer and table to have its size.
fn exercise(mesh: &Mesh) {
    for protocol in ["http", "h2c", "http", "h2c"] {
        let url = format!("{protocol}://web/status/200");
        let report = mesh.load("caller", &[&url, "--closed", "--requests", "2000", "--connections", "8"]);
        assert_eq!(report["ok"], 2000, "{report}");
    }
}

/// The memory of all sidecars, once it has stopped falling.
fn settled(sidecars: &[(&str, Pid)]) -> Vec<u64> {
    let mut last = anonymous(sidecars);
    let mut steady = 0;
    eventually("memory settles", || {
        let now = anonymous(sidecars);
        let falls = now.iter().zip(&last).any(|(now, last)| now < last);
        steady = if falls { 0 } else { steady + 1 };
        last = now;
        if steady >= 50 { Ok(()) } else { Err(format!("{last:?}")) }
    });
    last
}

/// Anonymous memory of each sidecar, in KiB. What `status` says lags behind; this is counted when it is read.
fn anonymous(sidecars: &[(&str, Pid)]) -> Vec<u64> {
    let of = |(name, process): &(&str, Pid)| {
        let file = format!("/proc/{}/smaps_rollup", process.as_raw_nonzero());
        let rollup = fs::read_to_string(file).unwrap_or_else(|error| panic!("{name}: {error}"));
        let line = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    sidecars.iter().map(of).collect()
}
