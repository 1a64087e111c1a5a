//! Normal forms of paths and hosts, made once and before anything is decided on them.
//!
//! Invariant: what routing and policy see is what goes upstream. A target that two servers could read as different
//! paths (bad percent-encoding, overlong UTF-8, NUL, `..;`) is rejected instead of being guessed at. What a server makes of a path by
//! decoding it once more is the policy engine's to consider, not this module's.

mod host;
mod path;
#[cfg(test)]
mod tests;

use leno_model::failure::Failure;
use leno_model::request::RequestView;

use crate::head::{Connect, RequestHead};

pub use host::host;
pub use path::path;

/// How paths are normalized: Istio's `pathNormalization`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PathMode {
    /// Not at all.
    None,
    /// By RFC 3986 §6.2.2: backslashes are slashes, unreserved characters are decoded, dot segments resolved.
    Base,
    /// As `Base`, and slashes that follow each other become one.
    #[default]
    MergeSlashes,
    /// Encoded slashes and backslashes are decoded first, then as `MergeSlashes`.
    DecodeAndMergeSlashes,
}

/// Why there is no normal form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// A `%` without two hex digits (RFC 3986 §2.1).
    #[error("malformed percent-encoding")]
    Percent,
    /// An encoded NUL, at which some servers end the path.
    #[error("an encoded NUL")]
    Nul,
    /// An encoded character in more bytes than it takes, which some decoders refuse and others accept.
    #[error("an overlong encoding of a character")]
    Overlong,
    /// A dot segment with parameters (`..;`), which some servers resolve and others don't.
    #[error("a dot segment with parameters")]
    DotParameter,
    /// The host isn't a name or address, or the port not a number in 1..=65535.
    #[error("malformed authority")]
    Authority,
}

/// Brings a request's path and authority into normal form.
///
/// # Errors
/// [`Failure::PathRejected`] or [`Failure::BadRequest`]; the request must not be served then.
pub fn request(head: &mut RequestHead, mode: PathMode) -> Result<(), Failure> {
    if !host::is_plain(head.authority_bytes()) {
        let normal = host(head.authority()).map_err(|_rejected| Failure::BadRequest)?;
        if let std::borrow::Cow::Owned(normal) = normal {
            head.set_authority(&normal).map_err(|_invalid| Failure::BadRequest)?;
        }
    }
    if *head.connect() == Connect::Connect {
        return Ok(());
    }
    let sent = head.path_bytes();
    if sent == b"*" || path::is_plain(sent, mode) {
        return Ok(());
    }
    let normal = path(head.path(), mode).map_err(|_rejected| Failure::PathRejected)?;
    if let std::borrow::Cow::Owned(normal) = normal {
        head.set_path(&normal).map_err(|_invalid| Failure::PathRejected)?;
    }
    Ok(())
}
