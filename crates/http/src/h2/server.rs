//! The accepting end of an HTTP/2 connection.
//!
//! `h2` does frames, flow control and the protocol's own limits; here are the limits that it leaves to its user
//! (handshake and idle time, dead peers), draining, and what HTTP/1 would refuse as well.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use h2::RecvStream;
use h2::server::SendResponse;
use http::Request;
use leno_model::failure::Failure;

use super::error::reason_for;
use super::halves::{End, Incoming, Outgoing};
use super::heads::{Heads, Held};
use super::keepalive::Prober;
use super::queue::{Payload, Queue};
use super::resets::Resets;
use super::socket::{Handle, Socket};
use super::window::Window;
use crate::drain::Drain;
use crate::exchange::{self, Exchange};
use crate::head::{Connect, Framing, ResponseHead, convert};
use crate::io::Io;
use crate::limits;
use crate::reply::LocalReply;
use crate::server::Config;
use crate::timer::{Timer, Wait};

type Handshake = h2::server::Handshake<Socket, Payload>;
type Connection = h2::server::Connection<Socket, Payload>;

/// An HTTP/2 connection that requests arrive on.
pub struct ServerConnection {
    stage: Stage,
    config: Rc<Config>,
    socket: Handle,
    window: Window,
    queue: Rc<Queue>,
    heads: Rc<Heads>,
    resets: Rc<Resets>,
    drain: Drain,
    timer: Timer,
    broken: Option<h2::Reason>,
}

/// The reason of an error that the client didn't announce itself.
fn found_here(error: &h2::Error) -> Option<h2::Reason> {
    error.reason().filter(|_| error.is_library())
}

/// Whether the stream is over already: what has arrived with its head may not be what the head announced. Then nothing
/// of the request is to reach anybody.
fn is_reset(respond: &mut SendResponse<Payload>) -> bool {
    respond.poll_reset(&mut Context::from_waker(Waker::noop())).is_ready()
}

enum Stage {
    Handshake(Pin<Box<Handshake>>),
    Open { connection: Box<Connection>, prober: Option<Prober>, leaving: bool },
    Closed,
}

impl ServerConnection {
    /// Takes over a socket on which the client's preface comes next.
    #[must_use]
    pub fn new(io: Box<dyn Io>, config: Rc<Config>) -> Self {
        let (io, socket) = Socket::new(io);
        let handshake = builder(&config).handshake(io);
        Self {
            stage: Stage::Handshake(Box::pin(handshake)),
            window: Window::new(&config.h2, config.budget.clone()),
            queue: Queue::new(config.budget.clone()),
            heads: Heads::new(config.budget.clone()),
            resets: Resets::new(),
            config,
            socket,
            drain: Drain::default(),
            timer: Timer::default(),
            broken: None,
        }
    }

    /// The rule of the protocol that the client broke, once [`Self::accept`] has said `None`.
    #[must_use]
    pub fn broken(&self) -> Option<h2::Reason> {
        self.broken
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
        let accepted = self.poll_moved(cx);
        self.socket.settle(cx);
        accepted
    }

    fn poll_moved(&mut self, cx: &mut Context<'_>) -> Poll<Option<Exchange>> {
        loop {
            match &mut self.stage {
                Stage::Closed => return Poll::Ready(None),
                Stage::Handshake(handshake) => match handshake.as_mut().poll(cx) {
                    Poll::Ready(Ok(mut connection)) => {
                        self.timer.clear();
                        let prober = Prober::new(connection.ping_pong(), &self.socket, &self.config.h2);
                        self.stage = Stage::Open { connection: Box::new(connection), prober, leaving: false };
                    }
                    Poll::Ready(Err(error)) => {
                        self.broken = found_here(&error);
                        self.stage = Stage::Closed;
                    }
                    Poll::Pending => {
                        self.drain.register(cx);
                        let slow = self.timer.is_over(Wait::Head, self.config.header_timeout, cx);
                        if !slow && !self.drain.is_begun() {
                            return Poll::Pending;
                        }
                        self.stage = Stage::Closed;
                    }
                },
                Stage::Open { .. } => match ready!(self.poll_open(cx)) {
                    Some((request, respond)) => {
                        if let Some(exchange) = self.begin(request, respond) {
                            return Poll::Ready(Some(exchange));
                        }
                    }
                    None => self.stage = Stage::Closed,
                },
            }
        }
    }

