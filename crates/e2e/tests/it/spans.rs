//! Spans of a request through several protocols arrive at a collector that others wrote, as one tree.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use leno_testkit::mesh::{Declaration, Mesh, eventually, free_port};
use leno_testkit::programs::{or_skip, rotel};

/// The trace and the span that a client of the mesh has begun.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CLIENT: &str = "00f067aa0ba902b7";

const FRONT: &str = "shop.default.svc.cluster.local";
const MIDDLE: &str = "catalog.default.svc.cluster.local";

/// A span as the collector has printed it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Span {
    service: String,
    trace: String,
    id: String,
    parent: String,
    name: String,
    kind: String,
    is_error: bool,
    attributes: BTreeMap<String, String>,
}

/// The spans in what the collector has printed.
fn spans(output: &str) -> Vec<Span> {
    let (mut service, mut in_resource, mut spans) = (String::new(), false, Vec::<Span>::new());
    for line in output.lines() {
        if line.contains("Resource attributes:") {
            in_resource = true;
        } else if line.contains("ScopeSpans #") {
            in_resource = false;
        } else if line.contains("Span #") {
            spans.push(Span { service: service.clone(), ..Span::default() });
        }
        if let Some((key, value)) = line.split_once("-> ").and_then(|(_, pair)| pair.split_once(": ")) {
            let value = value.split_once('(').and_then(|(_, value)| value.strip_suffix(')')).unwrap_or(value);
            match spans.last_mut().filter(|_| !in_resource) {
                Some(span) => drop(span.attributes.insert(key.to_owned(), value.to_owned())),
                None if key == "service.name" => value.clone_into(&mut service),
                None => {}
            }
            continue;
        }
        let (Some(span), Some((key, value))) = (spans.last_mut(), line.split_once(" : ")) else { continue };
        let value = value.trim().to_owned();
        match key.trim() {
            key if key.ends_with("Trace ID") => span.trace = value,
            key if key.ends_with("Parent ID") => span.parent = value,
            key if key.ends_with("ID") => span.id = value,
            key if key.ends_with("Name") => span.name = value,
            key if key.ends_with("Kind") => span.kind = value,
            key if key.ends_with("Status code") => span.is_error = value == "STATUS_CODE_ERROR",
            _ => {}
        }
    }
    spans
}

/// A collector on this machine.
struct Collector {
    process: Child,
    output: PathBuf,
    folder: PathBuf,
    grpc: u16,
    http: u16,
}

/// What makes it print each span.
fn arguments(grpc: u16, http: u16) -> Vec<String> {
    let mut arguments: Vec<String> =
        ["start", "--exporter", "blackhole", "--debug-log", "traces", "--debug-log-verbosity", "detailed"]
            .map(str::to_owned)
            .into();
    arguments.push(format!("--otlp-grpc-endpoint=127.0.0.1:{grpc}"));
    arguments.push(format!("--otlp-http-endpoint=127.0.0.1:{http}"));
    arguments
}

impl Collector {
    fn start(program: &Path) -> Self {
        let (grpc, http) = (free_port(), free_port());
        let folder = std::env::temp_dir().join(format!("leno-collector-{}-{grpc}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let output = folder.join("output");
        let mut command = Command::new(program);
        command.args(arguments(grpc, http));
        for file in ["pid", "log"] {
            command.arg(format!("--{file}-file")).arg(folder.join(file));
        }
        command.stdin(Stdio::null()).stdout(File::create(&output).unwrap()).stderr(Stdio::null());
        let process = command.spawn().unwrap();
        Self { process, output, folder, grpc, http }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.output).unwrap()).into_owned()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _ended = self.process.wait();
        let _gone = fs::remove_dir_all(&self.folder);
    }
}

/// Three services behind the gateway: HTTP/1, HTTP/2 and gRPC.
fn spec(port: u16, tracing: &str, more: &str) -> (String, String) {
    let services = format!(
        "services:
- {{name: shop, port: 9080, protocol: http, publish: {port}}}
- {{name: catalog, port: 9080, protocol: http2}}
- {{name: pricing, port: 9090, protocol: grpc}}
"
    );
    let workloads = format!(
        "workloads:
- {{service: shop, command: [leno-sample, serve, shop, '--call=http://catalog:9080/books/{{id}}']}}
- {{service: catalog, command: [leno-sample, serve, catalog, '--call=grpc://pricing:9090']}}
- {{service: pricing, command: [leno-sample, serve, pricing]}}
{more}tracing: {tracing}
"
    );
    (services, workloads)
}

/// Asks the gateway; answers with the status.
fn ask(port: u16, path: &str, trace: &str) -> u16 {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: shop\r\ntraceparent: 00-{trace}-{CLIENT}-01\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer}"))
}

/// The spans of a trace, from the client's side to the last service's.
fn chain(output: &str, trace: &str, length: usize) -> Result<Vec<Span>, String> {
    let spans: Vec<_> = spans(output).into_iter().filter(|span| span.trace == trace).collect();
    let mut chain = Vec::new();
    let mut parent = CLIENT;
    while let Some(next) = spans.iter().find(|span| span.parent == parent) {
        chain.push(next.clone());
        parent = &next.id;
    }
    let is_whole = chain.len() == length && spans.len() == length;
    if is_whole { Ok(chain) } else { Err(format!("{} of {}: {spans:#?}", chain.len(), spans.len())) }
}

