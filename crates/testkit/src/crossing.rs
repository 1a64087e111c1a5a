//! Two proxies with a transport of choice between them: client → proxy → *transport* → proxy → application.
//!
//! The applications are the test's own, listening on the loopback interface, and the transport is one parameter: what
//! holds of a protocol can be shown over each of them by the same lines.

#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::mesh::eventually;
use crate::ports::free;
use crate::programs;
use crate::proxies::{Proxies, Proxy, service_with};

/// How two proxies reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// As if the other weren't there.
    Plaintext,
    /// `leno/1`.
    Native,
    /// HTTP/2 CONNECT over mutual TLS.
    Hbone,
}

/// Both proxies, and where calls begin.
#[derive(Debug)]
pub struct Crossing {
    /// Room for more proxies and programs of the same mesh.
    pub proxies: Proxies,
    /// The client's side: workload `caller`, with the address 127.0.1.1.
    pub caller: Proxy,
    /// The application's side: workload `callee`.
    pub callee: Proxy,
    /// Where other proxies dial the application's.
    pub mesh: SocketAddr,
    /// The callee's own address.
    pub address: Ipv4Addr,
    documents: String,
    ports: Vec<Port>,
}

#[derive(Debug)]
struct Port {
    name: String,
    /// At the service, the workload and the application.
    number: u16,
    entry: SocketAddr,
}

impl Transport {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Plaintext, Self::Native, Self::Hbone];

    /// The label of a workload that is reached so.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Plaintext => "leno.dev/transport: none",
            Self::Native => "leno.dev/transport: native",
            Self::Hbone => "networking.istio.io/tunnel: http",
        }
    }

    /// The document of a workload in the namespace `default` that is reached so. Its label `app` is its name, and its proxy
    /// listens at `mesh`.
    #[must_use]
    pub fn workload(self, name: &str, address: Ipv4Addr, account: &str, mesh: SocketAddr) -> String {
        let label = self.label();
        format!(
            "---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata:
  name: {name}
  namespace: default
  labels: {{{label}}}
  annotations: {{leno.dev/address: '{mesh}'}}
spec: {{address: {address}, labels: {{app: {name}}}, serviceAccount: {account}}}
"
        )
    }

    /// Whether callers have an identity there.
    #[must_use]
    pub const fn is_mutual_tls(self) -> bool {
        !matches!(self, Self::Plaintext)
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plaintext => "plaintext",
            Self::Native => "leno/1",
            Self::Hbone => "HBONE",
        })
    }
}

impl Crossing {
    /// Starts both. `ports` are the applications: the name of the port, which says what is spoken (`http`, `http2`, `grpc`,
    /// `tcp`, `http-one`, …), and where it listens at 127.0.0.1. They are the ports of the service `callee` by the same
    /// numbers. `more` is configuration beside that.
    pub fn start(name: &str, transport: Transport, ports: &[(&str, u16)], more: &str) -> Self {
        Self::among(Proxies::new(&format!("{name}-{transport:?}")), transport, ports, more)
    }

    /// The same with the sample as application: it echoes bytes at ports that are called `tcp` or `any`, and serves HTTP of
    /// every version at all others.
    pub fn with_sample(name: &str, transport: Transport, ports: &[&str], more: &str) -> Self {
        let mut proxies = Proxies::new(&format!("{name}-{transport:?}"));
        let mut command =
            Command::new(programs::own("leno-sample", "leno-sample").expect("the sample builds"));
        command.args(["serve", "pricing"]);
        for name in ports {
            let scheme = if matches!(*name, "tcp" | "any") { "echo" } else { "http" };
            command.arg(format!("--listen={scheme}://127.0.0.1:0"));
        }
        proxies.run("sample", &mut command);
        let mut numbers: Vec<u16> = Vec::new();
        eventually("the sample listens", || {
            let output = proxies.output("sample");
            let lines = output.lines().filter(|line| line.contains(" listens on "));
            numbers = lines.filter_map(|line| line.rsplit(':').next()?.parse().ok()).collect();
            if numbers.len() == ports.len() { Ok(()) } else { Err(output) }
        });
        let ports: Vec<_> = ports.iter().copied().zip(numbers).collect();
        Self::among(proxies, transport, &ports, more)
    }

    fn among(mut proxies: Proxies, transport: Transport, ports: &[(&str, u16)], more: &str) -> Self {
        let (address, mesh) = (address(ports), free());
        let documents = documents(transport, address, mesh, ports);
        proxies.configure("crossing.yaml", &format!("{documents}{more}"));
        let mut arguments = vec![format!("--mesh={mesh}")];
        if transport == Transport::Plaintext {
            arguments.extend(ports.iter().map(|(_, port)| format!("--inbound={address}:{port}={port}")));
        }
        let callee = proxies.start("workload", "default", "callee", "callee", &arguments);
        let ports = ports.iter().map(|(name, number)| Port {
            name: (*name).to_owned(),
            number: *number,
            entry: free(),
        });
        let ports: Vec<_> = ports.collect();
        let leg = |port: &Port| {
            format!("--outbound={}=callee.default.svc.cluster.local:{}", port.entry, port.number)
        };
        let arguments: Vec<_> = ports.iter().map(leg).collect();
        let caller = proxies.start("workload", "default", "caller", "caller", &arguments);
        Self { proxies, caller, callee, mesh, address, documents, ports }
    }

    /// Where a client that calls this port's application connects to.
    pub fn entry(&self, port: &str) -> SocketAddr {
        self.port(port).entry
    }

    /// The address in the mesh of the application at this port.
    pub fn target(&self, port: &str) -> SocketAddr {
        SocketAddr::new(self.address.into(), self.port(port).number)
    }

    fn port(&self, name: &str) -> &Port {
        let found = self.ports.iter().find(|port| port.name == name);
        found.unwrap_or_else(|| panic!("no port {name}"))
    }

    /// Has other configuration beside the two workloads in place of what was there.
    pub fn configure(&self, more: &str) {
        self.proxies.configure("crossing.yaml", &format!("{}{more}", self.documents));
    }
}

fn documents(transport: Transport, own: Ipv4Addr, mesh: SocketAddr, ports: &[(&str, u16)]) -> String {
    let ports =
        ports.iter().map(|(name, port)| format!("{{name: {name}, port: {port}, targetPort: {port}}}"));
    let ports = ports.collect::<Vec<_>>().join(", ");
    service_with("callee", "app: callee", &ports)
        + &transport.workload("callee", own, "callee", mesh)
        + &Transport::Plaintext.workload("caller", Ipv4Addr::new(127, 0, 1, 1), "caller", mesh)
}

/// An address of the loopback interface for a workload, at which nobody listens on these ports yet.
fn address(ports: &[(&str, u16)]) -> Ipv4Addr {
    static WORKLOADS: AtomicU8 = AtomicU8::new(128);
    let [.., high, low] = std::process::id().to_be_bytes();
    for _ in 0..u8::MAX {
        // Above those that other worlds use, and below the broadcast address.
        let number = WORKLOADS.fetch_add(1, Ordering::Relaxed) % 96 + 128;
        let own = Ipv4Addr::new(127, number, high, low.clamp(1, 254));
        if ports.iter().all(|(_, port)| TcpListener::bind((own, *port)).is_ok()) {
            return own;
        }
    }
    panic!("no free address");
}
