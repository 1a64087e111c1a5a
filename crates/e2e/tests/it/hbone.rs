//! HBONE with a peer that nobody here wrote: Envoy, as the client that opens tunnels and as the server that ends them.

mod envoy;

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use leno_testkit::certificates::Authority;
use leno_testkit::crossing::{Crossing, Transport};
use leno_testkit::mesh::eventually;
use leno_testkit::programs::{envoy, or_skip};
use leno_testkit::{ports::free, proxies::service_with};
use rustix::process::Signal;
use serde_json::Value;

use crate::pair::call;
use crate::raw::echoed;
use envoy::Leg;

const PORTS: [&str; 4] = ["http", "grpc", "tcp", "any"];

const ONLY_ENVOY: &str = "---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: envoys, namespace: default}
spec:
  rules:
  - from: [{source: {principals: ['cluster.local/ns/default/sa/envoy']}}]
    to: [{operation: {ports: ['PORT']}}]
";

/// More than a connection's windows, its queue and the sockets' buffers hold together.
const LARGE: usize = 32 << 20;

/// Long enough to measure, even without optimizations.
const TRANSFER: u64 = 64 << 20;

/// The Envoy of a test, with an identity of the mesh.
struct Peer {
    program: PathBuf,
    admin: SocketAddr,
}

impl Peer {
    fn start(crossing: &mut Crossing, program: PathBuf, name: &str, config: &Value) -> Self {
        let admin = free();
        envoy::start(&mut crossing.proxies, &program, name, admin, config);
        Self { program, admin }
    }

    fn count(&self, what: &str) -> u64 {
        envoy::count(self.admin, what)
    }
}

/// Everything that is spoken goes into tunnels that Envoy opens, and policy knows it by its certificate.
#[test]
fn envoy_opens_tunnels_to_leno() {
    let Some(program) = or_skip(envoy()) else { return };
    let mut crossing = Crossing::with_sample("envoy-in", Transport::Hbone, &PORTS, "");
    let legs = PORTS.map(|name| Leg { listen: free(), target: crossing.target(name) });
    let leg = |name: &str| legs[PORTS.iter().position(|port| *port == name).unwrap()].listen;
    let files = crossing.proxies.certificate("envoy", "spiffe://cluster.local/ns/default/sa/envoy");
    let config = envoy::client(&legs, crossing.mesh, &files, &crossing.proxies.folder().join("root.pem"));
    let peer = Peer::start(&mut crossing, program, "envoy", &config);
    let answers = |name: &str, url: &str| call(url, leg(name), &[]).status.success();
    assert!(answers("http", "http://callee/"), "HTTP/1 in a tunnel");
    assert!(answers("http", "h2c://callee/"), "HTTP/2 in a tunnel");
    assert!(answers("grpc", "grpc://callee/Pricing/Quote?book=1"), "gRPC in a tunnel");
    for name in ["tcp", "any"] {
        assert_eq!(echoed(leg(name)).unwrap(), b"hello", "{name}");
        // Both directions at once, until the client ends its own.
        assert_eq!(sent_and_received(leg(name)).unwrap(), (LARGE, LARGE), "{name}");
    }
    let metrics = crossing.callee.admin().metrics().unwrap();
    let named = [("reporter", "destination"), ("source_workload", "front")];
    assert!(metrics.sum("istio_tcp_connections_opened_total", &named) > 0.0, "as it describes itself");
    // More streams than one connection takes.
    let many = held(leg("tcp"), 300);
    assert!(peer.count("cluster.leno.upstream_cx_http2_total") > 1);
    all_alive(many);
    // A connection that is reset ends its stream and nothing else.
    let kept = held(leg("tcp"), 1);
    rustix::net::sockopt::set_socket_linger(held(leg("tcp"), 1).remove(0), Some(Duration::ZERO)).unwrap();
    all_alive(kept);
    // Now only one port is open to it, and only to it.
    crossing.configure(&ONLY_ENVOY.replace("PORT", &crossing.target("tcp").port().to_string()));
    eventually("the other ports are closed", || match echoed(leg("any")) {
        Err(_) => Ok(()),
        Ok(bytes) if bytes.is_empty() => Ok(()),
        Ok(bytes) => Err(format!("{bytes:?}")),
    });
    assert!(!answers("http", "http://callee/"));
    assert_eq!(echoed(leg("tcp")).unwrap(), b"hello");
    assert!(!call("http://callee/", crossing.entry("http"), &[]).status.success(), "nor to the caller");
}

