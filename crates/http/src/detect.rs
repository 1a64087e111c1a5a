//! What the first bytes of a connection are. Pure; callers peek, ask, and peek more.
//!
//! HTTP wins in doubt: whatever a lenient server might serve as a request is called HTTP/1 and left to the strict
//! codec to refuse, so that no oddity of a request line takes a connection past HTTP policy. Silence decides nothing;
//! that is the caller's to handle.

#[cfg(test)]
mod tests;
mod tls;

use crate::head::is_token_byte;
use crate::limits::{DETECT_BYTES, METHOD_BYTES};

pub use tls::Hello;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detection {
    /// A TLS ClientHello.
    Tls(Hello),
    /// The HTTP/2 connection preface (RFC 9113 §3.4).
    Http2,
    /// The beginning of an HTTP/1 request.
    Http1,
    /// None of these.
    Opaque,
    /// It may still become one of them.
    NeedMore,
}

/// The HTTP/2 client's connection preface.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Tells the protocol from what a client has sent so far. With [`DETECT_BYTES`] the answer is final.
#[must_use]
pub fn detect(bytes: &[u8]) -> Detection {
    let found = match bytes {
        [] => Detection::NeedMore,
        [0x16, ..] => tls::client_hello(bytes).map_or_else(
            |stop| match stop {
                tls::Stop::NeedMore => Detection::NeedMore,
                tls::Stop::Malformed => Detection::Opaque,
            },
            Detection::Tls,
        ),
        _ if bytes.starts_with(PREFACE) => Detection::Http2,
        _ if PREFACE.starts_with(bytes) => Detection::NeedMore,
        _ => request_line(bytes),
    };
    match found {
        Detection::NeedMore if bytes.len() >= DETECT_BYTES => Detection::Opaque,
        found => found,
    }
}

/// A method, blanks, and something that a target begins with.
fn request_line(bytes: &[u8]) -> Detection {
    // Servers skip empty lines before a request (RFC 9112 §2.2).
    let start = bytes.iter().position(|b| !matches!(b, b'\r' | b'\n')).unwrap_or(bytes.len());
    let line = bytes.get(start..).unwrap_or_default();
    let method_len = line.iter().take(METHOD_BYTES + 1).take_while(|b| is_token_byte(**b)).count();
    let (method, rest) = line.split_at(method_len);
    if method_len > METHOD_BYTES {
        return Detection::Opaque;
    }
    let target = match rest.first() {
        None => return Detection::NeedMore,
        Some(b' ' | b'\t' | 0x0b | 0x0c) if method_len > 0 => rest.trim_ascii_start(),
        Some(_) => return Detection::Opaque,
    };
    match target {
        [] => Detection::NeedMore,
        [b'/' | b'*' | b'\\', ..] => Detection::Http1,
        _ if method.eq_ignore_ascii_case(b"CONNECT") => Detection::Http1,
        _ => {
            let known = target.len().min(4);
            match target.get(..known) {
                Some(scheme)
                    if b"http".get(..known).is_some_and(|http| http.eq_ignore_ascii_case(scheme)) =>
                {
                    if known < 4 { Detection::NeedMore } else { Detection::Http1 }
                }
                _ => odd_target(method, target),
            }
        }
    }
}

/// A target that no standard knows is still one to lenient servers if an HTTP version ends the line. Only the whole line
/// tells, or whoever cuts it would choose what it is; and only methods in capitals are waited for, since what begins
/// otherwise need not have lines.
fn odd_target(method: &[u8], target: &[u8]) -> Detection {
    if !method.iter().all(|b| b.is_ascii_uppercase() || matches!(b, b'-' | b'_')) {
        return Detection::Opaque;
    }
    let Some(end) = memchr::memchr(b'\n', target) else { return Detection::NeedMore };
    let line = target.get(..end).unwrap_or_default();
    if line.windows(6).any(|w| w.eq_ignore_ascii_case(b" HTTP/")) {
        Detection::Http1
    } else {
        Detection::Opaque
    }
}
