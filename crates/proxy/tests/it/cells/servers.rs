//! The applications of the cells: servers that others wrote, each in both versions where it speaks both.

use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use leno_http::server::Protocol;
use leno_testkit::ports::free;
use leno_testkit::programs::{GRPCIO, HYPER_H2, NGINX, Package, Unavailable, node, python};

/// Where a proxy looks for its application first.
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Bytes of the file that nginx has.
pub(super) const FILE: usize = 16 << 20;

/// A program, which ends when dropped.
pub(crate) struct Running(Child);

impl Running {
    pub(super) fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).spawn();
        Self(child.unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    /// The same, and the ports that its first line names.
    fn told(command: &mut Command) -> (Self, Vec<SocketAddr>) {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ports = line.split_whitespace().map(|port| SocketAddr::new(HERE, port.parse().unwrap()));
        let ports = ports.collect();
        (Self(child), ports)
    }

    /// Waits until it listens there.
    pub(super) async fn listening(&mut self, at: SocketAddr) {
        crate::world::soon(async {
            while TcpStream::connect(at).is_err() {
                assert!(matches!(self.0.try_wait(), Ok(None)), "it has ended");
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _ended = self.0.wait();
    }
}

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Server {
    Node,
    Nginx,
    Grpc,
    Hyper,
}

/// All of them.
pub(super) struct Servers {
    node: Vec<SocketAddr>,
    nginx: [SocketAddr; 2],
    grpc: SocketAddr,
    hyper: SocketAddr,
    /// Files of the cells.
    pub(super) folder: PathBuf,
    _running: [Running; 4],
}

impl Servers {
    pub(super) async fn start(hop: &str) -> Result<Self, Unavailable> {
        let folder = std::env::temp_dir().join(format!("leno-cells-{hop}-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("temporary")).unwrap();
        let (one, node) =
            Running::told(Command::new(node(&[])?.program).arg(script("server.js")).arg(HERE.to_string()));
        let (two, grpc) = grpc()?;
        let (three, hyper) = in_python(HYPER_H2, "h2_peer.py")?;
        let (four, nginx) = nginx(&folder, &NGINX.find()?).await;
        Ok(Self { node, nginx, grpc, hyper, folder, _running: [one, two, three, four] })
    }

    /// Where it speaks this version; `None` where it doesn't.
    pub(super) fn at(&self, server: Server, version: Protocol) -> Option<SocketAddr> {
        let place = usize::from(version == Protocol::Http2);
        match server {
            Server::Node => self.node.get(place).copied(),
            Server::Nginx => self.nginx.get(place).copied(),
            Server::Grpc => (version == Protocol::Http2).then_some(self.grpc),
            Server::Hyper => (version == Protocol::Http2).then_some(self.hyper),
        }
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/cells").join(name)
}

/// gRPC's own server.
pub(crate) fn grpc() -> Result<(Running, SocketAddr), Unavailable> {
    in_python(GRPCIO, "grpc_peer.py")
}

/// The server of a script, which tells its port.
fn in_python(package: Package, name: &str) -> Result<(Running, SocketAddr), Unavailable> {
    let mut command = Command::new(python(&[package])?.program("python"));
    let (running, ports) = Running::told(command.arg(script(name)).arg("serve"));
    Ok((running, *ports.first().expect("a port")))
}

impl Drop for Servers {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.folder);
    }
}

/// A file server that ends connections after some requests, and takes small bodies only.
async fn nginx(folder: &Path, program: &Path) -> (Running, [SocketAddr; 2]) {
    let at = [free(), free()];
    let file: Vec<u8> = (0..FILE).map(|n| b'a' + u8::try_from(n % 23).unwrap()).collect();
    std::fs::write(folder.join("file"), file).unwrap();
    let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {}/temporary; ", folder.display()))
        .concat();
    let text = format!(
        "daemon off; master_process off; pid {0}/pid; error_log stderr crit; events {{}}
http {{ access_log off; {paths} root {0}; keepalive_requests 3; client_max_body_size 1k;
server {{ listen {1}; add_header x-seen $server_protocol; location /small {{ return 200 small; }} }}
server {{ listen {2} http2; add_header x-seen $server_protocol; location /small {{ return 200 small; }} }} }}",
        folder.display(),
        at[0],
        at[1],
    );
    let config = folder.join("nginx.conf");
    std::fs::write(&config, text).unwrap();
    let mut running = Running::start(Command::new(program).args(["-e", "stderr", "-c"]).arg(config));
    running.listening(at[0]).await;
    (running, at)
}
