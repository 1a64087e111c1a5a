//! The end of a proxy in each of its roles: what is under way is finished, whatever it speaks, and what doesn't end is cut.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use leno_testkit::{
    mesh::{Declaration, Mesh, eventually},
    ports::free,
    programs,
    proxies::{Proxies, Proxy, workload},
};
use rustix::process::{Signal, kill_process};
use serde_json::Value;

/// What the proxy has for what is under way.
const DEADLINE: Duration = Duration::from_secs(10);

/// How long requests take, in milliseconds: longer than it takes to begin the drain.
const LONG: &str = "2500";

#[test]
fn an_inbound_proxy_finishes_and_cuts_at_the_deadline() {
    let mut world = World::start("drain-in");
    let under_way = world.begin("server");
    let mut bytes = world.stream();
    world.proxies.signal("server", Signal::TERM);
    let begun = Instant::now();
    world.is_draining("server");
    echoes(&mut bytes);
    under_way.end_well();
    echoes(&mut bytes);
    assert!(!world.proxies.has_ended("server"), "the stream is under way");
    world.has_ended("server");
    let took = begun.elapsed();
    assert!(took >= DEADLINE && took < DEADLINE + Duration::from_secs(4), "{took:?}");
    is_cut(&mut bytes, &world.server);
}

#[test]
fn an_outbound_proxy_finishes_and_a_second_signal_cuts() {
    let mut world = World::start("drain-out");
    let under_way = world.begin("caller");
    let mut bytes = world.stream();
    world.proxies.signal("caller", Signal::TERM);
    let begun = Instant::now();
    world.is_draining("caller");
    echoes(&mut bytes);
    under_way.end_well();
    assert!(!world.proxies.has_ended("caller"), "the stream is under way");
    world.proxies.signal("caller", Signal::TERM);
    world.has_ended("caller");
    assert!(begun.elapsed() < DEADLINE, "{:?}", begun.elapsed());
    is_cut(&mut bytes, &world.caller);
}

#[test]
fn a_gateway_finishes_and_ends() {
    let mut world = World::start("drain-edge");
    let under_way = world.begin("edge");
    world.proxies.signal("edge", Signal::TERM);
    let begun = Instant::now();
    world.is_draining("edge");
    under_way.end_well();
    world.has_ended("edge");
    assert!(begun.elapsed() < DEADLINE, "{:?}", begun.elapsed());
}

/// What a sidecar has to finish may take long, and its supervisor has the next one serve meanwhile.
#[test]
fn a_sidecar_that_drains_holds_nobody_up() {
    let mesh = Declaration::new("drain-side")
        .spec(
            "services:
  - {name: web, port: 80, protocol: http}
workloads:
  - {name: caller, command: [sleep, infinity]}
  - {service: web, command: [leno-sample, serve, web, '--listen=http://:80']}",
        )
        .start();
    let long = begin_at_web(&mesh, 4000);
    kill_process(mesh.sidecar("web"), Signal::TERM).unwrap();
    let begun = Instant::now();
    for _ in 0..4 {
        let called = mesh.sample("caller", &["call", "http://web/echo"]);
        assert!(called.status.success(), "{called:?}");
    }
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(3), "the long one takes 4 seconds, and these {took:?}");
    has_restarted(&mesh, 1);
    // The next one drains as well, and a third starts once the first has ended.
    let another = begin_at_web(&mesh, 6000);
    kill_process(mesh.sidecar("web"), Signal::TERM).unwrap();
    has_restarted(&mesh, 2);
    for call in [long, another] {
        let answer = call.wait_with_output().unwrap();
        assert!(String::from_utf8_lossy(&answer.stdout).contains("200"), "{answer:?}");
    }
    let called = mesh.sample("caller", &["call", "http://web/echo"]);
    assert!(called.status.success(), "{called:?}");
}

/// Begins a request to `web`, and waits until it is under way at the application.
fn begin_at_web(mesh: &Mesh, milliseconds: u32) -> Child {
    let arrived = || {
        let health = mesh.sample("web", &["call", "http://127.0.0.1/healthz"]);
        let health: Value = serde_json::from_slice(&health.stdout).unwrap();
        health["requests"].as_u64().unwrap()
    };
    let before = arrived();
    let url = format!("http://web/delay/{milliseconds}");
    let call = mesh.start("caller", &["leno-sample", "call", "-i", &url]);
    eventually("it is under way", || {
        let more = arrived() - before;
        if more == 1 { Ok(()) } else { Err(format!("{more} have arrived")) }
    });
    call
}

/// The sidecar of `web` has been started again as often as this, and serves.
fn has_restarted(mesh: &Mesh, count: u64) {
    eventually("the new one is counted", || {
        let status = mesh.leno_json(&["status"]);
        let replicas = status["replicas"].as_array().unwrap();
        let is_new = |replica: &&Value| replica["name"] == "web" && replica["sidecarRestarts"] == count;
        let web = replicas.iter().find(is_new).ok_or_else(|| status.to_string())?;
        if web["sidecarReady"] == true { Ok(()) } else { Err(web.to_string()) }
    });
}

/// A server behind its proxy, a caller's proxy and a gateway.
struct World {
    proxies: Proxies,
    sample: PathBuf,
    server: Proxy,
    caller: Proxy,
    edge: Proxy,
    /// Where the caller's proxy and the gateway take requests, and the caller's bytes.
    web: SocketAddr,
    gate: SocketAddr,
    echo: SocketAddr,
    /// The application itself.
    application: SocketAddr,
}

