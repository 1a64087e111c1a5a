//! The halves of an exchange over HTTP/2.

use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use leno_model::failure::Failure;

use super::conn::Role;
use super::reason::{Cause, Reason, reason_for};
use super::stream::{Hearing, Stream, Then};
use crate::exchange::Frame;
use crate::head::Framing;
use crate::stall::Stall;
use crate::wakers::register;

/// What a stream's end before its end is to be called.
pub(super) fn blame(stream: &Stream, cause: Cause) -> Failure {
    match stream.conn().role() {
        Role::Server(_) => cause.of_client(),
        Role::Client => {
            let (failure, progress) = cause.of_server(stream.progress.get());
            stream.progress.set(progress);
            failure
        }
    }
}

/// The right to read a stream. Dropping it says that nobody will.
#[derive(Debug)]
pub(super) struct Reader {
    stream: Rc<Stream>,
    /// Bytes handed out whose credit is still to be given.
    owed: usize,
}

impl Reader {
    pub(super) fn new(stream: Rc<Stream>) -> Self {
        Self { stream, owed: 0 }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stream.conn().stop_reading(&self.stream, self.owed);
    }
}

/// The receive half.
#[derive(Debug)]
pub(crate) struct Incoming {
    reader: Reader,
    stall: Stall,
    failed: Option<Failure>,
}

impl Incoming {
    pub(super) fn new(reader: Reader) -> Self {
        Self { reader, stall: Stall::default(), failed: None }
    }

    pub(crate) fn is_ended(&self) -> bool {
        let state = self.reader.stream.state.borrow();
        state.hearing == Hearing::Ended && state.body.is_empty() && state.trailers.is_none()
    }

    /// See [`crate::exchange::Incoming::is_here`].
    pub(crate) fn is_here(&self) -> bool {
        self.failed.is_none() && self.reader.stream.state.borrow().hearing == Hearing::Ended
    }

    /// See [`crate::exchange::Incoming::poll_stalled`].
    pub(crate) fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        let conn = self.reader.stream.conn();
        match conn.budget() {
            Some(budget) if self.failed.is_none() && !self.is_ended() => {
                self.stall.poll(budget, conn.stream_window(), cx)
            }
            _ => Poll::Pending,
        }
    }

    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Frame> {
        self.stall.end();
        let Reader { stream, owed } = &mut self.reader;
        if *owed > 0 {
            stream.conn().release(stream, std::mem::take(owed));
        }
        if let Some(failure) = self.failed {
            return Poll::Ready(Frame::Abort(failure));
        }
        let mut state = stream.state.borrow_mut();
        if let Some(bytes) = state.body.pop() {
            *owed = bytes.len();
            stream.conn().has_taken(bytes.len());
            return Poll::Ready(Frame::Data(bytes));
        }
        if state.hearing == Hearing::Ended {
            return Poll::Ready(state.trailers.take().map_or(Frame::End, Frame::Trailers));
        }
        if let Some(cause) = state.cause {
            let failure = blame(stream, cause);
            self.failed = Some(failure);
            return Poll::Ready(Frame::Abort(failure));
        }
        register(&mut state.hears, cx);
        Poll::Pending
    }
}

/// The send half.
#[derive(Debug)]
pub(crate) struct Outgoing {
    stream: Rc<Stream>,
    /// Whether nothing more may be given.
    is_done: bool,
    /// Bytes still to come where a length was announced.
    left: Option<u64>,
    /// Whether a frame may be given: one per grant, and the first one in any case.
    is_granted: bool,
    failed: Option<Failure>,
}

impl Outgoing {
    pub(super) fn new(stream: Rc<Stream>, framing: Framing) -> Self {
        let left = if let Framing::Length(length) = framing { Some(length) } else { None };
        Self { stream, is_done: false, left, is_granted: true, failed: None }
    }

