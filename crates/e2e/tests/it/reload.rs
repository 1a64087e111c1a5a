//! Edits of configuration under load: twelve callers with a sidecar each, both kinds of route, three protocols.

use std::{
    fmt,
    process::Child,
    time::{SystemTime, UNIX_EPOCH},
};

use leno_testkit::mesh::{Declaration, Mesh, eventually, report};
use leno_testkit::proxies::service_with;
use serde_json::Value;

use crate::alone;

/// Sidecars that subscribe to the edited route.
const CALLERS: usize = 12;

/// Requests per second of all callers together.
const RATE: f64 = 500.0;

/// How long an edit may take, from the rename to the last proxy.
const LIMIT_MS: f64 = 1000.0;

#[test]
fn edits_reach_every_proxy_in_a_second_and_cost_no_request() {
    let _alone = alone();
    let mesh = declaration().start();
    let mut took = Vec::new();
    for kind in [Kind::VirtualService, Kind::HttpRoute] {
        let mut versions = ["v1", "v2"];
        for protocol in ["http", "h2c", "grpc"] {
            let [old, new] = versions;
            let milliseconds = an_edit_is_smooth(&mesh, kind, protocol, old, new);
            took.push(format!("{kind} over {protocol}: {milliseconds:.0} ms"));
            versions.reverse();
        }
        // An odd number of edits: the second version serves now.
        a_broken_edit_is_refused(&mesh, kind, "v2");
    }
    println!("from the rename to the last response under the old rule: {}", took.join(", "));
}

