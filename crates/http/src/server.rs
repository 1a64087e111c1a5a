//! Server connections of any version: what accepts exchanges.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use leno_model::failure::Failure;

use crate::budget::Budget;
use crate::exchange::Exchange;
use crate::head::Scheme;
use crate::io::Io;
use crate::{h1, h2, limits};

/// The HTTP version that a connection speaks; detection or ALPN decides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.0 and HTTP/1.1
    Http1,
    /// HTTP/2
    Http2,
}

/// Settings of the connections of one listener.
#[derive(Clone, Debug)]
pub struct Config {
    /// The scheme of all requests: what the transport is, whatever the client claims.
    pub scheme: Scheme,
    /// See [`limits::HEAD_BYTES`].
    pub head_bytes: usize,
    /// See [`limits::HEAD_FIELDS`].
    pub head_fields: usize,
    /// See [`limits::HEADER_TIMEOUT`].
    pub header_timeout: Duration,
    /// See [`limits::IDLE_TIMEOUT`].
    pub idle_timeout: Duration,
    /// HTTP/2 settings.
    pub h2: h2::Settings,
    /// What buffers beyond the usual are reserved from; without one they are bounded per connection only.
    pub budget: Option<Budget>,
    /// Who hears of streams of HTTP/2 that were ended, or answered, because the client broke a rule on them alone.
    pub broken_streams: Option<Tell>,
}

/// A stream on which the client broke a rule, while its connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokenStream {
    /// The row of the failure table.
    pub failure: Failure,
    /// The rule, and nothing that the client said.
    pub rule: &'static str,
    /// Whether it is an exchange that somebody has accepted, who sees it fail as well.
    pub is_served: bool,
}

/// Who hears of broken streams. It is called while the connection is being moved, and must not touch it. How often it may
/// be is limited where a stream is reset ([`limits::H2_ERROR_RESETS`]); answers cost the client a request each.
#[derive(Clone)]
pub struct Tell(Rc<dyn Fn(&BrokenStream)>);

impl Tell {
    /// Calls this.
    #[must_use]
    pub fn by(tell: impl Fn(&BrokenStream) + 'static) -> Self {
        Self(Rc::new(tell))
    }

    pub(crate) fn of(&self, broken: &BrokenStream) {
        (self.0)(broken);
    }
}

impl fmt::Debug for Tell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tell")
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            scheme: Scheme::Http,
            head_bytes: limits::HEAD_BYTES,
            head_fields: limits::HEAD_FIELDS,
            header_timeout: limits::HEADER_TIMEOUT,
            idle_timeout: limits::IDLE_TIMEOUT,
            h2: h2::Settings::default(),
            budget: None,
            broken_streams: None,
        }
    }
}

/// A connection that requests arrive on.
#[derive(Debug)]
pub enum Connection {
    /// HTTP/1: one exchange at a time.
    H1(h1::ServerConnection),
    /// HTTP/2: many at a time; nothing moves unless [`Connection::accept`] is being awaited.
    H2(Box<h2::ServerConnection>),
}

impl Connection {
    /// Takes over a socket whose protocol is known. Bytes read already go before it by [`crate::io::Prefixed`].
    #[must_use]
    pub fn new(protocol: Protocol, io: Box<dyn Io>, config: Rc<Config>) -> Self {
        match protocol {
            Protocol::Http1 => Self::H1(h1::ServerConnection::new(io, config)),
            Protocol::Http2 => Self::H2(Box::new(h2::ServerConnection::new(io, config))),
        }
    }

    /// The next request; `None` once the connection has ended in whatever way, after everything was sent and with the
    /// socket closed. Malformed requests are answered inside.
    ///
    /// HTTP/1 waits until both halves of the last exchange are done. On HTTP/2 this call drives the connection, so it
    /// must be awaited while exchanges are under way. Cancelling loses nothing.
    pub async fn accept(&mut self) -> Option<Exchange> {
        match self {
            Self::H1(connection) => connection.accept().await,
            Self::H2(connection) => connection.accept().await,
        }
    }

    /// Why the connection ended, once [`Self::accept`] has said `None`: the failure, and the rule that the client broke.
    /// `None` for every ordinary end. Those that could be answered are.
    #[must_use]
    pub fn turned_away(&self) -> Option<(Failure, String)> {
        match self {
            Self::H1(connection) => {
                let turned = connection.turned_away()?;
                let rule = turned.refusal.map(|refusal| refusal.to_string());
                Some((turned.failure, rule.unwrap_or_default()))
            }
            Self::H2(connection) => {
                let rule = connection.broken()?;
                Some((Failure::DownstreamProtocol, rule.to_owned()))
            }
        }
    }

    /// A handle that begins draining from elsewhere, for instance while an exchange is being served.
    #[must_use]
    pub fn drain_handle(&self) -> Drain {
        match self {
            Self::H1(connection) => connection.drain_handle(),
            Self::H2(connection) => connection.drain_handle(),
        }
    }

    /// Takes no further exchanges than those that are under way: see [`Drain::begin`].
    pub fn drain(&mut self) {
        self.drain_handle().begin();
    }
}

pub use crate::drain::Drain;
