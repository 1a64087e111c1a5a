//! Loopback mode: an ordinary user's mesh on a machine that forbids user namespaces. Nothing is isolated, and what goes
//! through sidecars is as everywhere: mutual TLS, policy, metrics, replicas, edits.

use std::process::Stdio;

use leno_testkit::{
    mesh::{Declaration, Mesh, eventually, free_port, report},
    programs::{REDIS, REDIS_CLI, or_skip},
};
use rustix::process::{Signal, kill_process};
use serde_json::Value;

use crate::{
    alone,
    pair::STRICT,
    several::{self, Up},
};

/// Only the caller and the gateway may call `web`.
const POLICY: &str = "apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: web, namespace: default}
spec:
  selector: {matchLabels: {app: web}}
  action: ALLOW
  rules:
    - from: [{source: {principals: [cluster.local/ns/default/sa/caller, cluster.local/ns/default/sa/gateway]}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web, namespace: default}
spec: {host: web, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}}
";

const WEB: &str = "http://$WEB_SERVICE_HOST:$WEB_SERVICE_PORT";

fn spec(published: u16, replicas: u16, colour: &str, redis: &str) -> String {
    format!(
        "mode: loopback
services:
  - {{name: web, port: 80, protocol: http, publish: {published}}}
  - {{name: files, port: 8080, protocol: http}}
  - {{name: cache, port: 6379, protocol: tcp}}
workloads:
  - service: web
    replicas: {replicas}
    env: {{COLOUR: {colour}}}
    command: exec leno-sample serve web --version=$COLOUR --listen=http://127.0.0.1:$PORT
  - {{service: files, command: [python3, -u, -m, http.server, --bind, 127.0.0.1, '${{workload.port}}']}}
  - {{service: cache, command: [{redis}, --port, '${{workload.port}}', --bind, 127.0.0.1, --save, '']}}
  - {{name: caller, command: [sleep, infinity], env: {{FILES: 'http://${{service.files.addr}}/'}}}}
  - {{name: stranger, command: [sleep, infinity]}}
"
    )
}

#[test]
fn a_mesh_without_namespaces_has_all_but_isolation() {
    let _alone = alone();
    let Some(redis) = or_skip(REDIS.find()) else { return };
    let Some(client) = or_skip(REDIS_CLI.find()) else { return };
    let (redis, client) = (redis.display().to_string(), client.display().to_string());
    let published = free_port();
    let mut mesh = Declaration::new("loopback")
        .spec(&spec(published, 2, "blue", &redis))
        .config("policy.yaml", POLICY)
        .config("strict.yaml", STRICT)
        .file("second.yaml", second("second", free_port()))
        .file("clash.yaml", second("clash", published))
        .argument("--watch")
        .start();
    let output = mesh.output();
    assert!(output.contains("workloads are not isolated"), "what is lost is told: {output}");
    calls_are_mutual_tls_and_judged(&mesh);
    programs_of_others_work(&mesh, &client);
    replicas_share_the_load(&mesh);
    a_published_port_leads_there(&mesh, published);
    a_second_mesh_is_apart(&mesh);
    edits_are_applied(&mesh, published, &redis);
    kill_process(mesh.pid(), Signal::KILL).unwrap();
    mesh.wait_until_gone();
}

fn calls_are_mutual_tls_and_judged(mesh: &Mesh) {
    let answer: Value =
        serde_json::from_str(&shell(mesh, "caller", &format!("leno-sample call {WEB}/echo"))).unwrap();
    let xfcc = answer["headers"]["x-forwarded-client-cert"].as_str().unwrap();
    assert!(xfcc.ends_with("URI=spiffe://cluster.local/ns/default/sa/caller"), "{xfcc}");
    let denied = shell(mesh, "stranger", &format!("leno-sample call -i {WEB}/echo || true"));
    assert!(denied.contains("403 Forbidden"), "{denied}");
}

/// A file server and a database, called by their own clients.
fn programs_of_others_work(mesh: &Mesh, client: &str) {
    let listing = shell(mesh, "caller", "leno-sample call -i $FILES");
    assert!(listing.contains("200 OK") && listing.contains("mesh.yaml"), "{listing}");
    let at = "-h $CACHE_SERVICE_HOST -p $CACHE_SERVICE_PORT";
    let stored = shell(mesh, "caller", &format!("{client} {at} set key value && {client} {at} get key"));
    assert_eq!(stored, "OK\nvalue\n");
    let caller = [("source_workload", "caller"), ("connection_security_policy", "mutual_tls")];
    assert!(mesh.counted("cache").sum("istio_tcp_connections_opened_total", &caller) >= 2.0);
}

fn replicas_share_the_load(mesh: &Mesh) {
    let load = format!("leno-sample load --output json --rate 100 --requests 100 {WEB}/status/200");
    let report: Value = serde_json::from_str(&shell(mesh, "caller", &load)).unwrap();
    assert_eq!(report["ok"], 100, "{report}");
    for replica in ["web", "web-1"] {
        let served = mesh.counted(replica).sum("istio_requests_total", &[("reporter", "destination")]);
        assert!(served > 30.0, "{replica} served {served} of 100");
    }
}

