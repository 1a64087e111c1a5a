//! Proxies by themselves over TCP: a server behind one, and callers behind others.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};

use leno_testkit::mesh::eventually;
use leno_testkit::programs;
use serde_json::Value;

use leno_testkit::certificates::{Authority, Files};

/// Requires mutual TLS.
pub(crate) const STRICT: &str = "---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: default}
spec: {mtls: {mode: STRICT}}
";

/// A service port, and the workload's port behind it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Port {
    /// The name in the service, which says what is spoken.
    pub(crate) name: &'static str,
    /// Where the application listens.
    pub(crate) application: u16,
    /// Where the server's proxy takes connections for it.
    pub(crate) inbound: SocketAddr,
}

/// A server, its proxy and its callers' proxies, all processes of their own.
pub(crate) struct Pair {
    pub(crate) folder: PathBuf,
    pub(crate) authority: Authority,
    /// Where other proxies dial the server's.
    pub(crate) mesh: SocketAddr,
    pub(crate) ports: Vec<Port>,
    /// Addresses for callers' proxies.
    free: Vec<SocketAddr>,
    certificates: BTreeMap<String, Files>,
    children: Vec<Child>,
}

/// A caller's proxy: for each of the server's ports a local one that leads there.
pub(crate) struct Caller(pub(crate) BTreeMap<&'static str, SocketAddr>);

impl Pair {
    /// The server with these service ports and what `policies` says.
    pub(crate) fn start(name: &str, ports: &[&'static str], policies: &str) -> Self {
        Self::start_at(None, name, ports, policies)
    }

    /// The same, with an address for the server's proxy where others dial it.
    pub(crate) fn start_at(
        mesh: Option<SocketAddr>,
        name: &str,
        ports: &[&'static str],
        policies: &str,
    ) -> Self {
        let folder = PathBuf::from(format!("/var/tmp/leno-{name}-{}", std::process::id()));
        let _fresh = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("config")).unwrap();
        let authority = Authority::new();
        fs::write(folder.join("root.pem"), authority.root()).unwrap();
        // For each port the server's proxy, and those of at most two callers.
        let mut free = addresses(1 + 3 * ports.len());
        let free_mesh = free.pop().unwrap();
        let mesh = mesh.unwrap_or(free_mesh);
        let (certificates, children) = (BTreeMap::new(), Vec::new());
        let mut pair = Self { folder, authority, mesh, ports: Vec::new(), free, certificates, children };
        for (name, application) in ports.iter().zip(pair.serve(ports)) {
            pair.ports.push(Port { name, application, inbound: pair.free.pop().unwrap() });
        }
        pair.configure(policies);
        let inbound =
            pair.ports.iter().map(|port| format!("--inbound={}={}", port.inbound, port.application));
        let arguments: Vec<String> = inbound.chain([format!("--mesh={}", pair.mesh)]).collect();
        pair.proxy("server", &arguments);
        pair
    }

    /// The process of the server's proxy, which is started after the application.
    pub(crate) fn server_proxy(&self) -> u32 {
        self.children[1].id()
    }

    pub(crate) fn port(&self, name: &str) -> Port {
        *self.ports.iter().find(|port| port.name == name).unwrap()
    }

    /// Writes the configuration anew.
    pub(crate) fn configure(&self, policies: &str) {
        let (file, fresh) = (self.folder.join("config/mesh.yaml"), self.folder.join("fresh.yaml"));
        fs::write(&fresh, format!("{}{policies}", self.services())).unwrap();
        fs::rename(fresh, file).unwrap();
    }

    fn services(&self) -> String {
        let ports = self.ports.iter().map(|port| {
            format!(
                "  - {{name: {}, port: {}, targetPort: {}}}\n",
                port.name, port.application, port.application
            )
        });
        let ports: String = ports.collect();
        format!(
            "apiVersion: v1
kind: Service
metadata: {{name: server, namespace: default}}
spec:
  selector: {{app: server}}
  ports:
{ports}---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata:
  name: server
  namespace: default
  labels: {{leno.dev/transport: native}}
  annotations: {{leno.dev/address: '{}'}}
spec: {{address: 127.0.0.1, labels: {{app: server}}, serviceAccount: server}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: client, namespace: default}}
spec: {{address: 127.0.0.2, labels: {{app: client}}, serviceAccount: client}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: stranger, namespace: default}}
spec: {{address: 127.0.0.3, labels: {{app: stranger}}, serviceAccount: stranger}}
",
            self.mesh
        )
    }

    /// Starts the application, whose ports are chosen by the kernel.
    fn serve(&mut self, ports: &[&str]) -> Vec<u16> {
        let sample = programs::own("leno-sample", "leno-sample").expect("the sample builds");
        let mut command = Command::new(sample);
        command.args(["serve", "pricing"]);
        for name in ports {
            let scheme = if matches!(*name, "tcp" | "any") { "echo" } else { "http" };
            command.arg(format!("--listen={scheme}://127.0.0.1:0"));
        }
        self.run("application", &mut command);
        let mut listening = Vec::new();
        eventually("the application listens", || {
            let log = fs::read_to_string(self.folder.join("application.log")).unwrap();
            let lines = log.lines().filter(|line| line.contains(" listens on "));
            listening = lines.filter_map(|line| line.rsplit(':').next()?.parse().ok()).collect();
            if listening.len() == ports.len() { Ok(()) } else { Err(log) }
        });
        listening
    }

    /// A caller's proxy with an identity of its own.
    pub(crate) fn caller(&mut self, name: &str) -> Caller {
        let free = &mut self.free;
        let local: BTreeMap<_, _> = self.ports.iter().map(|port| (port.name, free.pop().unwrap())).collect();
        let leg = |port: &Port| {
            format!("--outbound={}=server.default.svc.cluster.local:{}", local[port.name], port.application)
        };
        let arguments: Vec<String> = self.ports.iter().map(leg).collect();
        self.proxy(name, &arguments);
        Caller(local)
    }

    /// The certificate of a workload of this mesh.
    pub(crate) fn certificate(&mut self, name: &str) -> Files {
        let id = format!("spiffe://cluster.local/ns/default/sa/{name}");
        let (folder, authority) = (&self.folder, &self.authority);
        self.certificates.entry(name.to_owned()).or_insert_with(|| authority.svid(folder, name, &id)).clone()
    }

    fn proxy(&mut self, name: &str, arguments: &[String]) {
        let leno = programs::own("leno", "leno").expect("leno builds");
        let files = self.certificate(name);
        let mut command = Command::new(leno);
        command.arg("proxy").arg("--config").arg(self.folder.join("config"));
        command.arg(format!("--workload=default/{name}")).arg("--cert").arg(files.chain);
        command.arg("--key").arg(files.key).arg("--roots").arg(self.folder.join("root.pem"));
        command.arg("--threads=1").arg("--admin").arg(self.admin(name)).args(arguments);
        self.run(name, &mut command);
        eventually(name, || {
            let answer = self.ask(name, "/healthz/ready")?;
            if answer.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(answer) }
        });
    }

    fn run(&mut self, name: &str, command: &mut Command) {
        let log = fs::File::create(self.folder.join(format!("{name}.log"))).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.children.push(command.spawn().unwrap());
    }

    fn admin(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.admin"))
    }

    fn ask(&self, proxy: &str, path: &str) -> Result<String, String> {
        let exchange = || {
            let mut stream = UnixStream::connect(self.admin(proxy))?;
            write!(stream, "GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).map(|_length| answer)
        };
        exchange().map_err(|error: std::io::Error| {
            let log = fs::read_to_string(self.folder.join(format!("{proxy}.log"))).unwrap_or_default();
            format!("{error}\n{log}")
        })
    }

    /// Waits until the server's proxy has this in effect.
    pub(crate) fn wait_for_mode(&self, mode: &str) {
        eventually("the mode is in effect", || {
            let answer = self.ask("server", "/config")?;
            let (_, body) = answer.split_once("\r\n\r\n").unwrap();
            let config: Value =
                serde_json::from_str(&body[body.find('{').unwrap()..=body.rfind('}').unwrap()]).unwrap();
            if config["mtls"] == mode { Ok(()) } else { Err(config["mtls"].to_string()) }
        });
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _gone = child.kill();
            let _ended = child.wait();
        }
        let _removed = fs::remove_dir_all(&self.folder);
    }
}

/// So many addresses that nobody listens at, all of one IP address of the loopback interface that is this pair's alone:
/// no connection of another test is made from there meanwhile.
fn addresses(count: usize) -> Vec<SocketAddr> {
    static PAIRS: AtomicU8 = AtomicU8::new(64);
    let [.., high, low] = std::process::id().to_be_bytes();
    let own = Ipv4Addr::new(127, PAIRS.fetch_add(1, Ordering::Relaxed), high, low);
    let listeners: Vec<_> = (0..count).map(|_| TcpListener::bind((own, 0)).unwrap()).collect();
    listeners.iter().map(|listener| listener.local_addr().unwrap()).collect()
}

/// One call by the sample's client, sent to this address.
pub(crate) fn call(url: &str, to: SocketAddr, more: &[&str]) -> Output {
    let sample = programs::own("leno-sample", "leno-sample").expect("the sample builds");
    let connect = to.to_string();
    Command::new(sample)
        .args(["call", url, "--timeout=5s", "--connect", &connect])
        .args(more)
        .output()
        .unwrap()
}

/// A path as an argument.
pub(crate) fn show(path: &Path) -> &str {
    path.to_str().unwrap()
}
