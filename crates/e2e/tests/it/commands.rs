//! What commands answer about a running mesh: to people, to programs, and when something is wrong.

use std::path::Path;
use std::process::Output;

use leno_testkit::mesh::{Declaration, Mesh, eventually};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

const SPEC: &str = "services:
  - {name: hello, port: 80, protocol: http}
workloads:
  - {service: hello, version: v1, command: [leno-sample, serve, hello, '--listen=http://:80']}
  - {name: caller, command: [sleep, infinity]}";

const ROUTE: &str = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: hello}
spec:
  hosts: [hello]
  http:
    - timeout: 3s
      route: [{destination: {host: hello}}]
";

/// One mesh for all commands; each step is told by its message.
#[test]
fn commands_answer_and_errors_help() {
    let mut mesh = Declaration::new("commands").spec(SPEC).config("route.yaml", ROUTE).start();
    let call = mesh.sample("caller", &["call", "http://hello"]);
    assert!(call.status.success(), "{call:?}");
    status_tells_what_is_in_effect_where(&mesh);
    errors_have_one_form_and_a_remedy(&mesh);
    analysis_is_the_same_offline_and_running(&mesh);
    status_goes_on_without_a_control_plane(&mesh);
    let restarted = mesh.leno_json(&["restart", "caller"]);
    assert_eq!(restarted, json!({"mesh": "commands", "restarted": "caller"}));
    let down = mesh.leno_json(&["down", "commands"]);
    assert_eq!(down, json!({"mesh": "commands", "ended": true}));
    mesh.wait_until_gone();
    let error = refused(&mesh, &["status"]);
    assert_eq!(error["code"], "nothing-running", "{error}");
}

