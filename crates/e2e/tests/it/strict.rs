//! Who is served by a proxy over TCP: nobody without a mesh identity under STRICT, everybody under PERMISSIVE, and nobody
//! with a wrong one; and how the denied are told.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, SystemTime};

use leno_testkit::mesh::eventually;
use leno_testkit::programs::{CURL, OPENSSL, or_skip};
use leno_wire::open::{Open, Protocol, Source};

use crate::pair::{Pair, STRICT, call, show};
use leno_testkit::certificates::{Authority, Files};

const CLIENT: &str = "spiffe://cluster.local/ns/default/sa/client";

#[test]
fn strict_serves_the_mesh_alone_and_permissive_everybody() {
    if or_skip(CURL.find()).is_none() || or_skip(OPENSSL.find()).is_none() {
        return;
    }
    let mut pair = Pair::start("strict", &["http", "grpc", "tcp", "any"], "");
    let client = pair.caller("client");
    pair.wait_for_mode("PERMISSIVE");
    for (caller, got) in plaintext(&pair) {
        assert!(got, "{caller} is served under PERMISSIVE");
    }
    wrong_identities_get_nothing(&mut pair);
    pair.configure(STRICT);
    pair.wait_for_mode("STRICT");
    for (caller, got) in plaintext(&pair) {
        assert!(!got, "{caller} gets nothing under STRICT");
    }
    wrong_identities_get_nothing(&mut pair);
    // A peer of the mesh is served all along.
    let output = call("http://server/echo", client.0["http"], &[]);
    assert!(String::from_utf8_lossy(&output.stdout).contains(&format!("URI={CLIENT}")), "{output:?}");
    assert!(call("h2c://server/echo", client.0["http"], &[]).status.success());
    assert!(call("grpc://server/Pricing/Quote?book=3", client.0["grpc"], &[]).status.success());
    for port in ["tcp", "any"] {
        assert_eq!(opaque(client.0[port]), b"hello", "{port}");
    }
}

/// What had begun goes on, as certificates are for beginnings; a request begins anew.
#[test]
fn the_end_of_a_peers_certificate_ends_its_requests_and_no_stream() {
    if or_skip(OPENSSL.find()).is_none() {
        return;
    }
    let pair = Pair::start("ends", &["http", "tcp"], STRICT);
    let end = SystemTime::now() + Duration::from_secs(4);
    let files = pair.authority.until(end, &pair.folder, "short", CLIENT);
    let get = "GET /echo HTTP/1.1\r\nhost: server\r\n\r\n";
    let mut requests = Session::open(&pair, pair.mesh, Some(&files), "http", Protocol::Http1);
    for _ in 0..2 {
        requests.write(get);
        assert!(requests.read("}\n").starts_with("HTTP/1.1 200"));
    }
    let mut stream = Session::open(&pair, pair.mesh, Some(&files), "tcp", Protocol::Opaque);
    stream.write("before\n");
    // Its first byte is the verdict.
    assert!(stream.read("before\n").ends_with("before\n"));
    eventually("the certificate ends", || {
        // Validity is counted in whole seconds.
        let left = (end + Duration::from_secs(1)).duration_since(SystemTime::now());
        left.map_or(Ok(()), |left| Err(format!("{left:?}")))
    });
    requests.write(get);
    assert_eq!(requests.rest(), "");
    assert_eq!(leno(&pair, pair.mesh, Some(&files)), "", "nor is it good for a new connection");
    stream.write("after\n");
    assert_eq!(stream.read("after\n"), "after\n");
}

