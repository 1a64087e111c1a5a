//! Two Envoys set up as sidecars: TLS 1.3 with certificates on both sides, routes by path and header, RBAC by
//! identity, the caller's certificate told to the application, statistics, two worker threads as Istio's default.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;
use leno_testkit::programs;

use super::{Contestant, Running, Traffic};
use crate::{
    certificates::{CLIENT_ID, SERVER_ID},
    limits,
    process::inside,
    world::{CLIENT_PROXY, DIRECT, LOCAL_SERVER, SERVER_PROXY, World, quoted},
};

pub(super) struct Envoy;

impl Contestant for Envoy {
    fn absence(&self, _: &World) -> Option<String> {
        programs::envoy().err().map(|missing| missing.to_string())
    }

    fn start(&self, world: &World, traffic: Traffic) -> Result<Running> {
        let envoy = programs::envoy()?;
        let client = Config {
            name: "client",
            traffic,
            listen: CLIENT_PROXY,
            dial: SERVER_PROXY,
            server_tls: String::new(),
            client_tls: transport(world, traffic, "client", SERVER_ID, "UpstreamTlsContext"),
            rbac: "",
            forwarding: "",
            access_log: world.access_log("envoy-client"),
        };
        let server = Config {
            name: "server",
            traffic,
            listen: SERVER_PROXY,
            dial: LOCAL_SERVER,
            server_tls: transport(world, traffic, "server", CLIENT_ID, "DownstreamTlsContext"),
            client_tls: String::new(),
            rbac: &rbac(traffic),
            forwarding: FORWARDING,
            access_log: world.access_log("envoy-server"),
        };
        let command = |config: Config<'_>, side| -> Result<Command> {
            let path = world.write(&format!("envoy-{}.yaml", config.name), &config.text())?;
            let mut command = inside(side, &envoy)?;
            arguments(&mut command, &path);
            Ok(command)
        };
        let network = &world.network;
        Running::pair(world, "envoy", command(client, &network.client)?, command(server, &network.server)?)
    }

    fn single(&self, world: &World) -> Result<Option<Command>> {
        let config = Config {
            name: "single",
            traffic: Traffic::Requests,
            listen: CLIENT_PROXY,
            dial: DIRECT,
            server_tls: String::new(),
            client_tls: String::new(),
            rbac: "",
            forwarding: "",
            access_log: None,
        };
        let path = world.write("envoy-single.yaml", &config.text())?;
        let mut command = Command::new(programs::envoy()?);
        arguments(&mut command, &path);
        Ok(Some(command))
    }
}

fn arguments(command: &mut Command, config: &PathBuf) {
    command.arg("--config-path").arg(config);
    // No shared memory of an older process, and only what goes wrong in the log.
    command.args(["--concurrency", "2", "--disable-hot-restart", "--log-level", "warning"]);
}

/// What differs between Envoys.
struct Config<'a> {
    name: &'a str,
    traffic: Traffic,
    listen: SocketAddr,
    dial: SocketAddr,
    server_tls: String,
    client_tls: String,
    rbac: &'a str,
    forwarding: &'a str,
    access_log: Option<PathBuf>,
}

/// What the application learns of the caller's certificate, as Istio's sidecars tell it.
const FORWARDING: &str = "          forward_client_cert_details: APPEND_FORWARD
          set_current_client_cert_details: { subject: true, uri: true }
";

/// Istio's default line.
const LOG_FORMAT: &str = r#"[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% \"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n"#;

fn access_log(file: &Path) -> String {
    format!(
        r#"          access_log:
          - name: envoy.access_loggers.file
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: {path}
              log_format: {{ text_format_source: {{ inline_string: "{LOG_FORMAT}" }} }}
"#,
        path = quoted(file),
    )
}

