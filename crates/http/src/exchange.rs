//! One request and its answer over any HTTP version: the contract between the codecs and the proxy.
//!
//! On the accepting side an [`Exchange`] is a request head, its body ([`Incoming`]) and the right to answer
//! ([`Reply`], which becomes an [`Outgoing`] once the head is given). On the dialling side sending a head gives an
//! [`Outgoing`] for the body and a [`Response`], which yields heads and at last an [`Incoming`].
//!
//! The halves move independently. Dropping one before its end cancels its direction: an unfinished [`Outgoing`] or
//! [`Reply`] cuts the message visibly short, an unfinished [`Incoming`] tells the peer to stop or drains it.
//! Nothing here buffers without bound: one frame at most waits in an `Outgoing`, beyond that data is refused. Credit
//! for a frame is given to an HTTP/2 sender only when the next one is asked for; ask once the last was written on.

mod outgoing;
mod replay;
mod tee;
mod tunnel;

use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use leno_model::failure::Failure;

use crate::head::{RequestHead, ResponseHead};
use crate::{grpc_web, h1, h2};

pub use leno_model::retry::Progress;
pub use outgoing::Outgoing;
pub use replay::Replay;
pub use tunnel::Tunnel;

/// A request that was accepted.
#[derive(Debug)]
pub struct Exchange {
    /// The request's head.
    pub head: RequestHead,
    /// The request's body.
    pub body: Incoming,
    /// The way to answer.
    pub reply: Reply,
}

/// What a receive half yields.
#[derive(Debug)]
pub enum Frame {
    /// Bytes of the body, never empty.
    Data(Bytes),
    /// The trailers; only [`Frame::End`] follows.
    Trailers(HeaderMap),
    /// The complete end. Further calls yield it again.
    End,
    /// The message won't be completed. Further calls yield it again.
    Abort(Failure),
}

/// The receive half of a body or tunnel.
#[derive(Debug)]
pub struct Incoming(Source);

#[derive(Debug)]
enum Source {
    Ended,
    Whole(Bytes),
    H1(h1::Incoming),
    /// Halves over HTTP/2 are large and moved a lot, so they are in boxes, as everywhere below.
    H2(h2::Incoming),
    /// Decorates another one, as every kind after it: it keeps what was read.
    Replay(replay::Reader),
    /// What is read of it is copied.
    Copied(Box<tee::Original>),
    Following(tee::Follower),
    /// It is gRPC-Web to its reader, or to its writer.
    GrpcWeb(Box<grpc_web::Translated>),
}

impl Incoming {
    /// A body without bytes.
    #[must_use]
    pub fn empty() -> Self {
        Self(Source::Ended)
    }

    /// A body that is held already.
    #[must_use]
    pub fn whole(body: Bytes) -> Self {
        if body.is_empty() { Self::empty() } else { Self(Source::Whole(body)) }
    }

    pub(crate) fn grpc_web(translated: grpc_web::Translated) -> Self {
        Self(Source::GrpcWeb(Box::new(translated)))
    }

    /// `grpc-status` of trailers that became part of the body.
    pub(crate) fn grpc_status(&self) -> Option<u16> {
        if let Source::GrpcWeb(translated) = &self.0 { translated.status() } else { None }
    }

    pub(crate) fn h1(source: h1::Incoming) -> Self {
        Self(Source::H1(source))
    }

    pub(crate) fn h2(source: h2::Incoming) -> Self {
        Self(Source::H2(source))
    }

    fn as_h1(&self) -> Option<&h1::Incoming> {
        if let Source::H1(source) = &self.0 { Some(source) } else { None }
    }

    fn as_h1_mut(&mut self) -> Option<&mut h1::Incoming> {
        if let Source::H1(source) = &mut self.0 { Some(source) } else { None }
    }

    /// Whether it is certain, without waiting, that nothing more comes: the next frame is [`Frame::End`].
    #[must_use]
    pub fn is_ended(&self) -> bool {
        match &self.0 {
            Source::Ended => true,
            Source::Whole(_) => false,
            Source::H1(source) => source.is_ended(),
            Source::H2(source) => source.is_ended(),
            Source::Replay(reader) => reader.is_ended(),
            Source::Copied(original) => original.is_ended(),
            Source::Following(follower) => follower.is_ended(),
            Source::GrpcWeb(translated) => translated.is_ended(),
        }
    }

    /// Whether all of it has arrived, read or not, so that the sender can't break it off any more.
    #[must_use]
    pub fn is_here(&self) -> bool {
        match &self.0 {
            Source::Whole(_) => true,
            Source::H1(source) => source.is_here(),
            Source::H2(source) => source.is_here(),
            _ => self.is_ended(),
        }
    }

    /// Lets frames have [`LARGE_BUFFER`](crate::limits::LARGE_BUFFER) bytes, for whoever writes them on before asking for
    /// another; others hold them, and what they may hold is bounded in frames of a usual size.
    pub(crate) fn hand_out_large(&mut self) {
        match &mut self.0 {
            Source::H1(source) => source.hand_out_large(),
            Source::Replay(reader) => reader.hand_out_large(),
            _ => {}
        }
    }

    /// The next frame. Asking says that the frame before was written on. Cancelling loses nothing.
    pub async fn frame(&mut self) -> Frame {
        poll_fn(|cx| self.poll_frame(cx)).await
    }

