//! How a connection ends: told by GOAWAY (RFC 9113 §6.8), or because the peer broke a rule (§5.4.1).

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::io::AsyncWrite as _;

use super::{Conn, Role, State};
use crate::h2::frame::{self, Kind, MOST, flag};
use crate::h2::out::Out;
use crate::h2::reason::{Cause, Reason, Violation};

/// How far a connection has got with going away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::h2) enum Leaving {
    /// It stays.
    No,
    /// The peer was told, and may not have heard yet.
    Announced,
    /// The peer knows which streams are still served.
    Serving,
    /// Only what is queued is still sent.
    Done,
}

/// The PING behind the announcement: its answer tells that the peer has heard.
const FAREWELL: [u8; 8] = *b"farewell";

/// A PING of the prober.
const PROBE: [u8; 8] = *b"isthere?";

impl Conn {
    /// Ends the connection. What is queued still leaves where the socket takes it at once.
    pub(in crate::h2) fn cut(&self) {
        let mut state = self.state.borrow_mut();
        let _sent = state.poll_sent(&mut Context::from_waker(Waker::noop()));
        state.end(Cause::Closed);
    }

    /// Lets a server's connection end when its streams have. Requests that are on their way are still served.
    pub(in crate::h2) fn leave(&self) {
        let mut state = self.state.borrow_mut();
        if state.leaving == Leaving::No && state.io.is_some() {
            state.leaving = Leaving::Announced;
            state.out.text(|text| {
                frame::write_go_away(MOST, Reason::NO_ERROR, text);
                frame::write(Kind::Ping, 0, 0, &FAREWELL, text);
            });
            state.wake();
        }
    }

    /// Whether the connection is to end.
    pub(in crate::h2) fn is_leaving(&self) -> bool {
        self.state.borrow().leaving != Leaving::No
    }

    /// Whether only what is queued is still sent, or nothing can be.
    pub(in crate::h2) fn is_over(&self) -> bool {
        let state = self.state.borrow();
        state.leaving == Leaving::Done || state.is_muted
    }

    /// Asks the peer whether it is there.
    pub(in crate::h2) fn probe(&self) {
        let mut state = self.state.borrow_mut();
        if state.io.is_some() && !state.is_probing {
            state.is_probing = true;
            state.out.text(|text| frame::write(Kind::Ping, 0, 0, &PROBE, text));
            state.wake();
        }
    }
}

impl State {
    /// The connection is over for all of its streams.
    pub(super) fn end(&mut self, cause: Cause) {
        self.io = None;
        self.rest = Vec::new();
        self.block = None;
        self.out = Out::default();
        self.cover.release();
        self.ended.get_or_insert(cause);
        self.end_streams(cause);
        self.wake();
    }

    fn end_streams(&mut self, cause: Cause) {
        self.accepted.clear();
        self.waiting.clear();
        self.crumbs.clear();
        for (_, stream) in self.streams.take() {
            stream.state.borrow_mut().end(cause);
        }
        self.let_open();
    }

    /// Nothing can be written any more. A client still reads what its server said before that: an answer, or what it
    /// doesn't act on.
    pub(super) fn mute(&mut self, cause: Cause) {
        if self.is_server || cause == Cause::Refused {
            return self.end(cause);
        }
        self.is_muted = true;
        self.let_open();
    }

    pub(super) fn poll_shut(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(io) = &mut self.io {
            // Whether it worked makes no difference any more, and who broke a rule isn't waited for.
            let shut = Pin::new(io).poll_shutdown(cx);
            if shut.is_pending() && self.broken.is_none() {
                return Poll::Pending;
            }
        }
        self.end(Cause::Closed);
        Poll::Ready(())
    }

    /// Lets nothing but what is queued go on, once nobody needs more; whether that is from now on.
    #[inline]
    pub(super) fn leave_if_over(&mut self, conn: &Rc<Conn>) -> bool {
        let may_stay = self.leaving == Leaving::No && (self.is_server || !self.streams.is_empty());
        !may_stay && self.leave_now_if_over(conn)
    }

    fn leave_now_if_over(&mut self, conn: &Rc<Conn>) -> bool {
        let is_over = match self.leaving {
            Leaving::Done => false,
            Leaving::Serving => self.streams.is_empty(),
            Leaving::No | Leaving::Announced => {
                let is_told = (self.acts_on.is_some() || self.is_muted) && self.streams.is_empty();
                conn.role == Role::Client && (is_told || conn.is_unused())
            }
        };
        if is_over {
            if self.leaving != Leaving::Serving {
                self.out.text(|text| frame::write_go_away(0, Reason::NO_ERROR, text));
            }
            self.leaving = Leaving::Done;
        }
        is_over
    }

    /// The answer to a PING has come.
    pub(super) fn pong(&mut self, payload: [u8; 8]) {
        if payload == PROBE {
            self.is_probing = false;
        } else if payload == FAREWELL && self.leaving == Leaving::Announced {
            self.leaving = Leaving::Serving;
            let last = self.last;
            self.serves = Some(last);
            self.out.text(|text| frame::write_go_away(last, Reason::NO_ERROR, text));
        }
    }

    /// Answers a PING.
    pub(super) fn answer_ping(&mut self, payload: [u8; 8]) {
        self.out.answer(|text| frame::write(Kind::Ping, flag::ACK, 0, &payload, text));
    }

    /// Ends the connection because the peer broke a rule, and tells it so.
    pub(super) fn violate(&mut self, broken: Violation) {
        // It can't be above what was said before (§6.8): those streams are being tried elsewhere.
        let last = self.serves.unwrap_or(self.last);
        self.out.text(|text| frame::write_go_away(last, broken.reason, text));
        self.leaving = Leaving::Done;
        self.broken = Some(broken);
        self.ended = Some(Cause::Broken);
        self.end_streams(Cause::Broken);
    }
}
