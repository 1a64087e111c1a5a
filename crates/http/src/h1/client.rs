//! The dialling end of an HTTP/1 connection: one exchange at a time.

use std::cell::{Cell, RefCell};
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use bytes::Bytes;
use http::{Method, StatusCode};
use leno_model::failure::Failure;

use super::body::Decoder;
use super::conn::{Conn, HeadRead, Reading, Shared, Side, Writing};
use super::encode::{self, Encoding};
use super::halves::{Incoming, Outgoing};
use super::parse::{Asked, Body, Limits, ParsedResponse, response};
use super::refusal::Refusal;
use crate::client::Config;
use crate::exchange::{self, Answer, Progress, Unsent};
use crate::head::{Connect, RequestHead, ResponseHead, Scheme};
use crate::io::Io;
use crate::limits;

/// An HTTP/1 connection that requests are sent on.
#[derive(Debug)]
pub struct ClientConnection {
    conn: Shared,
    /// When the last exchange was found to be over.
    idle_since: Cell<Option<Instant>>,
}

impl ClientConnection {
    /// Takes over a socket.
    #[must_use]
    pub fn new(io: Box<dyn Io>, config: &Config) -> Self {
        let limits = Limits { bytes: config.head_bytes, fields: config.head_fields, scheme: Scheme::Http };
        let conn =
            Rc::new(RefCell::new(Conn::new(io, Bytes::new(), Side::Client, limits, config.budget.clone())));
        Self { conn, idle_since: Cell::new(Some(Instant::now())) }
    }

    /// See [`crate::client::Connection::send`].
    ///
    /// # Errors
    /// If an exchange is under way or the connection can't carry another.
    pub fn send(&mut self, head: &RequestHead) -> Result<(exchange::Outgoing, exchange::Response), Unsent> {
        let mut conn = self.conn.borrow_mut();
        if !conn.is_idle() || conn.is_closed() {
            return Err(Unsent { failure: Failure::UpstreamClosed, progress: Progress::NotSent });
        }
        self.idle_since.set(None);
        let encoding = encode::request(head, conn.text());
        conn.asked = match (&head.parts.connect, &head.parts.method) {
            (Connect::Connect, _) => Asked::Connect,
            (Connect::Extended(_) | Connect::Upgrade(_), _) => Asked::Upgrade,
            (Connect::None, &Method::HEAD) => Asked::Head,
            (Connect::None, _) => Asked::Plain,
        };
        conn.answered.connect = head.parts.connect.clone();
        conn.writing = match (&head.parts.connect, encoding) {
            (Connect::None, Encoding::None) => Writing::Idle,
            (Connect::None, encoding) => Writing::Body(encoding),
            _ => Writing::Switch,
        };
        conn.reading = Reading::Head;
        conn.progress = Progress::NotSent;
        conn.informational = 0;
        drop(conn);
        let outgoing = exchange::Outgoing::h1(Outgoing::new(&self.conn));
        let response = exchange::Response::h1(Response { conn: Rc::clone(&self.conn), open: true });
        Ok((outgoing, response))
    }