    /// To be called instead of [`Self::poll_frame`] while the frame before can't be written on. Resolves when that has
    /// lasted too long for what the process may buffer, and for a copy once it is given up; the message is then to be
    /// cut off.
    pub fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        match &mut self.0 {
            Source::Ended | Source::Whole(_) => Poll::Pending,
            Source::H1(source) => source.poll_stalled(cx),
            Source::H2(source) => source.poll_stalled(cx),
            Source::Replay(reader) => reader.poll_stalled(cx),
            Source::Copied(original) => original.poll_stalled(cx),
            Source::Following(follower) => follower.poll_stalled(cx),
            Source::GrpcWeb(translated) => translated.poll_stalled(cx),
        }
    }

    /// See [`Self::frame`].
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Frame> {
        match &mut self.0 {
            Source::Ended => Poll::Ready(Frame::End),
            Source::Whole(body) => {
                let body = std::mem::take(body);
                self.0 = Source::Ended;
                Poll::Ready(Frame::Data(body))
            }
            Source::H1(source) => source.poll_frame(cx),
            Source::H2(source) => source.poll_frame(cx),
            Source::Replay(reader) => reader.poll_frame(cx),
            Source::Copied(original) => original.poll_frame(cx),
            Source::Following(follower) => follower.poll_frame(cx),
            Source::GrpcWeb(translated) => translated.poll_frame(cx),
        }
    }
}

/// The send half of a response before its head.
#[derive(Debug)]
pub struct Reply(ReplyTo);

#[derive(Debug)]
enum ReplyTo {
    H1(h1::Reply),
    H2(h2::Reply),
}

impl Reply {
    pub(crate) fn h1(reply: h1::Reply) -> Self {
        Self(ReplyTo::H1(reply))
    }

    pub(crate) fn h2(reply: h2::Reply) -> Self {
        Self(ReplyTo::H2(reply))
    }

    /// Sends an interim response and waits until it was written. HTTP/1.0 clients are spared it (RFC 9110 §15.2).
    ///
    /// # Errors
    /// If the client is gone.
    pub async fn informational(&mut self, head: &ResponseHead) -> Result<(), Failure> {
        match &mut self.0 {
            ReplyTo::H1(reply) => reply.informational(head).await,
            ReplyTo::H2(reply) => reply.informational(head),
        }
    }

    /// Sends the final head. It may wait to be written with the first bytes of the body: see [`Outgoing::ready`].
    ///
    /// With status 101, or 2xx to a CONNECT, what follows is a tunnel: see [`Outgoing::into_tunnel`].
    #[must_use = "dropping the send half cuts the response short"]
    pub fn head(self, head: ResponseHead) -> Outgoing {
        match self.0 {
            ReplyTo::H1(reply) => Outgoing::h1(reply.head(&head)),
            ReplyTo::H2(reply) => Outgoing::h2(reply.head(&head)),
        }
    }

    /// Sends a response that is held completely.
    pub fn whole(self, mut head: ResponseHead, body: Bytes) {
        head.set_framing(crate::head::Framing::Length(body.len() as u64));
        let mut outgoing = self.head(head);
        if !outgoing.is_finished() {
            // Fails only if the client is gone.
            let _given = outgoing.last(body);
        }
    }

    /// Cuts the exchange off without an answer.
    pub fn abort(self, failure: Failure) {
        match self.0 {
            ReplyTo::H1(reply) => reply.abort(failure),
            ReplyTo::H2(reply) => reply.abort(failure),
        }
    }

    /// Waits until the client has given up on the answer. An HTTP/1 client that closes its sending direction counts as
    /// gone, as with Envoy. Cancelling loses nothing.
    pub async fn closed(&mut self) -> Failure {
        poll_fn(|cx| self.poll_closed(cx)).await
    }

    /// See [`Self::closed`].
    pub fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        match &mut self.0 {
            ReplyTo::H1(reply) => reply.poll_closed(cx),
            ReplyTo::H2(reply) => reply.poll_closed(cx),
        }
    }
}

/// A head that a [`Response`] yields.
#[derive(Debug)]
pub enum Answer {
    /// An interim response; another head follows.
    Informational(ResponseHead),
    /// The final response and its body, or the receiving direction of the tunnel.
    Final(ResponseHead, Incoming),
}

/// The receive half of a request that was sent.
#[derive(Debug)]
pub struct Response(ResponseOf);

#[derive(Debug)]
enum ResponseOf {
    H1(h1::Response),
    H2(h2::Response),
}

impl Response {
    pub(crate) fn h1(response: h1::Response) -> Self {
        Self(ResponseOf::H1(response))
    }

    pub(crate) fn h2(response: h2::Response) -> Self {
        Self(ResponseOf::H2(response))
    }

    /// The next head. Waiting also writes what the [`Outgoing`] still holds. Cancelling loses nothing.
    ///
    /// # Errors
    /// If there won't be one; [`Self::progress`] says how far the request got.
    pub async fn head(&mut self) -> Result<Answer, Failure> {
        poll_fn(|cx| self.poll_head(cx)).await
    }

    /// See [`Self::head`].
    pub fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answer, Failure>> {
        match &mut self.0 {
            ResponseOf::H1(response) => response.poll_head(cx),
            ResponseOf::H2(response) => response.poll_head(cx),
        }
    }

    /// How far the request got.
    #[must_use]
    pub fn progress(&self) -> Progress {
        match &self.0 {
            ResponseOf::H1(response) => response.progress(),
            ResponseOf::H2(response) => response.progress(),
        }
    }
}

/// A request that could not be given to a connection at all.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the request was not sent")]
pub struct Unsent {
    /// What went wrong.
    #[source]
    pub failure: Failure,
    /// [`Progress::NotSent`] or [`Progress::Refused`].
    pub progress: Progress,
}
