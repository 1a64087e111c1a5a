//! Two Lenos: mTLS by `leno/1`, routes, authorization by identity, metrics, two data cores. No access log.
//!
//! The configuration says what Envoy's says, in Kubernetes' and Istio's words.

use std::process::Command;

use anyhow::Result;

use super::{Contestant, Running};
use crate::{
    certificates::{CLIENT_ID, SERVER_ID},
    limits,
    network::Side,
    process::{Process, inside},
    world::{CLIENT_PROXY, DIRECT, LOCAL_SERVER, SERVER_PROXY, World},
};

pub(super) struct Leno;

/// The service, its routes, and who may read.
const CONFIG: &str = r#"apiVersion: v1
kind: Service
metadata: { name: server, namespace: default }
spec:
  selector: { app: server }
  ports: [{ name: http, port: 8080 }]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: server, namespace: default }
spec:
  hosts: [server.default.svc.cluster.local]
  http:
  - match: [{ uri: { prefix: /admin/ }, headers: { x-team: { exact: operators } } }]
    route: [{ destination: { host: server.default.svc.cluster.local } }]
    timeout: 5s
  - match: [{ uri: { exact: /healthz } }]
    route: [{ destination: { host: server.default.svc.cluster.local } }]
    timeout: 1s
  - route: [{ destination: { host: server.default.svc.cluster.local } }]
    timeout: 120s
"#;

/// What holds on the server's side of a pair.
const POLICY: &str = r#"---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: default, namespace: default }
spec: { mtls: { mode: STRICT } }
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: reads, namespace: default }
spec:
  selector: { matchLabels: { app: server } }
  action: ALLOW
  rules:
  - from: [{ source: { principals: [cluster.local/ns/default/sa/client] } }]
    to: [{ operation: { methods: [GET], paths: [/bytes/*] } }]
"#;

impl Contestant for Leno {
    fn absence(&self, world: &World) -> Option<String> {
        let binary = world.binary("leno");
        match Command::new(&binary).args(["proxy", "--help"]).output() {
            Ok(output) if output.status.success() => None,
            Ok(_) => Some(format!("{} has no command `proxy`", binary.display())),
            Err(error) => Some(format!("can't run {}: {error}", binary.display())),
        }
    }

    fn start(&self, world: &World) -> Result<Running> {
        world.write("leno/mesh.yaml", &format!("{CONFIG}{POLICY}"))?;
        let start = |name: &str, id: &str, side: &Side, legs: &[String]| -> Result<Process> {
            let mut command = inside(side, world.binary("leno"))?;
            command.arg("proxy").arg("--config").arg(world.file("leno"));
            command.args(["--identity", id]).arg("--certificate").arg(world.file(&format!("{name}.pem")));
            command.arg("--key").arg(world.file(&format!("{name}.key")));
            command.arg("--roots").arg(world.file("root.pem")).args(legs);
            Process::start(&format!("leno-{name}"), &world.folder, command)
        };
        let outbound = [
            format!("--outbound={CLIENT_PROXY}=server:{}", limits::SERVER_PORT),
            format!("--endpoint=server:{}={SERVER_PROXY},{SERVER_ID}", limits::SERVER_PORT),
        ];
        let inbound = [
            format!("--inbound={SERVER_PROXY}=server:{}", limits::SERVER_PORT),
            format!("--app={LOCAL_SERVER}"),
        ];
        let proxies = vec![
            start("client", CLIENT_ID, &world.network.client, &outbound)?,
            start("server", SERVER_ID, &world.network.server, &inbound)?,
        ];
        Ok(Running { entry: CLIENT_PROXY, proxies })
    }

    fn single(&self, world: &World) -> Result<Option<Command>> {
        world.write("leno-single/mesh.yaml", CONFIG)?;
        let mut command = Command::new(world.binary("leno"));
        command.arg("proxy").arg("--config").arg(world.file("leno-single"));
        command.arg(format!("--outbound={CLIENT_PROXY}=server:{}", limits::SERVER_PORT));
        command.arg(format!("--endpoint=server:{}={DIRECT}", limits::SERVER_PORT));
        Ok(Some(command))
    }
}