/// What can't show an identity of the mesh opens nothing.
#[test]
fn an_envoy_of_another_mesh_opens_no_tunnel() {
    let Some(program) = or_skip(envoy()) else { return };
    let mut crossing = Crossing::with_sample("envoy-strange", Transport::Hbone, &["tcp"], "");
    let legs = [Leg { listen: free(), target: crossing.target("tcp") }];
    // It believes us, and has the right name from an authority that nobody knows.
    let id = "spiffe://cluster.local/ns/default/sa/caller";
    let files = Authority::new().svid(crossing.proxies.folder(), "stranger", id);
    let config = envoy::client(&legs, crossing.mesh, &files, &crossing.proxies.folder().join("root.pem"));
    let peer = Peer::start(&mut crossing, program, "stranger", &config);
    let back = echoed(legs[0].listen);
    assert!(!back.as_ref().is_ok_and(|bytes| !bytes.is_empty()), "{back:?}");
    eventually("Envoy saw it", || match peer.count("cluster.leno.upstream_cx_destroy_remote") {
        0 => Err("no connection was refused".to_owned()),
        _ => Ok(()),
    });
    assert_eq!(echoed(crossing.entry("tcp")).unwrap(), b"hello", "the mesh's own may");
}

/// A proxy that leaves lets the streams under way finish.
#[test]
fn a_proxy_that_drains_finishes_the_tunnels_that_envoy_has_open() {
    let Some(program) = or_skip(envoy()) else { return };
    let mut crossing = Crossing::with_sample("envoy-drain", Transport::Hbone, &["tcp"], "");
    let legs = [Leg { listen: free(), target: crossing.target("tcp") }];
    let files = crossing.proxies.certificate("envoy", "spiffe://cluster.local/ns/default/sa/envoy");
    let config = envoy::client(&legs, crossing.mesh, &files, &crossing.proxies.folder().join("root.pem"));
    let peer = Peer::start(&mut crossing, program, "envoy", &config);
    let mut streams = held(legs[0].listen, 5);
    crossing.proxies.signal("callee", Signal::TERM);
    eventually("Envoy is told", || match peer.count("cluster.leno.upstream_cx_close_notify") {
        0 => Err("no GOAWAY".to_owned()),
        _ => Ok(()),
    });
    for stream in &mut streams {
        ping(stream).unwrap();
    }
    drop(streams);
    eventually("the proxy has left", || {
        if crossing.proxies.has_ended("callee") { Ok(()) } else { Err(String::new()) }
    });
}

