//! Who takes part. Each puts itself between the client and the server; nothing else differs.

mod direct;
mod envoy;
mod haproxy;
mod leno;
mod nginx;
mod relays;

use std::{net::SocketAddr, process::Command};

use anyhow::Result;
use clap::ValueEnum;
use serde::Serialize;

use crate::{
    load::Version,
    peer::Greeting,
    process::Process,
    world::{CLIENT_PROXY, World},
};

/// Every contestant, in the order of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Name {
    /// No proxy at all
    Direct,
    /// Two bare relays: plaintext, nothing decided
    Relays,
    /// Two Envoys: mTLS (TLS 1.3), routes, RBAC, statistics
    Envoy,
    /// Two nginx: mTLS (TLS 1.3), routes, the caller's name checked
    Nginx,
    /// Two HAProxys: the same
    Haproxy,
    /// Two Lenos: mTLS, routes, authorization, metrics
    Leno,
}

/// What goes through a contestant. Each is set up for one of them: what it may pass on, and the version of HTTP between
/// its proxies and to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Traffic {
    /// Requests over HTTP/1.1.
    Requests,
    /// gRPC streams, over HTTP/2 on every leg.
    Streams,
}

impl Traffic {
    /// The method that the client may use, and nobody any other.
    fn method(self) -> &'static str {
        match self {
            Self::Requests => "GET",
            Self::Streams => "POST",
        }
    }

    /// What the client may ask for, and nothing else.
    fn prefix(self) -> &'static str {
        match self {
            Self::Requests => "/bytes/",
            Self::Streams => "/leno.sample.v1.Pricing/",
        }
    }

    /// The protocol's name in TLS (RFC 7301).
    fn alpn(self) -> &'static str {
        match self {
            Self::Requests => "http/1.1",
            Self::Streams => "h2",
        }
    }
}

/// A contestant that stands.
#[derive(Debug)]
pub(crate) struct Running {
    /// What the client dials.
    pub(crate) entry: SocketAddr,
    /// Whose time and memory count: the client's proxy, then the server's.
    pub(crate) proxies: Vec<Process>,
}

impl Running {
    /// Two proxies, `NAME-client` and `NAME-server`, whose client finds the first at [`CLIENT_PROXY`].
    fn pair(world: &World, name: &str, client: Command, server: Command) -> Result<Self> {
        let start = |side: &str, command| Process::start(&format!("{name}-{side}"), &world.folder, command);
        Ok(Self { entry: CLIENT_PROXY, proxies: vec![start("client", client)?, start("server", server)?] })
    }
}

/// How a contestant is set up.
pub(crate) trait Contestant {
    /// Why it can't take part here, if it can't.
    fn absence(&self, world: &World) -> Option<String>;

    /// Starts its processes. Whether they answer is found out by the caller.
    fn start(&self, world: &World, traffic: Traffic) -> Result<Running>;

    /// One proxy with plaintext on both legs, listening on [`crate::world::CLIENT_PROXY`] for the server: what is
    /// counted per instruction. `None` when there is no proxy.
    fn single(&self, world: &World) -> Result<Option<Command>>;

    /// The same with everything on that it can do to a request which it sends on once; `None` where that isn't known.
    fn full(&self, _world: &World) -> Result<Option<Command>> {
        Ok(None)
    }

    /// How the client's proxy greets the server's at [`crate::world::SERVER_PROXY`]; `None` where it isn't by mutual TLS.
    fn greeting(&self) -> Option<Greeting> {
        Some(Greeting { alpn: Traffic::Requests.alpn().as_bytes(), first: Vec::new() })
    }
}

impl Name {
    pub(crate) fn contestant(self) -> Box<dyn Contestant> {
        match self {
            Self::Direct => Box::new(direct::Direct),
            Self::Relays => Box::new(relays::Relays),
            Self::Envoy => Box::new(envoy::Envoy),
            Self::Nginx => Box::new(nginx::Nginx),
            Self::Haproxy => Box::new(haproxy::Haproxy),
            Self::Leno => Box::new(leno::Leno),
        }
    }

    /// What its [`Contestant::single`] sends on by the version that it came by.
    pub(crate) fn versions(self) -> &'static [Version] {
        match self {
            Self::Relays | Self::Leno => &[Version::Http1, Version::Http2],
            Self::Direct | Self::Envoy | Self::Nginx | Self::Haproxy => &[Version::Http1],
        }
    }

    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Relays => "relays",
            Self::Envoy => "envoy",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Leno => "leno",
        }
    }
}
