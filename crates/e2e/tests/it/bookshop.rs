//! The demo's bookshop: seven services, three versions of one, over HTTP, gRPC and TCP.

use std::time::{Duration, Instant};

use leno_testkit::mesh::{Declaration, Mesh, eventually};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::alone;

const REVIEWS: &str = "http://reviews:9080/reviews/1";

/// How long it may take from the start of `leno up` to the whole front page.
const FRONT_PAGE: Duration = Duration::from_secs(5);

/// One mesh for everything that leaves it as it was; each step is told by its message.
#[test]
fn the_bookshop_is_a_mesh() {
    let _alone = alone();
    let mut mesh = Declaration::example("demo", "bookshop").start();
    hops_are_mutual_tls(&mesh);
    let took = mesh.age();
    assert!(took < FRONT_PAGE, "{took:?} from the start of leno up to the front page");
    each_sidecar_counts_what_it_was_called(&mesh);
    callers_that_nothing_allows_are_denied(&mesh);
    weights_and_canaries_hold(&mesh);
    explain_says_what_the_proxy_does(&mesh);
    metrics_name_both_ends(&mesh);
    changes_take_effect_without_a_failed_request(&mesh);
    a_broken_edit_changes_nothing(&mesh);
    killed_parts_come_back(&mesh);
    let down = mesh.leno(&["down"]);
    assert!(down.status.success(), "{down:?}");
    mesh.wait_until_gone();
}

#[test]
fn nothing_outlives_a_killed_root_process() {
    let mut mesh = Declaration::example("demo", "killed").start();
    kill_process(mesh.pid(), Signal::KILL).unwrap();
    mesh.wait_until_gone();
}

/// Each HTTP and gRPC hop saw the caller's identity, proved by its certificate.
fn hops_are_mutual_tls(mesh: &Mesh) {
    let answer = mesh.front();
    let trail = answer["trail"].as_array().unwrap();
    let mut proved = 0;
    for hop in trail {
        let (caller, called) = (hop["from"].as_str().unwrap_or("gateway"), hop["service"].as_str().unwrap());
        assert_eq!(hop["error"], Value::Null, "{caller} to {called}: {answer}");
        if hop["protocol"] == "TCP" {
            continue;
        }
        let xfcc = hop["headers"]["x-forwarded-client-cert"].as_str().unwrap();
        let last = xfcc.rsplit(',').next().unwrap();
        assert!(last.contains(&format!("By=spiffe://cluster.local/ns/default/sa/{called};")), "{xfcc}");
        assert!(last.ends_with(&format!("URI=spiffe://cluster.local/ns/default/sa/{caller}")), "{xfcc}");
        proved += 1;
    }
    assert!(proved >= 5, "{answer}");
}

/// The trails of a few pages are the sidecars' own counters: each call once, and each by mutual TLS.
fn each_sidecar_counts_what_it_was_called(mesh: &Mesh) {
    const REPLICAS: [&str; 8] = [
        "shop-v1",
        "catalog-v1",
        "reviews-v1",
        "reviews-v2",
        "reviews-v3",
        "orders-v1",
        "ratings-v1",
        "pricing-v1",
    ];
    let counted = |replica: &str, policy: &str| {
        let labels = [("reporter", "destination"), ("connection_security_policy", policy)];
        mesh.counted(replica).sum("istio_requests_total", &labels)
    };
    let before = REPLICAS.map(|replica| counted(replica, "mutual_tls"));
    let mut calls = REPLICAS.map(|_| 0.0);
    for _ in 0..5 {
        let answer = mesh.front();
        for hop in answer["trail"].as_array().unwrap().iter().filter(|hop| hop["protocol"] != "TCP") {
            let called = format!("{}-{}", hop["service"].as_str().unwrap(), hop["version"].as_str().unwrap());
            let index = REPLICAS.iter().position(|replica| *replica == called);
            calls[index.unwrap_or_else(|| panic!("{called} is no replica: {answer}"))] += 1.0;
        }
    }
    assert!(calls.iter().filter(|calls| **calls >= 5.0).count() >= 4, "{calls:?}");
    for ((replica, before), calls) in REPLICAS.into_iter().zip(before).zip(calls) {
        eventually(&format!("{replica} counts"), || {
            let more = counted(replica, "mutual_tls") - before;
            if more == calls { Ok(()) } else { Err(format!("{more}, but was called {calls} times")) }
        });
        assert_eq!(counted(replica, "none"), 0.0, "{replica}: nothing came in plaintext");
    }
}

