//! Client connections of any version: what requests are sent on.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use crate::budget::Budget;
use crate::exchange::{Outgoing, Response, Unsent};
use crate::head::RequestHead;
use crate::{h1, h2, limits};

/// Settings of the connections to one destination.
#[derive(Clone, Debug)]
pub struct Config {
    /// See [`limits::HEAD_BYTES`].
    pub head_bytes: usize,
    /// See [`limits::HEAD_FIELDS`].
    pub head_fields: usize,
    /// HTTP/2 settings.
    pub h2: h2::Settings,
    /// What buffers beyond the usual are reserved from; without one they are bounded per connection only.
    pub budget: Option<Budget>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            head_bytes: limits::HEAD_BYTES,
            head_fields: limits::HEAD_FIELDS,
            h2: h2::Settings::upstream(),
            budget: None,
        }
    }
}

/// A connection, or for HTTP/2 a share in one.
#[derive(Debug)]
pub enum Connection {
    /// HTTP/1: one exchange at a time.
    H1(h1::ClientConnection),
    /// HTTP/2: a handle, cheap to clone; the connection is moved by its [`h2::Driver`].
    H2(h2::ClientConnection),
}

impl Connection {
    /// Sends a request. HTTP/1 writes the head with the first bytes of the body, or while the response is awaited.
    /// HTTP/2 waits while the peer's limit of streams is reached.
    ///
    /// # Errors
    /// If the connection can't take it; nothing was sent then.
    pub async fn send(&mut self, head: &RequestHead) -> Result<(Outgoing, Response), Unsent> {
        match self {
            Self::H1(connection) => connection.send(head),
            Self::H2(connection) => connection.send(head).await,
        }
    }

    /// Whether another request may be sent now: the last exchange is complete and the peer hasn't closed. Sees an end
    /// of file that has arrived, without a system call where nothing has.
    pub fn is_reusable(&mut self) -> bool {
        match self {
            Self::H1(connection) => connection.is_reusable(),
            Self::H2(connection) => connection.is_open() && connection.available() > 0,
        }
    }

    /// The same for what can't be repeated: an end that has just arrived isn't known to the event loop yet, so
    /// `has_arrived` asks the kernel whether the socket has anything to read.
    pub fn is_surely_reusable(&mut self, has_arrived: impl FnOnce(BorrowedFd<'_>) -> bool) -> bool {
        match self {
            Self::H1(connection) => connection.is_surely_reusable(has_arrived),
            Self::H2(_) => self.is_reusable(),
        }
    }

    /// Since when no exchange has been under way; `None` while one is.
    #[must_use]
    pub fn idle_since(&self) -> Option<Instant> {
        match self {
            Self::H1(connection) => connection.idle_since(),
            Self::H2(connection) => connection.idle_since(),
        }
    }

    /// How long it has idled at `now`, zero while it is in use.
    #[must_use]
    pub fn idle_for(&self, now: Instant) -> Duration {
        self.idle_since().map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }
}