impl World {
    fn start(name: &str) -> Self {
        let mut proxies = Proxies::new(name);
        let sample = programs::own("leno-sample", "leno-sample").expect("the sample builds");
        let [http, bytes, mesh, web, gate, echo] = [(); 6].map(|()| free());
        proxies.run(
            "application",
            Command::new(&sample)
                .args(["serve", "web"])
                .args([format!("--listen=http://{http}"), format!("--listen=echo://{bytes}")]),
        );
        let configuration = CONFIGURATION
            .replace("@MESH@", &mesh.to_string())
            .replace("@HTTP@", &http.port().to_string())
            .replace("@BYTES@", &bytes.port().to_string())
            .replace("@GATE@", &gate.port().to_string());
        let caller = workload("default", "caller", 2, "caller", "{}", free(), 1);
        proxies.configure("mesh.yaml", &(configuration + &caller));
        let mut start =
            |role, name: &str, arguments: &[String]| proxies.start(role, "default", name, name, arguments);
        let server = start("workload", "server", &[format!("--mesh={mesh}")]);
        let host = "web.default.svc.cluster.local";
        let legs = [format!("--outbound={web}={host}:80"), format!("--outbound={echo}={host}:7")];
        let caller = start("workload", "caller", &legs);
        let edge = start("gateway", "edge", &["--bind=127.0.0.1".to_owned()]);
        let world = Self { proxies, sample, server, caller, edge, web, gate, echo, application: http };
        eventually("the application serves", || {
            let called = world.client(&["call".to_owned(), format!("http://{web}/echo")]).wait_with_output();
            let called = called.unwrap();
            if called.status.success() { Ok(()) } else { Err(format!("{called:?}")) }
        });
        world
    }

    fn client(&self, arguments: &[String]) -> Child {
        let mut client = Command::new(&self.sample);
        client.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        client.spawn().unwrap()
    }

    fn proxy(&self, name: &str) -> &Proxy {
        [&self.server, &self.caller, &self.edge].into_iter().find(|proxy| proxy.name == name).unwrap()
    }

    /// Requests and WebSockets by HTTP/1 and HTTP/2 through the proxy of this name, under way at the application.
    fn begin(&self, name: &str) -> UnderWay {
        let at = if name == "edge" { self.gate } else { self.web };
        let before = self.arrived();
        let call = |scheme: &str| {
            self.client(&["call".to_owned(), "-i".to_owned(), format!("{scheme}://{at}/delay/{LONG}")])
        };
        let socket = |scheme: &str| {
            self.client(&["ws".to_owned(), format!("{scheme}://{at}/ws"), "--hold=350ms".to_owned()])
        };
        let under_way =
            UnderWay { answers: vec![call("http"), call("h2c")], sockets: vec![socket("ws"), socket("h2c")] };
        eventually("all are under way", || {
            let arrived = self.arrived() - before;
            if arrived == 4 { Ok(()) } else { Err(format!("{arrived} have arrived")) }
        });
        under_way
    }

    /// Requests that have arrived at the application.
    fn arrived(&self) -> u64 {
        let health = self.client(&["call".to_owned(), format!("http://{}/healthz", self.application)]);
        let health: Value = serde_json::from_slice(&health.wait_with_output().unwrap().stdout).unwrap();
        health["requests"].as_u64().unwrap()
    }

    /// Bytes by way of both proxies.
    fn stream(&self) -> TcpStream {
        let mut stream = TcpStream::connect(self.echo).unwrap();
        stream.set_read_timeout(Some(DEADLINE * 2)).unwrap();
        echoes(&mut stream);
        stream
    }

    /// It says that it isn't ready, and takes nothing new.
    fn is_draining(&self, name: &str) {
        eventually("it isn't ready any more", || {
            match self.proxy(name).admin().get("/healthz/ready").unwrap() {
                (503, text) if text.contains("draining") => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
        let listens = match name {
            "caller" => self.web,
            "edge" => self.gate,
            _ => return,
        };
        eventually("nothing new is taken", || match TcpStream::connect(listens) {
            Err(_refused) => Ok(()),
            Ok(_) => Err("connected".to_owned()),
        });
    }

    fn has_ended(&mut self, name: &str) {
        let proxies = &mut self.proxies;
        eventually("the process has ended", || {
            if proxies.has_ended(name) { Ok(()) } else { Err(proxies.output(name)) }
        });
    }
}

/// What clients have begun.
struct UnderWay {
    answers: Vec<Child>,
    sockets: Vec<Child>,
}

impl UnderWay {
    fn end_well(self) {
        let said = |child: Child| {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let answers: Vec<String> = self.answers.into_iter().map(said).collect();
        assert!(answers.iter().all(|answer| answer.contains(LONG)), "{answers:?}");
        self.sockets.into_iter().map(said).for_each(drop);
    }
}

fn echoes(stream: &mut TcpStream) {
    stream.write_all(b"hello").unwrap();
    let mut back = [0; 5];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"hello");
}

/// The stream has ended, and the log says why.
fn is_cut(stream: &mut TcpStream, proxy: &Proxy) {
    let end = stream.read(&mut [0; 8]);
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    let log = proxy.log();
    assert!(log.lines().any(|line| line.contains("\"draining\"")), "{log}");
}

const CONFIGURATION: &str = "---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec:
  selector: {app: web}
  ports:
    - {name: http, port: 80, targetPort: http}
    - {name: tcp-echo, port: 7, targetPort: echo}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata:
  name: server
  namespace: default
  labels: {leno.dev/transport: native}
  annotations: {leno.dev/address: '@MESH@'}
spec:
  address: 127.0.1.1
  labels: {app: web}
  serviceAccount: server
  ports: {http: @HTTP@, echo: @BYTES@}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: default}
spec:
  gatewayClassName: leno
  listeners: [{name: http, protocol: HTTP, port: @GATE@}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: default}
spec:
  parentRefs: [{name: edge}]
  rules: [{backendRefs: [{name: web, port: 80}]}]
";