    /// For a message without a body.
    pub(super) fn finished(stream: Rc<Stream>) -> Self {
        Self { stream, is_done: true, left: None, is_granted: false, failed: None }
    }

    /// For a head that couldn't be sent.
    pub(super) fn failed(stream: Rc<Stream>, failure: Failure) -> Self {
        let mut this = Self::finished(stream);
        this.failed = Some(failure);
        this
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.is_done
    }

    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if let Some(failure) = self.failed {
            return Poll::Ready(Err(failure));
        }
        if self.is_done {
            return poll_said(&self.stream, cx).map_err(|cause| self.fail(cause));
        }
        self.stream.conn().poll_ready(&self.stream, cx).map(|ready| match ready {
            Ok(()) => {
                self.is_granted = true;
                Ok(())
            }
            Err(cause) => Err(self.fail(cause)),
        })
    }

    fn fail(&mut self, cause: Cause) -> Failure {
        let failure = blame(&self.stream, cause);
        self.is_done = true;
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
        if self.is_done {
            return if data.is_empty() { Ok(()) } else { Err(Failure::Internal) };
        }
        let length = data.len() as u64;
        let fits = self.left.is_none_or(|left| length <= left && (!last || length == left));
        if !fits || !(self.is_granted || data.is_empty()) {
            self.reset(Failure::Internal);
            return Err(Failure::Internal);
        }
        if data.is_empty() && !last {
            return Ok(());
        }
        self.left = self.left.map(|left| left - length);
        self.say(data, if last { Then::End } else { Then::More })
    }

    fn say(&mut self, data: Bytes, then: Then) -> Result<(), Failure> {
        self.is_granted = false;
        self.is_done = !matches!(then, Then::More);
        self.stream.conn().give(&self.stream, data, then).map_err(|cause| self.fail(cause))
    }

    pub(crate) fn trailers(&mut self, trailers: HeaderMap) {
        self.end(Then::Trailers(trailers));
    }

    pub(crate) fn finish(&mut self) {
        self.end(Then::End);
    }

    fn end(&mut self, then: Then) {
        if self.left.is_some_and(|left| left > 0) {
            return self.reset(Failure::Internal);
        }
        if !self.is_done {
            // Fails only if the stream is gone already.
            let _said = self.say(Bytes::new(), then);
        }
    }

    pub(crate) fn abort(mut self, failure: Failure) {
        // The end may have been given and wait for a window.
        self.is_done &= self.stream.state.borrow().pending.is_none();
        self.reset(failure);
    }

    fn reset(&mut self, failure: Failure) {
        if !self.is_done {
            self.is_done = true;
            self.failed = Some(failure);
            let conn = self.stream.conn();
            let reason = match conn.role() {
                Role::Server(_) => reason_for(failure),
                Role::Client => Reason::CANCEL,
            };
            conn.reset(&self.stream, reason, failure);
        }
    }

    pub(crate) fn poll_stopped(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        if self.is_done {
            return Poll::Pending;
        }
        poll_cut(&self.stream, cx).map(|cause| self.fail(cause))
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.reset(Failure::Internal);
    }
}

/// Waits until everything that was given may be sent.
fn poll_said(stream: &Stream, cx: &Context<'_>) -> Poll<Result<(), Cause>> {
    let mut state = stream.state.borrow_mut();
    if let Some(cause) = state.cause.filter(|_| state.is_cut_short) {
        return Poll::Ready(Err(cause));
    }
    if state.pending.is_none() {
        return Poll::Ready(Ok(()));
    }
    register(&mut state.says, cx);
    Poll::Pending
}

/// Waits until a stream has ended before its end.
pub(super) fn poll_cut(stream: &Stream, cx: &Context<'_>) -> Poll<Cause> {
    let mut state = stream.state.borrow_mut();
    if let Some(cause) = state.cause {
        return Poll::Ready(cause);
    }
    register(&mut state.says, cx);
    Poll::Pending
}
