//! Two nginx: TLS 1.3 with certificates on both sides, routes by path and header, the caller told by name and allowed
//! to read, the caller's certificate told to the application, two worker processes, no access log unless asked for.
//!
//! nginx knows no URI in a certificate, so identities are the certificates' common names, and hosts their DNS names.

use std::{net::SocketAddr, path::PathBuf, process::Command};

use anyhow::Result;
use leno_testkit::programs::NGINX;

use super::{Contestant, Running, Traffic};
use crate::{
    limits,
    process::inside,
    world::{CLIENT_PROXY, DIRECT, LOCAL_SERVER, SERVER_PROXY, World},
};

pub(super) struct Nginx;

impl Contestant for Nginx {
    fn absence(&self, _: &World) -> Option<String> {
        NGINX.find().err().map(|missing| missing.to_string())
    }

    fn start(&self, world: &World, traffic: Traffic) -> Result<Running> {
        let client = Config {
            name: "client",
            traffic,
            processes: "worker_processes 2;",
            listen: format!("{CLIENT_PROXY}"),
            server: String::new(),
            dial: SERVER_PROXY,
            scheme_ending: "s",
            location: client_tls(world, traffic),
            access_log: world.access_log("nginx-client"),
        };
        let server = Config {
            name: "server",
            traffic,
            processes: "worker_processes 2;",
            listen: format!("{SERVER_PROXY} ssl"),
            server: server_tls(world, traffic),
            dial: LOCAL_SERVER,
            scheme_ending: "",
            location: format!("{}_set_header X-Forwarded-Client-Cert $ssl_client_s_dn;", module(traffic)),
            access_log: world.access_log("nginx-server"),
        };
        let command = |config: Config, side| -> Result<Command> {
            let mut command = inside(side, NGINX.find()?)?;
            config.arguments(&mut command, world)?;
            Ok(command)
        };
        let network = &world.network;
        Running::pair(world, "nginx", command(client, &network.client)?, command(server, &network.server)?)
    }

    fn single(&self, world: &World) -> Result<Option<Command>> {
        let config = Config {
            name: "single",
            traffic: Traffic::Requests,
            // What counts instructions sees one process.
            processes: "master_process off;",
            listen: format!("{CLIENT_PROXY}"),
            server: String::new(),
            dial: DIRECT,
            scheme_ending: "",
            location: String::new(),
            access_log: None,
        };
        let mut command = Command::new(NGINX.find()?);
        config.arguments(&mut command, world)?;
        Ok(Some(command))
    }
}

/// What differs between them.
struct Config {
    name: &'static str,
    traffic: Traffic,
    processes: &'static str,
    listen: String,
    /// Of the server that listens.
    server: String,
    dial: SocketAddr,
    /// Makes the scheme of what is dialled one with TLS.
    scheme_ending: &'static str,
    /// Of each location.
    location: String,
    access_log: Option<PathBuf>,
}

impl Config {
    fn arguments(&self, command: &mut Command, world: &World) -> Result<()> {
        let path = world.write(&format!("nginx-{}/nginx.conf", self.name), &self.text(world))?;
        command.arg("-p").arg(world.file(&format!("nginx-{}", self.name))).arg("-c").arg(path);
        command.args(["-e", "stderr"]);
        Ok(())
    }

    fn text(&self, world: &World) -> String {
        let Self { name, traffic, processes, listen, server, dial, scheme_ending, location, access_log } =
            self;
        let log =
            access_log.as_ref().map_or_else(|| "off".to_owned(), |path| format!("{} mesh", path.display()));
        let module = module(*traffic);
        // Of the same port nginx speaks either version of HTTP in plaintext, not both.
        let (version, pass, own) = match traffic {
            Traffic::Requests => ("", format!("proxy_pass http{scheme_ending}"), HTTP1),
            Traffic::Streams => (" http2", format!("grpc_pass grpc{scheme_ending}"), HTTP2),
        };
        let folder = world.file(&format!("nginx-{name}"));
        let folder = folder.display();
        let (host, seconds) = (limits::HOST, limits::TRANSFER.as_secs());
        format!(
            r#"{processes}
user root;
daemon off;
pid {folder}/nginx.pid;
worker_rlimit_nofile 16384;
events {{ worker_connections 8192; }}
http {{
  log_format mesh '[$time_iso8601] "$request" $status $request_length $bytes_sent $request_time "$http_user_agent" "$request_id" "$host" "$upstream_addr"';
  access_log {log};
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000000;
  tcp_nodelay on;
  upstream upstream {{
    server {dial};
    keepalive 256;
    keepalive_requests 1000000000;
  }}
  server {{
    listen {listen}{version} reuseport;
    server_name server;
    {own}
    merge_slashes on;
{server}
    {module}_set_header Host {host};
    {module}_set_header X-Request-Id $request_id;
    location /admin/ {{
      if ($http_x_team != operators) {{ return 404; }}
      {module}_read_timeout 5s;
      {pass}://upstream;
    }}
    location = /healthz {{ {module}_read_timeout 1s; {pass}://upstream; }}
    location / {{ {module}_read_timeout {seconds}s; {pass}://upstream; }}
    {location}
  }}
}}
"#
        )
    }
}

/// What it takes to keep connections open, and to buffer nothing on disk.
const HTTP1: &str = "proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_max_temp_file_size 0;";

/// A stream's body has no limit.
const HTTP2: &str = "client_max_body_size 0;";

/// What sends on: directives' names begin so.
fn module(traffic: Traffic) -> &'static str {
    match traffic {
        Traffic::Requests => "proxy",
        Traffic::Streams => "grpc",
    }
}

/// Mutual TLS towards the server's proxy.
fn client_tls(world: &World, traffic: Traffic) -> String {
    let path = |name: &str| world.file(name).display().to_string();
    let module = module(traffic);
    format!(
        "{module}_ssl_protocols TLSv1.3; {module}_ssl_certificate {}; {module}_ssl_certificate_key {};
    {module}_ssl_trusted_certificate {}; {module}_ssl_verify on; {module}_ssl_name server;",
        path("client.pem"),
        path("client.key"),
        path("root.pem"),
    )
}

/// Mutual TLS, and who may do what.
fn server_tls(world: &World, traffic: Traffic) -> String {
    let (method, prefix) = (traffic.method(), traffic.prefix());
    let path = |name: &str| world.file(name).display().to_string();
    format!(
        r#"    ssl_protocols TLSv1.3; ssl_certificate {}; ssl_certificate_key {};
    ssl_client_certificate {}; ssl_verify_client on;
    if ($ssl_client_s_dn != "CN=client") {{ return 403; }}
    if ($request_method != {method}) {{ return 403; }}
    if ($uri !~ ^{prefix}) {{ return 403; }}
"#,
        path("server.pem"),
        path("server.key"),
        path("root.pem"),
    )
}