    /// Moves the connection until a request arrives; `None` at its end.
    fn poll_open(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<(Request<RecvStream>, SendResponse<Payload>)>> {
        let Stage::Open { connection, prober, leaving } = &mut self.stage else { return Poll::Ready(None) };
        if self.drain.is_begun() && !*leaving {
            *leaving = true;
            connection.graceful_shutdown();
        }
        if self.resets.are_too_many() && !self.config.h2.peer_is_proxy {
            connection.abrupt_shutdown(h2::Reason::ENHANCE_YOUR_CALM);
        }
        if let Some(size) = self.window.grow() {
            connection.set_target_window_size(size);
        }
        match connection.poll_accept(cx) {
            Poll::Ready(Some(Ok(accepted))) => return Poll::Ready(Some(accepted)),
            Poll::Ready(Some(Err(error))) => {
                self.broken = found_here(&error);
                return Poll::Ready(None);
            }
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => {}
        }
        if prober.as_mut().is_some_and(|prober| prober.is_dead(cx)) {
            return Poll::Ready(None);
        }
        self.drain.register(cx);
        if connection.has_streams() {
            self.timer.clear();
        } else {
            // One that has been asked to leave gets only so long to do so.
            let (wait, limit) = match leaving {
                true => (Wait::Linger, limits::LINGER_TIME),
                false => (Wait::Request, self.config.idle_timeout),
            };
            if self.timer.is_over(wait, limit, cx) {
                if *leaving {
                    return Poll::Ready(None);
                }
                self.drain.begin();
                cx.waker().wake_by_ref();
            }
        }
        Poll::Pending
    }

    /// Makes an exchange of a request, or answers one that HTTP/1 would refuse.
    fn begin(&self, request: Request<RecvStream>, mut respond: SendResponse<Payload>) -> Option<Exchange> {
        let (parts, recv) = request.into_parts();
        let request = Request::from_parts(parts, ());
        let is_head = request.method() == http::Method::HEAD;
        let ended = recv.is_end_stream();
        let end = End::Server(Rc::clone(&self.resets));
        let held = self.heads.hold(&request).ok_or(Failure::Overload);
        let converted = held.and_then(|held| {
            let head = convert::from_h2_request(request, ended, self.config.scheme, self.config.head_fields)?;
            Ok((head, held))
        });
        match converted {
            Ok((head, _)) if matches!(head.parts.framing, Framing::Length(_)) && is_reset(&mut respond) => {
                None
            }
            Ok((head, held)) => {
                let connect = head.parts.connect.clone();
                let body = Incoming::new(recv, end.clone(), self.window.received());
                let body = exchange::Incoming::h2(body);
                let queue = Rc::clone(&self.queue);
                let reply = exchange::Reply::h2(Reply {
                    respond: Some(respond),
                    is_head,
                    connect,
                    queue,
                    held: Some(held),
                    end,
                });
                Some(Exchange { head, body, reply })
            }
            Err(failure) => {
                match LocalReply::of(failure, false) {
                    Some(reply) => {
                        let mut head = reply.head;
                        head.set_framing(Framing::Length(0));
                        // Fails only if the stream is gone already.
                        let _sent = respond.send_response(convert::to_h2_response(head), true);
                    }
                    None => respond.send_reset(reason_for(failure)),
                }
                None
            }
        }
    }
}

impl std::fmt::Debug for ServerConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let stage = match &self.stage {
            Stage::Handshake(_) => "handshake",
            Stage::Open { .. } => "open",
            Stage::Closed => "closed",
        };
        f.debug_struct("ServerConnection").field("stage", &stage).finish_non_exhaustive()
    }
}

fn builder(config: &Config) -> h2::server::Builder {
    let settings = &config.h2;
    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams(settings.streams)
        .initial_window_size(settings.stream_window)
        .initial_connection_window_size(settings.connection_window)
        .max_send_buffer_size(settings.send_buffer)
        .max_frame_size(limits::H2_FRAME)
        .max_header_list_size(u32::try_from(config.head_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(match settings.peer_is_proxy {
            true => limits::H2_PENDING_RESETS_OF_MANY,
            false => limits::H2_PENDING_RESETS,
        })
        .max_local_error_reset_streams(Some(limits::H2_ERROR_RESETS))
        .max_concurrent_reset_streams(limits::H2_RESET_STREAMS)
        .reset_stream_duration(limits::H2_RESET_TIME)
        .enable_connect_protocol();
    builder
}

/// The send half of a response before its head.
#[derive(Debug)]
pub(crate) struct Reply {
    /// `None` once answered.
    respond: Option<SendResponse<Payload>>,
    is_head: bool,
    connect: Connect,
    queue: Rc<Queue>,
    /// The head of the request, until its answer takes it over.
    held: Option<Held>,
    end: End,
}

impl Reply {
    pub(crate) fn informational(&mut self, head: &ResponseHead) -> Result<(), Failure> {
        let Some(respond) = &mut self.respond else { return Err(Failure::Internal) };
        if !head.is_informational() {
            return Ok(());
        }
        let mut response = convert::to_h2_response(head.clone());
        response.headers_mut().remove(http::header::CONTENT_LENGTH);
        respond.send_informational(response).map_err(|error| self.end.blame(&error))
    }

    pub(crate) fn head(mut self, head: ResponseHead) -> Outgoing {
        let Some(mut respond) = self.respond.take() else {
            return Outgoing::failed(self.end.clone(), Failure::Internal);
        };
        if head.status().is_informational() {
            respond.send_reset(reason_for(Failure::Internal));
            return Outgoing::failed(self.end.clone(), Failure::Internal);
        }
        let tunnel = self.connect != Connect::None && head.status().is_success();
        let framing = if tunnel { Framing::Stream } else { head.parts.framing };
        let never = self.is_head || matches!(head.status().as_u16(), 204 | 304);
        let ended = never || matches!(framing, Framing::None | Framing::Length(0));
        match respond.send_response(convert::to_h2_response(head), ended) {
            Ok(_) if ended => Outgoing::finished(self.end.clone()),
            Ok(send) => Outgoing::new(send, &self.queue, self.held.take(), self.end.clone(), framing),
            Err(error) => Outgoing::failed(self.end.clone(), self.end.blame(&error)),
        }
    }

    pub(crate) fn abort(mut self, failure: Failure) {
        self.reset(failure);
    }

    fn reset(&mut self, failure: Failure) {
        if let Some(mut respond) = self.respond.take() {
            respond.send_reset(reason_for(failure));
        }
    }

    pub(crate) fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        let Some(respond) = &mut self.respond else { return Poll::Pending };
        Poll::Ready(match ready!(respond.poll_reset(cx)) {
            Ok(_) => self.end.gone(),
            Err(error) => self.end.blame(&error),
        })
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.reset(Failure::Internal);
    }
}