fn callers_that_nothing_allows_are_denied(mesh: &Mesh) {
    let http = mesh.sample("shop-v1", &["call", "-i", REVIEWS]);
    assert!(String::from_utf8_lossy(&http.stdout).contains("403 Forbidden"), "{http:?}");
    let grpc = mesh.sample("shop-v1", &["call", "grpc://ratings:9090"]);
    assert!(String::from_utf8_lossy(&grpc.stdout).contains("\"grpc_status\": 7"), "{grpc:?}");
    for trick in ["//reviews/1", "/./reviews/1", "/x/../reviews/1", "/%72eviews/1", "/reviews%2f1"] {
        let tricked = mesh.sample("shop-v1", &["call", "-i", &format!("http://reviews:9080{trick}")]);
        let answer = String::from_utf8_lossy(&tricked.stdout).into_owned();
        assert!(answer.contains("403 Forbidden"), "{trick}: {tricked:?}");
    }
}

fn weights_and_canaries_hold(mesh: &Mesh) {
    let report = mesh.load("catalog-v1", &[REVIEWS, "--closed", "--connections", "8", "--requests", "10000"]);
    assert_eq!((count(&report, "ok"), count(&report, "failed")), (10_000, 0), "{report}");
    let second = version(&report, "v2");
    // Five standard deviations of unseeded draws; `matrix` holds the exact share of seeded ones.
    assert!((850..=1150).contains(&second), "about 90/10: {report}");
    let canary =
        mesh.load("catalog-v1", &[REVIEWS, "--closed", "--requests", "200", "-H", "x-shop-reader: critic"]);
    assert_eq!(version(&canary, "v3"), 200, "{canary}");
}

fn explain_says_what_the_proxy_does(mesh: &Mesh) {
    let output =
        mesh.leno(&["explain", "catalog-v1", "GET", REVIEWS, "-H", "x-shop-reader: critic", "-o", "json"]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["outbound"]["rule"]["name"], "critics", "{answer}");
    assert!(answer["outbound"]["rule"]["at"].as_str().unwrap().contains("reviews.yaml:"), "{answer}");
    assert_eq!(answer["outbound"]["endpoint"]["uid"], "default/reviews-v3", "{answer}");
    assert_eq!(answer["inbound"]["outcome"], "forward", "{answer}");
    let output = mesh.leno(&["explain", "shop-v1", "GET", REVIEWS, "-o", "json"]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["inbound"]["failure"], "Denied", "{answer}");
}

fn metrics_name_both_ends(mesh: &Mesh) {
    let status = mesh.leno(&["config", "reviews-v1", "-o", "json"]);
    let config: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(config["identity"], "spiffe://cluster.local/ns/default/sa/reviews", "{config}");
    assert_eq!(config["mtls"], "STRICT", "{config}");
}

