//! The send half of a body or tunnel.

use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use leno_model::failure::Failure;

use super::{Incoming, Tunnel};
use crate::{h1, h2};

/// The send half of a body or tunnel. Dropping it before [`Self::finish`] or [`Self::trailers`] cuts the message
/// visibly short.
#[derive(Debug)]
pub struct Outgoing(Sink);

#[derive(Debug)]
enum Sink {
    H1(h1::Outgoing),
    H2(h2::Outgoing),
}

impl Outgoing {
    pub(crate) fn h1(sink: h1::Outgoing) -> Self {
        Self(Sink::H1(sink))
    }

    pub(crate) fn h2(sink: h2::Outgoing) -> Self {
        Self(Sink::H2(sink))
    }

    pub(super) fn as_h1(&self) -> Option<&h1::Outgoing> {
        if let Sink::H1(sink) = &self.0 { Some(sink) } else { None }
    }

    pub(super) fn as_h1_mut(&mut self) -> Option<&mut h1::Outgoing> {
        if let Sink::H1(sink) = &mut self.0 { Some(sink) } else { None }
    }

    /// Whether the message is complete already, as one without a body is; nothing more may be given.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        match &self.0 {
            Sink::H1(sink) => sink.is_finished(),
            Sink::H2(sink) => sink.is_finished(),
        }
    }

    /// Waits until everything given so far was written (HTTP/1) or may be sent (HTTP/2), and another frame may be
    /// given. Cancelling loses nothing.
    ///
    /// # Errors
    /// If the peer is gone or has reset the stream.
    pub async fn ready(&mut self) -> Result<(), Failure> {
        poll_fn(|cx| self.poll_ready(cx)).await
    }

    /// See [`Self::ready`].
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        match &mut self.0 {
            Sink::H1(sink) => sink.poll_flush(cx),
            Sink::H2(sink) => sink.poll_ready(cx),
        }
    }

    /// Whether a frame is written on before the next is asked for.
    pub(crate) fn takes_large(&self) -> bool {
        matches!(self.0, Sink::H1(_))
    }

    /// Like [`Self::poll_ready`], but a head that waits for its first bytes goes on waiting: for callers that call
    /// `poll_ready` themselves before they go to sleep, such as the relay.
    pub fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        match &mut self.0 {
            Sink::H1(sink) => sink.poll_room(cx),
            Sink::H2(sink) => sink.poll_ready(cx),
        }
    }

    /// Gives bytes. Call [`Self::ready`] before each.
    ///
    /// # Errors
    /// If the peer is gone, the announced length is exceeded, or `ready` was skipped ([`Failure::Internal`]). The
    /// message is then cut short.
    pub fn data(&mut self, data: Bytes) -> Result<(), Failure> {
        match &mut self.0 {
            Sink::H1(sink) => sink.data(data),
            Sink::H2(sink) => sink.data(data),
        }
    }

    /// Gives the last bytes and ends the body with them. Call [`Self::ready`] before.
    ///
    /// # Errors
    /// As [`Self::data`].
    pub fn last(&mut self, data: Bytes) -> Result<(), Failure> {
        match &mut self.0 {
            Sink::H1(sink) => {
                sink.data(data)?;
                sink.finish();
                Ok(())
            }
            Sink::H2(sink) => sink.last(data),
        }
    }

    /// Ends the body with trailers. Where the peer can't take any (HTTP/1 with a length, or HTTP/1.0) they are dropped.
    pub fn trailers(&mut self, trailers: HeaderMap) {
        match &mut self.0 {
            Sink::H1(sink) => sink.trailers(&trailers),
            Sink::H2(sink) => sink.trailers(trailers),
        }
    }

    /// Ends the body, or a tunnel's sending direction. Fewer bytes than announced cut the message short instead.
    /// What isn't written at once is written by [`Self::ready`], by waiting for the response, or by the next accept.
    pub fn finish(&mut self) {
        match &mut self.0 {
            Sink::H1(sink) => sink.finish(),
            Sink::H2(sink) => sink.finish(),
        }
    }

    /// Cuts the message visibly short: HTTP/1 closes the connection, HTTP/2 resets the stream.
    pub fn abort(self, failure: Failure) {
        match self.0 {
            Sink::H1(sink) => sink.abort(failure),
            Sink::H2(sink) => sink.abort(failure),
        }
    }

    /// Waits until the peer says that it wants no more of the body (HTTP/2 RST_STREAM) or is gone. HTTP/1 can't say
    /// so, and waits for ever. Cancelling loses nothing.
    pub fn poll_stopped(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        match &mut self.0 {
            Sink::H1(_) => Poll::Pending,
            Sink::H2(sink) => sink.poll_stopped(cx),
        }
    }

    /// Joins the halves of a CONNECT, upgrade or HBONE stream, after its 2xx or 101, to one byte duplex.
    #[must_use]
    pub fn into_tunnel(self, incoming: Incoming) -> Tunnel {
        Tunnel::new(incoming, self)
    }
}
