//! Strict parsing of HTTP/1 heads as pure functions of bytes.
//!
//! A head is accepted only if every recipient must read it alike (RFC 9112 throughout); whatever leaves room for
//! interpretation is refused with the rule it broke. Results borrow nothing: the head's bytes are copied once, at
//! their final size. Callers that get [`Parsed::NeedMore`] ask [`Scan`] whether the head is complete before they
//! parse again, so that a head that trickles in is not parsed over and over.

mod connection;
mod fields;
mod line;
mod request;
mod response;
mod scan;
#[cfg(test)]
mod tests;
mod trailers;

use crate::head::Scheme;
use crate::limits;

use super::refusal::Refusal;

pub use request::{ParsedRequest, request};
pub(crate) use response::Body;
pub use response::{Asked, ParsedResponse, response};
pub use scan::Scan;
pub(crate) use trailers::is_forbidden_trailer;
pub use trailers::trailers;

/// What a parser makes of bytes.
#[derive(Debug)]
pub enum Parsed<T> {
    /// A head, and how many bytes it took.
    Complete(T, usize),
    /// So far well-formed, but not complete.
    NeedMore,
    /// Not acceptable, whatever follows.
    Refused(Refusal),
}

/// Bounds of a head.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// See [`limits::HEAD_BYTES`].
    pub bytes: usize,
    /// See [`limits::HEAD_FIELDS`].
    pub fields: usize,
    /// The scheme that requests have: what the transport is.
    pub scheme: Scheme,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: limits::HEAD_BYTES, fields: limits::HEAD_FIELDS, scheme: Scheme::Http }
    }
}

/// Why a parser stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    NeedMore,
    Refused(Refusal),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl<T> From<Stop> for Parsed<T> {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::NeedMore => Self::NeedMore,
            Stop::Refused(refusal) => Self::Refused(refusal),
        }
    }
}

/// The number in a `Content-Length`: digits only, below 2^63 so that sums don't overflow.
pub(crate) fn length(value: &[u8]) -> Result<u64, Refusal> {
    if value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit) {
        return Err(Refusal::LengthInvalid);
    }
    let mut number = 0_u64;
    for digit in value {
        number = number * 10 + u64::from(digit - b'0');
    }
    if number > i64::MAX as u64 { Err(Refusal::LengthInvalid) } else { Ok(number) }
}
