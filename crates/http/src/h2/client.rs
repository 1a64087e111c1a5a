//! The dialling end of an HTTP/2 connection.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use http::header;
use leno_model::failure::Failure;

use super::conn::{Conn, Place, Role, Terms};
use super::halves::{Incoming, Outgoing, Reader, blame};
use super::keepalive::Prober;
use super::stream::{Asked, Stream};
use crate::client::Config;
use crate::exchange::{self, Answer, Progress, Unsent};
use crate::head::{Connect, Framing, RequestHead, ResponseHead};
use crate::io::Io;
use crate::timer::{Timer, Wait};
use crate::wakers::register;
use crate::{limits, websocket};

/// A share in an HTTP/2 connection that requests are sent on. Cloning shares the connection, which ends when all
/// shares and exchanges are gone.
#[derive(Debug)]
pub struct ClientConnection {
    conn: Rc<Conn>,
}

impl Clone for ClientConnection {
    fn clone(&self) -> Self {
        Self::share(&self.conn)
    }
}

impl Drop for ClientConnection {
    fn drop(&mut self) {
        self.conn.drop_handle();
    }
}

/// Moves a client connection, which does nothing unless this is polled. Resolves when the connection has ended.
#[derive(Debug)]
#[must_use = "the connection doesn't move unless its driver is polled"]
pub struct Driver {
    conn: Rc<Conn>,
    prober: Option<Prober>,
    timer: Timer,
    /// What was queued when it was looked at last.
    unsent: usize,
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { conn, prober, timer, unsent } = &mut *self;
        if conn.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let is_stuck = conn.is_over() && {
            if conn.has_moved(unsent) {
                timer.restart(Wait::Flush);
            }
            timer.is_over(Wait::Flush, limits::STALL_LONG, cx)
        };
        if is_stuck || prober.as_mut().is_some_and(|prober| prober.is_dead(conn, cx)) {
            conn.cut();
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl Drop for Driver {
    /// Exchanges still open see the connection broken.
    fn drop(&mut self) {
        self.conn.cut();
    }
}

impl ClientConnection {
    /// Takes over a socket, on which preface and settings go out first. Doesn't wait for the peer's, so a request may
    /// follow at once.
    pub fn new(io: Box<dyn Io>, config: &Config) -> (Self, Driver) {
        let conn = Conn::new(
            io,
            Terms {
                role: Role::Client,
                settings: &config.h2,
                head_bytes: config.head_bytes,
                head_fields: config.head_fields,
                budget: config.budget.clone(),
                broken_streams: None,
            },
        );
        let this = Self::share(&conn);
        let prober = Prober::new(&config.h2);
        (this, Driver { conn, prober, timer: Timer::default(), unsent: 0 })
    }

    #[cfg(test)]
    pub(super) fn conn(&self) -> &Rc<Conn> {
        &self.conn
    }

    fn share(conn: &Rc<Conn>) -> Self {
        conn.add_handle();
        Self { conn: Rc::clone(conn) }
    }

    /// See [`crate::client::Connection::send`].
    ///
    /// # Errors
    /// If the connection takes no more streams, or the peer doesn't take this kind of request.
    pub async fn send(
        &mut self,
        head: &RequestHead,
    ) -> Result<(exchange::Outgoing, exchange::Response), Unsent> {
        let unsent = |failure| Unsent { failure, progress: Progress::NotSent };
        // Counts while it waits: whoever chooses among connections is to see that others come first on this one.
        let place = Place::of(&self.conn);
        let connect = &head.parts.connect;
        if matches!(connect, Connect::Extended(_) | Connect::Upgrade(_)) {
            // On a new connection nothing is known yet of what the peer allows.
            poll_fn(|cx| self.conn.poll_greeted(cx)).await;
            if self.conn.is_open() && !self.conn.allows_extended_connect() {
                return Err(unsent(Failure::UpgradeRefused));
            }
        }
        if !poll_fn(|cx| self.conn.poll_room(cx)).await {
            return Err(unsent(Failure::UpstreamClosed));
        }
        let is_tunnel = *connect != Connect::None;
        let ends = !is_tunnel && !head.framing().has_body();
        let stream = self
            .conn
            .open(place, head, ends, Asked::of(head))
            .ok_or_else(|| unsent(Failure::UpstreamClosed))?;
        let framing = if is_tunnel { Framing::Stream } else { head.framing() };
        let outgoing = if ends {
            Outgoing::finished(Rc::clone(&stream))
        } else {
            Outgoing::new(Rc::clone(&stream), framing)
        };
        let tunnel = is_tunnel.then(|| {
            let accept = head.fields().get("sec-websocket-key").map(websocket::accept);
            Box::new(Tunnel { asked: connect.clone(), accept })
        });
        let response = Response { reader: Some(Reader::new(Rc::clone(&stream))), stream, tunnel };
        Ok((exchange::Outgoing::h2(outgoing), exchange::Response::h2(response)))
    }

    /// Whether new streams may be opened: the connection is neither broken nor told to go away.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.conn.is_open()
    }

    /// Streams that the peer lets open besides those that are.
    #[must_use]
    pub fn available(&self) -> usize {
        self.conn.available()
    }

    /// Streams open.
    #[must_use]
    pub fn active(&self) -> usize {
        self.conn.active()
    }

    /// See [`crate::client::Connection::idle_since`].
    #[must_use]
    pub fn idle_since(&self) -> Option<Instant> {
        self.conn.idle_since()
    }
}

/// The receive half of a request that was sent, before its final head. Dropping it resets the stream, unless the
/// send half goes on.
#[derive(Debug)]
pub(crate) struct Response {
    /// `None` after the final head.
    reader: Option<Reader>,
    stream: Rc<Stream>,
    tunnel: Option<Box<Tunnel>>,
}

/// A tunnel that was asked for.
#[derive(Debug)]
struct Tunnel {
    asked: Connect,
    /// What the client expects of a granted upgrade to WebSocket.
    accept: Option<String>,
}

impl Response {
    pub(crate) fn progress(&self) -> Progress {
        self.stream.progress.get()
    }

