//! What the halves of exchanges do to their connection: open, say, give back, give up.

use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use leno_model::failure::Failure;

use super::{Conn, Place, Role, State};
use crate::h2::frame::{self, HEAD, Kind, MOST};
use crate::h2::hpack::Encoder;
use crate::h2::message;
use crate::h2::reason::{Cause, Reason};
use crate::h2::stream::{self, Asked, Hearing, Pending, Stream, Then};
use crate::head::{RequestHead, ResponseHead};
use crate::limits::{self, COALESCE, H2_FRAME, RELAY_BUFFER};
use crate::wakers::register;

impl Conn {
    /// Whether new streams may be opened, now or once others have ended.
    pub(in crate::h2) fn is_open(&self) -> bool {
        let state = self.state.borrow();
        state.is_open()
    }

    /// Streams that the peer lets open besides those that are.
    pub(in crate::h2) fn available(&self) -> usize {
        self.state.borrow().peer.streams.saturating_sub(self.active())
    }

    /// Waits until the peer's settings have come.
    pub(in crate::h2) fn poll_greeted(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.state.borrow_mut();
        if state.peer.have_come || !state.is_open() {
            return Poll::Ready(());
        }
        state.wait_to_open(cx);
        Poll::Pending
    }

    /// Whether the peer allows extended CONNECT.
    pub(in crate::h2) fn allows_extended_connect(&self) -> bool {
        self.state.borrow().peer.extended_connect
    }

    /// Waits until a stream may be opened, and the peer has read what was queued; whether that can still be.
    pub(in crate::h2) fn poll_room(&self, cx: &Context<'_>) -> Poll<bool> {
        let mut state = self.state.borrow_mut();
        if !state.is_open() {
            return Poll::Ready(false);
        }
        if state.streams.len() < state.peer.streams && state.out.bytes() < limits::H2_QUEUE {
            return Poll::Ready(true);
        }
        state.wait_to_open(cx);
        Poll::Pending
    }

    /// Opens a stream by a request's head, with nothing behind it if it `ends`. `None` if the connection takes no more.
    pub(in crate::h2) fn open(
        &self,
        place: Place,
        head: &RequestHead,
        ends: bool,
        asked: Asked,
    ) -> Option<Rc<Stream>> {
        let mut state = self.state.borrow_mut();
        let id = state.next;
        if !state.is_open() {
            return None;
        }
        state.next = id + 2;
        let mut of_stream = stream::State::new(Hearing::Head, self.stream_window, state.peer.stream_window);
        of_stream.has_said = ends;
        of_stream.asked = asked;
        let stream = Stream::new(id, place, of_stream);
        state.streams.add(Rc::clone(&stream));
        state.block_out(id, ends, |encoder, out| message::request(head, encoder, out));
        state.wake();
        Some(stream)
    }

    /// Sends a final head; with nothing behind it if it `ends`.
    pub(in crate::h2) fn respond(
        &self,
        stream: &Rc<Stream>,
        head: &ResponseHead,
        ends: bool,
    ) -> Result<(), Cause> {
        let mut state = self.state.borrow_mut();
        if let Some(cause) = stream.state.borrow().cause {
            return Err(cause);
        }
        state.say_head(stream, head, ends);
        state.finish_if_said(stream);
        state.wake();
        Ok(())
    }

    /// Sends an interim head.
    pub(in crate::h2) fn inform(&self, stream: &Stream, head: &ResponseHead) -> Result<(), Cause> {
        let mut state = self.state.borrow_mut();
        if let Some(cause) = stream.state.borrow().cause {
            return Err(cause);
        }
        state.block_out(stream.id(), false, |encoder, out| message::informational(head, encoder, out));
        state.wake();
        Ok(())
    }