fn a_published_port_leads_there(mesh: &Mesh, published: u16) {
    let mut call = mesh.program("leno-sample");
    let output = call.args(["call", &format!("http://127.0.0.1:{published}/echo")]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Another mesh of the same user on the same machine, with services of the same names.
fn second(name: &str, published: u16) -> String {
    format!(
        "apiVersion: leno.dev/v1alpha1
kind: LocalMesh
metadata: {{name: {name}}}
spec:
  mode: loopback
  services:
    - {{name: web, port: 80, protocol: http, publish: {published}}}
  workloads:
    - service: web
      command: exec leno-sample serve web --version=second --listen=http://127.0.0.1:$PORT
    - {{name: caller, command: [sleep, infinity]}}
"
    )
}

fn a_second_mesh_is_apart(mesh: &Mesh) {
    let up = several::start(mesh, "second.yaml");
    several::is_ready(mesh, "second");
    let version = |name: &str| -> Value {
        let call = format!("leno-sample call {WEB}/echo");
        let output = mesh.leno(&["exec", "--mesh", name, "caller", "--", "sh", "-c", &call]);
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        answer["version"].clone()
    };
    assert_eq!((version("loopback"), version("second")), ("blue".into(), "second".into()));
    let unnamed = mesh.leno(&["status"]);
    let told = String::from_utf8_lossy(&unnamed.stderr).into_owned();
    assert!(told.contains("loopback") && told.contains("second") && told.contains("--mesh"), "{told}");
    let told = several::start(mesh, "clash.yaml").refusal();
    assert!(told.contains("is taken by the mesh \"loopback\""), "{told}");
    assert!(mesh.leno(&["down", "second"]).status.success());
    up.has_ended();
    assert_eq!(version("loopback"), "blue", "the other one goes on");
}

fn edits_are_applied(mesh: &Mesh, published: u16, redis: &str) {
    let load = format!("exec leno-sample load --output json --rate 50 --duration 12s {WEB}/status/200");
    let load = mesh.start("caller", &["sh", "-c", &load]);
    mesh.edit(&spec(published, 3, "blue", redis));
    eventually("one replica more", || ready(mesh, "web-2"));
    mesh.edit(&spec(published, 3, "green", redis));
    eventually("another colour", || {
        let output = mesh.output();
        let all = ["web", "web-1", "web-2"].map(|name| format!("{name} runs as the mesh file says now"));
        if all.iter().all(|line| output.contains(line)) { Ok(()) } else { Err(output) }
    });
    let report = report(load);
    assert_eq!(report["failed"], 0, "{report}\n{}", mesh.output());
    let answer: Value =
        serde_json::from_str(&shell(mesh, "caller", &format!("leno-sample call {WEB}/echo"))).unwrap();
    assert_eq!(answer["version"], "green");
    let more = spec(published, 3, "green", redis).replace("port: 8080", "port: 8081");
    mesh.edit(&more);
    eventually("what can't be applied is refused", || {
        let output = mesh.output();
        let told = ["spec.services: in loopback mode", "leno down loopback", "the edit is refused"];
        if told.iter().all(|part| output.contains(part)) { Ok(()) } else { Err(output) }
    });
}

fn ready(mesh: &Mesh, name: &str) -> Result<(), String> {
    let status = mesh.leno_json(&["status"]);
    let replicas = status["replicas"].as_array().unwrap();
    let is_ready = replicas.iter().any(|replica| replica["name"] == name && replica["phase"] == "ready");
    if is_ready { Ok(()) } else { Err(status.to_string()) }
}

/// What a command of a workload's shell prints.
fn shell(mesh: &Mesh, workload: &str, line: &str) -> String {
    let output = mesh.exec(workload, &["sh", "-c", line]);
    assert!(output.status.success(), "{line}: {output:?}\n{}", mesh.output());
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Where user namespaces are forbidden, `leno up` says so and names what there is instead, which then works.
#[test]
fn where_namespaces_are_forbidden_loopback_mode_is_named_and_works() {
    let _alone = alone();
    let spec = "services: [{name: web, port: 80, protocol: http}]
workloads:
  - {service: web, command: 'exec leno-sample serve web --listen=http://127.0.0.1:${workload.port}'}
  - {name: caller, command: [sleep, infinity]}
";
    let template = Declaration::new("forbidden").spec(spec).argument("--mode=loopback").start();
    assert!(template.leno(&["down"]).status.success());
    // A user namespace that allows none within itself: such machines forbid them everywhere.
    let forbidding = |arguments: &[&str]| {
        let script = "echo 0 > /proc/sys/user/max_user_namespaces && \
                      exec setpriv --ambient-caps=-all --inh-caps=-all leno up mesh.yaml --metrics off \"$@\"";
        let mut command = template.command("unshare".as_ref());
        command.args(["--user", "--map-current-user", "--keep-caps", "sh", "-c", script, "up"]);
        command.args(arguments);
        command.current_dir(template.folder().join("mesh")).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let refused = forbidding(&[]).output().unwrap();
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains("--mode loopback"), "{told}");
    let up = Up(forbidding(&["--mode", "loopback"]).spawn().unwrap());
    several::is_ready(&template, "forbidden");
    let called = shell(&template, "caller", &format!("leno-sample call -i {WEB}/echo"));
    assert!(called.contains("200 OK"), "{called}");
    assert!(template.leno(&["down"]).status.success());
    up.has_ended();
}
