//! What a workload's world is like: names, addresses, its own service, the host, and what lies outside.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    thread,
    time::Instant,
};

use leno_testkit::mesh::{Declaration, Mesh, eventually};
mod outside;

/// Prints what a name resolves to, one address a line, by the C library's resolver.
const RESOLVE: &str = "
import socket, sys
for address in sorted({a[4][0] for a in socket.getaddrinfo(sys.argv[1], None)}):
    print(address)
";

/// Asks the first name server over TCP or UDP for a name and type; prints code and number of answers.
const ASK: &str = "
import socket, struct, sys
way, name, kind = sys.argv[1], sys.argv[2], int(sys.argv[3])
server = next(l.split()[1] for l in open('/etc/resolv.conf') if l.startswith('nameserver'))
labels = b''.join(bytes([len(l)]) + l.encode() for l in name.split('.')) + b'\\0'
question = struct.pack('!6H', 7, 0x0100, 1, 0, 0, 0) + labels + struct.pack('!HH', kind, 1)
if way == 'tcp':
    peer = socket.create_connection((server, 53), 5)
    peer.sendall(struct.pack('!H', len(question)) + question)
    answer = peer.recv(4096)[2:]
else:
    peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    peer.settimeout(5)
    peer.sendto(question, (server, 53))
    answer = peer.recv(4096)
print(answer[3] & 15, struct.unpack('!H', answer[6:8])[0])
";

/// Fetches an address without any proxy of the environment; prints the status.
const FETCH: &str = "
import sys, urllib.request
print(urllib.request.build_opener(urllib.request.ProxyHandler({})).open(sys.argv[1], timeout=5).status)
";

const NAME: &str = "worlds";

fn spec(more: &str, published: u16, host: u16) -> String {
    format!(
        "services:
  - {{name: web, port: 80, targetPort: 8080, protocol: http, publish: {published}}}
  - {{name: six, port: 80, targetPort: 8086, protocol: http}}
  - {{name: peers, port: 7000, headless: true}}
{more}
workloads:
  - {{name: client, command: [sleep, '600'], hostAccess: [{host}]}}
  - {{name: stranger, command: [sleep, '600']}}
  - {{service: web, command: [python3, -u, -m, http.server, '8080']}}
  - {{service: six, command: [python3, -u, -m, http.server, --bind, '::1', '8086']}}
  - {{service: peers, version: v1, replicas: 2, command: [leno-sample, serve, stock, '--listen=tcp://0.0.0.0:7000']}}
"
    )
}

#[test]
fn a_workload_sees_the_mesh_and_what_it_was_given() {
    let host = Host::start();
    let published = Declaration::new(NAME).port();
    let mut mesh = Declaration::new(NAME).spec(&spec("", published, host.port())).start();
    names_resolve(&mesh);
    everything_is_reached_by_either_family(&mesh);
    the_host_is_reached_where_allowed(&mesh, host.port());
    a_published_port_is_open(published);
    commands_and_logs_work(&mesh);
    addresses_outlive_a_restart(&mut mesh, published, host.port());
}

fn names_resolve(mesh: &Mesh) {
    let web = resolve(mesh, "client", "web");
    assert!(web.iter().any(|address| matches!(address, IpAddr::V4(v4) if v4.octets()[..2] == [240, 240])));
    assert!(web.iter().any(|address| matches!(address, IpAddr::V6(v6) if v6.octets()[0] == 0xfd)), "{web:?}");
    for name in ["web.default", "web.default.svc", "web.default.svc.cluster.local", "WEB"] {
        assert_eq!(resolve(mesh, "client", name), web, "{name}");
    }
    assert_eq!(resolve(mesh, "web", "web"), web, "its own service has the same addresses");
    let peers = resolve(mesh, "client", "peers");
    let v4: Vec<_> = peers.iter().filter(|address| address.is_ipv4()).collect();
    assert_eq!(v4.len(), 2, "a headless name is its endpoints: {peers:?}");
    assert!(v4.iter().all(|address| !web.contains(address)), "{peers:?}");
    let one = resolve(mesh, "client", "peers-v1-1.peers.default.svc.cluster.local");
    assert!(!one.is_empty() && one.iter().all(|address| peers.contains(address)), "{one:?} of {peers:?}");

    let begun = Instant::now();
    for way in ["udp", "tcp"] {
        let name = "web.default.svc.cluster.local";
        assert_eq!(ask(mesh, way, name, 1), "0 1", "{way}");
        assert_eq!(ask(mesh, way, name, 28), "0 1", "{way}");
        assert_eq!(ask(mesh, way, name, 65), "0 0", "{way}: no data of this type");
        assert_eq!(ask(mesh, way, "nobody.default.svc.cluster.local", 1), "3 0", "{way}");
    }
    assert!(begun.elapsed().as_secs() < 20, "nothing waited for a time limit: {:?}", begun.elapsed());
}