#[test]
fn the_denied_are_told_as_their_protocol_does() {
    let mut pair = Pair::start("denied", &["http", "grpc", "tcp", "any"], POLICY);
    let (client, stranger) = (pair.caller("client"), pair.caller("stranger"));
    for (url, port, allowed, denied) in [
        ("http://server/echo", "http", "HTTP/1.1 200 OK", "HTTP/1.1 403 Forbidden"),
        ("h2c://server/echo", "http", "HTTP/2.0 200 OK", "HTTP/2.0 403 Forbidden"),
        ("grpc://server/Pricing/Quote?book=3", "grpc", "\"cents\"", "\"grpc_status\": 7"),
    ] {
        let answer = |port| String::from_utf8_lossy(&call(url, port, &["-i"]).stdout).into_owned();
        assert!(answer(client.0[port]).contains(allowed), "{url}: {}", answer(client.0[port]));
        assert!(answer(stranger.0[port]).contains(denied), "{url}: {}", answer(stranger.0[port]));
        // Without any identity too, as the mode is PERMISSIVE.
        let direct = pair.port(port).inbound;
        assert!(answer(direct).contains(denied), "{url}: {}", answer(direct));
    }
    for port in ["tcp", "any"] {
        assert_eq!(opaque(client.0[port]), b"hello", "{port}");
        assert_eq!(opaque(stranger.0[port]), b"", "{port}");
        assert_eq!(opaque(pair.port(port).inbound), b"", "{port}");
    }
}

const POLICY: &str = "---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: client, namespace: default}
spec:
  selector: {matchLabels: {app: server}}
  rules:
  - from: [{source: {principals: [cluster.local/ns/default/sa/client]}}]
";

/// Callers that show no certificate at all, and whether the application answered them.
fn plaintext(pair: &Pair) -> Vec<(&'static str, bool)> {
    let [http, grpc, tcp, any] = ["http", "grpc", "tcp", "any"].map(|name| pair.port(name).inbound);
    let quote = call("grpc://server/Pricing/Quote?book=3", grpc, &[]);
    vec![
        ("curl over HTTP/1.1", curl(&["--http1.1"], "http", http).as_deref() == Some("200")),
        ("curl over HTTP/2", curl(&["--http2-prior-knowledge"], "http", http).as_deref() == Some("200")),
        ("gRPC", quote.status.success()),
        ("opaque TCP", opaque(tcp) == b"hello"),
        ("TCP of which nothing is known", opaque(any) == b"hello"),
    ]
}

/// Nothing is served on the strength of a certificate that isn't one of the mesh, in either mode and on every port.
fn wrong_identities_get_nothing(pair: &mut Pair) {
    let right = pair.certificate("client");
    let (folder, other) = (pair.folder.clone(), Authority::new());
    let wrong = [
        ("no certificate", None),
        ("another authority's", Some(other.svid(&folder, "forged", CLIENT))),
        (
            "another trust domain's",
            Some(pair.authority.svid(&folder, "foreign", &CLIENT.replace("cluster.local", "other"))),
        ),
        ("an expired one", Some(pair.authority.expired(&folder, "expired", CLIENT))),
        ("a name that is none", Some(pair.authority.svid(&folder, "web", "https://cluster.local/client"))),
    ];
    for (what, port) in [("the mesh's port", pair.mesh), ("the workload's port", pair.port("http").inbound)] {
        let served = leno(pair, port, Some(&right));
        assert!(served.contains("HTTP/1.1 200"), "the right one at {what}: {served}");
        for (whose, files) in &wrong {
            assert_eq!(leno(pair, port, files.as_ref()), "", "{whose} at {what}");
        }
    }
    // TLS that isn't the mesh's has no identity, whatever certificate it shows.
    let port = pair.port("http").inbound;
    let shown = ["-k", "--cert", show(&right.chain), "--key", show(&right.key)];
    for (what, arguments) in
        [("curl without a certificate", &shown[..1]), ("curl with the right one", &shown[..])]
    {
        for port in [port, pair.mesh] {
            let arguments = [&["--http1.1"], arguments].concat();
            assert_eq!(curl(&arguments, "https", port), None, "{what} at {port}");
        }
    }
    // By HTTP/2 it is HBONE, which knows CONNECT alone.
    assert_eq!(curl(&shown[..1], "https", pair.mesh), None, "HTTP/2 without a certificate");
    assert_eq!(curl(&shown, "https", pair.mesh).as_deref(), Some("400"), "a GET by HBONE");
    assert_eq!(curl(&[], "http", pair.mesh), None, "plaintext at the mesh's port");
}

