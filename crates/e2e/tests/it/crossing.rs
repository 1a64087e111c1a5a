//! Every protocol over every transport between two proxies, with who called told at the other side.

use std::net::SocketAddr;
use std::process::Output;

use leno_testkit::crossing::{Crossing, Transport};
use leno_testkit::mesh::eventually;
use leno_testkit::ports::free;

use crate::pair::call;
use crate::raw::echoed;

const ONLY_THE_CALLER: &str = "---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: caller, namespace: default}
spec: {rules: [{from: [{source: {principals: ['cluster.local/ns/default/sa/ACCOUNT']}}]}]}
";

#[test]
fn every_protocol_crosses_by_every_transport() {
    for transport in Transport::ALL {
        let mut crossing = Crossing::with_sample("every", transport, &["http", "grpc", "tcp"], "");
        for name in ["http", "grpc"] {
            let output = called(&crossing, name);
            assert!(output.status.success(), "{name} by {transport}: {output:?}");
        }
        assert_eq!(echoed(crossing.entry("tcp")).unwrap(), b"hello", "{transport}");
        let output = call("h2c://callee/", crossing.entry("http"), &[]);
        assert!(output.status.success(), "HTTP/2 by {transport}: {output:?}");
        let edge = gateway(&mut crossing);
        for url in ["http://shop/", "h2c://shop/"] {
            let output = call(url, edge, &[]);
            assert!(output.status.success(), "{url} from a gateway by {transport}: {output:?}");
        }
        let get = |name: &str| called(&crossing, name);
        // Policy knows who called, where it can be known.
        crossing.configure(&ONLY_THE_CALLER.replace("ACCOUNT", "nobody"));
        eventually("nobody may call", || match get("http") {
            output if output.status.success() => Err(format!("{output:?}")),
            _ => Ok(()),
        });
        crossing.configure(&ONLY_THE_CALLER.replace("ACCOUNT", "caller"));
        if transport.is_mutual_tls() {
            eventually("the caller may call", || match get("http") {
                output if output.status.success() => Ok(()),
                output => Err(format!("{output:?}")),
            });
            assert_eq!(echoed(crossing.entry("tcp")).unwrap(), b"hello", "{transport}");
        }
    }
}

fn called(crossing: &Crossing, name: &str) -> Output {
    let path = if name == "grpc" { "Pricing/Quote?book=1" } else { "" };
    call(&format!("{name}://callee/{path}"), crossing.entry(name), &[])
}

/// A gateway that routes the host `shop` to the callee's HTTP port.
fn gateway(crossing: &mut Crossing) -> SocketAddr {
    let edge = free();
    let port = crossing.target("http").port();
    let documents = GATEWAY.replace("LISTEN", &edge.port().to_string()).replace("BACKEND", &port.to_string());
    crossing.proxies.configure("edge.yaml", &documents);
    crossing.proxies.start("gateway", "default", "edge", "edge", &["--bind=127.0.0.1".to_owned()]);
    eventually("the gateway listens", || match call("http://shop/", edge, &[]) {
        output if output.status.success() => Ok(()),
        output => Err(format!("{output:?}")),
    });
    edge
}

const GATEWAY: &str = "---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: default}
spec:
  gatewayClassName: leno
  listeners: [{name: http, port: LISTEN, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop, namespace: default}
spec:
  parentRefs: [{name: edge}]
  hostnames: [shop]
  rules: [{backendRefs: [{name: callee, port: BACKEND}]}]
";
