//! Why streams and connections end, and what that means for an exchange.

use std::fmt;
use std::io;

use leno_model::failure::Failure;

use crate::exchange::Progress;

/// An error code (RFC 9113 §7). Those that mean nothing here are kept as they came.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Reason(u32);

macro_rules! reasons {
    ($($code:literal $name:ident $text:literal)*) => {
        impl Reason {
            $(#[doc = $text] pub(super) const $name: Self = Self($code);)*

            const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($code => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

reasons! {
    0 NO_ERROR "nothing is wrong"
    1 PROTOCOL_ERROR "a frame or message that HTTP/2 doesn't allow"
    2 INTERNAL_ERROR "an error inside of the sender"
    3 FLOW_CONTROL_ERROR "more bytes than the window allowed, or a window beyond its limit"
    5 STREAM_CLOSED "a frame for a stream that had ended"
    6 FRAME_SIZE_ERROR "a frame of a size that it can't have"
    7 REFUSED_STREAM "a stream on which nothing was done"
    8 CANCEL "a stream that isn't needed any more"
    9 COMPRESSION_ERROR "a header block that can't be decoded"
    11 ENHANCE_YOUR_CALM "more load than a well-meaning peer makes"
}

impl Reason {
    pub(super) const fn of(code: u32) -> Self {
        Self(code)
    }

    /// The code on the wire.
    pub(super) const fn code(self) -> u32 {
        self.0
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "Reason({:#x})", self.0),
        }
    }
}

/// A rule of the protocol that the peer broke, and the code to tell it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Violation {
    pub(super) reason: Reason,
    /// What the peer did, for logs.
    pub(super) rule: &'static str,
}

impl Violation {
    pub(super) const fn protocol(rule: &'static str) -> Self {
        Self { reason: Reason::PROTOCOL_ERROR, rule }
    }

    pub(super) const fn size(rule: &'static str) -> Self {
        Self { reason: Reason::FRAME_SIZE_ERROR, rule }
    }

    pub(super) const fn flow(rule: &'static str) -> Self {
        Self { reason: Reason::FLOW_CONTROL_ERROR, rule }
    }

    pub(super) const fn calm(rule: &'static str) -> Self {
        Self { reason: Reason::ENHANCE_YOUR_CALM, rule }
    }
}

/// How a stream ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The peer broke a rule.
    Broken,
    /// The peer reset the stream.
    Reset(Reason),
    /// The peer goes away and says that it doesn't act on the stream (RFC 9113 §6.8).
    Unprocessed,
    /// This side gave the stream up.
    Given(Failure),
    /// The connection has ended.
    Closed,
    /// The peer refused this client before it read anything.
    Refused,
}

impl Cause {
    pub(super) fn of_io(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::PermissionDenied { Self::Refused } else { Self::Closed }
    }

    /// What a server calls it.
    pub(super) fn of_client(self) -> Failure {
        match self {
            Self::Broken => Failure::DownstreamProtocol,
            Self::Given(failure) => failure,
            Self::Reset(_) | Self::Unprocessed | Self::Closed | Self::Refused => Failure::DownstreamGone,
        }
    }

    /// What a client calls it whose request had got as far as `progress`, and how far that is now known to be.
    pub(super) fn of_server(self, progress: Progress) -> (Failure, Progress) {
        let started = progress == Progress::ResponseStarted;
        match self {
            Self::Broken => (Failure::UpstreamProtocol, progress),
            Self::Given(failure) => (failure, progress),
            Self::Reset(Reason::REFUSED_STREAM) | Self::Unprocessed if !started => {
                (Failure::UpstreamRefused, Progress::Refused)
            }
            Self::Reset(_) | Self::Unprocessed => (Failure::UpstreamReset, progress),
            Self::Refused if !started => (Failure::TlsFailed, Progress::Refused),
            Self::Closed | Self::Refused => (Failure::UpstreamClosed, progress),
        }
    }
}

/// The code that tells the peer why a message ends early (RFC 9113 §7).
pub(super) fn reason_for(failure: Failure) -> Reason {
    match failure {
        Failure::BadRequest | Failure::DownstreamProtocol | Failure::PathRejected => Reason::PROTOCOL_ERROR,
        Failure::DownstreamGone => Reason::CANCEL,
        Failure::NoPeerIdentity | Failure::Denied | Failure::ForbiddenDestination => Reason::REFUSED_STREAM,
        _ => Reason::INTERNAL_ERROR,
    }
}
