//! The sample behind one proxy, or behind two that talk mutual TLS, over TCP on an address of the test's own.

use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::{Duration, Instant};

use leno_testkit::certificates::Authority;
use leno_testkit::mesh::{Admin, eventually};
use leno_testkit::programs;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::clients;

/// Descriptors that one side of a flood needs.
const FILES: u64 = 8192;

/// A folder, certificates, and the sample.
pub(super) struct World {
    folder: PathBuf,
    address: IpAddr,
    sample: Child,
}

/// A running proxy.
pub(super) struct Proxy {
    process: Child,
    port: SocketAddr,
    admin: PathBuf,
    /// Where requests go in that reach the sample; `None` for one that serves proxies only.
    serves: bool,
}

/// The most that was seen of a proxy.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Peak {
    /// Anonymous resident memory in bytes.
    pub(super) memory: f64,
    /// Bytes on the budget.
    pub(super) buffered: f64,
    /// The budget.
    pub(super) budget: f64,
}

impl World {
    pub(super) fn new() -> Self {
        static COUNT: AtomicU8 = AtomicU8::new(1);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let limit = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
        let id = std::process::id();
        let folder = std::env::temp_dir().join(format!("leno-floods-{id}-{count}"));
        std::fs::create_dir_all(folder.join("config")).unwrap();
        let [_, _, high, low] = id.to_be_bytes();
        let address = IpAddr::V4(Ipv4Addr::new(127, high | 128, low, count));
        let mut sample = limited(&program("leno-sample", "leno-sample"), FILES);
        sample.args(["serve", "web", "--listen", "http://127.0.0.1:0"]).stdout(Stdio::piped());
        let mut sample = sample.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(sample.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim_end().rsplit_once(':').unwrap().1;
        let world = Self { folder, address, sample };
        world.write_certificates();
        world.write_config(port);
        world
    }

    /// One proxy in front of the sample, with so many descriptors at most.
    pub(super) fn edge(&self, files: Option<u64>) -> Proxy {
        let port = self.free_port();
        let leg = format!("--outbound={port}=web.default.svc.cluster.local:80");
        self.start("client", files, port, &leg, true)
    }

    /// A client's proxy and the server's that it reaches by mutual TLS.
    pub(super) fn pair(&self) -> (Proxy, Proxy) {
        let mesh = SocketAddr::new(self.address, 15008);
        let server = self.start("server", None, mesh, &format!("--mesh={mesh}"), false);
        let port = self.free_port();
        let leg = format!("--outbound={port}=remote.default.svc.cluster.local:80");
        (self.start("client", None, port, &leg, true), server)
    }

    fn start(&self, name: &str, files: Option<u64>, port: SocketAddr, leg: &str, serves: bool) -> Proxy {
        let admin = self.folder.join(format!("{name}.sock"));
        let file = |name: String| self.folder.join(name);
        let mut command = limited(&program("leno", "leno"), files.unwrap_or(FILES));
        command.arg("proxy").arg("--config").arg(file("config".into()));
        command.arg(format!("--workload=default/{name}")).arg("--admin").arg(&admin);
        command.arg("--cert").arg(file(format!("{name}.pem")));
        command.arg("--key").arg(file(format!("{name}.key")));
        command.arg("--roots").arg(file("root.pem".into())).args(["--threads=2", leg]);
        let proxy = Proxy { process: command.spawn().unwrap(), port, admin, serves };
        eventually("the proxy is ready", || match proxy.ask("/healthz/ready") {
            Ok((200, _)) => Ok(()),
            other => Err(format!("{other:?}")),
        });
        if serves {
            proxy.assert_normal_within(Duration::from_secs(20));
        }
        proxy
    }

    /// A port of the test's own address.
    fn free_port(&self) -> SocketAddr {
        SocketAddr::new(self.address, leno_testkit::ports::free().port())
    }

    fn write_config(&self, port: &str) {
        let service = |name: &str, app: &str| {
            format!(
                "apiVersion: v1\nkind: Service\nmetadata: {{ name: {name}, namespace: default }}\nspec:\n  \
                 selector: {{ app: {app} }}\n  ports: [{{ name: http, port: 80, targetPort: {port} }}]\n---\n"
            )
        };
        let workload = |name: &str, address: &str, transport: &str, app: &str| {
            format!(
                "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {{ name: {name}, namespace: \
                 default, labels: {{ leno.dev/transport: {transport} }} }}\nspec: {{ address: {address}, labels: \
                 {{ app: {app} }}, serviceAccount: {name} }}\n---\n"
            )
        };
        let own = self.address.to_string();
        let text = [
            service("web", "web"),
            service("remote", "server"),
            workload("web", "127.0.0.1", "none", "web"),
            workload("server", &own, "native", "server"),
            workload("client", "127.0.0.2", "none", "client"),
        ]
        .concat();
        std::fs::write(self.folder.join("config/mesh.yaml"), text).unwrap();
    }

    fn write_certificates(&self) {
        let authority = Authority::new();
        std::fs::write(self.folder.join("root.pem"), authority.root()).unwrap();
        for name in ["client", "server"] {
            authority.svid(&self.folder, name, &format!("spiffe://cluster.local/ns/default/sa/{name}"));
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _gone = self.sample.kill();
        let _gone = self.sample.wait();
        let _left = std::fs::remove_dir_all(&self.folder);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _gone = self.process.wait();
    }
}

fn program(package: &str, name: &str) -> PathBuf {
    programs::own(package, name).unwrap()
}

/// A command whose process has so many descriptors from its first moment on.
fn limited(program: &std::path::Path, files: u64) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -n {files} && exec \"$0\" \"$@\"")]).arg(program);
    command
}