    pub(crate) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answer, Failure>> {
        let mut state = self.stream.state.borrow_mut();
        let Some(mut head) = state.interim.pop_front().or_else(|| state.head.take()) else {
            if self.reader.is_none() {
                return Poll::Ready(Err(Failure::Internal));
            }
            if let Some(cause) = state.cause {
                return Poll::Ready(Err(blame(&self.stream, cause)));
            }
            register(&mut state.hears, cx);
            return Poll::Pending;
        };
        drop(state);
        self.stream.progress.set(Progress::ResponseStarted);
        if head.is_informational() {
            return Poll::Ready(Ok(Answer::Informational(head)));
        }
        let Some(reader) = self.reader.take() else { return Poll::Ready(Err(Failure::Internal)) };
        if let Some(tunnel) = &self.tunnel {
            tunnel.translate_grant(&mut head);
        }
        Poll::Ready(Ok(Answer::Final(head, exchange::Incoming::h2(Incoming::new(reader)))))
    }
}

impl Tunnel {
    /// Lets a granted tunnel answer what was asked: an HTTP/1.1 upgrade expects 101.
    fn translate_grant(&self, head: &mut ResponseHead) {
        if !head.status().is_success() {
            return;
        }
        head.set_framing(Framing::Stream);
        if let Connect::Upgrade(protocol) = &self.asked {
            let mut granted = ResponseHead::switching(protocol);
            granted.parts.fields = head.parts.fields.clone();
            if let Some(accept) = &self.accept {
                // A digest in base64 is a well-formed value.
                let _set = granted.parts.fields.set(header::SEC_WEBSOCKET_ACCEPT.as_str(), accept.as_bytes());
            }
            *head = granted;
        }
    }
}
