//! The halves of an exchange over HTTP/2.

use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{RecvStream, SendStream};
use http::HeaderMap;
use leno_model::failure::Failure;

use super::error::{of_client, of_server, reason_for};
use super::heads::Held;
use super::queue::{Payload, Queue};
use super::resets::Resets;
use super::streams::Stream;
use super::window::Received;
use crate::exchange::{Frame, Progress};
use crate::h1::parse::is_forbidden_trailer;
use crate::head::Framing;
use crate::stall::Stall;

/// Which end of a stream a half belongs to, and the stream's share in its connection.
#[derive(Clone, Debug)]
pub(super) enum End {
    Server(Rc<Resets>),
    Client(Rc<Stream>),
}

impl End {
    /// What an error is to be called.
    pub(super) fn blame(&self, error: &h2::Error) -> Failure {
        match self {
            Self::Server(_) => of_client(error),
            Self::Client(stream) => {
                let (failure, progress) = of_server(error, stream.progress());
                stream.note(progress);
                failure
            }
        }
    }

    /// The peer has reset the stream.
    pub(super) fn gone(&self) -> Failure {
        match self {
            Self::Server(resets) => {
                resets.count();
                Failure::DownstreamGone
            }
            Self::Client(_) => Failure::UpstreamReset,
        }
    }
}

/// The receive half.
#[derive(Debug)]
pub(crate) struct Incoming {
    recv: RecvStream,
    end: End,
    /// Bytes handed out whose credit is still to be given; a frame has at most [`crate::limits::H2_FRAME`].
    owed: u32,
    received: Rc<Received>,
    stall: Stall,
    state: Receive,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Receive {
    Data,
    Trailers,
    Ended,
    Failed(Failure),
}

impl Incoming {
    pub(super) fn new(recv: RecvStream, end: End, received: &Rc<Received>) -> Self {
        let state = if recv.is_end_stream() { Receive::Ended } else { Receive::Data };
        Self { recv, end, owed: 0, received: Rc::clone(received), stall: Stall::default(), state }
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.state == Receive::Ended || (self.state == Receive::Data && self.recv.is_end_stream())
    }

    /// See [`crate::exchange::Incoming::poll_stalled`].
    pub(crate) fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        match &self.received.budget {
            Some(budget) if self.state == Receive::Data => {
                self.stall.poll(budget, self.received.stream_window, cx)
            }
            _ => Poll::Pending,
        }
    }

    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Frame> {
        self.stall.end();
        if self.owed > 0 {
            // Fails only if the stream is gone, which the next read tells.
            let _released =
                self.recv.flow_control().release_capacity(usize::try_from(self.owed).unwrap_or(usize::MAX));
            self.owed = 0;
        }
        loop {
            match self.state {
                Receive::Ended => return Poll::Ready(Frame::End),
                Receive::Failed(failure) => return Poll::Ready(Frame::Abort(failure)),
                Receive::Data => match ready!(self.recv.poll_data(cx)) {
                    Some(Ok(data)) if data.is_empty() => {}
                    Some(Ok(data)) => {
                        self.owed = u32::try_from(data.len()).unwrap_or(u32::MAX);
                        let taken = &self.received.taken;
                        taken.set(taken.get().wrapping_add(data.len() as u64));
                        return Poll::Ready(Frame::Data(data));
                    }
                    Some(Err(error)) => self.state = Receive::Failed(self.end.blame(&error)),
                    None => self.state = Receive::Trailers,
                },
                Receive::Trailers => match ready!(self.recv.poll_trailers(cx)) {
                    Ok(Some(mut trailers)) => {
                        self.state = Receive::Ended;
                        drop_forbidden(&mut trailers);
                        return Poll::Ready(Frame::Trailers(trailers));
                    }
                    Ok(None) => self.state = Receive::Ended,
                    Err(error) => self.state = Receive::Failed(self.end.blame(&error)),
                },
            }
        }
    }
}

/// Takes off what can't be a trailer: HTTP/2 can't be misled by it, but a recipient behind HTTP/1 could.
fn drop_forbidden(trailers: &mut HeaderMap) {
    let forbidden: Vec<_> =
        trailers.keys().filter(|name| is_forbidden_trailer(name.as_str())).cloned().collect();
    for name in forbidden {
        trailers.remove(name);
    }
}

/// The send half.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// `None` once nothing more may be sent.
    send: Option<SendStream<Payload>>,
    /// What the connection has queued; `None` where nothing more is sent.
    queue: Option<Rc<Queue>>,
    /// The head of the request that is answered.
    _head: Option<Held>,
    end: End,
    /// Bytes still to come where a length was announced.
    left: Option<u64>,
    /// Whether a frame may be given: `h2` queues without bound, so it gets one frame per grant of capacity, and the
    /// first one in any case.
    granted: bool,
    failed: Option<Failure>,
}

