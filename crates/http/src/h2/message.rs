//! Messages: heads and trailers between header blocks and what a proxy edits (RFC 9113 §8.2, §8.3).
//!
//! A head that came over HTTP/2 has the form that one over HTTP/1 has, so edits, matches and writing are the same for
//! both. Invariant: no field of a head that was read needs a check before it is written over HTTP/1.

mod read;
#[cfg(test)]
mod tests;
mod write;

pub(super) use read::{Fault, Reading};
pub(super) use write::{informational, request, response, trailers};