/// Under load all traffic moves to the second version, within a second of the rename and without a failed request.
fn changes_take_effect_without_a_failed_request(mesh: &Mesh) {
    let before = mesh.config("reviews.yaml");
    let load =
        mesh.start_load("catalog-v1", &[REVIEWS, "--rate", "500", "--duration", "6s", "--connections", "8"]);
    eventually("the load has begun", || {
        let logs = mesh.leno(&["logs", "reviews-v1", "-n", "1"]);
        if logs.stdout.is_empty() { Err("no request yet".to_owned()) } else { Ok(()) }
    });
    let changed = before.replace("weight: 90", "weight: 0").replace("weight: 10", "weight: 100");
    assert_ne!(before, changed);
    let renamed = Instant::now();
    mesh.replace("reviews.yaml", &changed);
    eventually("the change is in effect", || {
        let output = mesh.leno(&["explain", "catalog-v1", "GET", REVIEWS, "-o", "json"]);
        let answer: Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
        match answer["outbound"]["endpoint"]["uid"].as_str() {
            Some("default/reviews-v2") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    let took = renamed.elapsed();
    let output = load.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(count(&report, "failed"), 0, "{report}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(version(&report, "v2") > 300, "{report}");
    mesh.replace("reviews.yaml", &before);
    eventually("the change back is in effect", || {
        let output = mesh.leno(&["explain", "catalog-v1", "GET", REVIEWS, "--all"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if text.contains("weight 90 of 100") { Ok(()) } else { Err(text) }
    });
}

fn a_broken_edit_changes_nothing(mesh: &Mesh) {
    let before = mesh.config("reviews.yaml");
    mesh.replace("reviews.yaml", &before.replace("weight: 90", "weight: ninety"));
    eventually("the finding is told", || {
        let output = mesh.output();
        let logs = String::from_utf8_lossy(&mesh.leno(&["logs", "control"]).stdout).into_owned();
        let told = |text: &str| text.contains("reviews.yaml:") && text.contains("ninety");
        if told(&output) || told(&logs) { Ok(()) } else { Err(logs) }
    });
    let report = mesh.load("catalog-v1", &[REVIEWS, "--closed", "--requests", "300"]);
    assert_eq!(count(&report, "failed"), 0, "{report}");
    assert!(version(&report, "v1") > 200, "the last good version stays: {report}");
    mesh.replace("reviews.yaml", &before);
}

/// Control plane, a sidecar and an application, killed one after the other.
fn killed_parts_come_back(mesh: &Mesh) {
    for (part, pattern) in
        [("the control plane", "control"), ("a sidecar", "sidecar"), ("an application", "serve")]
    {
        let pid = find(mesh, pattern);
        kill_process(pid, Signal::KILL).unwrap();
        eventually(part, || {
            let load = ["load", "--output", "json", REVIEWS, "--closed", "--requests", "50"];
            let output = mesh.sample("catalog-v1", &load);
            // The workload may be starting again.
            let report: Value =
                serde_json::from_slice(&output.stdout).map_err(|error| format!("{error}: {output:?}"))?;
            if count(&report, "failed") == 0 { Ok(()) } else { Err(report.to_string()) }
        });
        eventually(part, || {
            let answer = mesh.try_front()?;
            let whole = answer["trail"].as_array().is_some_and(|trail| trail.len() >= 5);
            if whole { Ok(()) } else { Err(answer.to_string()) }
        });
    }
}

/// The first process of the mesh with this word among its arguments.
fn find(mesh: &Mesh, word: &str) -> Pid {
    let folder = mesh.leftovers();
    let pid = folder.iter().filter_map(|line| line.split_once(' ')).find_map(|(process, _)| {
        let arguments = std::fs::read_to_string(format!("{process}/cmdline")).ok()?;
        let found = arguments.split('\0').any(|argument| argument == word);
        found.then(|| process.trim_start_matches("/proc/").parse().ok()).flatten()
    });
    Pid::from_raw(pid.unwrap_or_else(|| panic!("no process {word} in {folder:?}"))).unwrap()
}

fn count(report: &Value, key: &str) -> u64 {
    report[key].as_u64().unwrap_or_else(|| panic!("{key}: {report}"))
}

fn version(report: &Value, version: &str) -> u64 {
    report["versions"][version]["count"].as_u64().unwrap_or(0)
}
