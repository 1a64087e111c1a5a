//! The mesh: a caller, a service that nothing happens to, one that everything happens to, and an echo of bytes.

use anyhow::Result;
use leno_testkit::{
    mesh::{Declaration, Mesh, free_port},
    programs::CURL,
};

/// Whose counters are judged. `rough-1`'s is killed time and again, and so is no measure.
pub(super) const WATCHED: [&str; 8] =
    ["caller", "calm", "calm-1", "rough", "rough-2", "echo", "gateway", "control"];

/// Starts it. Certificates are renewed every six seconds.
pub(super) fn start() -> Result<Mesh> {
    CURL.find()?;
    let published = free_port();
    let spec = format!(
        "services:
  - {{name: calm, port: 80, protocol: http, publish: {published}}}
  - {{name: rough, port: 80, protocol: http}}
  - {{name: echo, port: 7, protocol: tcp}}
workloads:
  - {{name: caller, command: [sleep, infinity]}}
  - {{service: calm, replicas: 2, command: [leno-sample, serve, calm, '--listen=http://:80']}}
  - {{service: rough, replicas: 3, command: [leno-sample, serve, rough, '--listen=http://:80']}}
  - {{service: echo, command: [leno-sample, serve, echo, '--listen=echo://:7']}}
"
    );
    Ok(Declaration::new("soak")
        .spec(&spec)
        .config("rough.yaml", route(0))
        .config("calm.yaml", settings(0))
        .argument("--svid-lifetime=60")
        .argument("--svid-renew-after=10")
        .port_is(published)
        .start())
}

/// The route to `rough`, a little different each time.
pub(super) fn route(number: u32) -> String {
    let (attempts, delay) = (number % 4, 1 + number % 20);
    format!(
        "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: rough, namespace: default}}
spec:
  hosts: [rough]
  http:
    - name: edit-{number}
      fault: {{delay: {{percentage: {{value: 10}}, fixedDelay: {delay}ms}}}}
      retries: {{attempts: {attempts}, perTryTimeout: 500ms, retryOn: '5xx,unavailable'}}
      route: [{{destination: {{host: rough}}}}]
"
    )
}

/// How `calm` is called, a little different each time.
pub(super) fn settings(number: u32) -> String {
    let (balancer, idle) =
        (if number.is_multiple_of(2) { "LEAST_REQUEST" } else { "ROUND_ROBIN" }, 5 + number % 10);
    format!(
        "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: calm, namespace: default}}
spec:
  host: calm
  trafficPolicy:
    loadBalancer: {{simple: {balancer}}}
    connectionPool: {{http: {{idleTimeout: {idle}s, maxRequestsPerConnection: 1000}}}}
    outlierDetection: {{}}
"
    )
}