    /// Waits until bytes may be given.
    pub(in crate::h2) fn poll_ready(&self, stream: &Rc<Stream>, cx: &Context<'_>) -> Poll<Result<(), Cause>> {
        let mut state = self.state.borrow_mut();
        let mut of_stream = stream.state.borrow_mut();
        if let Some(cause) = of_stream.cause {
            return Poll::Ready(Err(cause));
        }
        let waits_for_stream = of_stream.pending.is_some() || of_stream.allowance.is_used_up();
        let has_turn = state.turns.take(&mut of_stream);
        let is_ready = !waits_for_stream && (has_turn || state.is_free()) && state.has_room();
        if !is_ready {
            register(&mut of_stream.says, cx);
            if !waits_for_stream && !of_stream.waits {
                of_stream.waits = true;
                let stream = Rc::clone(stream);
                // Who has let a turn pass for want of room is still before those that came later.
                if has_turn { state.waiting.push_front(stream) } else { state.waiting.push_back(stream) }
            }
        }
        drop(of_stream);
        if !state.waiting.is_empty() {
            state.let_go_on();
        }
        if is_ready { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Sends bytes and what comes behind them, or keeps what may not be sent yet. While something is kept only the end may
    /// be given: see [`Self::poll_ready`].
    pub(in crate::h2) fn give(&self, stream: &Rc<Stream>, bytes: Bytes, then: Then) -> Result<(), Cause> {
        let mut state = self.state.borrow_mut();
        {
            let mut of_stream = stream.state.borrow_mut();
            if let Some(cause) = of_stream.cause {
                return Err(cause);
            }
            match &mut of_stream.pending {
                None => of_stream.pending = Some(Pending { bytes, then }),
                Some(pending) if bytes.is_empty() => {
                    pending.then = then;
                    return Ok(());
                }
                Some(_) => return Err(Cause::Given(Failure::Internal)),
            }
        }
        state.push_on(stream);
        state.wake();
        Ok(())
    }

    /// Bytes that were read aren't held any more.
    pub(in crate::h2) fn release(&self, stream: &Stream, bytes: usize) {
        let mut state = self.state.borrow_mut();
        if state.io.is_none() {
            return;
        }
        let mut of_stream = stream.state.borrow_mut();
        let ours = if of_stream.hearing == Hearing::Body && of_stream.cause.is_none() {
            of_stream.credit.give(bytes)
        } else {
            None
        };
        if let Some(more) = ours {
            state.raise(stream.id(), more);
        }
        if state.release(bytes) || ours.is_some() || state.window.is_due(self.taken.get()) {
            state.wake();
        }
    }

    /// Counts bytes of a body that are handed out.
    pub(in crate::h2) fn has_taken(&self, bytes: usize) {
        self.taken.set(self.taken.get().wrapping_add(bytes as u64));
    }

    /// Nobody reads the stream any more, and `owed` bytes were read last. It goes on only for what is still to be said.
    pub(in crate::h2) fn stop_reading(&self, stream: &Rc<Stream>, owed: usize) {
        let mut state = self.state.borrow_mut();
        let held = {
            let mut of_stream = stream.state.borrow_mut();
            of_stream.is_deaf = true;
            of_stream.hears = None;
            of_stream.trailers = None;
            of_stream.body.clear()
        };
        if state.io.is_some() {
            state.release(owed + held);
            let is_over = state.finish_if_said(stream);
            if is_over || state.out.bytes() > 0 {
                state.wake();
            }
        }
    }

    /// Gives a stream up.
    pub(in crate::h2) fn reset(self: &Rc<Self>, stream: &Rc<Stream>, reason: Reason, failure: Failure) {
        let mut state = self.state.borrow_mut();
        state.give_up(stream, reason, Cause::Given(failure));
        state.wake();
    }
}

impl State {
    fn is_open(&self) -> bool {
        let is_ours = self.io.is_some() && self.ended.is_none() && !self.is_muted && self.acts_on.is_none();
        is_ours && self.next < MOST
    }

    fn wait_to_open(&mut self, cx: &Context<'_>) {
        if !self.opening.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.opening.push(cx.waker().clone());
        }
    }

    /// Whether the connection's window and its queue let a stream send.
    pub(super) fn has_room(&mut self) -> bool {
        if self.allowance.is_used_up() {
            return false;
        }
        let queued = self.out.bytes();
        queued < limits::H2_QUEUE_FREE
            || queued < limits::H2_QUEUE && self.cover.reach(queued - limits::H2_QUEUE_FREE + RELAY_BUFFER)
    }

    /// Some of what was queued has left.
    pub(super) fn room_was_made(&mut self) {
        if self.out.bytes() < limits::H2_QUEUE_FREE {
            self.cover.release();
        }
        self.let_go_on();
        self.let_open();
    }

    /// Sends what a stream has kept as far as windows let it, and wakes it when nothing is kept any more.
    pub(super) fn push_on(&mut self, stream: &Rc<Stream>) {
        let mut of_stream = stream.state.borrow_mut();
        let Some(Pending { mut bytes, then }) = of_stream.pending.take() else {
            of_stream.wake_writer();
            return;
        };
        let allowed = of_stream.allowance.bytes().min(self.allowance.bytes());
        if bytes.len() > allowed {
            // Who opens a window byte by byte gets what it has opened when it has read what came before.
            let is_crumb = allowed < COALESCE && self.out.bytes() > 0;
            let now = bytes.split_to(if is_crumb { 0 } else { allowed });
            of_stream.pending = Some(Pending { bytes, then });
            of_stream.allowance.spend(now.len());
            self.allowance.spend(now.len());
            if !now.is_empty() {
                self.out.data(stream.id(), now, false, self.vectors);
            }
            if (is_crumb && allowed > 0 || self.allowance.is_used_up()) && !of_stream.waits {
                of_stream.waits = true;
                // What more of the connection's window doesn't help isn't looked at each time that there is more.
                let is_connection_s = self.allowance.bytes() < COALESCE;
                let waiting = if is_connection_s { &mut self.waiting } else { &mut self.crumbs };
                waiting.push_back(Rc::clone(stream));
            }
            return;
        }
        of_stream.allowance.spend(bytes.len());
        self.allowance.spend(bytes.len());
        let ends = matches!(then, Then::End);
        if ends || !bytes.is_empty() {
            self.out.data(stream.id(), bytes, ends, self.vectors);
        }
        if let Then::Trailers(trailers) = &then {
            self.block_out(stream.id(), true, |encoder, out| message::trailers(trailers, encoder, out));
        }
        of_stream.has_said |= !matches!(then, Then::More);
        of_stream.wake_writer();
        drop(of_stream);
        self.finish_if_said(stream);
    }

    /// Queues a header block. A server's are answers: a client that doesn't read them is to ask for no more.
    fn block_out(&mut self, id: u32, ends: bool, write: impl FnOnce(&mut Encoder, &mut Vec<u8>)) {
        let encoder = &mut self.encoder;
        let write = |text: &mut Vec<u8>| {
            let from = text.len();
            text.extend_from_slice(&[0; HEAD]);
            write(encoder, text);
            frame::frame_block(text, from, id, ends, H2_FRAME as usize);
        };
        if self.is_server { self.out.answer(write) } else { self.out.text(write) }
    }

    /// Queues a final head.
    pub(super) fn say_head(&mut self, stream: &Stream, head: &ResponseHead, ends: bool) {
        self.block_out(stream.id(), ends, |encoder, out| message::response(head, encoder, out));
        stream.state.borrow_mut().has_said |= ends;
    }

    /// Forgets a stream on which everything was said and heard; whether it did. One that nobody listens to ends once
    /// everything was said (RFC 9113 §8.1).
    pub(super) fn finish_if_said(&mut self, stream: &Rc<Stream>) -> bool {
        let (has_heard, is_deaf) = {
            let mut state = stream.state.borrow_mut();
            if !state.has_said || state.cause.is_some() {
                return false;
            }
            state.held = None;
            (state.hearing == Hearing::Ended, state.is_deaf)
        };
        if !has_heard && !is_deaf {
            return false;
        }
        if !has_heard {
            let reason = match stream.conn().role {
                Role::Client => Reason::CANCEL,
                Role::Server(_) => Reason::NO_ERROR,
            };
            self.queue_reset(stream.id(), reason);
            self.remember_reset(stream.id());
        }
        self.wait_no_more(stream);
        let was_open = self.streams.remove(stream.id()).is_some();
        if was_open {
            self.let_open();
        }
        was_open
    }

    /// Resets a stream unless it has ended.
    pub(super) fn give_up(&mut self, stream: &Rc<Stream>, reason: Reason, cause: Cause) {
        if self.streams.remove(stream.id()).is_none() {
            return;
        }
        self.queue_reset(stream.id(), reason);
        self.remember_reset(stream.id());
        self.cut_off(stream, cause);
        self.let_open();
    }

    /// Ends a stream, which isn't in the list any more, before its end. What came of a request that nobody has seen
    /// isn't held any longer; what came of others is until they are read.
    pub(super) fn cut_off(&mut self, stream: &Rc<Stream>, cause: Cause) {
        let before = self.accepted.len();
        self.accepted.retain(|accepted| accepted.stream.id() != stream.id());
        if self.accepted.len() < before {
            let held = stream.state.borrow_mut().body.clear();
            self.release(held);
        }
        self.wait_no_more(stream);
        stream.state.borrow_mut().end(cause);
    }

    /// Takes a stream that has ended from those that wait, where it would stay for as long as they do.
    fn wait_no_more(&mut self, stream: &Rc<Stream>) {
        self.turns.take(&mut stream.state.borrow_mut());
        if std::mem::take(&mut stream.state.borrow_mut().waits) {
            self.waiting.retain(|waiting| waiting.id() != stream.id());
            self.crumbs.retain(|waiting| waiting.id() != stream.id());
        }
    }

    pub(super) fn queue_reset(&mut self, id: u32, reason: Reason) {
        self.out.answer(|text| frame::write(Kind::Reset, 0, id, &reason.code().to_be_bytes(), text));
    }

    pub(super) fn remember_reset(&mut self, id: u32) {
        if self.reset.len() >= limits::H2_RESET_STREAMS {
            self.reset.pop_front();
        }
        self.reset.push_back(id);
    }

    /// Those may look again who wait to open a stream.
    pub(super) fn let_open(&mut self) {
        for waker in self.opening.drain(..) {
            waker.wake();
        }
    }
}