fn everything_is_reached_by_either_family(mesh: &Mesh) {
    for (caller, service) in [("client", "web"), ("client", "six"), ("web", "web"), ("six", "web")] {
        for address in resolve(mesh, caller, service) {
            let url = match address {
                IpAddr::V4(v4) => format!("http://{v4}/"),
                IpAddr::V6(v6) => format!("http://[{v6}]/"),
            };
            assert_eq!(fetch(mesh, caller, &url).as_deref(), Ok("200"), "{caller} to {service} at {url}");
        }
    }
    // A TCP service by its endpoints' addresses.
    for address in resolve(mesh, "client", "peers") {
        let called = mesh.sample("client", &["call", &format!("tcp://{}", SocketAddr::new(address, 7000))]);
        assert!(called.status.success(), "{called:?}");
    }
    let begun = Instant::now();
    let closed = fetch(mesh, "client", "http://web:81/");
    assert!(closed.is_err(), "a port that web does not have: {closed:?}");
    assert!(begun.elapsed().as_secs() < 5, "refused at once: {:?}", begun.elapsed());
}

fn the_host_is_reached_where_allowed(mesh: &Mesh, port: u16) {
    let url = format!("http://host.leno.internal:{port}/");
    assert_eq!(fetch(mesh, "client", &url).as_deref(), Ok("200"));
    assert!(fetch(mesh, "stranger", &url).is_err(), "stranger was given nothing");
    let direct = format!("http://127.0.0.1:{port}/");
    assert!(fetch(mesh, "client", &direct).is_err(), "loopback is the workload's own");
}

fn a_published_port_is_open(port: u16) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: anything\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

fn commands_and_logs_work(mesh: &Mesh) {
    assert_eq!(mesh.exec("client", &["sh", "-c", "exit 7"]).status.code(), Some(7));
    let echoed = mesh.exec("client", &["sh", "-c", "echo out; echo err >&2"]);
    assert_eq!((echoed.stdout.as_slice(), echoed.stderr.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
    let logs = String::from_utf8_lossy(&mesh.leno(&["logs", "web"]).stdout).into_owned();
    assert!(logs.contains("GET / HTTP/1.1"), "{logs}");
    let before = began(mesh, "web").unwrap();
    assert!(mesh.leno(&["restart", "web"]).status.success());
    eventually("web runs again", || {
        let after = began(mesh, "web")?;
        if after == before {
            Err(format!("still {before}"))
        } else {
            fetch(mesh, "client", "http://web/").map(drop)
        }
    });
    let unknown = mesh.leno(&["restart", "wbe"]);
    let told = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(!unknown.status.success() && told.contains("wbe") && told.contains("web"), "{told}");
}

fn addresses_outlive_a_restart(mesh: &mut Mesh, published: u16, host: u16) {
    let before = resolve(mesh, "client", "web");
    assert!(mesh.leno(&["down"]).status.success());
    mesh.restart_with(NAME, &spec("  - {name: aaa, port: 80, protocol: http}", published, host));
    assert_eq!(resolve(mesh, "client", "web"), before);
    assert_ne!(resolve(mesh, "client", "aaa"), before);
}

/// When the first process of a workload's world was started, in clock ticks since boot (`proc_pid_stat(5)`).
fn began(mesh: &Mesh, workload: &str) -> Result<u64, String> {
    let output = mesh.exec(workload, &["cat", "/proc/1/stat"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let after_name = text.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().nth(19).and_then(|word| word.parse().ok());
    ticks.ok_or_else(|| format!("{output:?}"))
}

fn python(mesh: &Mesh, workload: &str, script: &str, arguments: &[&str]) -> Result<String, String> {
    let mut all = vec!["python3", "-c", script];
    all.extend(arguments);
    let output = mesh.exec(workload, &all);
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() { Ok(text) } else { Err(format!("{output:?}")) }
}

fn resolve(mesh: &Mesh, workload: &str, name: &str) -> Vec<IpAddr> {
    let text = python(mesh, workload, RESOLVE, &[name]).unwrap();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

fn ask(mesh: &Mesh, way: &str, name: &str, kind: u16) -> String {
    python(mesh, "client", ASK, &[way, name, &kind.to_string()]).unwrap()
}

fn fetch(mesh: &Mesh, workload: &str, url: &str) -> Result<String, String> {
    python(mesh, workload, FETCH, &[url])
}

/// A server outside of the mesh, in this thread's network: it answers whatever it is asked.
struct Host {
    listener: TcpListener,
}

impl Host {
    fn start() -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let accepting = listener.try_clone().unwrap();
        thread::spawn(move || {
            for stream in accepting.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut request = [0; 4096];
                let _head = stream.read(&mut request);
                let _gone =
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            }
        });
        Self { listener }
    }

    fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }
}
