//! A gateway replaced by a new process that takes over its listening sockets: no connection is refused, no request
//! fails, and what has begun goes on.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
    os::unix::net::UnixListener,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    thread::JoinHandle,
    time::Duration,
};

use leno_testkit::{
    mesh::{Declaration, Mesh, eventually, free_port, report},
    programs,
    proxies::{self, Proxies, Proxy},
};
use rustix::process::{Pid, Signal, kill_process};

use crate::alone;

/// How requests come: its name, the scheme, further arguments of the load.
const WAYS: [(&str, &str, &[&str]); 3] = [
    ("HTTP/1 kept alive", "http", &[]),
    ("HTTP/1, a connection each", "http", &["-H", "connection: close"]),
    ("HTTP/2", "h2c", &["--connections", "4"]),
];

/// Requests a second.
const RATE: &str = "500";

fn spec(published: u16, stream: u16, more: &str) -> String {
    format!(
        "services:
  - {{name: web, port: 80, protocol: http, publish: {published}}}
  - {{name: echo, port: 7, protocol: tcp, publish: {stream}}}
{more}workloads:
  - {{service: web, command: [leno-sample, serve, web, --listen=http://:80]}}
  - {{service: echo, command: [leno-sample, serve, echo, --listen=echo://:7]}}
"
    )
}

/// A gateway that sends everything to `web`.
pub(crate) fn gateway(port: u16) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: gateway, namespace: default}}
spec: {{gatewayClassName: leno, listeners: [{{name: http, protocol: HTTP, port: {port}}}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: web, namespace: default}}
spec: {{parentRefs: [{{name: gateway}}], rules: [{{backendRefs: [{{name: web, port: 80}}]}}]}}
"
    )
}

#[test]
fn a_new_gateway_takes_over_without_a_failed_request() {
    let _alone = alone();
    let declaration = Declaration::new("takeover");
    let [published, stream] = [free_port(), free_port()];
    let front = declaration.port();
    let mesh = declaration
        .spec(&spec(published, stream, ""))
        .config("front.yaml", gateway(front))
        .argument("--watch")
        .start();
    what_has_begun_goes_on(&mesh, published, stream);
    for (name, scheme, more) in WAYS {
        for port in [front, published] {
            let load = load(mesh.program("leno-sample"), scheme, port, more);
            for _ in 0..2 {
                take_over(&mesh);
            }
            is_clean(name, load);
        }
    }
    a_failed_one_changes_nothing(&mesh, published);
    edits_of_published_ports_cost_nothing(&mesh, published, stream);
    a_restart_of_the_control_plane_costs_nothing(&mesh, published);
}

/// A stream and a request that takes long outlive two gateways.
fn what_has_begun_goes_on(mesh: &Mesh, published: u16, stream: u16) {
    let first = mesh.part("gateway");
    let kept = Stream::open(stream);
    let long = sample(mesh, &["call", "--timeout=60s", &format!("http://127.0.0.1:{published}/delay/8000")]);
    take_over(mesh);
    take_over(mesh);
    let output = long.wait_with_output().unwrap();
    assert!(output.status.success(), "a request that takes long is answered: {output:?}");
    assert!(kept.lines() > 100, "a stream goes on");
    eventually("the first gateway ends", || gone(first));
}

/// Whoever is at the place of the old gateway doesn't hand over: the new one ends, the old one goes on.
fn a_failed_one_changes_nothing(mesh: &Mesh, published: u16) {
    let before = mesh.part("gateway");
    let place = mesh.folder().join("run/leno/takeover/gateway.next");
    let aside = place.with_extension("aside");
    let load = load(mesh.program("leno-sample"), "http", published, &[]);
    fs::rename(&place, &aside).unwrap();
    let wrong = UnixListener::bind(&place).unwrap();
    allow_everybody(&place);
    let hangs_up = std::thread::spawn(move || drop(wrong.accept()));
    let refused = mesh.leno(&["restart", "gateway"]);
    hangs_up.join().unwrap();
    fs::rename(&aside, &place).unwrap();
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains("the old one goes on"), "{told}");
    is_clean("a failed take-over", load);
    assert_eq!(mesh.part("gateway"), before, "{}", mesh.output());
    take_over(mesh);
}

/// An edit of what is published replaces the gateway; what was published before stays open all the time.
fn edits_of_published_ports_cost_nothing(mesh: &Mesh, published: u16, stream: u16) {
    let before = mesh.part("gateway");
    let added = free_port();
    let load = load(mesh.program("leno-sample"), "http", published, &[]);
    let more = format!("  - {{name: again, port: 80, protocol: http, publish: {added}}}\n");
    mesh.edit(&spec(published, stream, &more));
    eventually("the new port is open", || {
        TcpStream::connect(("127.0.0.1", added)).map(drop).map_err(|error| error.to_string())
    });
    assert_ne!(mesh.part("gateway"), before);
    mesh.edit(&spec(published, stream, ""));
    eventually("the new port is closed", || match TcpStream::connect(("127.0.0.1", added)) {
        Ok(_) => Err("it is open".to_owned()),
        Err(_) => Ok(()),
    });
    is_clean("an edit of published ports", load);
}

fn a_restart_of_the_control_plane_costs_nothing(mesh: &Mesh, published: u16) {
    let before = mesh.part("control");
    let load = load(mesh.program("leno-sample"), "http", published, &[]);
    let restarted = mesh.leno(&["restart", "control"]);
    assert!(restarted.status.success(), "{restarted:?}");
    is_clean("a new control plane", load);
    assert_ne!(mesh.part("control"), before);
}

#[test]
fn a_gateway_by_itself_is_replaced_by_the_next() {
    let _alone = alone();
    let leno_sample = programs::own("leno-sample", "leno-sample").expect("the sample builds");
    let [front, app] = [free_port(), free_port()];
    let mut server = Command::new(&leno_sample)
        .args(["serve", "web", &format!("--listen=http://127.0.0.1:{app}")])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut proxies = Proxies::new("succession");
    let entry = format!(
        "---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: web, namespace: default}}
spec: {{address: 127.0.0.1, labels: {{app: web}}, ports: {{http: {app}}}}}
---
"
    );
    let edge =
        gateway(front).replace("name: gateway,", "name: edge,").replace("{name: gateway}", "{name: edge}");
    proxies.configure("edge.yaml", &format!("{}{entry}{edge}", proxies::service("web", "app: web")));
    let place = proxies.folder().join("edge.next");
    let arguments = [format!("--take-over={}", place.display()), "--bind=127.0.0.1".to_owned()];
    let mut start = || proxies.start("gateway", "default", "edge", "edge", &arguments);
    let mut running: Proxy = start();
    for (name, scheme, more) in WAYS {
        let load = load(Command::new(&leno_sample), scheme, front, more);
        for _ in 0..2 {
            let next = start();
            eventually("the earlier one ends", || gone(running.process));
            running = next;
        }
        is_clean(name, load);
    }
    kill_process(running.process, Signal::KILL).unwrap();
    eventually("it is dead", || gone(running.process));
    // The place is there, and nobody at it.
    start();
    is_clean("after one that was killed", load(Command::new(&leno_sample), "http", front, &[]));
    server.kill().unwrap();
    server.wait().unwrap();
}

/// Has a new gateway take over, and checks that it is another process.
fn take_over(mesh: &Mesh) {
    let before = mesh.part("gateway");
    let restarted = mesh.leno(&["restart", "gateway"]);
    assert!(restarted.status.success(), "{restarted:?}\n{}", mesh.output());
    assert_ne!(mesh.part("gateway"), before);
}

/// Load from outside of the mesh.
fn load(mut sample: Command, scheme: &str, port: u16, more: &[&str]) -> Child {
    let url = format!("{scheme}://127.0.0.1:{port}/status/200");
    sample.args(["load", "--output", "json", "--rate", RATE, "--duration", "6s", &url]).args(more);
    sample.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn is_clean(name: &str, load: Child) {
    let report = report(load);
    assert_eq!(report["failed"], 0, "{name}: {report}");
    assert!(report["ok"].as_u64().unwrap() > 1000, "{name}: {report}");
}

fn sample(mesh: &Mesh, arguments: &[&str]) -> Child {
    let mut command = mesh.program("leno-sample");
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn gone(process: Pid) -> Result<(), String> {
    // One that was not waited for has no program any more either.
    let number = process.as_raw_nonzero();
    match fs::read_link(format!("/proc/{number}/exe")) {
        Ok(_) => Err(format!("{number} runs")),
        Err(_) => Ok(()),
    }
}

fn allow_everybody(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
}

/// A connection on which every line comes back.
struct Stream {
    stop: SyncSender<()>,
    lines: JoinHandle<usize>,
}

impl Stream {
    fn open(port: u16) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let (stop, stopped) = sync_channel::<()>(1);
        let lines = std::thread::spawn(move || {
            let mut back = BufReader::new(stream.try_clone().unwrap());
            let mut lines = 0;
            while stopped.recv_timeout(Duration::from_millis(20)) == Err(RecvTimeoutError::Timeout) {
                writeln!(stream, "{lines}").unwrap();
                let mut line = String::new();
                back.read_line(&mut line).unwrap();
                assert_eq!(line.trim_end(), lines.to_string(), "the stream was cut");
                lines += 1;
            }
            lines
        });
        Self { stop, lines }
    }

    /// Ends it; how many lines came back.
    fn lines(self) -> usize {
        drop(self.stop);
        self.lines.join().unwrap()
    }
}
