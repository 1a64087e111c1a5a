//! One HTTP/1 connection's bytes: what was read and not used, what is to be written, and where the current messages
//! stand. The halves of an exchange and the connection's owner share it on one core.
//!
//! It holds memory only while it holds bytes: reads go to a leased buffer first, written buffers are freed. At most
//! one frame of a body waits to be written.

mod input;
mod output;

use std::cell::{RefCell, RefMut};
use std::io;
use std::rc::Rc;
use std::task::{Context, Waker};

use bytes::Bytes;
use leno_model::failure::Failure;

use super::body::Decoder;
use super::encode::{Answered, Encoding};
use super::parse::{Asked, Limits};
use super::refusal::Refusal;
use crate::budget::Budget;
use crate::drain::Drain;
use crate::exchange::Progress;
use crate::head::{Connect, Version};
use crate::io::Io;
use crate::wakers::register;

pub(super) use input::HeadRead;
use input::Input;
use output::Output;

/// A connection as the halves of its exchange share it.
pub(super) type Shared = Rc<RefCell<Conn>>;

/// Which end of the connection this process is, which decides what a failure is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Server,
    Client,
}

impl Side {
    /// The peer closed or reset the connection.
    fn gone(self) -> Failure {
        match self {
            Self::Server => Failure::DownstreamGone,
            Self::Client => Failure::UpstreamClosed,
        }
    }

    pub(super) fn refused(self, refusal: Refusal) -> Failure {
        match self {
            Self::Server => refusal.of_client(),
            Self::Client => refusal.of_server(),
        }
    }
}

/// Where the message being received stands.
#[derive(Debug)]
pub(super) enum Reading {
    /// None is under way.
    Idle,
    /// The client waits for a response head.
    Head,
    /// The server waits for its own answer to a CONNECT or upgrade to learn what the bytes are.
    Switch {
        /// Whether the receive half was dropped meanwhile.
        dropped: bool,
    },
    Body(Decoder),
    /// The receive half was dropped before the end.
    Abandoned(Decoder),
    Failed(Failure),
}

/// Where the message being sent stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Writing {
    /// None is under way; the last one may still have to be flushed.
    Idle,
    /// The server owes a response head.
    Head,
    /// The client sent a CONNECT or upgrade and may write only once it was granted.
    Switch,
    Body(Encoding),
    /// The sending direction of a tunnel.
    Tunnel,
    /// The same, to be shut once everything was written.
    Shutting,
    Shut,
    Failed(Failure),
}

pub(super) struct Conn {
    io: Option<Box<dyn Io>>,
    input: Input,
    output: Output,
    pub(super) side: Side,
    pub(super) limits: Limits,
    pub(super) reading: Reading,
    pub(super) writing: Writing,
    /// What the current request asks of its response: on the server for writing it, on the client for reading it.
    pub(super) answered: Answered,
    pub(super) asked: Asked,
    /// Whether another exchange may follow.
    pub(super) persistent: bool,
    /// Whether the client waits for `100 Continue` and hasn't been told to go on.
    pub(super) expecting: bool,
    pub(super) drain: Drain,
    pub(super) progress: Progress,
    /// Interim responses so far.
    pub(super) informational: usize,
    /// Who waits for the exchange to end.
    owner: Option<Waker>,
    /// Who waits in the receive half for a switch to be decided.
    receiver: Option<Waker>,
    /// Who waits in the send half for the same.
    sender: Option<Waker>,
}

impl Conn {
    /// `first` was read already.
    pub(super) fn new(
        io: Box<dyn Io>,
        first: Bytes,
        side: Side,
        limits: Limits,
        budget: Option<Budget>,
    ) -> Self {
        Self {
            io: Some(io),
            input: Input::new(first, budget),
            output: Output::default(),
            side,
            limits,
            reading: Reading::Idle,
            writing: Writing::Idle,
            answered: Answered {
                version: Version::Http11,
                is_head: false,
                connect: Connect::None,
                persistent: false,
            },
            asked: Asked::Plain,
            persistent: true,
            expecting: false,
            drain: Drain::default(),
            progress: Progress::NotSent,
            informational: 0,
            owner: None,
            receiver: None,
            sender: None,
        }
    }