impl Config<'_> {
    fn text(&self) -> String {
        let Self { name, traffic, listen, dial, server_tls, client_tls, rbac, forwarding, access_log: log } =
            self;
        let log = log.as_deref().map(access_log).unwrap_or_default();
        let (host, seconds) = (limits::HOST, limits::TRANSFER.as_secs());
        let (codec, upstream) = match traffic {
            Traffic::Requests => ("AUTO", ""),
            Traffic::Streams => ("HTTP2", HTTP2_UPSTREAM),
        };
        format!(
            r#"static_resources:
  listeners:
  - name: {name}
    address: {{ socket_address: {{ address: {listen_ip}, port_value: {listen_port} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: {name}
          codec_type: {codec}
          generate_request_id: true
          normalize_path: true
          merge_slashes: true
{forwarding}{log}          route_config:
            name: {name}
            virtual_hosts:
            - name: server
              domains: ["{host}", "server"]
              routes:
              - match:
                  prefix: "/admin/"
                  headers: [{{ name: x-team, string_match: {{ exact: operators }} }}]
                route: {{ cluster: server, timeout: 5s }}
              - match: {{ path: "/healthz" }}
                route: {{ cluster: server, timeout: 1s }}
              - match: {{ prefix: "/" }}
                route: {{ cluster: server, timeout: {seconds}s }}
          http_filters:
{rbac}          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
{server_tls}  clusters:
  - name: server
    type: STATIC
    connect_timeout: 5s
{upstream}    circuit_breakers:
      thresholds: [{{ max_connections: 10000, max_pending_requests: 10000, max_requests: 10000 }}]
    load_assignment:
      cluster_name: server
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: {{ socket_address: {{ address: {dial_ip}, port_value: {dial_port} }} }}
{client_tls}"#,
            listen_ip = listen.ip(),
            listen_port = listen.port(),
            dial_ip = dial.ip(),
            dial_port = dial.port(),
        )
    }
}

/// A cluster whose endpoints speak HTTP/2; without it they get HTTP/1.1.
const HTTP2_UPSTREAM: &str = "    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: { http2_protocol_options: {} }
";

/// A transport socket with mutual TLS 1.3, for a listener's filter chain or a cluster.
fn transport(world: &World, traffic: Traffic, own: &str, peer: &str, context: &str) -> String {
    let path = |name: &str| quoted(&world.file(name) as &Path);
    let (indent, required) = if context.starts_with("Down") {
        ("      ", "\n  require_client_certificate: true")
    } else {
        ("    ", "")
    };
    let text = format!(
        r#"transport_socket:
  name: envoy.transport_sockets.tls
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.{context}{required}
    common_tls_context:
      tls_params: {{ tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_3 }}
      alpn_protocols: ["{alpn}"]
      tls_certificates:
      - certificate_chain: {{ filename: {certificate} }}
        private_key: {{ filename: {key} }}
      validation_context:
        trusted_ca: {{ filename: {root} }}
        match_typed_subject_alt_names:
        - san_type: URI
          matcher: {{ exact: "{peer}" }}
"#,
        required = required.replace("\n  ", "\n    "),
        alpn = traffic.alpn(),
        certificate = path(&format!("{own}.pem")),
        key = path(&format!("{own}.key")),
        root = path("root.pem"),
    );
    text.lines().map(|line| format!("{indent}{line}\n")).collect()
}

/// Allows the client's identity to do what it does, and nobody else anything.
fn rbac(traffic: Traffic) -> String {
    let (method, prefix) = (traffic.method(), traffic.prefix());
    format!(
        r#"          - name: envoy.filters.http.rbac
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
              rules:
                action: ALLOW
                policies:
                  reads:
                    permissions:
                    - and_rules:
                        rules:
                        - header: {{ name: ":method", string_match: {{ exact: {method} }} }}
                        - url_path: {{ path: {{ prefix: "{prefix}" }} }}
                    principals:
                    - authenticated: {{ principal_name: {{ exact: "{CLIENT_ID}" }} }}
"#
    )
}
