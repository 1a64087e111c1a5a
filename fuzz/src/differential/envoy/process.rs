//! Envoy's process and configuration.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::origin::{self, Answers};

/// A running Envoy, and the applications behind it.
pub struct Envoy {
    child: Child,
    folder: PathBuf,
    /// Leads to the application that tells what it sees.
    pub(super) requests: SocketAddr,
    /// Leads to the application that answers as it is told.
    pub(super) answers: SocketAddr,
    pub(super) ready: Answers,
}

impl Envoy {
    /// Starts it, with what it says in `folder`.
    ///
    /// # Errors
    /// When it can't be started, or doesn't listen in time.
    pub async fn start(program: &Path, folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        let ready = Answers::default();
        let (mirror, scripted) = (origin::mirror().await?, origin::scripted(ready.clone()).await?);
        let (requests, answers) = (unused()?, unused()?);
        let config = folder.join("envoy.yaml");
        fs::write(&config, text([(requests, mirror), (answers, scripted)]))?;
        let log = fs::File::create(folder.join("envoy.log"))?;
        let child = Command::new(program)
            .args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "critical", "--config-path"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let envoy = Self { child, folder, requests, answers, ready };
        envoy.wait().await?;
        Ok(envoy)
    }

    async fn wait(&self) -> io::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(30);
        for address in [self.requests, self.answers] {
            while tokio::net::TcpStream::connect(address).await.is_err() {
                if Instant::now() > deadline {
                    let said = fs::read_to_string(self.folder.join("envoy.log"))?;
                    return Err(io::Error::other(format!("Envoy doesn't listen: {said}")));
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _ended = self.child.wait();
    }
}

fn unused() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// As Envoy comes, but that it takes HTTP/1.0, all methods and trailers, adds nothing that it needn't, and waits for ever.
fn text(ways: [(SocketAddr, SocketAddr); 2]) -> String {
    let listeners: String =
        ways.iter().enumerate().map(|(number, (listen, _))| listener(number, *listen)).collect();
    let clusters: String = ways.iter().enumerate().map(|(number, (_, to))| cluster(number, *to)).collect();
    format!("static_resources:\n  listeners:\n{listeners}  clusters:\n{clusters}")
}

fn listener(number: usize, listen: SocketAddr) -> String {
    format!(
        r#"  - name: listener-{number}
    address: {{ socket_address: {{ address: {ip}, port_value: {port} }} }}
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
"#,
        ip = listen.ip(),
        port = listen.port(),
    )
}

fn cluster(number: usize, to: SocketAddr) -> String {
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
            address: {{ socket_address: {{ address: {ip}, port_value: {port} }} }}
"#,
        ip = to.ip(),
        port = to.port(),
    )
}
