//! HTTP/2 (RFC 9113), an own codec beside that of HTTP/1.
//!
//! `conn` is the state of a connection and what frames do to it, `message` turns header blocks into heads and back by way
//! of `hpack`, and `halves` give streams the shape of an [`Exchange`](crate::exchange::Exchange). Invariants: a stream has
//! one frame at most that may not be sent yet, a connection's queue and windows are bounded, a sender gets credit only for
//! bytes that were written on, and requests are held to what HTTP/1 would accept.

mod client;
mod conn;
mod flow;
mod frame;
mod halves;
mod heads;
pub mod hpack;
mod keepalive;
mod message;
mod out;
mod pace;
mod reason;
mod server;
mod stream;
mod streams;
#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "both ends are tasks of the test")]
mod tests;
mod window;

use std::time::Duration;

use crate::limits;

pub(crate) use client::Response;
pub use client::{ClientConnection, Driver};
pub(crate) use halves::{Incoming, Outgoing};
pub(crate) use server::Reply;
pub use server::ServerConnection;

/// Settings of HTTP/2 connections; each field's reason stands at its default in [`limits`].
#[derive(Clone, Debug)]
pub struct Settings {
    /// See [`limits::H2_STREAMS`].
    pub streams: u32,
    /// See [`limits::H2_STREAM_WINDOW`].
    pub stream_window: u32,
    /// See [`limits::H2_CONNECTION_WINDOW`].
    pub connection_window: u32,
    /// See [`limits::H2_GROWN_WINDOW`].
    pub grown_window: u32,
    /// Whether the peer speaks for many clients, so that what one of them does must not end the connection: resets
    /// aren't limited but by what may be open.
    pub peer_is_proxy: bool,
    /// See [`limits::H2_PING_INTERVAL`]; `None`, the default, for no PINGs: gRPC servers close connections whose clients
    /// probe them more often than every five minutes, so only peers that are known to bear it are probed.
    pub ping_interval: Option<Duration>,
    /// See [`limits::H2_PING_TIMEOUT`].
    pub ping_timeout: Duration,
}

impl Settings {
    /// The defaults of connections to upstreams, which many clients share.
    #[must_use]
    pub fn upstream() -> Self {
        Self {
            stream_window: limits::H2_UPSTREAM_STREAM_WINDOW,
            connection_window: limits::H2_UPSTREAM_CONNECTION_WINDOW,
            grown_window: limits::H2_UPSTREAM_CONNECTION_WINDOW,
            ..Self::default()
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            streams: limits::H2_STREAMS,
            stream_window: limits::H2_STREAM_WINDOW,
            connection_window: limits::H2_CONNECTION_WINDOW,
            grown_window: limits::H2_GROWN_WINDOW,
            peer_is_proxy: false,
            ping_interval: None,
            ping_timeout: limits::H2_PING_TIMEOUT,
        }
    }
}
