//! Two HAProxys: TLS 1.3 with certificates on both sides, routes by path and header, the caller told by name and
//! allowed to read, the caller's certificate told to the application, two threads.
//!
//! HAProxy knows no URI in a certificate, so identities are the certificates' common names, and hosts their DNS names.

use std::{fmt::Write as _, net::SocketAddr, process::Command};

use anyhow::{Context as _, Result};
use leno_testkit::programs::HAPROXY;

use super::{Contestant, Running, Traffic};
use crate::{
    limits,
    process::inside,
    world::{CLIENT_PROXY, DIRECT, LOCAL_SERVER, SERVER_PROXY, World},
};

pub(super) struct Haproxy;

impl Contestant for Haproxy {
    fn absence(&self, _: &World) -> Option<String> {
        HAPROXY.find().err().map(|missing| missing.to_string())
    }

    fn start(&self, world: &World, traffic: Traffic) -> Result<Running> {
        let (client, server, root) =
            (bundle(world, "client")?, bundle(world, "server")?, world.file("root.pem"));
        let (root, alpn) = (root.display(), traffic.alpn());
        let client = Config {
            name: "client",
            listen: CLIENT_PROXY,
            bind: plain(traffic).to_owned(),
            rules: String::new(),
            dial: SERVER_PROXY,
            server: format!(
                "ssl crt {client} ca-file {root} verify required verifyhost server ssl-min-ver TLSv1.3 alpn {alpn}"
            ),
            logs: world.access_log("haproxy-client").is_some(),
        };
        let server = Config {
            name: "server",
            listen: SERVER_PROXY,
            bind: format!("ssl crt {server} ca-file {root} verify required ssl-min-ver TLSv1.3 alpn {alpn}"),
            rules: rules(traffic),
            dial: LOCAL_SERVER,
            server: plain(traffic).to_owned(),
            logs: world.access_log("haproxy-server").is_some(),
        };
        let command = |config: Config, side| -> Result<Command> {
            let mut command = inside(side, HAPROXY.find()?)?;
            config.arguments(&mut command, world)?;
            Ok(command)
        };
        let network = &world.network;
        Running::pair(world, "haproxy", command(client, &network.client)?, command(server, &network.server)?)
    }

    fn single(&self, world: &World) -> Result<Option<Command>> {
        let config = Config {
            name: "single",
            listen: CLIENT_PROXY,
            bind: String::new(),
            rules: String::new(),
            dial: DIRECT,
            server: String::new(),
            logs: false,
        };
        let mut command = Command::new(HAPROXY.find()?);
        config.arguments(&mut command, world)?;
        Ok(Some(command))
    }
}

/// A leg in plaintext: HTTP/2 needs prior knowledge.
fn plain(traffic: Traffic) -> &'static str {
    match traffic {
        Traffic::Requests => "",
        Traffic::Streams => "proto h2",
    }
}

/// Who may do what, and what the application is told of it.
fn rules(traffic: Traffic) -> String {
    let (method, prefix) = (traffic.method(), traffic.prefix());
    format!(
        "  http-request deny unless {{ ssl_c_s_dn(cn) -m str client }} {{ method {method} }} {{ path_beg {prefix} }}
  http-request set-header X-Forwarded-Client-Cert %[ssl_c_s_dn]
"
    )
}

/// What differs between them.
struct Config {
    name: &'static str,
    listen: SocketAddr,
    /// TLS of those who connect.
    bind: String,
    rules: String,
    dial: SocketAddr,
    /// TLS towards the next.
    server: String,
    logs: bool,
}

impl Config {
    fn arguments(&self, command: &mut Command, world: &World) -> Result<()> {
        let path = world.write(&format!("haproxy-{}.cfg", self.name), &self.text())?;
        command.arg("-db").arg("-f").arg(path);
        Ok(())
    }

    fn text(&self) -> String {
        let Self { name: _, listen, bind, rules, dial, server, logs } = self;
        let seconds = limits::TRANSFER.as_secs();
        let mut text = String::from("global\n  nbthread 2\n  maxconn 8192\n");
        if *logs {
            text.push_str("  log stdout format raw local0\n");
        }
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "defaults
  mode http
  timeout connect 5s
  timeout client {seconds}s
  timeout server {seconds}s
  option http-keep-alive
{log}frontend mesh
  bind {listen} {bind}
  unique-id-format %{{+X}}o%ci:%cp_%fi:%fp_%Ts_%rt:%pid
  unique-id-header X-Request-Id
{rules}  use_backend admin if {{ path_beg /admin/ }} {{ req.hdr(x-team) -m str operators }}
  use_backend health if {{ path /healthz }}
  default_backend server
",
            log = if *logs { "  log global\n  option httplog\n" } else { "" },
        );
        for (backend, limit) in [("admin", 5), ("health", 1), ("server", seconds)] {
            let _ = write!(
                text,
                "backend {backend}\n  timeout server {limit}s\n  http-reuse always\n  server server {dial} {server}\n"
            );
        }
        text
    }
}

/// A file with certificate and key, as HAProxy wants them.
fn bundle(world: &World, name: &str) -> Result<String> {
    let read = |end: &str| {
        let path = world.file(&format!("{name}.{end}"));
        std::fs::read_to_string(&path).with_context(|| format!("can't read {}", path.display()))
    };
    let path = world.secret(&format!("{name}-both.pem"), &format!("{}{}", read("pem")?, read("key")?))?;
    Ok(path.display().to_string())
}