impl Outgoing {
    pub(super) fn new(
        send: SendStream<Payload>,
        queue: &Rc<Queue>,
        head: Option<Held>,
        end: End,
        framing: Framing,
    ) -> Self {
        let left = if let Framing::Length(length) = framing { Some(length) } else { None };
        Self {
            send: Some(send),
            queue: Some(Rc::clone(queue)),
            _head: head,
            end,
            left,
            granted: true,
            failed: None,
        }
    }

    /// For a message without a body.
    pub(super) fn finished(end: End) -> Self {
        Self { send: None, queue: None, _head: None, end, left: None, granted: false, failed: None }
    }

    /// For a head that couldn't be sent.
    pub(super) fn failed(end: End, failure: Failure) -> Self {
        Self { send: None, queue: None, _head: None, end, left: None, granted: false, failed: Some(failure) }
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.send.is_none()
    }

    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if let Some(failure) = self.failed {
            return Poll::Ready(Err(failure));
        }
        let Some(send) = &mut self.send else { return Poll::Ready(Ok(())) };
        send.reserve_capacity(1);
        while send.capacity() == 0 {
            match ready!(send.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    let failure = self.end.blame(&error);
                    return Poll::Ready(Err(self.fail(failure)));
                }
                // The stream doesn't send any more: it was reset.
                None => {
                    let failure = match send.poll_reset(cx) {
                        Poll::Ready(Err(error)) => self.end.blame(&error),
                        Poll::Ready(Ok(_)) | Poll::Pending => self.end.gone(),
                    };
                    return Poll::Ready(Err(self.fail(failure)));
                }
            }
        }
        if self.queue.as_ref().is_some_and(|queue| queue.poll_room(cx).is_pending()) {
            // A stream that is reset meanwhile needn't wait for others' bytes to be written.
            return self.poll_stopped(cx).map(Err);
        }
        self.granted = true;
        Poll::Ready(Ok(()))
    }

    fn fail(&mut self, failure: Failure) -> Failure {
        self.send = None;
        self.failed = Some(failure);
        failure
    }

    pub(crate) fn data(&mut self, data: Bytes) -> Result<(), Failure> {
        self.give(data, false)
    }

    /// Gives the last bytes; they carry the end.
    pub(crate) fn last(&mut self, data: Bytes) -> Result<(), Failure> {
        self.give(data, true)
    }

    fn give(&mut self, data: Bytes, last: bool) -> Result<(), Failure> {
        if let Some(failure) = self.failed {
            return Err(failure);
        }
        let Some(send) = &mut self.send else {
            return if data.is_empty() { Ok(()) } else { Err(Failure::Internal) };
        };
        let length = data.len() as u64;
        let fits = self.left.is_none_or(|left| length <= left && (!last || length == left));
        if !fits || !(self.granted || data.is_empty()) {
            self.reset(Failure::Internal);
            return Err(Failure::Internal);
        }
        self.left = self.left.map(|left| left - length);
        self.granted = false;
        let Some(queue) = &self.queue else { return Err(Failure::Internal) };
        if let Err(error) = send.send_data(queue.frame(data), last) {
            let failure = self.end.blame(&error);
            return Err(self.fail(failure));
        }
        if last {
            self.send = None;
        }
        Ok(())
    }

    pub(crate) fn trailers(&mut self, mut trailers: HeaderMap) {
        if self.left.is_some_and(|left| left > 0) {
            return self.reset(Failure::Internal);
        }
        drop_forbidden(&mut trailers);
        if let Some(mut send) = self.send.take() {
            // Fails only if the stream is gone already.
            let _sent = send.send_trailers(trailers);
        }
    }

    pub(crate) fn finish(&mut self) {
        if self.left.is_some_and(|left| left > 0) {
            return self.reset(Failure::Internal);
        }
        if let (Some(mut send), Some(queue)) = (self.send.take(), &self.queue) {
            // Fails only if the stream is gone already.
            let _sent = send.send_data(queue.frame(Bytes::new()), true);
        }
    }

    pub(crate) fn abort(mut self, failure: Failure) {
        self.reset(failure);
    }

    fn reset(&mut self, failure: Failure) {
        if let Some(mut send) = self.send.take() {
            send.send_reset(match &self.end {
                End::Server(_) => reason_for(failure),
                End::Client(_) => h2::Reason::CANCEL,
            });
            self.failed = Some(failure);
        }
    }

    pub(crate) fn poll_stopped(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        let Some(send) = &mut self.send else { return Poll::Pending };
        let failure = match ready!(send.poll_reset(cx)) {
            Ok(reason) => match (&self.end, reason) {
                (End::Client(stream), h2::Reason::REFUSED_STREAM)
                    if stream.progress() < Progress::ResponseStarted =>
                {
                    stream.note(Progress::Refused);
                    Failure::UpstreamRefused
                }
                _ => self.end.gone(),
            },
            Err(error) => self.end.blame(&error),
        };
        Poll::Ready(self.fail(failure))
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.reset(Failure::Internal);
    }
}
