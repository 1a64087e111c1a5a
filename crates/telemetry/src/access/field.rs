//! Values of fields, made safe to write.
//!
//! Invariant: no value, whoever chose it, ends a line, a quoted text or a JSON string.

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use crate::limits::ACCESS_FIELD;

/// Appends anything that has a text of its own. Numbers and addresses have functions of their own here, since a line of
/// them by `Display` costs as much as all else that is done for its request.
fn display(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    // Writing to memory doesn't fail.
    let _infallible = write!(out, "{value}");
}

/// Appends a whole number.
pub(super) fn number(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends whole milliseconds.
pub(super) fn millis(out: &mut Vec<u8>, time: Duration) {
    number(out, u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
}

/// Appends an IP address and port.
pub(super) fn address(out: &mut Vec<u8>, address: SocketAddr) {
    let SocketAddr::V4(address) = address else { return display(out, address) };
    out.reserve("255.255.255.255:".len());
    for (octet, behind) in address.ip().octets().into_iter().zip(*b"...:") {
        if octet >= 100 {
            out.push(b'0' + octet / 100);
        }
        if octet >= 10 {
            out.push(b'0' + octet / 10 % 10);
        }
        out.push(b'0' + octet % 10);
        out.push(behind);
    }
    number(out, address.port().into());
}

/// The value, or its beginning where it is too long.
fn bounded(value: &[u8]) -> (&[u8], bool) {
    value.get(..ACCESS_FIELD).map_or((value, false), |start| (start, value.len() > ACCESS_FIELD))
}

/// Appends a value to a text line. Control characters, quotes, backslashes and what isn't UTF-8 become `\xHH`;
/// outside quotes so do spaces.
pub(super) fn text(out: &mut Vec<u8>, value: &[u8], quoted: bool) {
    let (value, cut) = bounded(value);
    if is_plain(value, if quoted { b' ' } else { b'!' }) {
        out.extend_from_slice(value);
    } else {
        escaped_text(out, value, quoted);
    }
    if cut {
        out.extend_from_slice(b"...");
    }
}

/// Whether there is nothing to escape: visible ASCII from `least` on, but for quotes and backslashes. Doesn't stop at the
/// first that isn't, so that it takes many bytes at once.
fn is_plain(value: &[u8], least: u8) -> bool {
    let plain = |b: u8| (b >= least) & (b < 0x7f) & (b != b'"') & (b != b'\\');
    value.iter().fold(true, |all, b| all & plain(*b))
}

fn escaped_text(out: &mut Vec<u8>, value: &[u8], quoted: bool) {
    for chunk in value.utf8_chunks() {
        let mut rest = chunk.valid().as_bytes();
        let special = |b: &u8| b.is_ascii_control() || matches!(b, b'"' | b'\\') || (!quoted && *b == b' ');
        while let Some(at) = rest.iter().position(special) {
            let (plain, tail) = rest.split_at(at);
            out.extend_from_slice(plain);
            if let Some((byte, tail)) = tail.split_first() {
                hex(out, *byte);
                rest = tail;
            }
        }
        out.extend_from_slice(rest);
        chunk.invalid().iter().for_each(|byte| hex(out, *byte));
    }
}

fn hex(out: &mut Vec<u8>, byte: u8) {
    display(out, format_args!("\\x{byte:02X}"));
}

/// Appends a value as a JSON string with its quotes (RFC 8259 §7). What isn't UTF-8 becomes U+FFFD.
pub(super) fn json(out: &mut Vec<u8>, value: &[u8]) {
    let (value, cut) = bounded(value);
    out.push(b'"');
    if is_plain(value, b' ') {
        out.extend_from_slice(value);
    } else {
        escaped_json(out, value);
    }
    if cut {
        out.extend_from_slice(b"...");
    }
    out.push(b'"');
}

fn escaped_json(out: &mut Vec<u8>, value: &[u8]) {
    for chunk in value.utf8_chunks() {
        let mut rest = chunk.valid().as_bytes();
        while let Some(at) = rest.iter().position(|b| *b < 0x20 || matches!(b, b'"' | b'\\' | 0x7f)) {
            let (plain, tail) = rest.split_at(at);
            out.extend_from_slice(plain);
            if let Some((byte, tail)) = tail.split_first() {
                match byte {
                    b'"' => out.extend_from_slice(b"\\\""),
                    b'\\' => out.extend_from_slice(b"\\\\"),
                    byte => display(out, format_args!("\\u{byte:04x}")),
                }
                rest = tail;
            }
        }
        out.extend_from_slice(rest);
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}
