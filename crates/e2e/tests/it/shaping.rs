//! Ejection, limits, faults and mirrors in a mesh as it is run: what an operator writes, and what sidecars make of it.

use leno_testkit::mesh::{Declaration, Mesh, eventually};

use crate::alone;

const SPEC: &str = "services:
  - {name: app, port: 8000, protocol: http}
  - {name: shadow, port: 8000, protocol: http}
  - {name: slow, port: 8000, protocol: http}
workloads:
  - {name: caller, command: [sleep, infinity]}
  - {service: app, version: v1, command: [leno-sample, serve, app, '--listen=http://:8000']}
  - {service: app, version: v2, command: [leno-sample, serve, app, '--listen=http://:8000', '--error-rate=1']}
  - {service: shadow, version: v1, command: [leno-sample, serve, shadow, '--listen=http://:8000']}
  - {service: slow, version: v1, command: [leno-sample, serve, slow, '--listen=http://:8000', '--latency=100ms']}
";

const CONFIG: &str = "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: app}
spec:
  host: app
  trafficPolicy:
    loadBalancer: {simple: ROUND_ROBIN}
    outlierDetection: {consecutive5xxErrors: 3, baseEjectionTime: 10m, maxEjectionPercent: 50}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: app}
spec:
  hosts: [app]
  http:
  - match: [{uri: {prefix: /fault}}]
    fault: {abort: {httpStatus: 418, percentage: {value: 100}}}
    route: [{destination: {host: app}}]
  - retries: {attempts: 0}
    mirror: {host: shadow}
    route: [{destination: {host: app}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: slow}
spec:
  host: slow
  trafficPolicy: {connectionPool: {http: {http2MaxRequests: 2}}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: slow}
spec:
  hosts: [slow]
  http: [{retries: {attempts: 0}, route: [{destination: {host: slow}}]}]
";

fn arrived(mesh: &Mesh, replica: &str) -> f64 {
    mesh.counted(replica).sum("istio_requests_total", &[("reporter", "destination")])
}

fn counted(mesh: &Mesh, name: &str, labels: &[(&str, &str)]) -> f64 {
    mesh.counted("caller").sum(name, labels)
}

#[test]
fn a_mesh_ejects_limits_aborts_and_mirrors() {
    let _alone = alone();
    let mesh = Declaration::new("shaping").spec(SPEC).config("shaping.yaml", CONFIG).start();

    // Three errors in a row, and those that were under way beside them, are all that a failing endpoint gets.
    let arguments = ["http://app:8000/", "--rate", "100", "--connections", "4", "--duration", "5s"];
    let report = mesh.load("caller", &arguments);
    let sent = report["sent"].as_f64().unwrap_or_default();
    let errors = arrived(&mesh, "app-v2");
    assert!(sent >= 450.0 && (3.0..=7.0).contains(&errors), "{errors} errors: {report}");
    assert_eq!(counted(&mesh, "leno_outlier_ejections_total", &[]), 1.0);

    // Each request has had its copy.
    eventually("copies", || {
        let answered = counted(&mesh, "leno_mirrors_total", &[("outcome", "answered")]);
        let copies = arrived(&mesh, "shadow-v1");
        let all = (answered, copies) == (sent, sent);
        if all { Ok(()) } else { Err(format!("{answered} of {sent} answered, {copies} arrived")) }
    });

    // An abort is answered beside the caller.
    let before = arrived(&mesh, "app-v1");
    let output = mesh.sample("caller", &["call", "-i", "http://app:8000/fault"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("418") && text.contains("fault filter abort"), "{output:?}");
    assert_eq!(arrived(&mesh, "app-v1"), before);
    assert_eq!(counted(&mesh, "istio_requests_total", &[("response_flags", "FI")]), 1.0);

    // No more than two requests at once get to the slow one.
    let arguments = ["http://slow:8000/", "--closed", "--connections", "8", "--duration", "2s"];
    let report = mesh.load("caller", &arguments);
    let refused = counted(&mesh, "istio_requests_total", &[("response_flags", "UO")]);
    let overflows = counted(&mesh, "leno_upstream_overflows_total", &[("limit", "requests")]);
    let served = arrived(&mesh, "slow-v1");
    assert!(refused > 0.0 && refused == overflows, "{refused} refused, {overflows} overflows: {report}");
    // Two at a time, each 100 ms, for two seconds.
    assert!((10.0..=44.0).contains(&served), "{served} served: {report}");
}
