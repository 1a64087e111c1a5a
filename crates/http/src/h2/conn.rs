//! The state of one connection and how it moves: what both ends have in common.
//!
//! One task polls the connection ([`Conn::poll`]), which reads, handles frames and writes; the halves of exchanges change
//! its state from their tasks and wake it. All of them are on one core. Nothing waits inside: what can't go on says so to
//! the half, which asks again when it was woken.
//!
//! Invariants: header blocks are encoded in the order in which they leave, and decoded in that in which they came,
//! whatever becomes of their streams; bytes received count on the connection's window until they were written on or
//! thrown away; a peer that doesn't read isn't read from; nothing is sent or handled after the connection has ended.

mod blocks;
mod frames;
mod leave;
mod send;
mod socket;
mod turns;
mod users;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use leno_model::failure::Failure;
use tokio::io::AsyncWrite as _;

use super::Settings;
use super::flow::{self, Allowance, Credit};
use super::frame::{self, setting};
use super::heads::Heads;
use super::hpack::{Decoder, Encoder};
use super::out::Out;
use super::pace::Pace;
use super::reason::{Cause, Violation};
use super::stream::Stream;
use super::streams::Streams;
use super::window::Window;
use crate::budget::{Budget, Cover, Reservation};
use crate::head::{RequestHead, Scheme};
use crate::io::Io;
use crate::limits;
use crate::server::{BrokenStream, Tell};
use crate::wakers::register;

pub(super) use leave::Leaving;
use turns::Turns;
pub(super) use users::Place;

/// Bytes of the table that header blocks refer to: what both sides begin with (RFC 9113 §6.5.2).
const HEADER_TABLE: usize = 4096;

/// Reads in a row. Not every socket makes who reads pause, and half a megabyte of tiny frames takes a millisecond or two.
const READS: u64 = 16;

/// Which end of a connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It dials and asks.
    Client,
    /// It accepts and answers requests of this scheme.
    Server(Scheme),
}

/// What a connection is made with.
#[derive(Debug)]
pub(super) struct Terms<'t> {
    pub(super) role: Role,
    pub(super) settings: &'t Settings,
    pub(super) head_bytes: usize,
    pub(super) head_fields: usize,
    pub(super) budget: Option<Budget>,
    /// Who hears of streams on which the peer broke a rule.
    pub(super) broken_streams: Option<Tell>,
}

/// A connection, shared by its driver, its handles and its streams.
pub(super) struct Conn {
    role: Role,
    head_bytes: usize,
    head_fields: usize,
    /// Streams that the peer may have open.
    most_streams: usize,
    stream_window: u32,
    peer_is_proxy: bool,
    budget: Option<Budget>,
    broken_streams: Option<Tell>,
    heads: Rc<Heads>,
    state: RefCell<State>,
    /// Streams of which a half lives, or which are open.
    active: Cell<usize>,
    idle_since: Cell<Instant>,
    /// Handles by which streams may be opened.
    handles: Cell<usize>,
    /// Bytes of bodies that were handed out.
    taken: Cell<u64>,
}

impl std::fmt::Debug for Conn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conn").field("role", &self.role).field("active", &self.active).finish_non_exhaustive()
    }
}

/// A request that has come and wasn't asked for.
pub(super) struct Accepted {
    pub(super) head: RequestHead,
    pub(super) stream: Rc<Stream>,
}

struct State {
    /// `None` once the connection has ended.
    io: Option<Box<dyn Io>>,
    is_server: bool,
    /// Whether the socket takes several pieces at once.
    vectors: bool,
    /// Bytes of the client's preface that haven't come.
    preface: &'static [u8],
    /// The beginning of a frame.
    rest: Vec<u8>,
    /// Reads so far.
    reads: u64,
    out: Out,
    /// What the queue has reserved beyond its free part.
    cover: Cover,
    decoder: Decoder,
    encoder: Encoder,
    block: Option<Block>,
    streams: Streams,
    accepted: VecDeque<Accepted>,
    peer: Peer,
    credit: Credit,
    window: Window,
    allowance: Allowance,
    /// Streams that wait for the connection's window or for room in its queue.
    waiting: VecDeque<Rc<Stream>>,
    turns: Turns,
    /// Streams whose windows let only crumbs go on, and which wait for an empty queue.
    crumbs: VecDeque<Rc<Stream>>,
    /// Requests that wait until a stream may be opened.
    opening: Vec<Waker>,
    /// The highest stream that the peer has opened.
    last: u32,
    /// The highest stream that is served, once the peer was told.
    serves: Option<u32>,
    /// The next stream to open here.
    next: u32,
    leaving: Leaving,
    /// The highest stream that the peer acts on, once it goes away.
    acts_on: Option<u32>,
    /// Streams reset here, the latest last.
    reset: VecDeque<u32>,
    resets: Pace,
    errors: Pace,
    idle_frames: Pace,
    /// Whether the peer has said that it heard the settings.
    is_acknowledged: bool,
    /// Whether nothing can be written any more.
    is_muted: bool,
    /// Whether a PING of the prober hasn't been answered.
    is_probing: bool,
    driver: Option<Waker>,
    /// Whether the driver was woken and hasn't polled since.
    is_woken: bool,
    ended: Option<Cause>,
    broken: Option<Violation>,
}

