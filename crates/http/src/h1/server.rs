//! The accepting end of an HTTP/1 connection: one exchange after the other.
//!
//! The next head is read only when both halves of the last exchange are done and its answer was written, so
//! pipelined requests wait and their order is kept. Malformed requests are answered here, and the connection closes;
//! it goes on reading for a short while, so that the answer isn't lost to a reset (RFC 9112 §9.6).

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Method;
use leno_model::failure::Failure;

use super::body::Decoder;
use super::conn::{Conn, HeadRead, Reading, Shared, Side, Writing};
use super::encode::{self, Answered};
use super::halves::Incoming;
use super::parse::{Limits, ParsedRequest, request};
use super::refusal::Refusal;
use super::reply::Reply;
use crate::drain::Drain;
use crate::exchange::{self, Exchange, Frame};
use crate::head::{Connect, Framing, Version};
use crate::io::Io;
use crate::limits;
use crate::reply::LocalReply;
use crate::server::Config;
use crate::timer::{Timer, Wait};

/// An HTTP/1 connection that requests arrive on.
#[derive(Debug)]
pub struct ServerConnection {
    conn: Shared,
    config: Rc<Config>,
    drain: Drain,
    timer: Timer,
    stage: Stage,
    /// Whether it has been seen to be draining.
    leaving: bool,
    refused: Option<Turned>,
}

/// Bytes that could not become an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turned {
    /// The row of the failure table.
    pub failure: Failure,
    /// The rule that was broken, where it was one.
    pub refusal: Option<Refusal>,
}

impl Turned {
    fn reply(self) -> Option<LocalReply> {
        match self.refusal {
            Some(refusal) => LocalReply::because(self.failure, false, &refusal.to_string()),
            None => LocalReply::of(self.failure, false),
        }
    }
}

#[derive(Debug)]
enum Stage {
    Open,
    /// Reading so many bytes more of a body that nobody wants, to keep the connection.
    Draining {
        left: u64,
    },
    /// Shutting the sending direction, then perhaps reading so many bytes more.
    Closing {
        left: usize,
    },
    Lingering {
        left: usize,
    },
    Closed,
}

impl ServerConnection {
    /// Takes over a socket.
    #[must_use]
    pub fn new(mut io: Box<dyn Io>, config: Rc<Config>) -> Self {
        let limits = Limits { bytes: config.head_bytes, fields: config.head_fields, scheme: config.scheme };
        // Otherwise every read and write would go through the wrapper.
        let (first, io) = io.unwrap_prefix().unwrap_or((Bytes::new(), io));
        let conn = Conn::new(io, first, Side::Server, limits, config.budget.clone());
        let drain = conn.drain.clone();
        let conn = Rc::new(RefCell::new(conn));
        Self {
            conn,
            config,
            drain,
            timer: Timer::default(),
            stage: Stage::Open,
            leaving: false,
            refused: None,
        }
    }

    /// See [`crate::server::Connection::accept`].
    pub async fn accept(&mut self) -> Option<Exchange> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    /// See [`crate::server::Connection::drain_handle`].
    #[must_use]
    pub fn drain_handle(&self) -> Drain {
        self.drain.clone()
    }

    /// What could not become an exchange, once [`Self::accept`] has said `None`.
    #[must_use]
    pub fn turned_away(&self) -> Option<Turned> {
        self.refused
    }

    /// See [`Self::accept`].
    pub fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Option<Exchange>> {
        loop {
            match self.stage {
                Stage::Open => {
                    if let Some(exchange) = ready!(self.poll_open(cx)) {
                        return Poll::Ready(Some(exchange));
                    }
                }
                Stage::Draining { left } => ready!(self.poll_draining(left, cx)),
                Stage::Closing { left } => ready!(self.poll_closing(left, cx)),
                Stage::Lingering { left } => ready!(self.poll_lingering(left, cx)),
                Stage::Closed => {
                    self.conn.borrow_mut().close();
                    return Poll::Ready(None);
                }
            }
        }
    }