/// What is labelled to be reached by HBONE is dialled so, by the identity that is expected there.
#[test]
fn leno_opens_tunnels_to_envoy() {
    let Some(program) = or_skip(envoy()) else { return };
    let mut far = Far::start("envoy-out", program, None);
    for name in PORTS {
        if matches!(name, "tcp" | "any") {
            assert_eq!(echoed(far.entry(name)).unwrap(), b"hello", "{name}");
            assert_eq!(sent_and_received(far.entry(name)).unwrap(), (LARGE, LARGE), "{name}");
        } else {
            let path = if name == "grpc" { "Pricing/Quote?book=1" } else { "" };
            let output = call(&format!("{name}://far/{path}"), far.entry(name), &[]);
            assert!(output.status.success(), "{output:?}");
        }
    }
    assert!(far.peer.count("http.tunnels.downstream_cx_http2_total") > 0);
    all_alive(held(far.entry("tcp"), 150));
    assert!(!call("http://other/", far.other, &[]).status.success(), "another identity is expected there");
    // When the peer's proxy dies its streams end, and with the next one others begin.
    let mut cut = held(far.entry("tcp"), 3);
    far.crossing.proxies.signal("envoy", Signal::KILL);
    for stream in &mut cut {
        let end = stream.read(&mut [0]).map_err(|error| error.kind());
        assert!(matches!(end, Ok(0) | Err(io::ErrorKind::ConnectionReset)), "{end:?}");
    }
    assert!(!echoed(far.entry("tcp")).is_ok_and(|bytes| !bytes.is_empty()));
    let program = far.peer.program.clone();
    far.peer = Peer::start(&mut far.crossing, program, "envoy", &far.config);
    assert_eq!(echoed(far.entry("tcp")).unwrap(), b"hello");
}

/// A peer that says GOAWAY keeps what it has begun; what comes next gets another connection, and nobody notices.
#[test]
fn a_connection_that_envoy_wants_to_end_costs_nothing() {
    let Some(program) = or_skip(envoy()) else { return };
    let far = Far::start("envoy-goaway", program, Some(3));
    let mut streams = held(far.entry("tcp"), 20);
    for _ in 0..20 {
        assert!(call("http://far/", far.entry("http"), &[]).status.success());
        for stream in &mut streams {
            ping(stream).unwrap();
        }
    }
    assert!(far.peer.count("http.tunnels.downstream_cx_http2_total") >= 6);
}

