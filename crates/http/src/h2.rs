//! HTTP/2 (RFC 9113) over the `h2` crate.
#![allow(dead_code, unused_variables, clippy::unused_self, missing_docs, reason = "signatures first")]

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;
use leno_model::failure::Failure;

use crate::drain::Drain;
use crate::exchange::{self, Answer, Exchange, Frame, Progress, Unsent};
use crate::head::{RequestHead, ResponseHead};
use crate::io::Io;
use crate::limits;
use crate::server::Config;

/// Settings of HTTP/2 connections; each field's reason stands at its default in [`limits`].
#[derive(Clone, Debug)]
pub struct Settings {
    /// See [`limits::H2_STREAMS`].
    pub streams: u32,
    /// See [`limits::H2_STREAM_WINDOW`].
    pub stream_window: u32,
    /// See [`limits::H2_CONNECTION_WINDOW`].
    pub connection_window: u32,
    /// See [`limits::H2_SEND_BUFFER`].
    pub send_buffer: usize,
    /// See [`limits::H2_PING_INTERVAL`]; `None` for no PINGs.
    pub ping_interval: Option<Duration>,
    /// See [`limits::H2_PING_TIMEOUT`].
    pub ping_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            streams: limits::H2_STREAMS,
            stream_window: limits::H2_STREAM_WINDOW,
            connection_window: limits::H2_CONNECTION_WINDOW,
            send_buffer: limits::H2_SEND_BUFFER,
            ping_interval: Some(limits::H2_PING_INTERVAL),
            ping_timeout: limits::H2_PING_TIMEOUT,
        }
    }
}

#[derive(Debug)]
pub struct Incoming;
#[derive(Debug)]
pub struct Outgoing;
#[derive(Debug)]
pub struct Reply;
#[derive(Debug)]
pub struct Response;
#[derive(Debug)]
pub struct ServerConnection;
#[derive(Clone, Debug)]
pub struct ClientConnection;

/// Moves a client connection; resolves when it has ended.
pub struct Driver;

impl Future for Driver {
    type Output = ();
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

impl Incoming {
    pub(crate) fn is_ended(&self) -> bool {
        false
    }
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Frame> {
        Poll::Ready(Frame::Abort(Failure::Internal))
    }
}
impl Outgoing {
    pub(crate) fn is_finished(&self) -> bool {
        false
    }
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Err(Failure::Internal))
    }
    pub(crate) fn data(&mut self, data: Bytes) -> Result<(), Failure> {
        Err(Failure::Internal)
    }
    pub(crate) fn trailers(&mut self, trailers: HeaderMap) {}
    pub(crate) fn finish(&mut self) {}
    pub(crate) fn abort(self, failure: Failure) {}
    pub(crate) fn poll_stopped(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        Poll::Pending
    }
}
impl Reply {
    pub(crate) fn informational(&mut self, head: &ResponseHead) -> Result<(), Failure> {
        Err(Failure::Internal)
    }
    pub(crate) fn head(self, head: ResponseHead) -> Outgoing {
        Outgoing
    }
    pub(crate) fn abort(self, failure: Failure) {}
    pub(crate) fn close_after(&mut self) {}
    pub(crate) fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        Poll::Ready(Failure::Internal)
    }
}
impl Response {
    pub(crate) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answer, Failure>> {
        Poll::Ready(Err(Failure::Internal))
    }
    pub(crate) fn progress(&self) -> Progress {
        Progress::NotSent
    }
}
impl ServerConnection {
    pub fn new(io: Box<dyn Io>, config: Rc<Config>) -> Self {
        Self
    }
    pub async fn accept(&mut self) -> Option<Exchange> {
        None
    }
    pub fn drain_handle(&self) -> Drain {
        Drain::default()
    }
}
impl ClientConnection {
    /// Performs the handshake: sends the preface and settings.
    ///
    /// # Errors
    /// If the socket fails.
    pub async fn handshake(
        io: Box<dyn Io>,
        config: Rc<crate::client::Config>,
    ) -> Result<(Self, Driver), Failure> {
        Err(Failure::Internal)
    }
    pub async fn send(
        &mut self,
        head: &RequestHead,
    ) -> Result<(exchange::Outgoing, exchange::Response), Unsent> {
        Err(Unsent { failure: Failure::Internal, progress: Progress::NotSent })
    }
    /// Whether new streams may be opened: no GOAWAY, not broken.
    pub fn is_open(&self) -> bool {
        false
    }
    /// Streams that could be opened without waiting.
    pub fn available(&self) -> usize {
        0
    }
    /// Streams open.
    pub fn active(&self) -> usize {
        0
    }
    pub fn idle_since(&self) -> Option<Instant> {
        None
    }
}