/// The status that curl gets; `None` where it gets no answer.
fn curl(arguments: &[&str], scheme: &str, to: SocketAddr) -> Option<String> {
    let output = Command::new(CURL.find().unwrap())
        .args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "5", "--noproxy", "*"])
        .args(arguments)
        .arg(format!("{scheme}://{to}/echo"))
        .output()
        .unwrap();
    let status = String::from_utf8(output.stdout).unwrap();
    (status != "000").then_some(status)
}

/// What comes back on an opaque connection.
fn opaque(to: SocketAddr) -> Vec<u8> {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut got = Vec::new();
    // Whoever isn't served may find the connection reset at any of these.
    let _reset = stream.write_all(b"hello");
    let _reset = stream.shutdown(Shutdown::Write);
    if let Err(error) = stream.read_to_end(&mut got) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "it isn't left open");
    }
    got
}

/// What comes back on a connection made by OpenSSL as a proxy of the mesh makes it, with this certificate.
fn leno(pair: &Pair, to: SocketAddr, files: Option<&Files>) -> String {
    let mut session = Session::open(pair, to, files, "http", Protocol::Http1);
    session.write("GET /echo HTTP/1.1\r\nhost: server\r\nconnection: close\r\n\r\n");
    session.rest()
}

/// A connection made by OpenSSL as a proxy of the mesh makes it.
pub(crate) struct Session {
    client: Child,
    input: ChildStdin,
    output: ChildStdout,
}

impl Session {
    /// Opens one for the service port of this name.
    pub(crate) fn open(
        pair: &Pair,
        to: SocketAddr,
        files: Option<&Files>,
        name: &str,
        protocol: Protocol,
    ) -> Self {
        let mut session = Self::shake(to, files, "leno/1");
        let open = Open {
            ip: [127, 0, 0, 1].into(),
            port: pair.port(name).application,
            service: None,
            protocol,
            source: Source::default(),
            machine: None,
        };
        // A server that refuses may be gone before everything is written.
        let _gone = session.input.write_all(&open.encode());
        session
    }

    /// Shakes hands with an offer of this protocol.
    pub(crate) fn shake(to: SocketAddr, files: Option<&Files>, alpn: &str) -> Self {
        let mut command = Command::new("timeout");
        command.arg("20").arg(OPENSSL.find().unwrap());
        command.args(["s_client", "-quiet", "-tls1_3", "-alpn", alpn]);
        command.arg("-connect").arg(to.to_string());
        if let Some(files) = files {
            command.arg("-cert").arg(&files.chain).arg("-key").arg(&files.key);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut client = command.spawn().unwrap();
        let (input, output) = (client.stdin.take().unwrap(), client.stdout.take().unwrap());
        Self { client, input, output }
    }

    pub(crate) fn write(&mut self, text: &str) {
        let _gone = self.input.write_all(text.as_bytes());
    }

    /// What comes, until it ends like this.
    pub(crate) fn read(&mut self, end: &str) -> String {
        let (mut text, mut piece) = (Vec::new(), [0; 4096]);
        while !text.ends_with(end.as_bytes()) {
            let read = self.output.read(&mut piece).unwrap();
            assert!(read > 0, "no {end:?} at the end of {}", text.escape_ascii());
            text.extend_from_slice(&piece[..read]);
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    /// What else comes until the server ends the connection.
    fn rest(mut self) -> String {
        let mut text = Vec::new();
        self.output.read_to_end(&mut text).unwrap();
        drop(self.input);
        let ended = self.client.wait().unwrap();
        assert_ne!(ended.code(), Some(124), "the connection is left open: {}", text.escape_ascii());
        String::from_utf8_lossy(&text).into_owned()
    }
}
