//! Two Lenos: mTLS by `leno/1`, routes, authorization by identity, the caller's certificate told to the application,
//! metrics, two data cores.
//!
//! The configuration says what Envoy's says, in Kubernetes' and Istio's words.

use std::{path::Path, process::Command};

use anyhow::Result;
use leno_wire::open::{ALPN, Open, Protocol, Source};

use super::{Contestant, Running, Traffic};
use crate::{
    limits,
    network::{CLIENT, SERVER, Side},
    peer::Greeting,
    process::inside,
    world::{CLIENT_PROXY, SERVER_PROXY, World},
};

pub(super) struct Leno;

/// The service.
fn service(traffic: Traffic) -> String {
    let protocol = match traffic {
        Traffic::Requests => "http",
        Traffic::Streams => "grpc",
    };
    format!(
        r#"apiVersion: v1
kind: Service
metadata: {{ name: server, namespace: default }}
spec:
  selector: {{ app: server }}
  ports: [{{ name: {protocol}, port: 8080 }}]
"#
    )
}

/// Its routes, of which `last` takes what no other does.
fn routes(last: &str) -> String {
    format!(
        r#"---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{ name: server, namespace: default }}
spec:
  hosts: [server.default.svc.cluster.local]
  http:
  - match: [{{ uri: {{ prefix: /admin/ }}, headers: {{ x-team: {{ exact: operators }} }} }}]
    route: [{{ destination: {{ host: server.default.svc.cluster.local }} }}]
    timeout: 5s
  - match: [{{ uri: {{ exact: /healthz }} }}]
    route: [{{ destination: {{ host: server.default.svc.cluster.local }} }}]
    timeout: 1s
{last}"#
    )
}

/// Sends requests on.
const ROUTE: &str = r#"
  - route: [{ destination: { host: server.default.svc.cluster.local } }]
    timeout: 120s
"#;

/// Does what a route can do to a request that it sends on once: weights, edits of headers, limits of time, retries, faults.
const FULL_ROUTE: &str = r#"
  - route:
    - destination: { host: server.default.svc.cluster.local, subset: stable }
      weight: 90
    - destination: { host: server.default.svc.cluster.local, subset: canary }
      weight: 10
    headers: { request: { set: { x-mesh: leno } }, response: { remove: [server] } }
    timeout: 120s
    retries: { attempts: 3, perTryTimeout: 60s, retryOn: "5xx,connect-failure,refused-stream" }
    fault: { delay: { fixedDelay: 1ms, percentage: { value: 0.0001 } } }
"#;

/// Limits of the destination, ejection of outliers, and the subsets.
const LIMITS: &str = r#"---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: server, namespace: default }
spec:
  host: server.default.svc.cluster.local
  trafficPolicy:
    connectionPool:
      tcp: { maxConnections: 1000, connectTimeout: 5s }
      http: { http1MaxPendingRequests: 1000, http2MaxRequests: 10000, maxRetries: 10 }
    outlierDetection: { consecutive5xxErrors: 5, interval: 10s, baseEjectionTime: 30s }
  subsets:
  - { name: stable, labels: { app: server } }
  - { name: canary, labels: { app: server } }
"#;

/// Where spans go: nobody listens there.
const COLLECTOR: &str = "http://127.0.0.1:4317";

/// Who may do what.
fn policy(traffic: Traffic) -> String {
    let (method, prefix) = (traffic.method(), traffic.prefix());
    format!(
        r#"---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{ name: default, namespace: default }}
spec: {{ mtls: {{ mode: STRICT }} }}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{ name: reads, namespace: default }}
spec:
  selector: {{ matchLabels: {{ app: server }} }}
  action: ALLOW
  rules:
  - from: [{{ source: {{ principals: [cluster.local/ns/default/sa/client] }} }}]
    to: [{{ operation: {{ methods: [{method}], paths: ["{prefix}*"] }} }}]
"#
    )
}

