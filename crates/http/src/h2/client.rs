//! The dialling end of an HTTP/2 connection.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use h2::client::{ResponseFuture, SendRequest};
use http::{Method, Response as HttpResponse, header};
use leno_model::failure::Failure;
use tokio::sync::Notify;

use super::halves::{End, Incoming, Outgoing};
use super::keepalive::Prober;
use super::queue::{Payload, Queue};
use super::socket::{Handle, Socket};
use super::streams::{Stream, Streams};
use super::window::{Received, Window};
use crate::client::Config;
use crate::exchange::{self, Answer, Progress, Unsent};
use crate::head::{Connect, Framing, RequestHead, ResponseHead, convert};
use crate::io::Io;
use crate::{limits, websocket};

/// A share in an HTTP/2 connection that requests are sent on. Cloning shares the connection, which ends when all
/// shares and exchanges are gone.
#[derive(Clone, Debug)]
pub struct ClientConnection {
    send: SendRequest<Payload>,
    streams: Rc<Streams>,
    queue: Rc<Queue>,
    received: Rc<Received>,
    settings: Rc<PeerSettings>,
    max_fields: usize,
}

/// Whether the peer's settings have come, which say what it may be asked.
#[derive(Debug, Default)]
struct PeerSettings {
    have_come: Cell<bool>,
    /// They have, or never will.
    known: Notify,
}

impl PeerSettings {
    fn come(&self) {
        if !self.have_come.replace(true) {
            self.known.notify_waiters();
        }
    }

    async fn wait(&self) {
        while !self.have_come.get() {
            self.known.notified().await;
        }
    }
}

/// Moves a client connection, which does nothing unless this is polled. Resolves when the connection has ended.
#[must_use = "the connection doesn't move unless its driver is polled"]
pub struct Driver {
    /// `None` once the connection has ended; exchanges still open then see it broken.
    connection: Option<h2::client::Connection<Socket, Payload>>,
    prober: Option<Prober>,
    window: Window,
    socket: Handle,
    settings: Rc<PeerSettings>,
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let Some(connection) = &mut this.connection else { return Poll::Ready(()) };
        if let Some(size) = this.window.grow() {
            connection.set_target_window_size(size);
        }
        // Errors reach the streams by themselves.
        let ended = Pin::new(connection).poll(cx).is_ready();
        this.socket.settle(cx);
        // They are the first that a peer says (RFC 9113 §3.4).
        if ended || this.socket.reads() > 0 {
            this.settings.come();
        }
        if ended || this.prober.as_mut().is_some_and(|prober| prober.is_dead(cx)) {
            this.settings.come();
            this.connection = None;
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").field("ended", &self.connection.is_none()).finish_non_exhaustive()
    }
}

impl ClientConnection {
    /// Sends preface and settings. Doesn't wait for the peer's, so a request may follow at once.
    ///
    /// # Errors
    /// If the socket fails.
    pub async fn handshake(io: Box<dyn Io>, config: Rc<Config>) -> Result<(Self, Driver), Failure> {
        let (io, socket) = Socket::new(io);
        let (send, mut connection) =
            builder(&config).handshake(io).await.map_err(|_broken| Failure::UpstreamClosed)?;
        let prober = Prober::new(connection.ping_pong(), &socket, &config.h2);
        let window = Window::new(&config.h2, config.budget.clone());
        let settings = Rc::<PeerSettings>::default();
        let this = Self {
            send,
            streams: Streams::new(),
            queue: Queue::new(config.budget.clone()),
            received: Rc::clone(window.received()),
            settings: Rc::clone(&settings),
            max_fields: config.head_fields,
        };
        Ok((this, Driver { connection: Some(connection), prober, window, socket, settings }))
    }

    /// See [`crate::client::Connection::send`].
    ///
    /// # Errors
    /// If the connection takes no more streams, or the peer doesn't take this kind of request.
    pub async fn send(
        &mut self,
        head: &RequestHead,
    ) -> Result<(exchange::Outgoing, exchange::Response), Unsent> {
        poll_fn(|cx| self.send.poll_ready(cx)).await.map_err(|_closed| unsent(Failure::UpstreamClosed))?;
        let is_extended = matches!(head.parts.connect, Connect::Extended(_) | Connect::Upgrade(_));
        if is_extended {
            // On a new connection nothing is known yet of what the peer allows.
            self.settings.wait().await;
            if !self.send.is_extended_connect_protocol_enabled() {
                return Err(unsent(Failure::UpgradeRefused));
            }
        }
        self.begin(head)
    }