fn status_tells_what_is_in_effect_where(mesh: &Mesh) {
    eventually("the caller has the route", || {
        let status = mesh.leno_json(&["status"]);
        let route = object(&status, "hello");
        let is_current =
            |proxy: &Value| proxy["state"] == "current" && proxy["snapshot"] == status["snapshot"];
        let current = status["proxies"].as_array().unwrap().iter().all(is_current);
        let in_effect = route["inEffect"].as_u64() > Some(0) && route["inEffect"] == route["proxies"];
        if current && in_effect { Ok(()) } else { Err(status.to_string()) }
    });
    let status = mesh.leno_json(&["status"]);
    assert_eq!(status["control"], json!({"answers": true, "error": null}));
    let names: Vec<&str> =
        status["proxies"].as_array().unwrap().iter().map(|proxy| proxy["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["gateway", "hello-v1", "caller"], "{status}");
    for proxy in status["proxies"].as_array().unwrap() {
        let [from, to] = ["notBefore", "notAfter"].map(|end| proxy["certificate"][end].as_u64().unwrap());
        assert!((3_600..=90_000).contains(&(to - from)), "six hours and a margin: {proxy}");
        assert!(proxy["identity"].as_str().unwrap().starts_with("spiffe://cluster.local/ns/default/sa/"));
        assert_eq!(proxy["version"], env!("CARGO_PKG_VERSION"), "{proxy}");
    }
    let text = text(&mesh.leno(&["status"]));
    assert!(text.starts_with("mesh commands is ready, snapshot "), "{text}");
    assert!(text.contains("VirtualService default/hello"), "{text}");
}

fn errors_have_one_form_and_a_remedy(mesh: &Mesh) {
    for command in [
        &["config", "helo-v1"][..],
        &["explain", "helo-v1", "GET", "http://hello"],
        &["logs", "helo-v1"],
        &["restart", "helo-v1"],
        &["exec", "helo-v1", "--", "true"],
    ] {
        let error = refused(mesh, command);
        assert_eq!(error["code"], "unknown-workload", "{command:?}: {error}");
        assert_eq!(error["hint"], "did you mean hello-v1?", "{command:?}: {error}");
    }
    let error = refused(mesh, &["status", "--mesh", "comands"]);
    assert_eq!((&error["code"], &error["hint"]), (&json!("not-running"), &json!("did you mean commands?")));
    let error = refused(mesh, &["down", "comands"]);
    assert_eq!(error["code"], "not-running", "{error}");
    let usage = mesh.leno(&["status", "--mehs", "x", "-o", "json"]);
    assert_eq!(usage.status.code(), Some(2), "{usage:?}");
    let usage: Value = serde_json::from_slice(&usage.stderr).unwrap();
    assert_eq!(usage["error"]["code"], "usage", "{usage}");
    assert!(usage["error"]["hint"].as_str().unwrap().contains("--mesh"), "{usage}");
    let people = mesh.leno(&["config", "helo-v1"]);
    let told = String::from_utf8_lossy(&people.stderr).into_owned();
    assert_eq!(
        told,
        "error: mesh \"commands\" has no workload \"helo-v1\"\n  help: did you mean hello-v1?\n"
    );
    let wrong = mesh.folder().join("wrong.yaml");
    std::fs::write(
        &wrong,
        "kind: LocalMesh\napiVersion: leno.dev/v1alpha1\nmetadata: {nam: x}\nspec: {workloads: []}\n",
    )
    .unwrap();
    let error = refused(mesh, &["up", wrong.to_str().unwrap()]);
    assert_eq!(error["code"], "mesh-file", "{error}");
    assert_eq!(error["findings"][0]["line"], 3, "{error}");
}

/// A broken edit: the same finding from the files as from the mesh that goes on with the last good version.
fn analysis_is_the_same_offline_and_running(mesh: &Mesh) {
    let good = mesh.leno(&["analyze"]);
    assert_eq!(good.status.code(), Some(0), "{good:?}");
    mesh.replace("route.yaml", &ROUTE.replace("timeout", "timeuot"));
    let found = |report: &Value| {
        let mut findings = report["findings"].as_array().unwrap().iter();
        findings.find(|found| found["code"] == "LENO0023").cloned()
    };
    eventually("the finding is told", || {
        let report = mesh.leno_json(&["analyze"]);
        if found(&report).is_some() { Ok(()) } else { Err(report.to_string()) }
    });
    let folder = mesh.folder().join("mesh");
    let path = |name: &str| folder.join(name).display().to_string();
    let running = mesh.leno_json(&["analyze"]);
    let offline = mesh.leno_json(&["analyze", &path("mesh.yaml"), &path("config")]);
    assert_eq!(found(&running), found(&offline), "the same words, file and line");
    assert_eq!((&offline["mesh"], &offline["failed"]), (&json!("commands"), &json!(true)));
    let found = found(&offline).unwrap();
    assert_eq!((&found["line"], &found["column"]), (&json!(7), &json!(7)), "{found}");
    assert_eq!(found["file"], json!(path("config/route.yaml")));
    assert_eq!(mesh.leno(&["analyze"]).status.code(), Some(79));
    assert_eq!(mesh.leno(&["analyze", "-S", "LENO0023", "-S", "LENO0804"]).status.code(), Some(0));
    let status = mesh.leno_json(&["status"]);
    let route = object(&status, "hello");
    assert_eq!((&route["verdict"], &route["lastGood"]), (&json!("refused"), &json!(true)), "{route}");
    assert!(text(&mesh.leno(&["status"])).contains("last good: "), "{status}");
    mesh.replace("route.yaml", ROUTE);
}

/// The control plane hangs: whoever asks learns so, and everything else.
fn status_goes_on_without_a_control_plane(mesh: &Mesh) {
    let status = mesh.leno_json(&["status"]);
    let process =
        |program: &Value| (program["name"] == "control").then(|| program["process"].as_i64()).flatten();
    let pid = status["programs"].as_array().unwrap().iter().find_map(process).unwrap();
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    let hanging = mesh.leno(&["status", "-o", "json"]);
    let people = mesh.leno(&["status"]);
    let error = refused(mesh, &["analyze"]);
    kill_process(pid, Signal::CONT).unwrap();
    let hanging: Value =
        serde_json::from_slice(&hanging.stdout).unwrap_or_else(|error| panic!("{error}: {hanging:?}"));
    assert_eq!(hanging["control"]["answers"], false, "{hanging}");
    for proxy in hanging["proxies"].as_array().unwrap() {
        assert_eq!(proxy["state"], "unknown", "{proxy}");
        assert!(proxy["snapshot"].as_u64() > Some(0) && proxy["certificate"].is_object(), "{proxy}");
    }
    assert!(text(&people).contains("the control plane does not answer: "), "{people:?}");
    assert_eq!(error["code"], "no-answer", "{error}");
}

fn object<'s>(status: &'s Value, name: &str) -> &'s Value {
    let objects = status["objects"].as_array().unwrap();
    objects.iter().find(|object| object["name"] == name).unwrap_or_else(|| panic!("{name}: {status}"))
}

/// The error of a command that must fail.
fn refused(mesh: &Mesh, command: &[&str]) -> Value {
    let mut words = vec!["-o", "json"];
    words.extend(command);
    let output = mesh.leno(&words);
    assert_eq!(output.status.code(), Some(1), "{command:?}: {output:?}");
    let last = String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned();
    let error: Value = serde_json::from_str(&last).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    error["error"].clone()
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Everything that is shipped as an example is right.
#[test]
fn examples_have_no_findings() {
    let leno = leno_testkit::programs::own("leno", "leno").unwrap();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    for entry in std::fs::read_dir(examples).unwrap().flatten().filter(|entry| entry.path().is_dir()) {
        let mut command = std::process::Command::new(&leno);
        let output = command.arg("analyze").arg(entry.path()).args(["-o", "json"]).output().unwrap();
        let report: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        // Run by root, a mesh needs a user for each workload, which the examples leave to the reader.
        let findings = report["findings"].as_array().unwrap();
        let own =
            findings.iter().filter(|found| !found["message"].as_str().unwrap().contains("root must say"));
        assert_eq!(own.collect::<Vec<_>>(), Vec::<&Value>::new(), "{}", entry.path().display());
    }
}
