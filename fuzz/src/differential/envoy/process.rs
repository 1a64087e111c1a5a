//! Envoy's process and configuration.

use std::cell::RefCell;
use std::fmt;
use std::fs;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener as Listener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::net::{UnixListener, UnixStream};

use super::origin::{self, Answers};
use super::rounds::Rounds;

/// A place of a socket: abstract names of Unix need no port and no file, and their connections no handshake and no time
/// to wait in, of which there would be millions.
#[derive(Clone)]
pub(super) struct Address(String);

impl Address {
    fn new(what: &str) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self(format!("leno-differential-{}-{number}-{what}", std::process::id()))
    }

    pub(super) fn listen(&self) -> io::Result<UnixListener> {
        let listener = Listener::bind_addr(&SocketAddr::from_abstract_name(&self.0)?)?;
        listener.set_nonblocking(true)?;
        UnixListener::from_std(listener)
    }

    pub(super) async fn connect(&self) -> io::Result<UnixStream> {
        UnixStream::connect(format!("\0{}", self.0)).await
    }
}

impl fmt::Display for Address {
    /// As Envoy writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{}", self.0)
    }
}

/// A running Envoy, and the applications behind it.
pub struct Envoy {
    _child: Process,
    /// Leads to the application that tells what it sees.
    pub(super) requests: Address,
    /// Leads to the application that answers as it is told.
    pub(super) answers: Address,
    pub(super) ready: Answers,
    /// Connections to it that another answer can be asked for on.
    pub(super) kept: RefCell<Vec<UnixStream>>,
    pub(super) rounds: Rounds,
}

impl Envoy {
    /// Starts it, with what it says in `folder`.
    ///
    /// # Errors
    /// When it can't be started, or doesn't listen in time.
    pub async fn start(program: &Path, folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        let ready = Answers::default();
        let (mirror, scripted) = (Address::new("mirror"), Address::new("scripted"));
        origin::mirror(&mirror)?;
        origin::scripted(&scripted, ready.clone())?;
        let (requests, answers) = (Address::new("requests"), Address::new("answers"));
        let config = folder.join("envoy.yaml");
        fs::write(&config, text([(&requests, &mirror), (&answers, &scripted)]))?;
        let log = fs::File::create(folder.join("envoy.log"))?;
        let child = Command::new(program)
            .args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "critical", "--config-path"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let child = Process(child);
        for address in [&requests, &answers] {
            wait(address, &folder).await?;
        }
        let rounds = Rounds::start(&requests).await?;
        Ok(Self { _child: child, requests, answers, ready, kept: RefCell::default(), rounds })
    }
}

async fn wait(address: &Address, folder: &Path) -> io::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    while address.connect().await.is_err() {
        if Instant::now() > deadline {
            let said = fs::read_to_string(folder.join("envoy.log"))?;
            return Err(io::Error::other(format!("Envoy doesn't listen: {said}")));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Ends with its owner.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _ended = self.0.wait();
    }
}

/// Connections that Envoy may leave waiting to be taken.
const BACKLOG: u32 = 4_096;

/// As Envoy comes, but that it takes HTTP/1.0, all methods and trailers, adds nothing that it needn't, waits for ever, and
/// closes at once where it closes. What happens at its timers alone would make a connection last for a second.
fn text(ways: [(&Address, &Address); 2]) -> String {
    let listeners: String =
        ways.iter().enumerate().map(|(number, (listen, _))| listener(number, listen)).collect();
    let clusters: String = ways.iter().enumerate().map(|(number, (_, to))| cluster(number, to)).collect();
    format!("static_resources:\n  listeners:\n{listeners}  clusters:\n{clusters}")
}

fn listener(number: usize, listen: &Address) -> String {
    format!(
        r#"  - name: listener-{number}
    address: {{ pipe: {{ path: "{listen}" }} }}
    tcp_backlog_size: {BACKLOG}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: s{number}
          codec_type: HTTP1
          generate_request_id: false
          server_header_transformation: PASS_THROUGH
          stream_idle_timeout: 0s
          delayed_close_timeout: 0s
          http_protocol_options: {{ accept_http_10: true, allow_custom_methods: true, enable_trailers: true }}
          route_config:
            name: r{number}
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {{ prefix: "/" }}
                route: {{ cluster: cluster-{number}, timeout: 0s }}
          local_reply_config:
            mappers:
            - filter:
                status_code_filter:
                  comparison: {{ op: GE, value: {{ default_value: 0, runtime_key: unused }} }}
              headers_to_add: [{{ header: {{ key: x-envoy-local, value: "1" }} }}]
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
              suppress_envoy_headers: true
"#
    )
}

fn cluster(number: usize, to: &Address) -> String {
    format!(
        r#"  - name: cluster-{number}
    type: STATIC
    connect_timeout: 5s
    circuit_breakers:
      thresholds: [{{ max_connections: 10000, max_pending_requests: 10000, max_requests: 10000 }}]
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {{ http_protocol_options: {{ enable_trailers: true }} }}
    load_assignment:
      cluster_name: cluster-{number}
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: {{ pipe: {{ path: "{to}" }} }}
"#
    )
}