impl Proxy {
    pub(super) fn port(&self) -> SocketAddr {
        self.port
    }

    /// Anonymous resident memory in bytes.
    pub(super) fn memory(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() * 1024.0
    }

    /// Whether the proxy has come to hold no more than this.
    pub(super) fn assert_memory_below(&self, bytes: f64) {
        assert!(self.memory() < bytes, "{} bytes", self.memory());
    }

    /// The sum of a metric's series that have this label, 0 where there are none.
    pub(super) fn metric(&self, name: &str, label: &str) -> f64 {
        sum(&self.ask("/stats/prometheus").unwrap().1, name, label)
    }

    fn ask(&self, path: &str) -> std::io::Result<(u16, String)> {
        Admin::open(&self.admin)?.get(path)
    }

    /// Watches memory and budget until it is stopped.
    pub(super) fn watch(&self) -> Watch<'_> {
        let over = Arc::new(AtomicBool::new(false));
        let (stop, admin) = (Arc::clone(&over), self.admin.clone());
        let thread = std::thread::spawn(move || {
            let mut peak = Peak::default();
            while !stop.load(Ordering::Relaxed) {
                let (_, answer) = Admin::open(&admin).unwrap().get("/stats/prometheus").unwrap();
                let now = |name| sum(&answer, name, "");
                peak.memory = peak.memory.max(now("leno_process_anonymous_memory_bytes"));
                peak.buffered = peak.buffered.max(now("leno_buffered_bytes"));
                peak.budget = now("leno_buffered_bytes_max");
                std::thread::park_timeout(Duration::from_millis(50));
            }
            peak
        });
        Watch { over, thread, _proxy: self }
    }

    /// Fresh clients are served quickly, and nothing is buffered any more.
    pub(super) fn assert_normal_within(&self, limit: Duration) {
        assert!(self.serves);
        let begin = Instant::now();
        loop {
            let buffered = self.metric("leno_buffered_bytes", "");
            let served = clients::fresh(self.port);
            let normal = served.as_ref().is_ok_and(|took| *took < Duration::from_secs(1));
            if normal && buffered < 1e6 {
                return;
            }
            assert!(begin.elapsed() < limit, "{served:?}, {buffered} bytes are buffered");
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }
}

/// Watches a proxy.
pub(super) struct Watch<'p> {
    over: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Peak>,
    _proxy: &'p Proxy,
}

impl Watch<'_> {
    pub(super) fn stop(self) -> Peak {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn sum(exposition: &str, name: &str, label: &str) -> f64 {
    exposition
        .lines()
        .filter_map(|line| line.strip_prefix(name))
        .filter(|rest| rest.starts_with(['{', ' ']) && rest.contains(label))
        .filter_map(|rest| rest.rsplit_once(' ')?.1.parse::<f64>().ok())
        .sum()
}