    /// Sends a request for which there is room.
    fn begin(&mut self, head: &RequestHead) -> Result<(exchange::Outgoing, exchange::Response), Unsent> {
        let request = convert::to_h2_request(head).map_err(unsent)?;
        let is_tunnel = head.parts.connect != Connect::None;
        let ended = !is_tunnel && matches!(head.parts.framing, Framing::None | Framing::Length(0));
        let (response, send) =
            self.send.send_request(request, ended).map_err(|_closed| unsent(Failure::UpstreamClosed))?;
        let stream = Stream::open(&self.streams);
        let end = End::Client(Rc::clone(&stream));
        let framing = if is_tunnel { Framing::Stream } else { head.parts.framing };
        let outgoing = if ended {
            Outgoing::finished(end)
        } else {
            Outgoing::new(send, &self.queue, None, end, framing)
        };
        let key = match head.parts.connect {
            Connect::Upgrade(_) => head.parts.fields.get("sec-websocket-key"),
            _ => None,
        };
        let response = Response {
            response: Some(response),
            stream,
            asked: head.parts.connect.clone(),
            accept: key.map(websocket::accept),
            is_head: head.parts.method == Method::HEAD,
            received: Rc::clone(&self.received),
            max_fields: self.max_fields,
            informational: 0,
        };
        Ok((exchange::Outgoing::h2(outgoing), exchange::Response::h2(response)))
    }

    /// Whether new streams may be opened: the connection is neither broken nor told to go away.
    #[must_use]
    pub fn is_open(&self) -> bool {
        // Only a fresh handle tells this alone: one that has sent may be waiting for its stream to open.
        let ready = self.send.clone().poll_ready(&mut Context::from_waker(Waker::noop()));
        !matches!(ready, Poll::Ready(Err(_)))
    }

    /// Streams that the peer lets open besides those that are.
    #[must_use]
    pub fn available(&self) -> usize {
        self.send.current_max_send_streams().saturating_sub(self.streams.active())
    }

    /// Streams open.
    #[must_use]
    pub fn active(&self) -> usize {
        self.streams.active()
    }

    /// See [`crate::client::Connection::idle_since`].
    #[must_use]
    pub fn idle_since(&self) -> Option<Instant> {
        self.streams.idle_since()
    }
}

fn unsent(failure: Failure) -> Unsent {
    Unsent { failure, progress: Progress::NotSent }
}

fn builder(config: &Config) -> h2::client::Builder {
    let settings = &config.h2;
    let mut builder = h2::client::Builder::new();
    builder
        .enable_push(false)
        .max_concurrent_streams(0)
        .initial_max_send_streams(usize::try_from(settings.streams).unwrap_or(usize::MAX))
        .initial_window_size(settings.stream_window)
        .initial_connection_window_size(settings.connection_window)
        .max_send_buffer_size(settings.send_buffer)
        .max_frame_size(limits::H2_FRAME)
        .max_header_list_size(u32::try_from(config.head_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(limits::H2_PENDING_RESETS)
        .max_local_error_reset_streams(Some(limits::H2_ERROR_RESETS))
        .max_concurrent_reset_streams(limits::H2_RESET_STREAMS)
        .reset_stream_duration(limits::H2_RESET_TIME);
    builder
}

/// The receive half of a request that was sent, before its final head. Dropping it resets the stream, unless the
/// send half goes on.
#[derive(Debug)]
pub(crate) struct Response {
    /// `None` after the final head.
    response: Option<ResponseFuture>,
    stream: Rc<Stream>,
    asked: Connect,
    /// What the client expects of a granted upgrade to WebSocket.
    accept: Option<String>,
    is_head: bool,
    received: Rc<Received>,
    max_fields: usize,
    informational: usize,
}

impl Response {
    pub(crate) fn progress(&self) -> Progress {
        self.stream.progress()
    }

    pub(crate) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answer, Failure>> {
        let end = End::Client(Rc::clone(&self.stream));
        let Some(response) = &mut self.response else { return Poll::Ready(Err(Failure::Internal)) };
        if let Some(interim) = ready!(response.poll_informational(cx)) {
            let interim = interim.map_err(|error| end.blame(&error))?;
            self.stream.note(Progress::ResponseStarted);
            self.informational += 1;
            if self.informational > limits::INFORMATIONAL {
                self.response = None;
                return Poll::Ready(Err(Failure::UpstreamProtocol));
            }
            let head = convert::from_h2_response(interim, true, false, self.max_fields)?;
            return Poll::Ready(Ok(Answer::Informational(head)));
        }
        let answered = ready!(Pin::new(response).poll(cx)).map_err(|error| end.blame(&error))?;
        self.response = None;
        self.stream.note(Progress::ResponseStarted);
        let (parts, recv) = answered.into_parts();
        let ended = recv.is_end_stream();
        let interim = HttpResponse::from_parts(parts, ());
        let mut head = convert::from_h2_response(interim, ended, self.is_head, self.max_fields)?;
        self.translate_grant(&mut head);
        let body = Incoming::new(recv, end, &self.received);
        Poll::Ready(Ok(Answer::Final(head, exchange::Incoming::h2(body))))
    }

    /// Lets a granted tunnel answer what was asked: an HTTP/1.1 upgrade expects 101.
    fn translate_grant(&self, head: &mut ResponseHead) {
        if self.asked == Connect::None || !head.status().is_success() {
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