/// A header block in several frames.
struct Block {
    stream: u32,
    end_stream: bool,
    bytes: Vec<u8>,
    frames: usize,
    reservation: Option<Reservation>,
}

/// What the peer has said by its settings.
#[derive(Debug)]
struct Peer {
    have_come: bool,
    /// Streams that may be open.
    streams: usize,
    stream_window: u32,
    extended_connect: bool,
}

impl Conn {
    /// A connection that has queued what it says first.
    pub(super) fn new(io: Box<dyn Io>, terms: Terms<'_>) -> Rc<Self> {
        let Terms { role, settings, head_bytes, head_fields, budget, broken_streams } = terms;
        let head_share = if role == Role::Client { limits::H2_UPSTREAM_HEAD_FREE } else { 0 };
        let mut state = State {
            is_server: role != Role::Client,
            vectors: io.is_write_vectored(),
            io: Some(io),
            preface: if role == Role::Client { &[] } else { frame::PREFACE },
            rest: Vec::new(),
            reads: 0,
            out: Out::default(),
            cover: Cover::new(budget.clone()),
            decoder: Decoder::new(HEADER_TABLE),
            encoder: Encoder::new(),
            block: None,
            streams: Streams::default(),
            accepted: VecDeque::new(),
            peer: Peer {
                have_come: false,
                streams: settings.streams as usize,
                stream_window: flow::INITIAL,
                extended_connect: false,
            },
            credit: Credit::shared(flow::INITIAL, settings.stream_window),
            window: Window::new(settings, budget.clone()),
            allowance: Allowance::new(flow::INITIAL),
            waiting: VecDeque::new(),
            turns: Turns::default(),
            crumbs: VecDeque::new(),
            opening: Vec::new(),
            last: 0,
            serves: None,
            next: 1,
            leaving: Leaving::No,
            acts_on: None,
            reset: VecDeque::new(),
            resets: Pace::new(limits::H2_RESETS, limits::H2_RESETS_PER_SECOND),
            errors: Pace::new(limits::H2_ERROR_RESETS, limits::H2_ERROR_RESETS_PER_SECOND),
            idle_frames: Pace::new(limits::H2_IDLE_FRAMES, limits::H2_IDLE_FRAMES_PER_SECOND),
            is_acknowledged: false,
            is_muted: false,
            is_probing: false,
            driver: None,
            is_woken: false,
            ended: None,
            broken: None,
        };
        state.greet(role, settings, head_bytes);
        Rc::new(Self {
            role,
            head_bytes,
            head_fields,
            most_streams: settings.streams as usize,
            stream_window: settings.stream_window,
            peer_is_proxy: settings.peer_is_proxy,
            heads: Heads::new(head_share, budget.clone()),
            budget,
            broken_streams,
            state: RefCell::new(state),
            active: Cell::new(0),
            idle_since: Cell::new(Instant::now()),
            handles: Cell::new(0),
            taken: Cell::new(0),
        })
    }

    /// Moves the connection as far as it goes; ready once it has ended. Also returns, without being woken again, when
    /// requests have been accepted: take them and poll again.
    pub(super) fn poll(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.borrow_mut();
        register(&mut state.driver, cx);
        state.is_woken = false;
        state.grow(self.taken.get());
        let begun = state.reads;
        loop {
            if state.io.is_none() {
                return Poll::Ready(());
            }
            state.leave_if_over(self);
            let sent = match state.poll_sent(cx) {
                Poll::Ready(Err(error)) => {
                    state.mute(Cause::of_io(&error));
                    continue;
                }
                sent => sent.is_ready(),
            };
            // What made room for the last bytes of the last stream is the last thing that happens.
            if state.leave_if_over(self) {
                continue;
            }
            if !state.accepted.is_empty() {
                return Poll::Pending;
            }
            if state.leaving == Leaving::Done {
                // Who broke a rule isn't waited for.
                if !sent && state.broken.is_none() {
                    return Poll::Pending;
                }
                return state.poll_shut(cx);
            }
            // The peer is to read before it is read from.
            if state.out.answers() > limits::H2_ANSWERS {
                return Poll::Pending;
            }
            if state.reads.wrapping_sub(begun) >= READS {
                // Others on this core are to have their turn, and this connection's exchanges what has come.
                state.wake();
                return Poll::Pending;
            }
            ready!(state.poll_read(self, cx));
        }
    }

