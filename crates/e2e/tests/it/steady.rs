//! A mesh under even load: what the tests of certificates and outages have in common.

use std::process::Child;

use leno_testkit::mesh::{Declaration, Mesh, report};
use serde_json::Value;

/// How long certificates are valid. The first renewal comes after a sixth of it.
pub(crate) const LIFETIME: u64 = 60;

pub(crate) const WEB: &str = "http://web:8000/echo";
pub(crate) const ECHO: &str = "echo://echo:7";

/// The three kinds of request.
const REQUESTS: [&str; 3] = [WEB, "h2c://web:8000/echo", "grpc://prices:9090/Pricing/Quote?book=3"];

/// Everything that takes part in the mesh with a certificate of its own.
pub(crate) const PROXIES: [&str; 6] = ["caller", "web-v1", "prices-v1", "echo-v1", "spare-v1", "gateway"];

/// A mesh in which nobody is served without a certificate.
pub(crate) fn mesh(name: &str) -> Mesh {
    Declaration::new(name)
        .spec(
            "services:
  - {name: web, port: 8000, protocol: http}
  - {name: spare, port: 8000, protocol: http}
  - {name: prices, port: 9090, protocol: grpc}
  - {name: echo, port: 7, protocol: tcp}
workloads:
  - {name: caller, command: [sleep, infinity]}
  - {service: web, version: v1, command: [leno-sample, serve, web, '--listen=http://:8000']}
  - {service: spare, version: v1, command: [leno-sample, serve, spare, '--listen=http://:8000']}
  - {service: prices, version: v1, command: [leno-sample, serve, pricing, '--listen=http://:9090']}
  - {service: echo, version: v1, command: [leno-sample, serve, echo, '--listen=echo://:7']}",
        )
        .config(
            "strict.yaml",
            "apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: default}
spec: {mtls: {mode: STRICT}}
",
        )
        .argument(&format!("--svid-lifetime={LIFETIME}"))
        .start()
}

/// HTTP/1.1, HTTP/2 and gRPC at a modest rate, and one TCP connection that lives through all of it.
pub(crate) struct Load {
    requests: Vec<(&'static str, Child)>,
    stream: Child,
}

impl Load {
    /// Starts requests for so many seconds, and the stream for `stream` of them.
    pub(crate) fn start(mesh: &Mesh, seconds: u64, stream: u64) -> Self {
        let duration = format!("{seconds}s");
        let arguments = |url| [url, "--rate", "25", "--connections", "4", "--duration", duration.as_str()];
        let requests = REQUESTS.map(|url| (url, mesh.start_load("caller", &arguments(url))));
        let stream = mesh.start("caller", &["bash", "-c", STREAM, "stream", &stream.to_string()]);
        Self { requests: requests.into(), stream }
    }

    /// Waits for the requests, none of which may have failed. The stream goes on.
    pub(crate) fn succeeds(self) -> Child {
        for (url, load) in self.requests {
            let report = report(load);
            assert_eq!((&report["failed"], &report["unsent"]), (&0.into(), &0.into()), "{url}: {report}");
            assert!(report["ok"].as_u64().unwrap() > 100, "{url}: {report}");
        }
        self.stream
    }
}

/// One connection on which every line must come back, for so many seconds.
const STREAM: &str = "
exec 3<>/dev/tcp/echo/7 || { echo no connection; exit 1; }
for ((line = 0; SECONDS < $1; line++)); do
  echo $line >&3 && read -r -t 10 -u 3 back && [ \"$back\" = $line ] || { echo cut after $line lines; exit 1; }
  sleep 0.2
done
echo alive";

/// Waits for the stream, which nothing may have cut.
pub(crate) fn stream_lived(stream: Child) {
    let output = stream.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "alive\n", "{output:?}");
}

/// One call of each kind, a new connection each; why the first that fails does.
pub(crate) fn call_all(mesh: &Mesh) -> Result<(), String> {
    for url in REQUESTS.into_iter().chain(["http://spare:8000/echo"]) {
        let output = mesh.sample("caller", &["call", url]);
        if !output.status.success() {
            return Err(format!("{url}: {output:?}"));
        }
    }
    echo(mesh)
}

/// One opaque exchange on a new connection.
pub(crate) fn echo(mesh: &Mesh) -> Result<(), String> {
    let output = mesh.sample("caller", &["call", ECHO, "-d", "hello"]);
    if output.stdout == b"hello" { Ok(()) } else { Err(format!("{ECHO}: {output:?}")) }
}

/// What a proxy says of its certificate.
pub(crate) fn certificate(mesh: &Mesh, proxy: &str) -> Value {
    mesh.leno_json(&["config", proxy])["certificate"].clone()
}