    /// Whether either half of an exchange is still being used.
    pub(super) fn is_busy(&self) -> bool {
        let reading =
            matches!(self.reading, Reading::Head | Reading::Switch { dropped: false } | Reading::Body(_));
        let sending = matches!(
            self.writing,
            Writing::Head | Writing::Switch | Writing::Body(_) | Writing::Tunnel | Writing::Shutting
        );
        reading || sending
    }

    /// Whether everything was read and written and another exchange may follow.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.reading, Reading::Idle)
            && self.writing == Writing::Idle
            && self.output.is_empty()
            && self.persistent
    }

    /// The budget of buffered bytes.
    pub(super) fn budget(&self) -> Option<Budget> {
        self.input.budget()
    }

    /// Whether bytes have been read that no exchange has used.
    pub(super) fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    /// Whether bytes are queued to be written.
    pub(super) fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// Whether a head has begun to arrive.
    pub(super) fn has_partial_head(&self) -> bool {
        self.input.has_partial()
    }

    /// Drops the socket.
    pub(super) fn close(&mut self) {
        self.io = None;
        self.persistent = false;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.io.is_none()
    }

    pub(super) fn watch(&mut self, cx: &Context<'_>) {
        register(&mut self.owner, cx);
    }

    pub(super) fn watch_switch_to_receive(&mut self, cx: &Context<'_>) {
        register(&mut self.receiver, cx);
    }

    pub(super) fn watch_switch_to_send(&mut self, cx: &Context<'_>) {
        register(&mut self.sender, cx);
    }

    /// Wakes the owner, once the connection isn't borrowed any more.
    pub(super) fn release_and_wake_owner(mut conn: RefMut<'_, Self>) {
        let owner = conn.owner.take();
        drop(conn);
        if let Some(owner) = owner {
            owner.wake();
        }
    }

    /// Wakes both halves and the owner after a switch was decided, once the connection isn't borrowed any more.
    pub(super) fn release_and_wake_all(mut conn: RefMut<'_, Self>) {
        let wakers = [conn.receiver.take(), conn.sender.take(), conn.owner.take()];
        drop(conn);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// Notes that the peer's message can't be completed, and returns the failure.
    pub(super) fn fail_reading(&mut self, error: Option<&io::Error>) -> Failure {
        let failure = self.blame(error);
        self.reading = Reading::Failed(failure);
        self.persistent = false;
        failure
    }

    pub(super) fn refuse(&mut self, refusal: Refusal) -> Failure {
        let failure = self.side.refused(refusal);
        self.reading = Reading::Failed(failure);
        self.persistent = false;
        failure
    }

    pub(super) fn fail_writing(&mut self, error: Option<&io::Error>) -> Failure {
        let failure = self.blame(error);
        self.break_off(failure);
        self.output.clear();
        failure
    }

    /// Lets the message being sent end here, visibly incomplete: what is queued still goes out, and then the
    /// connection closes.
    pub(super) fn break_off(&mut self, failure: Failure) {
        self.writing = Writing::Failed(failure);
        self.persistent = false;
    }

    /// What an I/O error, or an end of file, is to be called.
    fn blame(&mut self, error: Option<&io::Error>) -> Failure {
        let refused = error.is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
        if self.side == Side::Client && refused && self.progress != Progress::ResponseStarted {
            self.progress = Progress::Refused;
            return Failure::TlsFailed;
        }
        self.side.gone()
    }
}

impl std::fmt::Debug for Conn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conn")
            .field("side", &self.side)
            .field("reading", &self.reading)
            .field("writing", &self.writing)
            .field("persistent", &self.persistent)
            .finish_non_exhaustive()
    }
}