    /// Ends the last exchange and waits for the next one; `None` when the stage has changed.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Option<Exchange>> {
        let mut conn = self.conn.borrow_mut();
        if conn.is_busy() {
            conn.watch(cx);
            // An answer that is complete goes out even while the request's body is still arriving, and so does the
            // end of a tunnel whose send half is gone.
            match conn.writing {
                Writing::Idle | Writing::Failed(_) if conn.has_output() => {
                    let _flushed = conn.poll_flush_io(cx);
                }
                Writing::Shutting => {
                    let _failed = conn.poll_flush(cx);
                }
                _ => {}
            }
            if conn.is_busy() {
                return Poll::Pending;
            }
        }
        if conn.has_output() {
            match conn.poll_flush_io(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => {
                    self.stage = Stage::Closed;
                    return Poll::Ready(None);
                }
                Poll::Pending => {
                    if self.timer.is_over(Wait::Flush, self.config.header_timeout, cx) {
                        self.stage = Stage::Closed;
                        return Poll::Ready(None);
                    }
                    return Poll::Pending;
                }
            }
        }
        if let Some(stage) = next_stage(&conn) {
            self.stage = stage;
            return Poll::Ready(None);
        }
        let Poll::Ready(read) = conn.poll_head(&mut request, cx) else {
            let partial = conn.has_partial_head();
            drop(conn);
            return self.poll_silence(partial, cx);
        };
        drop(conn);
        self.timer.clear();
        match read {
            HeadRead::Complete(parsed) => match self.check_ahead(&parsed) {
                Ok(()) => return Poll::Ready(Some(self.begin(parsed))),
                Err(refusal) => self.refuse(refusal),
            },
            HeadRead::Refused(refusal) => self.refuse(refusal),
            HeadRead::Gone(_) => self.stage = Stage::Closed,
        }
        Poll::Ready(None)
    }

    /// Nothing to read: closes when draining or when the time is over.
    fn poll_silence(&mut self, partial: bool, cx: &mut Context<'_>) -> Poll<Option<Exchange>> {
        self.drain.register(cx);
        let idle = match self.drain.is_begun() {
            // A request may be on its way, which would be lost. The next answer says that it is the last.
            true => limits::LEAVE_TIME.min(self.config.idle_timeout),
            false => self.config.idle_timeout,
        };
        if self.drain.is_begun() && !self.leaving {
            self.leaving = true;
            self.timer.shorten(Wait::Request, self.config.idle_timeout.saturating_sub(idle));
        }
        let (wait, limit) =
            if partial { (Wait::Head, self.config.header_timeout) } else { (Wait::Request, idle) };
        if !self.timer.is_over(wait, limit, cx) {
            return Poll::Pending;
        }
        if partial {
            self.turn_away(Turned { failure: Failure::RequestTimeout, refusal: None });
        } else {
            self.stage = Stage::Closing { left: 0 };
        }
        Poll::Ready(None)
    }

    /// Looks at what has arrived with the head: of a request that is wrong as a whole, nothing is to reach anybody.
    fn check_ahead(&self, parsed: &ParsedRequest) -> Result<(), Refusal> {
        if parsed.head.parts.framing == Framing::Stream { self.conn.borrow().check_chunked() } else { Ok(()) }
    }

    /// Makes an exchange of a head.
    fn begin(&mut self, parsed: ParsedRequest) -> Exchange {
        let ParsedRequest { head, persistent } = parsed;
        let mut conn = self.conn.borrow_mut();
        conn.persistent = persistent;
        conn.expecting = head.parts.expect_continue;
        conn.writing = Writing::Head;
        conn.reading = match (&head.parts.connect, head.parts.framing) {
            (Connect::Connect | Connect::Upgrade(_), _) => Reading::Switch { dropped: false },
            (_, Framing::Stream) => Reading::Body(Decoder::chunked()),
            (_, Framing::Length(length @ 1..)) => Reading::Body(Decoder::length(length)),
            _ => Reading::Idle,
        };
        conn.answered = Answered {
            version: head.parts.version,
            is_head: head.parts.method == Method::HEAD,
            connect: head.parts.connect.clone(),
            persistent,
        };
        drop(conn);
        let body = exchange::Incoming::h1(Incoming::new(&self.conn));
        let reply = exchange::Reply::h1(Reply::new(Rc::clone(&self.conn)));
        Exchange { head, body, reply }
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.turn_away(Turned { failure: refusal.of_client(), refusal: Some(refusal) });
    }

    /// Answers what can't become an exchange, and closes.
    fn turn_away(&mut self, turned: Turned) {
        self.refused = Some(turned);
        let mut conn = self.conn.borrow_mut();
        if let Some(LocalReply { head, body }) = turned.reply() {
            let request = Answered {
                version: Version::Http11,
                is_head: false,
                connect: Connect::None,
                persistent: false,
            };
            let text = conn.text();
            encode::response(&head, &request, text);
            text.extend_from_slice(&body);
        }
        conn.persistent = false;
        self.stage = Stage::Closing { left: limits::LINGER_BYTES };
    }

    /// Reads the rest of an unwanted body, to find the next request behind it.
    fn poll_draining(&mut self, left: u64, cx: &mut Context<'_>) -> Poll<()> {
        let mut conn = self.conn.borrow_mut();
        let close = match conn.poll_frame(false, cx) {
            Poll::Ready(Frame::Data(data)) => match left.checked_sub(data.len() as u64) {
                Some(left) => {
                    self.stage = Stage::Draining { left };
                    if matches!(conn.reading, Reading::Idle) {
                        self.stage = Stage::Open;
                    }
                    false
                }
                None => true,
            },
            Poll::Ready(Frame::Trailers(_) | Frame::End) => {
                self.stage = Stage::Open;
                false
            }
            Poll::Ready(Frame::Abort(_)) => true,
            Poll::Pending => {
                if !self.timer.is_over(Wait::Drain, limits::LINGER_TIME, cx) {
                    return Poll::Pending;
                }
                true
            }
        };
        if close {
            conn.persistent = false;
            self.stage = Stage::Closing { left: limits::LINGER_BYTES };
        }
        Poll::Ready(())
    }

    fn poll_closing(&mut self, left: usize, cx: &mut Context<'_>) -> Poll<()> {
        self.stage = match self.conn.borrow_mut().poll_shutdown(cx) {
            Poll::Ready(Ok(())) if left > 0 => Stage::Lingering { left },
            Poll::Ready(_) => Stage::Closed,
            Poll::Pending if self.timer.is_over(Wait::Flush, limits::LINGER_TIME, cx) => Stage::Closed,
            Poll::Pending => return Poll::Pending,
        };
        Poll::Ready(())
    }

    fn poll_lingering(&mut self, left: usize, cx: &mut Context<'_>) -> Poll<()> {
        self.stage = match self.conn.borrow_mut().poll_discard(cx) {
            Poll::Ready(Ok(n @ 1..)) if n < left => Stage::Lingering { left: left - n },
            Poll::Ready(_) => Stage::Closed,
            Poll::Pending if self.timer.is_over(Wait::Linger, limits::LINGER_TIME, cx) => Stage::Closed,
            Poll::Pending => return Poll::Pending,
        };
        Poll::Ready(())
    }
}

/// Where a connection goes whose last exchange is over and written; `None` to the next request.
fn next_stage(conn: &Conn) -> Option<Stage> {
    let unread = conn.has_input() || matches!(conn.reading, Reading::Abandoned(_));
    let closing = Stage::Closing { left: if unread { limits::LINGER_BYTES } else { 0 } };
    match (&conn.writing, &conn.reading) {
        // Cut short: the sooner and harder the end, the plainer.
        (Writing::Failed(_), _) => Some(Stage::Closed),
        (Writing::Shut, _) | (_, Reading::Failed(_)) => Some(closing),
        _ if !conn.persistent => Some(closing),
        // A client that wasn't told to go on may send its body or not: what comes next can't be told apart.
        (_, Reading::Abandoned(_)) if conn.expecting => Some(closing),
        (_, Reading::Abandoned(decoder)) if decoder.at_most().is_none_or(|n| n <= limits::DRAIN_BODY) => {
            Some(Stage::Draining { left: limits::DRAIN_BODY })
        }
        (_, Reading::Abandoned(_)) => Some(closing),
        _ => None,
    }
}