/// Both workloads; `transport` is `native` for a proxy on port 15008, `none` for plaintext.
fn workloads(transport: &str) -> String {
    [("client", CLIENT), ("server", SERVER)]
        .map(|(name, address)| {
            format!(
                r#"---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{ name: {name}, namespace: default, labels: {{ leno.dev/transport: {transport} }} }}
spec: {{ address: {address}, labels: {{ app: {name} }}, serviceAccount: {name} }}
"#
            )
        })
        .concat()
}

/// A proxy for the workload `name`, with its certificate, told everything by `config`.
fn arguments(command: &mut Command, world: &World, name: &str, config: &Path) {
    command.arg("proxy").arg("--config").arg(config).arg(format!("--workload=default/{name}"));
    for (option, file) in [
        ("--cert", format!("{name}.pem")),
        ("--key", format!("{name}.key")),
        ("--roots", "root.pem".to_owned()),
    ] {
        command.arg(option).arg(world.file(&file));
    }
    command.arg("--threads=2");
}

/// The port of the client's proxy that leads to the server.
fn outbound() -> String {
    format!("--outbound={CLIENT_PROXY}=server.default.svc.cluster.local:{}", limits::SERVER_PORT)
}

/// What a proxy can do besides, wherever it is.
fn everything(command: &mut Command, log: &Path) {
    command.arg("--access-log").arg(log);
    command.arg(format!("--trace-endpoint={COLLECTOR}")).arg("--trace-sampling=1");
}

/// The client's proxy alone.
fn single(world: &World, mesh: &[&str]) -> Result<Command> {
    let config = world.write("leno-single/mesh.yaml", &mesh.concat())?;
    let mut command = Command::new(world.binary("leno"));
    arguments(&mut command, world, "client", &config);
    command.arg(outbound());
    Ok(command)
}

impl Contestant for Leno {
    fn absence(&self, world: &World) -> Option<String> {
        let binary = world.binary("leno");
        match Command::new(&binary).args(["proxy", "--help"]).output() {
            Ok(output) if output.status.success() => None,
            Ok(_) => Some(format!("{} has no command `proxy`", binary.display())),
            Err(error) => Some(format!("can't run {}: {error}", binary.display())),
        }
    }

    fn start(&self, world: &World, traffic: Traffic) -> Result<Running> {
        let (route, limits) = if world.everything { (FULL_ROUTE, LIMITS) } else { (ROUTE, "") };
        let mesh =
            [&service(traffic), &routes(route), limits, &policy(traffic), &workloads("native")].concat();
        let config = world.write("leno/mesh.yaml", &mesh)?;
        let command = |name: &str, side: &Side, leg: String| -> Result<Command> {
            let mut command = inside(side, world.binary("leno"))?;
            arguments(&mut command, world, name, &config);
            command.arg(leg);
            if world.everything {
                everything(&mut command, &world.file(&format!("leno-{name}-access.log")));
            } else if let Some(log) = world.access_log(&format!("leno-{name}")) {
                command.arg("--access-log").arg(log);
            }
            Ok(command)
        };
        let client = command("client", &world.network.client, outbound())?;
        let server = command("server", &world.network.server, format!("--mesh={SERVER_PROXY}"))?;
        Running::pair(world, "leno", client, server)
    }

    fn single(&self, world: &World) -> Result<Option<Command>> {
        single(world, &[&service(Traffic::Requests), &routes(ROUTE), &workloads("none")]).map(Some)
    }

    fn full(&self, world: &World) -> Result<Option<Command>> {
        let mut command =
            single(world, &[&service(Traffic::Requests), &routes(FULL_ROUTE), LIMITS, &workloads("none")])?;
        everything(&mut command, &world.file("leno-single-access.log"));
        Ok(Some(command))
    }

    fn greeting(&self) -> Option<Greeting> {
        let (ip, port) = (SERVER, limits::SERVER_PORT);
        let open = Open {
            ip,
            port,
            service: None,
            protocol: Protocol::Http1,
            source: Source::default(),
            machine: None,
        };
        Some(Greeting { alpn: ALPN, first: open.encode() })
    }
}