/// Two services of the same workloads: `vs`, which a VirtualService routes by subset, and `hr`, which an `HTTPRoute`
/// routes to services of one version each.
fn declaration() -> Declaration {
    let spec = format!(
        "services:
  - {{name: vs, port: 80, protocol: http}}
  - {{name: caller, port: 80, protocol: http}}
workloads:
  - {{service: vs, version: v1, command: [leno-sample, serve, web, --version=v1, --listen=http://:80]}}
  - {{service: vs, version: v2, command: [leno-sample, serve, web, --version=v2, --listen=http://:80]}}
  - {{service: caller, replicas: {CALLERS}, command: [leno-sample, serve, caller, --listen=http://:80]}}
"
    );
    let service = |name: &str, selector: &str| service_with(name, selector, "{name: http, port: 80}");
    let services = [
        service("hr", "app: vs"),
        service("hr-v1", "app: vs, version: v1"),
        service("hr-v2", "app: vs, version: v2"),
    ];
    Declaration::new("reload")
        .spec(&spec)
        .config("services.yaml", services.concat())
        .config("subsets.yaml", SUBSETS)
        .config(Kind::VirtualService.file(), Kind::VirtualService.document("v1"))
        .config(Kind::HttpRoute.file(), Kind::HttpRoute.document("v1"))
}

const SUBSETS: &str = "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: vs, namespace: default}
spec:
  host: vs
  subsets:
    - {name: v1, labels: {version: v1}}
    - {name: v2, labels: {version: v2}}
";

#[derive(Debug, Clone, Copy)]
enum Kind {
    VirtualService,
    HttpRoute,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::VirtualService => "VirtualService",
            Self::HttpRoute => "HTTPRoute",
        })
    }
}

impl Kind {
    fn host(self) -> &'static str {
        match self {
            Self::VirtualService => "vs",
            Self::HttpRoute => "hr",
        }
    }

    fn file(self) -> &'static str {
        match self {
            Self::VirtualService => "vs.yaml",
            Self::HttpRoute => "hr.yaml",
        }
    }

    /// Everything to one version.
    fn document(self, version: &str) -> String {
        match self {
            Self::VirtualService => format!(
                "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: vs, namespace: default}}
spec:
  hosts: [vs]
  http:
    - name: everything
      route:
        - destination: {{host: vs, subset: {version}}}
"
            ),
            Self::HttpRoute => format!(
                "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: hr, namespace: default}}
spec:
  parentRefs: [{{group: '', kind: Service, name: hr}}]
  rules:
    - name: everything
      backendRefs: [{{name: hr-{version}, port: 80}}]
"
            ),
        }
    }

    /// A document that is wrong in a known line, and that line.
    fn broken(self, version: &str) -> (String, usize) {
        let (right, wrong) = match self {
            Self::VirtualService => ("route:", "rout:"),
            Self::HttpRoute => ("port: 80", "port: eighty"),
        };
        let document = self.document(version);
        let broken = document.replace(right, wrong);
        let line = broken.lines().position(|line| line.contains(wrong)).unwrap() + 1;
        (broken, line)
    }
}

/// The replicas of the caller.
fn callers() -> impl Iterator<Item = String> {
    (0..CALLERS).map(|number| if number == 0 { "caller".to_owned() } else { format!("caller-{number}") })
}

fn url(kind: Kind, protocol: &str) -> String {
    let path = if protocol == "grpc" { "Pricing/Quote?book=1" } else { "status/200" };
    format!("{protocol}://{}/{path}", kind.host())
}

/// Moves all traffic to another version while every caller sends its share of the rate. Milliseconds from the rename to the
/// last response that any proxy gave under the old rule.
fn an_edit_is_smooth(mesh: &Mesh, kind: Kind, protocol: &str, old: &str, new: &str) -> f64 {
    let what = format!("{kind} over {protocol}");
    let before: Vec<f64> = callers().map(|caller| sent(mesh, &caller)).collect();
    let rate = format!("{:.2}", RATE / CALLERS as f64);
    let url = url(kind, protocol);
    let arguments = [&*url, "--rate", &rate, "--duration", "4s", "--connections", "2", "--streams", "4"];
    let loads: Vec<(String, Child)> =
        callers().map(|caller| (caller.clone(), mesh.start_load(&caller, &arguments))).collect();
    for (caller, before) in callers().zip(before) {
        eventually(&format!("{caller} sends, {what}"), || {
            let more = sent(mesh, &caller) - before;
            if more >= 5.0 { Ok(()) } else { Err(format!("{more} requests")) }
        });
    }
    let renamed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64() * 1e3;
    mesh.replace(kind.file(), &kind.document(new));
    let mut last: f64 = 0.0;
    for (caller, load) in loads {
        let report = report(load);
        let at = |version: &str, when: &str| {
            let since_start = report["versions"][version][when].as_f64();
            let since_start =
                since_start.unwrap_or_else(|| panic!("{what}, {caller}: no {version}: {report}"));
            report["started_unix_ms"].as_f64().unwrap() + since_start - renamed
        };
        assert_eq!(
            (&report["failed"], &report["unsent"]),
            (&0.into(), &0.into()),
            "{what}, {caller}: {report}"
        );
        let (first_new, last_old) = (at(new, "first_ms"), at(old, "last_ms"));
        assert!(first_new > 0.0, "{what}, {caller}: new before the rename: {report}");
        assert!(first_new < LIMIT_MS, "{what}, {caller}: {first_new:.0} ms until the new rule: {report}");
        assert!(last_old < LIMIT_MS, "{what}, {caller}: {last_old:.0} ms under the old rule: {report}");
        last = last.max(first_new).max(last_old);
    }
    last
}

/// Requests that a caller's sidecar has sent to any service.
fn sent(mesh: &Mesh, caller: &str) -> f64 {
    mesh.counted(caller).sum("istio_requests_total", &[("reporter", "source")])
}

/// It is told with file, line and hint, and the version before goes on, at every caller.
fn a_broken_edit_is_refused(mesh: &Mesh, kind: Kind, version: &str) {
    let (document, line) = kind.broken("v1");
    mesh.replace(kind.file(), &document);
    let place = format!("{}:{line}:", kind.file());
    eventually("the finding is told", || {
        let logs = String::from_utf8_lossy(&mesh.leno(&["logs", "control"]).stdout).into_owned();
        let told =
            logs.lines().skip_while(|line| !line.contains(&place)).take(8).collect::<Vec<_>>().join("\n");
        if told.contains("hint") || told.contains("help") { Ok(()) } else { Err(logs) }
    });
    for caller in callers() {
        let report =
            mesh.load(&caller, &[&url(kind, "http"), "--closed", "--requests", "20", "--connections", "1"]);
        assert_eq!(of_version(&report, version), 20, "{kind}: the last good one stays: {report}");
    }
    mesh.replace(kind.file(), &kind.document(version));
}

fn of_version(report: &Value, version: &str) -> u64 {
    report["versions"][version]["count"].as_u64().unwrap_or(0)
}