    /// The next request.
    pub(super) fn accepted(&self) -> Option<Accepted> {
        self.state.borrow_mut().accepted.pop_front()
    }

    /// Tells of a stream on which the peer broke a rule.
    fn tell(&self, failure: Failure, rule: &'static str, is_served: bool) {
        if let Some(tell) = &self.broken_streams {
            tell.of(&BrokenStream { failure, rule, is_served });
        }
    }

    /// The rule that the peer broke.
    pub(super) fn broken(&self) -> Option<&'static str> {
        self.state.borrow().broken.map(|broken| broken.rule)
    }

    /// Reads so far, those that found the end among them.
    pub(super) fn reads(&self) -> u64 {
        self.state.borrow().reads
    }

    /// Whether the peer's settings have come.
    pub(super) fn is_greeted(&self) -> bool {
        self.state.borrow().peer.have_come
    }

    /// Whether any stream is open.
    pub(super) fn has_streams(&self) -> bool {
        !self.state.borrow().streams.is_empty()
    }

    /// What isn't as it is to be when nothing is under way on a connection and at its `peer`'s end.
    #[cfg(test)]
    pub(super) fn unrest(&self, peer: &Self) -> Option<String> {
        let (state, peer) = (self.state.borrow(), peer.state.borrow());
        let is_at_rest = state.credit.is_whole()
            && state.credit.left() == peer.allowance.left()
            && (state.out.bytes(), state.out.answers(), state.rest.len()) == (0, 0, 0)
            && state.waiting.is_empty()
            && state.crumbs.is_empty()
            && state.opening.is_empty()
            && state.accepted.is_empty()
            && state.streams.is_empty()
            && state.block.is_none()
            && state.ended.is_none()
            && self.active.get() == 0
            && self.heads.is_empty();
        let State { credit, out, waiting, crumbs, accepted, streams, ended, .. } = &*state;
        let lists = [waiting.len(), crumbs.len(), accepted.len(), streams.len(), self.active.get()];
        let left = peer.allowance.left();
        (!is_at_rest).then(|| format!("{credit:?} {left} {} {lists:?} {ended:?}", out.bytes()))
    }

    /// Bytes that the peer hasn't taken.
    pub(super) fn unsent(&self) -> usize {
        self.state.borrow().out.bytes()
    }

    /// Whether there were more or fewer of them when they were looked at last.
    pub(super) fn has_moved(&self, seen: &mut usize) -> bool {
        let unsent = self.unsent();
        std::mem::replace(seen, unsent) != unsent
    }

    pub(super) fn role(&self) -> Role {
        self.role
    }

    pub(super) fn budget(&self) -> Option<&Budget> {
        self.budget.as_ref()
    }

    /// What a stream may hold that nobody reads.
    pub(super) fn stream_window(&self) -> usize {
        self.stream_window as usize
    }
}

impl State {
    /// Queues preface, settings and the connection's window (RFC 9113 §3.4).
    fn greet(&mut self, role: Role, settings: &Settings, head_bytes: usize) {
        let list = u32::try_from(head_bytes).unwrap_or(u32::MAX);
        let window = (setting::INITIAL_WINDOW_SIZE, settings.stream_window);
        let list = (setting::MAX_HEADER_LIST_SIZE, list);
        self.out.text(|text| match role {
            Role::Client => {
                text.extend_from_slice(frame::PREFACE);
                let no_push = (setting::ENABLE_PUSH, 0);
                frame::write_settings(&[no_push, window, list], text);
            }
            Role::Server(_) => {
                let streams = (setting::MAX_CONCURRENT_STREAMS, settings.streams);
                let extended = (setting::ENABLE_CONNECT_PROTOCOL, 1);
                frame::write_settings(&[streams, window, list, extended], text);
            }
        });
        if let Some(more) = self.credit.grow(settings.connection_window) {
            self.raise(0, more);
        }
    }

    /// Lets the driver go on.
    fn wake(&mut self) {
        if !self.is_woken
            && let Some(driver) = &self.driver
        {
            self.is_woken = true;
            driver.wake_by_ref();
        }
    }

    fn grow(&mut self, taken: u64) {
        if let Some(size) = self.window.grow(taken)
            && let Some(more) = self.credit.grow(size)
        {
            self.raise(0, more);
        }
    }

    /// Tells the peer that it may send more.
    fn raise(&mut self, stream: u32, more: u32) {
        // No answers: there can't be more of them than the windows that were used up.
        self.out.text(|text| frame::write(frame::Kind::Window, 0, stream, &more.to_be_bytes(), text));
    }
}
