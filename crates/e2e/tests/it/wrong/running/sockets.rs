//! Wrong bytes on a mesh's own sockets: the control plane's, that of `leno up`, and a sidecar's admin interface.

use std::{
    io::{Read as _, Write as _},
    net::Shutdown,
    os::unix::net::UnixStream,
    path::PathBuf,
    time::Duration,
};

use bytes::Bytes;
use leno_testkit::mesh::{Mesh, eventually};

use crate::wrong::{
    page::{Row, Table, text, words},
    wire::http1::answer,
};

const DISCOVERY: &str = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
const CERTIFICATE: &str = "/istio.v1.auth.IstioCertificateService/CreateCertificate";

pub(super) fn tables(mesh: &Mesh) -> [Table; 3] {
    [control(mesh), up(mesh), admin(mesh)]
}

fn socket(mesh: &Mesh, name: &str) -> PathBuf {
    mesh.folder().join("run/leno/wrong").join(name)
}

/// What comes back until the end.
fn exchange(mesh: &Mesh, socket_name: &str, sent: &[u8]) -> Vec<u8> {
    let mut stream = UnixStream::connect(socket(mesh, socket_name)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // It may have answered and closed before everything is sent.
    let _closed = stream.write_all(sent).and_then(|()| stream.shutdown(Shutdown::Write));
    let mut got = Vec::new();
    match stream.read_to_end(&mut got) {
        Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => panic!("{error} after {got:?}"),
        _ => got,
    }
}

/// The service, what stands for the credentials, and the messages.
type Call = (&'static str, &'static str, Option<&'static str>, &'static [u8]);

const CALLS: &[Call] = &[
    ("no credentials", DISCOVERY, None, b"\0\0\0\0\0"),
    ("a token that nobody gave", DISCOVERY, Some("Bearer 0123456789abcdef"), b"\0\0\0\0\0"),
    ("a token that nobody gave", CERTIFICATE, Some("Bearer 0123456789abcdef"), b"\0\0\0\0\0"),
    ("no token at all", DISCOVERY, Some("Basic bGVubzpsZW5v"), b"\0\0\0\0\0"),
    ("a service that isn't there", "/leno.Nothing/Ask", None, b"\0\0\0\0\0"),
];

fn control(mesh: &Mesh) -> Table {
    let mut rows = Vec::new();
    for (what, shown, sent) in [
        ("HTTP/1", "GET / HTTP/1.1", &b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"[..]),
        ("bytes of no protocol", "ff ff ff ff", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
        (
            "HTTP/2, then bytes of no frame",
            "PRI * HTTP/2.0…, ff ff ff ff",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ),
    ] {
        let got = exchange(mesh, "control.sock", sent);
        let got = if got.starts_with(b"HTTP/1") { answer(&got) } else { frames(&got) };
        rows.push(row(mesh, what, shown, &got, ""));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (what, path, credentials, message) in CALLS {
        let before = refusals(mesh).len();
        let got = runtime.block_on(call(mesh, path, *credentials, message));
        let shown =
            format!("{}, {}", path.rsplit('/').next().unwrap(), credentials.unwrap_or("no authorization"));
        let mut log = String::new();
        if credentials.is_none_or(|credentials| credentials.starts_with("Bearer"))
            && *path != "/leno.Nothing/Ask"
        {
            eventually("the control plane tells", || {
                let lines = refusals(mesh);
                log = lines.get(before).cloned().unwrap_or_default();
                if log.is_empty() { Err(format!("{lines:?}")) } else { Ok(()) }
            });
        }
        rows.push(row(mesh, what, &shown, &got, &log));
    }
    Table { title: "The control plane's socket".to_owned(), rows }
}

/// The kinds of the frames that came.
fn frames(mut got: &[u8]) -> String {
    let mut kinds = Vec::new();
    while let Some((head, rest)) = got.split_first_chunk::<9>() {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        if head[3] == 7 {
            kinds.push("GOAWAY, ");
        }
        got = rest.get(length..).unwrap_or_default();
    }
    format!("{}(closed)", kinds.concat())
}

/// The status of a call (gRPC over HTTP/2).
async fn call(mesh: &Mesh, path: &str, credentials: Option<&str>, message: &[u8]) -> String {
    let stream = tokio::net::UnixStream::connect(socket(mesh, "control.sock")).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    let asking = async move {
        let mut client = client.ready().await.unwrap();
        let mut request = http::Request::post(format!("http://control{path}"));
        request = request.header("content-type", "application/grpc").header("te", "trailers");
        if let Some(credentials) = credentials {
            request = request.header("authorization", credentials);
        }
        let (response, mut body) = client.send_request(request.body(()).unwrap(), false).unwrap();
        let _refused = body.send_data(Bytes::copy_from_slice(message), true);
        let response = response.await.unwrap();
        let field = |name: &str| {
            response
                .headers()
                .get(name)
                .map(|value| value.to_str().unwrap().replace("%20", " "))
                .unwrap_or_default()
        };
        format!("grpc-status {}: {}", field("grpc-status"), field("grpc-message"))
    };
    tokio::select! {
        answer = asking => answer,
        ended = connection => panic!("{ended:?} before an answer"),
    }
}

/// What the control plane has logged about callers that it refuses, without times.
fn refusals(mesh: &Mesh) -> Vec<String> {
    let ran = super::leno(mesh, &["logs", "control"]);
    let told =
        ran.out.lines().filter_map(|line| line.find("a caller is refused").map(|at| line[at..].to_owned()));
    told.collect()
}

fn up(mesh: &Mesh) -> Table {
    let large = [&b"{"[..], &vec![b' '; 8 << 20]].concat();
    let cases: [(&str, &str, &[u8]); 5] = [
        ("no JSON", "hello", b"hello\n"),
        (
            "another version",
            "{\"version\":9,\"request\":\"status\"}",
            b"{\"version\":9,\"request\":\"status\"}\n",
        ),
        (
            "an unknown request",
            "{\"version\":1,\"request\":\"dance\"}",
            b"{\"version\":1,\"request\":\"dance\"}\n",
        ),
        (
            "an unknown field",
            "{\"version\":1,\"request\":{\"restart\":{\"workload\":\"hello\",\"now\":true}}}",
            b"{\"version\":1,\"request\":{\"restart\":{\"workload\":\"hello\",\"now\":true}}}\n",
        ),
        ("a line that doesn't end", "8 MiB", &large),
    ];
    let rows = cases.iter().map(|(what, shown, sent)| {
        let got = exchange(mesh, "up.sock", sent);
        row(mesh, what, shown, String::from_utf8(got).unwrap().trim_end(), "")
    });
    Table { title: "The socket of `leno up`".to_owned(), rows: rows.collect() }
}

fn admin(mesh: &Mesh) -> Table {
    let post = |body: &str| {
        let length = body.len();
        format!(
            "POST /explain HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        )
    };
    let question = "{\"method\":\"GET\",\"authority\":\"hello\",\"target\":\"/\",\"port\":80}";
    let cases = [
        (
            "a line ends without CR",
            "GET /status HTTP/1.1\\n",
            "GET /status HTTP/1.1\nhost: a\r\n\r\n".to_owned(),
        ),
        (
            "a path that isn't there",
            "GET /stats",
            "GET /stats HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".to_owned(),
        ),
        (
            "a method that isn't there",
            "DELETE /config",
            "DELETE /config HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".to_owned(),
        ),
        ("no question", "POST /explain hello", post("hello")),
        ("a question without its origin", question, post(question)),
        ("a question that is too long", "POST /explain, 1 MiB", post(&" ".repeat(1 << 20))),
    ];
    let rows = cases.iter().map(|(what, shown, sent)| {
        let got = exchange(mesh, "s/hello-v1.admin", sent.as_bytes());
        row(mesh, what, shown, &answer(&got), "")
    });
    Table { title: "A sidecar's admin socket".to_owned(), rows: rows.collect() }
}

/// A row, once others are known to be served.
fn row(mesh: &Mesh, what: &str, shown: &str, got: &str, log: &str) -> Row {
    let status = super::leno(mesh, &["status"]);
    let served = mesh.sample("caller", &["call", "http://hello/status/200"]).status.success();
    let mut faults = Vec::new();
    if status.code != Some(0) || !served {
        faults.push(format!("something else is disturbed: {} {}", status.out, status.err));
    }
    Row { cells: vec![words(what), text(shown), text(got), text(log)], faults }
}
