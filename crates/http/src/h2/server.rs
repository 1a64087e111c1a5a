//! The accepting end of an HTTP/2 connection: its handshake and idle time, its drain, and the answers.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use leno_model::failure::Failure;

use super::conn::{Accepted, Conn, Role, Terms};
use super::halves::{Incoming, Outgoing, Reader, blame, poll_cut};
use super::keepalive::Prober;
use super::reason::reason_for;
use super::stream::{Asked, Stream};
use crate::drain::Drain;
use crate::exchange::{self, Exchange};
use crate::head::{Framing, ResponseHead};
use crate::io::Io;
use crate::limits;
use crate::server::Config;
use crate::timer::{Timer, Wait};

/// An HTTP/2 connection that requests arrive on.
#[derive(Debug)]
pub struct ServerConnection {
    conn: Rc<Conn>,
    config: Rc<Config>,
    prober: Option<Prober>,
    drain: Drain,
    timer: Timer,
    /// What was queued when it was looked at last.
    unsent: usize,
}

impl ServerConnection {
    /// Takes over a socket on which the client's preface comes next.
    #[must_use]
    pub fn new(io: Box<dyn Io>, config: Rc<Config>) -> Self {
        let conn = Conn::new(
            io,
            Terms {
                role: Role::Server(config.scheme),
                settings: &config.h2,
                head_bytes: config.head_bytes,
                head_fields: config.head_fields,
                budget: config.budget.clone(),
                broken_streams: config.broken_streams.clone(),
            },
        );
        Self {
            conn,
            prober: Prober::new(&config.h2),
            config,
            drain: Drain::default(),
            timer: Timer::default(),
            unsent: 0,
        }
    }

    #[cfg(test)]
    pub(super) fn conn(&self) -> &Rc<Conn> {
        &self.conn
    }

    /// The rule of the protocol that the client broke, once [`Self::accept`] has said `None`.
    #[must_use]
    pub fn broken(&self) -> Option<&'static str> {
        self.conn.broken()
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

    /// See [`Self::accept`].
    pub fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Option<Exchange>> {
        if self.drain.is_begun() {
            self.conn.leave();
        }
        let ended = match self.conn.accepted() {
            Some(accepted) => return Poll::Ready(Some(begin(accepted))),
            None => self.conn.poll(cx).is_ready(),
        };
        if let Some(accepted) = self.conn.accepted() {
            return Poll::Ready(Some(begin(accepted)));
        }
        if !ended && !self.is_to_end(cx) {
            return Poll::Pending;
        }
        self.conn.cut();
        Poll::Ready(None)
    }

    /// Whether the connection has been waited for long enough.
    fn is_to_end(&mut self, cx: &mut Context<'_>) -> bool {
        if self.prober.as_mut().is_some_and(|prober| prober.is_dead(&self.conn, cx)) {
            return true;
        }
        self.drain.register(cx);
        let is_leaving = self.conn.is_leaving();
        if self.conn.has_moved(&mut self.unsent) {
            self.timer.restart(Wait::Flush);
        }
        let (wait, limit) = match self.conn.is_greeted() {
            _ if self.conn.has_streams() => {
                self.timer.clear();
                return false;
            }
            // Answers may have all been given and not all been taken: who reads slowly is waited for while it does.
            _ if self.unsent > 0 => (Wait::Flush, self.config.header_timeout),
            // One that has been asked to leave gets only so long to do so.
            _ if is_leaving => (Wait::Linger, limits::LINGER_TIME),
            true => (Wait::Request, self.config.idle_timeout),
            false => (Wait::Head, self.config.header_timeout),
        };
        if !self.timer.is_over(wait, limit, cx) {
            return false;
        }
        if wait == Wait::Request {
            self.drain.begin();
            cx.waker().wake_by_ref();
            return false;
        }
        true
    }
}

impl Drop for ServerConnection {
    /// Exchanges still open see the connection broken.
    fn drop(&mut self) {
        self.conn.cut();
    }
}

fn begin(accepted: Accepted) -> Exchange {
    let Accepted { head, stream } = accepted;
    let reply = Reply { stream: Rc::clone(&stream), is_answered: false };
    let body = exchange::Incoming::h2(Incoming::new(Reader::new(stream)));
    Exchange { head, body, reply: exchange::Reply::h2(reply) }
}

/// The send half of a response before its head.
#[derive(Debug)]
pub(crate) struct Reply {
    stream: Rc<Stream>,
    is_answered: bool,
}

impl Reply {
    pub(crate) fn informational(&mut self, head: &ResponseHead) -> Result<(), Failure> {
        let stream = &self.stream;
        if !head.is_informational() {
            return Ok(());
        }
        stream.conn().inform(stream, head).map_err(|cause| blame(stream, cause))
    }

    pub(crate) fn head(mut self, head: &ResponseHead) -> Outgoing {
        let stream = Rc::clone(&self.stream);
        if head.status().is_informational() {
            self.reset(Failure::Internal);
            return Outgoing::failed(stream, Failure::Internal);
        }
        self.is_answered = true;
        let asked = stream.state.borrow().asked;
        let tunnel = asked == Asked::Connect && head.status().is_success();
        let framing = if tunnel { Framing::Stream } else { head.framing() };
        let never = asked == Asked::Head || matches!(head.status().as_u16(), 204 | 304);
        let ends = never || !framing.has_body();
        match stream.conn().respond(&stream, head, ends) {
            Ok(()) if ends => Outgoing::finished(stream),
            Ok(()) => Outgoing::new(stream, framing),
            Err(cause) => {
                let failure = blame(&stream, cause);
                Outgoing::failed(stream, failure)
            }
        }
    }

    pub(crate) fn abort(mut self, failure: Failure) {
        self.reset(failure);
    }

    fn reset(&mut self, failure: Failure) {
        if !std::mem::replace(&mut self.is_answered, true) {
            self.stream.conn().reset(&self.stream, reason_for(failure), failure);
        }
    }

    pub(crate) fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        poll_cut(&self.stream, cx).map(|cause| blame(&self.stream, cause))
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.reset(Failure::Internal);
    }
}