/// A peer that is there no more is found although its sockets stay.
#[test]
fn a_frozen_peer_is_found() {
    let Some(program) = or_skip(envoy()) else { return };
    let mut far = Far::start("envoy-frozen", program, None);
    let mut streams = held(far.entry("tcp"), 2);
    far.crossing.proxies.signal("envoy", Signal::STOP);
    let since = Instant::now();
    for stream in &mut streams {
        stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        let end = stream.read(&mut [0]).map_err(|error| error.kind());
        assert!(matches!(end, Ok(0) | Err(io::ErrorKind::ConnectionReset)), "{end:?}");
    }
    println!("found after {:?}", since.elapsed());
    far.crossing.proxies.signal("envoy", Signal::CONT);
    eventually("there again", || match echoed(far.entry("tcp")) {
        Ok(bytes) if bytes == b"hello" => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

/// A workload behind Envoy, and a proxy of ours that calls it.
struct Far {
    crossing: Crossing,
    peer: Peer,
    config: Value,
    entries: Vec<SocketAddr>,
    /// The same Envoy where somebody else is expected.
    other: SocketAddr,
}

impl Far {
    fn start(name: &str, program: PathBuf, most_requests: Option<u32>) -> Self {
        let mut crossing = Crossing::with_sample(name, Transport::Hbone, &PORTS, "");
        let (at, other) = (free(), free());
        let dialler = Transport::Plaintext.workload("dialler", Ipv4Addr::new(127, 0, 1, 2), "caller", at);
        let (far, other_one) = (far(&crossing, "far", "envoy", at), far(&crossing, "other", "somebody", at));
        crossing.configure(&(dialler + &far + &other_one));
        let files = crossing.proxies.certificate("envoy", "spiffe://cluster.local/ns/default/sa/envoy");
        let ports = PORTS.map(|name| crossing.target(name).port());
        let root = crossing.proxies.folder().join("root.pem");
        let config = envoy::server(at, &ports, &files, &root, most_requests);
        let peer = Peer::start(&mut crossing, program, "envoy", &config);
        let entries = ports.map(|_| free()).to_vec();
        let leg = |listen: &SocketAddr, name: &str, port: u16| {
            format!("--outbound={listen}={name}.default.svc.cluster.local:{port}")
        };
        let mut legs: Vec<_> =
            entries.iter().zip(ports).map(|(listen, port)| leg(listen, "far", port)).collect();
        legs.push(leg(&other, "other", ports[0]));
        crossing.proxies.start("workload", "default", "dialler", "caller", &legs);
        Self { crossing, peer, config, entries, other }
    }

    fn entry(&self, name: &str) -> SocketAddr {
        self.entries[PORTS.iter().position(|port| *port == name).unwrap()]
    }
}

/// A service whose workload is behind Envoy, with the sample's ports.
fn far(crossing: &Crossing, name: &str, account: &str, at: SocketAddr) -> String {
    let ports = PORTS.map(|name| {
        let port = crossing.target(name).port();
        format!("{{name: {name}, port: {port}, targetPort: {port}}}")
    });
    service_with(name, &format!("app: {name}"), &ports.join(", "))
        + &Transport::Hbone.workload(name, Ipv4Addr::LOCALHOST, account, at)
}

/// Connections that have carried something and stay open.
fn held(to: SocketAddr, count: usize) -> Vec<TcpStream> {
    let one = |_| {
        let mut stream = TcpStream::connect(to).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        ping(&mut stream).unwrap();
        stream
    };
    (0..count).map(one).collect()
}

fn ping(stream: &mut TcpStream) -> io::Result<()> {
    let mut back = [0; 4];
    stream.write_all(b"ping")?;
    stream.read_exact(&mut back)?;
    if back == *b"ping" { Ok(()) } else { Err(io::Error::other(format!("{back:?}"))) }
}

fn all_alive(streams: Vec<TcpStream>) {
    for mut stream in streams {
        ping(&mut stream).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0, "the other side ends after us");
    }
}

/// A transfer by HBONE may cost more than by `leno/1`, but nobody waits for windows.
#[test]
fn a_large_transfer_is_about_as_fast_as_by_the_native_transport() {
    let _alone = crate::alone();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || download(stream));
        }
    });
    let crossings = [Transport::Native, Transport::Hbone]
        .map(|transport| Crossing::start("transfer", transport, &[("tcp", port)], ""));
    let mut fastest = [Duration::MAX; 2];
    for _round in 0..3 {
        for (crossing, fastest) in crossings.iter().zip(&mut fastest) {
            let since = Instant::now();
            let mut stream = TcpStream::connect(crossing.entry("tcp")).unwrap();
            stream.write_all(&TRANSFER.to_be_bytes()).unwrap();
            assert_eq!(io::copy(&mut stream, &mut io::sink()).unwrap(), TRANSFER);
            *fastest = since.elapsed().min(*fastest);
        }
    }
    println!("{} MiB: leno/1 {:?}, HBONE {:?}", TRANSFER >> 20, fastest[0], fastest[1]);
    assert!(fastest[1] < fastest[0] * 4, "{fastest:?}");
}

/// Sends as many bytes as it is asked for.
fn download(mut stream: TcpStream) -> io::Result<()> {
    let mut size = [0; 8];
    stream.read_exact(&mut size)?;
    io::copy(&mut io::repeat(7).take(u64::from_be_bytes(size)), &mut stream).map(drop)
}

/// Sends as much as is large while what comes back is read.
fn sent_and_received(to: SocketAddr) -> io::Result<(usize, usize)> {
    let mut reading = TcpStream::connect(to)?;
    reading.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut writing = reading.try_clone()?;
    let sender = thread::spawn(move || {
        let piece = vec![7; 1 << 20];
        let mut sent = 0;
        while sent < LARGE {
            writing.write_all(&piece)?;
            sent += piece.len();
        }
        writing.shutdown(Shutdown::Write).map(|()| sent)
    });
    let (mut received, mut buffer) = (0, vec![0; 1 << 16]);
    loop {
        match reading.read(&mut buffer)? {
            0 => break,
            count => received += count,
        }
    }
    let sent = sender.join().unwrap()?;
    Ok((sent, received))
}