/// Sends requests and finds their spans in `output`.
fn spans_arrive(mesh: &Mesh, port: u16, output: impl Fn() -> String) {
    assert_eq!(ask(port, "/", TRACE), 200, "{}", mesh.output());
    let mut found = Vec::new();
    eventually("the collector has the trace", || {
        found = chain(&output(), TRACE, 7)?;
        Ok(())
    });
    let told: Vec<_> =
        found.iter().map(|span| (span.service.as_str(), span.kind.as_str(), span.name.as_str())).collect();
    let (server, client) = ("SPAN_KIND_SERVER", "SPAN_KIND_CLIENT");
    let (front, middle) = (format!("GET {FRONT}"), format!("GET {MIDDLE}"));
    let call = found[6].attributes["url.path"].trim_start_matches('/').to_owned();
    assert_eq!(
        told,
        [
            ("gateway.default", server, front.as_str()),
            ("gateway.default", client, front.as_str()),
            ("shop.default", server, front.as_str()),
            ("shop.default", client, middle.as_str()),
            ("catalog.default", server, middle.as_str()),
            ("catalog.default", client, call.as_str()),
            ("pricing.default", server, call.as_str()),
        ]
    );
    let attribute = |at: usize, key: &str| found[at].attributes.get(key).map(String::as_str);
    assert_eq!(attribute(6, "rpc.system"), Some("grpc"));
    assert_eq!(attribute(6, "rpc.grpc.status_code"), Some("0"));
    assert_eq!(attribute(0, "network.protocol.version"), Some("1.1"));
    assert_eq!(attribute(4, "network.protocol.version"), Some("2"), "upgraded between the sidecars");
    assert_eq!(attribute(3, "peer.service"), Some(MIDDLE));
    assert_eq!(attribute(3, "istio.canonical_service"), Some("shop"));
    assert!(found.iter().all(|span| !span.is_error), "{found:#?}");
    an_error_is_one_for_who_asked(port, output);
}

/// What a client asks wrongly is no error of the server's.
fn an_error_is_one_for_who_asked(port: u16, output: impl Fn() -> String) {
    let trace = TRACE.replace('4', "5");
    assert_eq!(ask(port, "/nothing/there", &trace), 404);
    let mut found = Vec::new();
    eventually("the collector has the trace of the failed request", || {
        found = chain(&output(), &trace, 3)?;
        Ok(())
    });
    assert_eq!(found.iter().map(|span| span.is_error).collect::<Vec<_>>(), [false, true, false]);
    assert_eq!(found[1].attributes["error.type"], "404");
    let status = |span: &Span| span.attributes["http.response.status_code"].clone();
    assert_eq!(found.iter().map(status).collect::<Vec<_>>(), ["404", "404", "404"]);
}

/// Spans arrive at a collector on this machine that only the gateway's network leads to.
fn arrive_outside(name: &str, tracing: impl FnOnce(&Collector) -> String) {
    let Some(program) = or_skip(rotel()) else { return };
    let collector = Collector::start(&program);
    let port = free_port();
    let (services, workloads) = spec(port, &tracing(&collector), "");
    let mesh = Declaration::new(name).spec(&(services + &workloads)).start();
    spans_arrive(&mesh, port, || collector.text());
}

#[test]
fn a_collector_outside_gets_one_tree_by_grpc() {
    arrive_outside("spans-grpc", |collector| format!("{{endpoint: 'http://127.0.0.1:{}'}}", collector.grpc));
}

/// With Zipkin's headers in use beside the standard ones.
#[test]
fn a_collector_outside_gets_one_tree_by_http() {
    arrive_outside("spans-http", |collector| {
        let endpoint = format!("http://localhost:{}", collector.http);
        format!("{{endpoint: '{endpoint}', protocol: http/protobuf, propagation: [w3c, b3, b3multi]}}")
    });
}

/// The collector is a workload as any other, and reached by mutual TLS. Exports aren't traced themselves.
#[test]
fn a_collector_of_the_mesh_gets_one_tree() {
    let Some(program) = or_skip(rotel()) else { return };
    let port = free_port();
    let words = arguments(4317, 4318).join(", ");
    let more = format!("- {{service: collector, command: [rotel-agent, {words}]}}\n");
    let (services, workloads) = spec(port, "{endpoint: 'http://collector:4317'}", &more);
    let services = services + "- {name: collector, port: 4317, protocol: grpc}\n";
    let mesh = Declaration::new("spans-mesh").program(&program).spec(&(services + &workloads)).start();
    let output = || String::from_utf8_lossy(&mesh.leno(&["logs", "collector"]).stdout).into_owned();
    spans_arrive(&mesh, port, output);
    let exports = spans(&output()).into_iter().filter(|span| span.name.contains("TraceService"));
    assert_eq!(exports.collect::<Vec<_>>(), []);
}