    /// Whether another request may be sent, as far as is known without looking at the socket.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let conn = self.conn.borrow();
        conn.is_idle() && !conn.is_closed()
    }

    /// See [`crate::client::Connection::is_reusable`].
    pub fn is_reusable(&mut self) -> bool {
        self.is_left_alone(|_| true)
    }

    /// See [`crate::client::Connection::is_surely_reusable`].
    pub fn is_surely_reusable(&mut self, has_arrived: impl FnOnce(BorrowedFd<'_>) -> bool) -> bool {
        self.is_left_alone(|conn| !conn.socket().is_some_and(has_arrived))
    }

    fn is_left_alone(&mut self, is_silent: impl FnOnce(&Conn) -> bool) -> bool {
        let mut conn = self.conn.borrow_mut();
        let mut cx = Context::from_waker(Waker::noop());
        let reusable = conn.is_idle() && !conn.is_closed() && !conn.is_disturbed(&mut cx) && is_silent(&conn);
        if !reusable && !conn.is_busy() {
            conn.close();
        }
        reusable
    }

    /// Waits until the peer closes the idle connection, or sends something unasked, which ends it as well. Cancelling
    /// loses nothing.
    pub async fn closed(&mut self) {
        std::future::poll_fn(|cx| {
            let mut conn = self.conn.borrow_mut();
            if conn.is_busy() {
                conn.watch(cx);
                return Poll::Pending;
            }
            let ended = conn.is_closed() || !conn.is_idle() || conn.is_disturbed(cx);
            if ended { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// See [`crate::client::Connection::idle_since`]. It is noted when first asked for after the exchange.
    #[must_use]
    pub fn idle_since(&self) -> Option<Instant> {
        if self.conn.borrow().is_busy() {
            return None;
        }
        let since = self.idle_since.get().unwrap_or_else(Instant::now);
        self.idle_since.set(Some(since));
        Some(since)
    }
}

/// The receive half of a request that was sent, before its final head.
#[derive(Debug)]
pub(crate) struct Response {
    conn: Shared,
    open: bool,
}

impl Response {
    pub(crate) fn progress(&self) -> Progress {
        self.conn.borrow().progress
    }

    pub(crate) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answer, Failure>> {
        if !self.open {
            return Poll::Ready(Err(Failure::Internal));
        }
        let mut conn = self.conn.borrow_mut();
        if let Reading::Failed(failure) = conn.reading {
            return Poll::Ready(Err(failure));
        }
        // A server may answer and close before it has read the request, so an answer counts even if writing fails.
        if conn.has_output() {
            let _flushed = conn.poll_flush(cx);
        }
        let asked = conn.asked;
        let failure = match ready!(conn.poll_head(&mut |bytes, limits| response(bytes, asked, limits), cx)) {
            HeadRead::Complete(parsed) => {
                drop(conn);
                return Poll::Ready(self.take(parsed));
            }
            HeadRead::Refused(refusal) => {
                conn.progress = Progress::ResponseStarted;
                conn.refuse(refusal)
            }
            HeadRead::Gone(error) => {
                if conn.has_partial_head() {
                    conn.progress = Progress::ResponseStarted;
                }
                conn.fail_reading(error.as_ref())
            }
        };
        Poll::Ready(Err(failure))
    }

    fn take(&mut self, parsed: ParsedResponse) -> Result<Answer, Failure> {
        let ParsedResponse { mut head, persistent, body } = parsed;
        let mut conn = self.conn.borrow_mut();
        conn.progress = Progress::ResponseStarted;
        if head.is_informational() {
            conn.informational += 1;
            if conn.informational > limits::INFORMATIONAL {
                return Err(conn.refuse(Refusal::Informational));
            }
            return Ok(Answer::Informational(head));
        }
        self.open = false;
        // Of an answer that is known to be wrong, nothing is to reach the client.
        if body == Body::Chunked
            && let Err(refusal) = conn.check_chunked()
        {
            let failure = conn.refuse(refusal);
            Conn::release_and_wake_all(conn);
            return Err(failure);
        }
        conn.persistent &= persistent;
        let tunnel = body == Body::Tunnel;
        conn.reading = match body {
            Body::None | Body::Length(0) => Reading::Idle,
            Body::Length(length) => Reading::Body(Decoder::length(length)),
            Body::Chunked => Reading::Body(Decoder::chunked()),
            Body::UntilClose | Body::Tunnel => Reading::Body(Decoder::until_close()),
        };
        if conn.writing == Writing::Switch {
            conn.writing = if tunnel { Writing::Tunnel } else { Writing::Idle };
            // The wish to switch may still be open on the server's side; another request could be taken for its data.
            conn.persistent &= !tunnel && conn.asked != Asked::Connect;
        }
        if tunnel {
            translate_switch(&mut head, &conn.answered.connect);
        }
        Conn::release_and_wake_all(conn);
        Ok(Answer::Final(head, exchange::Incoming::h1(Incoming::new(&self.conn))))
    }
}

/// Lets a granted upgrade answer what was asked: an extended CONNECT expects 200 (RFC 8441 §5).
fn translate_switch(head: &mut ResponseHead, asked: &Connect) {
    if matches!(asked, Connect::Extended(_)) {
        head.set_status(StatusCode::OK);
        head.parts.upgrade = None;
        head.fields_mut().remove("sec-websocket-accept");
    }
}

impl Drop for Response {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        let mut conn = self.conn.borrow_mut();
        if matches!(conn.reading, Reading::Head) {
            conn.reading = Reading::Failed(Failure::Internal);
            conn.persistent = false;
        }
        Conn::release_and_wake_owner(conn);
    }
}
