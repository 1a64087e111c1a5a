//! Routing and every kind of call over every protocol, inside the mesh and through its gateway.

use std::{
    fs,
    net::TcpStream,
    process::{Child, Command, Stdio},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use leno_testkit::mesh::{Declaration, Mesh, eventually};
use leno_testkit::ports::free;
use leno_testkit::programs::{CURL, GRPCIO, or_skip, own, python};
use leno_testkit::proxies::{Proxies, service, workload};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::Value;

use crate::alone;

/// What HTTP is spoken in.
const PROTOCOLS: [&str; 3] = ["http", "h2c", "grpc"];

/// The name that the gateway's certificate is for.
const NAME: &str = "shop.example.com";

/// One mesh; each step is told by its message.
#[test]
fn every_protocol_is_routed_and_every_kind_of_call_works() {
    let _alone = alone();
    let certificate = generate_simple_self_signed([NAME.to_owned()]).unwrap();
    let https = free().port();
    let declaration = declaration(&certificate, https);
    let mesh = declaration.start();
    let root = mesh.folder().join("gateway.pem");
    fs::write(&root, certificate.cert.pem()).unwrap();
    for protocol in PROTOCOLS {
        headers_choose_subsets(protocol, &|arguments| mesh.load("caller", arguments), "web:80");
        let gateway = format!("127.0.0.1:{}", mesh.port);
        headers_choose_subsets(protocol, &|arguments| outside(&mesh, "load", arguments), &gateway);
    }
    websockets_pass(&mesh);
    the_sample_speaks_grpc(&mesh);
    let root = root.to_str().unwrap();
    if let Some(python) = or_skip(python(&[GRPCIO])) {
        let python = python.program("python");
        others_speak_grpc(Command::new(&python).args(["-c", GRPC, &format!("127.0.0.1:{}", mesh.port)]));
        others_speak_grpc(Command::new(&python).args([
            "-c",
            GRPC,
            &format!("127.0.0.1:{https}"),
            root,
            NAME,
        ]));
    }
    if let Some(curl) = or_skip(CURL.find()) {
        for (version, spoken) in [("--http1.1", "1.1"), ("--http2", "2")] {
            let connect = format!("{NAME}:{https}:127.0.0.1:{https}");
            let url = format!("https://{NAME}:{https}/echo");
            let mut command = Command::new(&curl);
            command.args(["-sS", "--fail", "--cacert", root, "--connect-to", &connect, version, &url]);
            let output = command.args(["-w", "\n%{http_version}"]).output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let (answer, version) = text.rsplit_once('\n').unwrap();
            assert_eq!(version, spoken, "{output:?}");
            let answer: Value = serde_json::from_str(answer).unwrap();
            assert_eq!(answer["headers"]["x-forwarded-proto"], "https", "{answer}");
        }
    }
}

fn declaration(certificate: &CertifiedKey<rcgen::KeyPair>, https: u16) -> Declaration {
    let version = |version: &str| {
        format!(
            "  - {{service: web, version: {version}, command: [leno-sample, serve, web, --version={version}, --listen=http://:80]}}\n"
        )
    };
    let spec = format!(
        "services:
  - {{name: web, port: 80, protocol: http}}
  - {{name: caller, port: 80, protocol: http}}
workloads:
  - {{service: caller, command: [leno-sample, serve, caller, --listen=http://:80]}}
{}",
        ["v1", "v2", "v3"].map(version).concat()
    );
    let declaration = Declaration::new("matrix");
    let gateway = GATEWAY
        .replace("HTTP_PORT", &declaration.port().to_string())
        .replace("HTTPS_PORT", &https.to_string())
        .replace("CERTIFICATE", &STANDARD.encode(certificate.cert.pem()))
        .replace("KEY", &STANDARD.encode(certificate.signing_key.serialize_pem()));
    let services = ["v1", "v2", "v3"].map(|version| {
        format!(
            "---
apiVersion: v1
kind: Service
metadata: {{name: web-only-{version}, namespace: default}}
spec:
  selector: {{app: web, version: {version}}}
  ports: [{{name: http, port: 80}}]
"
        )
    });
    declaration
        .spec(&spec)
        .config("web.yaml", WEB)
        .config("gateway.yaml", gateway)
        .config("services.yaml", services.concat())
}

const WEB: &str = "apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: default}
spec: {mtls: {mode: STRICT}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web, namespace: default}
spec:
  host: web
  subsets:
    - {name: v1, labels: {version: v1}}
    - {name: v2, labels: {version: v2}}
    - {name: v3, labels: {version: v3}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: default}
spec:
  hosts: [web]
  http:
    - name: canary
      match: [{headers: {x-canary: {exact: 'yes'}}}]
      route: [{destination: {host: web, subset: v3}}]
    - name: pinned
      match: [{headers: {x-pin: {regex: '[0-9]+'}}}]
      route: [{destination: {host: web, subset: v2}}]
    - name: everybody
      route: [{destination: {host: web, subset: v1}}]
";

const GATEWAY: &str = "apiVersion: v1
kind: Secret
metadata: {name: gateway, namespace: default}
type: kubernetes.io/tls
data:
  tls.crt: CERTIFICATE
  tls.key: KEY
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gateway, namespace: default}
spec:
  gatewayClassName: leno
  listeners:
    - {name: http, protocol: HTTP, port: HTTP_PORT}
    - {name: https, protocol: HTTPS, port: HTTPS_PORT, tls: {mode: Terminate, certificateRefs: [{name: gateway}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: default}
spec:
  parentRefs: [{name: gateway}]
  rules:
    - matches: [{headers: [{name: x-canary, value: 'yes'}]}]
      backendRefs: [{name: web-only-v3, port: 80}]
    - matches: [{headers: [{name: x-pin, type: RegularExpression, value: '[0-9]+'}]}]
      backendRefs: [{name: web-only-v2, port: 80}]
    - backendRefs: [{name: web-only-v1, port: 80}]
";

/// A program of the mesh's folder, run outside the mesh; what it says about itself as JSON.
fn outside(mesh: &Mesh, command: &str, arguments: &[&str]) -> Value {
    let output =
        mesh.program("leno-sample").args([command, "--output", "json"]).args(arguments).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// A canary's header, and one that pins requests to a subset; others go to the first version.
fn headers_choose_subsets(protocol: &str, load: &dyn Fn(&[&str]) -> Value, address: &str) {
    let path = if protocol == "grpc" { "Pricing/Quote?book=1" } else { "status/200" };
    let url = format!("{protocol}://{address}/{path}");
    for (header, version) in [
        ("x-canary: yes", "v3"),
        ("x-canary: no", "v1"),
        ("x-pin: 17", "v2"),
        ("x-pin: x17", "v1"),
        ("x-other: 1", "v1"),
    ] {
        let report = load(&[&url, "--closed", "--connections", "4", "--requests", "200", "-H", header]);
        let count = &report["versions"][version]["count"];
        assert_eq!((&report["ok"], count), (&200.into(), &200.into()), "{url} with {header}: {report}");
    }
}

/// Messages of every size, fragments, pings and the close; over HTTP/1.1 and as RFC 8441 has it over HTTP/2.
fn websockets_pass(mesh: &Mesh) {
    for scheme in ["ws", "h2c"] {
        let inside = mesh.sample("caller", &["ws", &format!("{scheme}://web/ws")]);
        let inside: Value =
            serde_json::from_slice(&inside.stdout).unwrap_or_else(|error| panic!("{error}: {inside:?}"));
        assert_eq!(inside["ok"], true, "{scheme} inside: {inside}");
        let gateway = outside(mesh, "ws", &[&format!("{scheme}://127.0.0.1:{}/ws", mesh.port)]);
        assert_eq!(gateway["ok"], true, "{scheme} through the gateway: {gateway}");
    }
}

/// Four kinds of call, a refusal and a deadline.
fn the_sample_speaks_grpc(mesh: &Mesh) {
    let inside = mesh.sample("caller", &["grpc-check", "web:80"]);
    let inside: Value =
        serde_json::from_slice(&inside.stdout).unwrap_or_else(|error| panic!("{error}: {inside:?}"));
    assert_eq!(inside["ok"], true, "inside: {inside}");
    let gateway = outside(mesh, "grpc-check", &[&format!("127.0.0.1:{}", mesh.port)]);
    assert_eq!(gateway["ok"], true, "through the gateway: {gateway}");
}

/// gRPC's own client, which is C++ below Python. Messages are bytes: `book` is field 1.
const GRPC: &str = r"
import queue, sys, grpc
if len(sys.argv) > 2:
    credentials = grpc.ssl_channel_credentials(open(sys.argv[2], 'rb').read())
    channel = grpc.secure_channel(sys.argv[1], credentials, [('grpc.ssl_target_name_override', sys.argv[3])])
else:
    channel = grpc.insecure_channel(sys.argv[1])
path = '/leno.sample.v1.Pricing/'
price = channel.unary_unary(path + 'Quote')(b'\x08\x01', timeout=20)
assert b'\x10\xe2\x0e' in price, price
prices = list(channel.unary_stream(path + 'Watch')(b'\x08\x02\x10\x03\x18\x05', timeout=20))
assert len(prices) == 3, prices
basket = channel.stream_unary(path + 'Total')(iter([b'\x08\x01\x10\x01', b'\x08\x02\x10\x01']), timeout=20)
assert basket.startswith(b'\x08\x02'), basket
offers = queue.Queue()
answers = channel.stream_stream(path + 'Haggle')(iter(offers.get, None), timeout=20)
for round in range(3):
    offers.put(b'\x08\x03\x10\x64')
    assert next(answers).startswith(b'\x08\x03')
offers.put(None)
assert list(answers) == []
try:
    channel.unary_unary(path + 'Quote')(b'\x08\x63', timeout=20)
    assert False, 'a price of a book that does not exist'
except grpc.RpcError as error:
    assert error.code() == grpc.StatusCode.NOT_FOUND, error
print('well')
";

fn others_speak_grpc(command: &mut Command) {
    let output = command.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "well\n", "{output:?}");
}

/// 90 of 100 to one version, 10 to the other, within one percentage point over 10,000 requests.
///
/// Over TCP with seeded draws, since chance alone would miss a percentage point once in a thousand runs.
#[test]
fn weights_hold_over_every_protocol() {
    let _alone = alone();
    let mut proxies = Proxies::new("weights");
    let (mut documents, mut legs, mut samples) = (WEIGHTS.to_owned(), Vec::new(), Vec::new());
    for (number, version) in ["v1", "v2"].into_iter().enumerate() {
        let (application, mesh) = (free(), free());
        samples.push(Sample::serve(version, application));
        let labels = format!("{{app: web, version: {version}}}");
        documents +=
            &workload("default", &format!("web-{version}"), number, "web", &labels, mesh, application.port());
        legs.push((version, format!("--mesh={mesh}")));
    }
    documents += &service("web", "app: web");
    documents += &workload("default", "caller", 9, "caller", "{}", free(), 1);
    proxies.configure("weights.yaml", &documents);
    for (version, leg) in legs {
        proxies.start("workload", "default", &format!("web-{version}"), "web", &[leg]);
    }
    let entry = free();
    let leg = format!("--outbound={entry}=web.default.svc.cluster.local:80");
    proxies.start("workload", "default", "caller", "caller", &[leg]);
    for protocol in PROTOCOLS {
        let path = if protocol == "grpc" { "Pricing/Quote?book=1" } else { "status/200" };
        let mut load = Command::new(own("leno-sample", "leno-sample").unwrap());
        load.args(["load", "--output", "json", "--closed", "--connections", "8", "--requests", "10000"]);
        let output = load
            .args(["--connect", &entry.to_string(), &format!("{protocol}://web/{path}")])
            .output()
            .unwrap();
        let report: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        assert_eq!((&report["ok"], &report["failed"]), (&10_000.into(), &0.into()), "{protocol}: {report}");
        let second = report["versions"]["v2"]["count"].as_u64().unwrap();
        println!("{protocol}: {second} of 10000 to the second version");
        assert!((900..=1100).contains(&second), "{protocol}: {report}");
    }
}

const WEIGHTS: &str = "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web, namespace: default}
spec:
  host: web
  subsets:
    - {name: v1, labels: {version: v1}}
    - {name: v2, labels: {version: v2}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: default}
spec:
  hosts: [web]
  http:
    - route:
        - {destination: {host: web, subset: v1}, weight: 90}
        - {destination: {host: web, subset: v2}, weight: 10}
";

/// An application outside any mesh; ends when dropped.
struct Sample(Child);

impl Sample {
    fn serve(version: &str, address: std::net::SocketAddr) -> Self {
        let mut command = Command::new(own("leno-sample", "leno-sample").unwrap());
        command.args(["serve", "web", "--version", version, &format!("--listen=http://{address}")]);
        let sample = Self(command.stdout(Stdio::null()).spawn().unwrap());
        eventually(version, || TcpStream::connect(address).map(drop).map_err(|error| error.to_string()));
        sample
    }
}

impl Drop for Sample {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _ended = self.0.wait();
    }
}
