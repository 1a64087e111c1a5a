//! The first flight of `leno/1`: what a client wants of the connection, sent without waiting for anything.
//!
//! On the wire it is a length (4 bytes, big-endian, at most [`MAX_OPEN_BYTES`]) and that many bytes of protobuf; the
//! connection's own bytes follow at once. On an opaque connection the server's first byte is a [`Verdict`]; on HTTP
//! connections refusals are ordinary responses.
//!
//! What a client says about itself ([`Source`]) is a claim: good for metrics, nothing else.

use std::net::IpAddr;
use std::sync::Arc;

use leno_model::failure::Failure;
use leno_model::labels::Labels;
use leno_model::name::Host;

use crate::limits::MAX_OPEN_BYTES;
use crate::malformed::Malformed;

/// ALPN name of the transport. The version is in it.
pub const ALPN: &[u8] = b"leno/1";

/// What the client wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// The workload's address.
    pub ip: IpAddr,
    /// The workload's port.
    pub port: u16,
    /// The service host by which it was chosen.
    pub service: Option<Host>,
    /// What follows.
    pub protocol: Protocol,
    /// The caller as it describes itself.
    pub source: Source,
}

/// What is spoken after the first flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.x.
    Http1,
    /// HTTP/2, from its preface on.
    Http2,
    /// Opaque bytes; the server's side begins with a [`Verdict`].
    Opaque,
}

/// The caller as it describes itself. For metrics only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its workload's name.
    pub workload: Arc<str>,
    /// The deployment it belongs to.
    pub owner: Arc<str>,
    /// Its cluster.
    pub cluster: Arc<str>,
    /// Labels that metrics read.
    pub labels: Labels,
}

/// The first byte that a server sends on an opaque connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The application's bytes follow. On the wire 0.
    Accepted,
    /// Nothing follows.
    Refused(Refusal),
}

/// Why an opaque connection is refused. The numbers are the wire's and never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Refusal {
    /// The first flight is not an `Open`.
    Malformed = 1,
    /// Policy denies the connection.
    Denied = 2,
    /// The address or port is not one that is served here.
    Forbidden = 3,
    /// The application could not be reached.
    Unreachable = 4,
    /// The application was not reached in time.
    Timeout = 5,
    /// A limit is reached.
    Overload = 6,
    /// The proxy is about to end.
    Draining = 7,
    /// The server has no identity or policy to decide by.
    NotReady = 8,
    /// Anything else.
    Internal = 9,
}

/// What the bytes received so far are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// The beginning of an `Open`: at least this many more bytes are needed.
    NeedMore(usize),
    /// An `Open`, and how many bytes it took; what follows is the connection's.
    Open(Box<Open>, usize),
    /// Not an `Open`.
    Refused(Malformed),
}

/// The `Open` does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the first flight would be {0} bytes long; the most is {MAX_OPEN_BYTES}")]
pub struct TooLong(pub usize);

impl Open {
    /// The first flight. Texts and labels of the source beyond their limits are left out.
    ///
    /// # Errors
    /// Never within the limits of `limits`; kept so that a mistake there can't send what no server takes.
    pub fn encode(&self) -> Result<Vec<u8>, TooLong> {
        todo!()
    }

    /// Reads a first flight from the bytes received so far.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Decoded {
        let _ = bytes;
        todo!()
    }
}

impl Verdict {
    /// The byte on the wire.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::Accepted => 0,
            Self::Refused(refusal) => refusal as u8,
        }
    }

    /// The verdict of a byte; one that is unknown here is a refusal all the same.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Self {
        Self::Refused(match byte {
            0 => return Self::Accepted,
            1 => Refusal::Malformed,
            2 => Refusal::Denied,
            3 => Refusal::Forbidden,
            4 => Refusal::Unreachable,
            5 => Refusal::Timeout,
            6 => Refusal::Overload,
            7 => Refusal::Draining,
            8 => Refusal::NotReady,
            _ => Refusal::Internal,
        })
    }
}

impl Refusal {
    /// The refusal that tells this failure.
    #[must_use]
    pub const fn of(failure: Failure) -> Self {
        match failure {
            Failure::BadRequest | Failure::DownstreamProtocol => Self::Malformed,
            Failure::Denied | Failure::NoPeerIdentity => Self::Denied,
            Failure::ForbiddenDestination => Self::Forbidden,
            Failure::ConnectFailed | Failure::UpstreamClosed | Failure::UpstreamRefused => Self::Unreachable,
            Failure::ConnectTimeout | Failure::UpstreamTimeout => Self::Timeout,
            Failure::Overflow | Failure::Overload => Self::Overload,
            Failure::Draining => Self::Draining,
            Failure::NoIdentity | Failure::IdentityExpired | Failure::NotDiscovered => Self::NotReady,
            _ => Self::Internal,
        }
    }

    /// The failure that the client records.
    #[must_use]
    pub const fn failure(self) -> Failure {
        match self {
            Self::Malformed | Self::Internal => Failure::UpstreamProtocol,
            Self::Denied => Failure::Denied,
            Self::Forbidden => Failure::ForbiddenDestination,
            Self::Unreachable => Failure::ConnectFailed,
            Self::Timeout => Failure::ConnectTimeout,
            Self::Overload => Failure::Overload,
            Self::Draining => Failure::UpstreamRefused,
            Self::NotReady => Failure::UpstreamRefused,
        }
    }
}
