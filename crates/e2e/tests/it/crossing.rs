//! Every protocol over every transport between two proxies, with who called told at the other side.

use leno_testkit::crossing::{Crossing, Transport};
use leno_testkit::mesh::eventually;

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
        let crossing = Crossing::with_sample("every", transport, &["http", "grpc", "tcp"], "");
        let get = |name: &str| {
            let path = if name == "grpc" { "Pricing/Quote?book=1" } else { "" };
            call(&format!("{name}://callee/{path}"), crossing.entry(name), &[])
        };
        for name in ["http", "grpc"] {
            let output = get(name);
            assert!(output.status.success(), "{name} by {transport}: {output:?}");
        }
        assert_eq!(echoed(crossing.entry("tcp")).unwrap(), b"hello", "{transport}");
        let output = call("h2c://callee/", crossing.entry("http"), &[]);
        assert!(output.status.success(), "HTTP/2 by {transport}: {output:?}");
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
