//! One stream of a connection (RFC 9113 §5.1): what has come of it and isn't read, what is to go out and may not yet.
//!
//! A stream is in its connection's list until both sides have said everything or one has given up, and lives on while a
//! half of its exchange does. Frames are `conn`'s, the exchange's contract is `halves`'.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Waker;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};

use super::conn::{Conn, Place};
use super::flow::{Allowance, Credit};
use super::heads::{Heads, Held};
use super::reason::Cause;
use crate::exchange::Progress;
use crate::head::{Connect, Framing, RequestHead, ResponseHead};
use crate::limits::RELAY_BUFFER;

#[derive(Debug)]
pub(super) struct Stream {
    id: u32,
    place: Place,
    pub(super) progress: Cell<Progress>,
    pub(super) state: RefCell<State>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) hearing: Hearing,
    /// Interim heads of a response that haven't been asked for.
    pub(super) interim: VecDeque<ResponseHead>,
    /// Its final head, likewise.
    pub(super) head: Option<ResponseHead>,
    pub(super) body: Received,
    pub(super) trailers: Option<HeaderMap>,
    /// Bytes still to come where a length was announced.
    pub(super) left: Option<u64>,
    pub(super) credit: Credit,
    /// Whether nobody reads any more.
    pub(super) is_deaf: bool,
    pub(super) hears: Option<Waker>,
    /// Whether everything was said.
    pub(super) has_said: bool,
    pub(super) allowance: Allowance,
    /// What may not be sent yet.
    pub(super) pending: Option<Pending>,
    /// Whether something was kept that will never be sent.
    pub(super) is_cut_short: bool,
    /// Whether it stands among those that wait for the connection.
    pub(super) waits: bool,
    /// The round in which it was let go on and hasn't since; 0 for none.
    pub(super) turn: u32,
    pub(super) says: Option<Waker>,
    /// Why it ended before its end.
    pub(super) cause: Option<Cause>,
    /// What was asked.
    pub(super) asked: Asked,
    /// The place of the request's head in the account of heads, until it was answered.
    pub(super) held: Option<Held>,
    /// The same of what came later: answers and trailers.
    heard: Option<Held>,
    /// Interim answers so far.
    pub(super) interims: usize,
}

/// What a request was, as far as it decides what its answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Plain,
    Head,
    /// A tunnel.
    Connect,
}

impl Asked {
    pub(super) fn of(head: &RequestHead) -> Self {
        match head.method_ref() {
            _ if *head.connect() != Connect::None => Self::Connect,
            &Method::HEAD => Self::Head,
            _ => Self::Plain,
        }
    }

    /// Bytes that a final answer's body must have; `None` where any number will do.
    pub(super) fn body_of(self, head: &ResponseHead) -> Option<u64> {
        let status = head.status();
        match (self, head.framing()) {
            (Self::Connect, _) if status.is_success() => None,
            (Self::Head, _) => Some(0),
            _ if matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) => Some(0),
            (_, Framing::Length(length)) => Some(length),
            (_, Framing::None | Framing::Stream) => None,
        }
    }
}

/// What the peer has yet to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hearing {
    /// A response's final head.
    Head,
    /// The body, and trailers perhaps.
    Body,
    /// Nothing.
    Ended,
}

/// The rest of a frame that was given, and what comes behind it.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) bytes: Bytes,
    pub(super) then: Then,
}

/// What follows bytes of a body.
#[derive(Debug)]
pub(super) enum Then {
    More,
    End,
    Trailers(HeaderMap),
}

/// Bytes of a body that haven't been read. Small frames that come together are handed out together.
#[derive(Debug, Default)]
pub(super) struct Received {
    first: Vec<u8>,
    more: VecDeque<Vec<u8>>,
}

impl Received {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let last = self.more.back_mut().unwrap_or(&mut self.first);
        if last.is_empty() {
            *last = bytes.to_vec();
        } else if last.len() + bytes.len() <= RELAY_BUFFER {
            last.extend_from_slice(bytes);
        } else {
            self.more.push_back(bytes.to_vec());
        }
    }

    pub(super) fn pop(&mut self) -> Option<Bytes> {
        if self.first.is_empty() {
            return None;
        }
        let next = self.more.pop_front().unwrap_or_default();
        Some(std::mem::replace(&mut self.first, next).into())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// Throws everything away; how much it was.
    pub(super) fn clear(&mut self) -> usize {
        let more: usize = self.more.iter().map(Vec::len).sum();
        self.more = VecDeque::new();
        std::mem::take(&mut self.first).len() + more
    }
}

impl Stream {
    pub(super) fn new(id: u32, place: Place, state: State) -> Rc<Self> {
        Rc::new(Self { id, place, progress: Cell::new(Progress::Sent), state: RefCell::new(state) })
    }

    pub(super) fn id(&self) -> u32 {
        self.id
    }

    pub(super) fn conn(&self) -> &Rc<Conn> {
        self.place.conn()
    }
}

impl State {
    pub(super) fn new(hearing: Hearing, credit: u32, allowance: u32) -> Self {
        Self {
            hearing,
            interim: VecDeque::new(),
            head: None,
            body: Received::default(),
            trailers: None,
            left: None,
            credit: Credit::new(credit),
            is_deaf: false,
            hears: None,
            has_said: false,
            allowance: Allowance::new(allowance),
            pending: None,
            is_cut_short: false,
            waits: false,
            turn: 0,
            says: None,
            cause: None,
            asked: Asked::Plain,
            held: None,
            heard: None,
            interims: 0,
        }
    }

    /// Counts a head, or trailers, of so many bytes, and says whether there was room.
    pub(super) fn hold(&mut self, heads: &Rc<Heads>, size: usize) -> bool {
        match &mut self.heard {
            Some(heard) => heard.grow(size),
            heard => {
                *heard = heads.count(size);
                heard.is_some()
            }
        }
    }

    /// Something has come to read.
    pub(super) fn wake_reader(&mut self) {
        if let Some(waker) = self.hears.take() {
            waker.wake();
        }
    }

    /// Something may be sent, or nothing any more; whether anybody waited for it.
    pub(super) fn wake_writer(&mut self) -> bool {
        let waker = self.says.take();
        let is_waiting = waker.is_some();
        if let Some(waker) = waker {
            waker.wake();
        }
        is_waiting
    }

    /// It ends before its end. What has come can still be read, and if that was all it isn't cut short.
    pub(super) fn end(&mut self, cause: Cause) {
        self.cause.get_or_insert(cause);
        self.has_said = true;
        self.held = None;
        self.is_cut_short |= self.pending.take().is_some();
        self.wake_reader();
        self.wake_writer();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pieces_are_read_together_and_large_ones_as_they_came() {
        let mut body = Received::default();
        assert!(body.is_empty() && body.pop().is_none());
        body.push(b"one");
        body.push(b"two");
        assert_eq!(body.pop().as_deref(), Some(&b"onetwo"[..]));
        let large = vec![7; RELAY_BUFFER];
        body.push(b"x");
        body.push(&large);
        body.push(b"y");
        body.push(b"z");
        assert_eq!(body.pop().as_deref(), Some(&b"x"[..]));
        assert_eq!(body.pop().as_deref(), Some(&large[..]));
        assert_eq!(body.pop().as_deref(), Some(&b"yz"[..]));
        assert!(body.pop().is_none());
        body.push(b"abc");
        body.push(&large);
        assert_eq!((body.clear(), body.is_empty()), (3 + RELAY_BUFFER, true));
    }
}
