//! Values of fields, made safe to write.
//!
//! Invariant: no value, whoever chose it, ends a line, a quoted text or a JSON string.

use std::io::Write as _;
use std::net::{SocketAddr, SocketAddrV4};
use std::time::Duration;

use leno_runtime::bytes::any_of;

use crate::limits::ACCESS_FIELD;

/// Appends anything that has a text of its own. Numbers and addresses have functions of their own here, since a line of
/// them by `Display` costs as much as all else that is done for its request.
fn display(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    // Writing to memory doesn't fail.
    let _infallible = write!(out, "{value}");
}

/// Appends a whole number.
pub(super) fn number(out: &mut Vec<u8>, value: u64) {
    match u8::try_from(value) {
        Ok(digit @ ..10) => out.push(b'0' + digit),
        _ => out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes()),
    }
}

/// Appends whole milliseconds.
pub(super) fn millis(out: &mut Vec<u8>, time: Duration) {
    number(out, u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
}

/// Whose address it is that a line tells.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    Upstream,
    UpstreamLocal,
    DownstreamLocal,
    Downstream,
}

/// Addresses as they were shown last: making a text of one takes longer than finding it, and most lines have no
/// new one. Keep one per thread.
#[derive(Debug)]
pub struct Shown([[Address; 1 << SHOWN_BITS]; 4]);

/// Binary digits of a place among the addresses that are kept for each end.
const SHOWN_BITS: u32 = 4;

impl Default for Shown {
    fn default() -> Self {
        Self::new()
    }
}

impl Shown {
    /// None yet.
    pub const fn new() -> Self {
        Self([[Address { number: 0, text: [0; 24], len: 0 }; 1 << SHOWN_BITS]; 4])
    }

    /// Appends an IP address and port.
    pub(super) fn address(&mut self, out: &mut Vec<u8>, end: End, address: SocketAddr) {
        let SocketAddr::V4(address) = address else { return display(out, address) };
        // The number of another address, or of none, is another.
        let number = 1 << 48 | u64::from(address.ip().to_bits()) << 16 | u64::from(address.port());
        let place = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - SHOWN_BITS);
        let of_end = self.0.get_mut(end as usize).map(|shown| &mut shown[..]).unwrap_or_default();
        let Some(shown) = usize::try_from(place).ok().and_then(|place| of_end.get_mut(place)) else { return };
        if shown.number != number {
            let mut text = Vec::with_capacity(shown.text.len());
            socket_address(&mut text, address);
            shown.number = number;
            shown.len = text.len();
            shown.text.iter_mut().zip(text).for_each(|(place, byte)| *place = byte);
        }
        put_short(out, shown.text, shown.len);
    }
}

/// The text of an address.
#[derive(Clone, Copy, Debug)]
struct Address {
    number: u64,
    text: [u8; 24],
    len: usize,
}

/// Appends the first `len` bytes: all of the text and less again, which takes no call.
fn put_short<const N: usize>(out: &mut Vec<u8>, text: [u8; N], len: usize) {
    let end = out.len() + len;
    out.extend_from_slice(&text);
    out.truncate(end);
}

fn socket_address(out: &mut Vec<u8>, address: SocketAddrV4) {
    for octet in address.ip().octets() {
        let (text, len) = OCTETS.get(usize::from(octet)).copied().unwrap_or_default();
        put_short(out, text, len);
    }
    if let Some(last) = out.last_mut() {
        *last = b':';
    }
    number(out, address.port().into());
}

/// The text of each octet with a point behind it, and its length.
#[allow(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "in a constant, and below 256")]
const OCTETS: [([u8; 4], usize); 256] = {
    let mut octets = [([b'.'; 4], 0); 256];
    let mut octet = 0;
    while octet < 256 {
        let (text, len) = &mut octets[octet];
        *len = if octet >= 100 {
            4
        } else if octet >= 10 {
            3
        } else {
            2
        };
        let (mut at, mut rest) = (*len - 1, octet);
        while at > 0 {
            at -= 1;
            text[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        octet += 1;
    }
    octets
};

/// The value, or its beginning where it is too long.
fn bounded(value: &[u8]) -> (&[u8], bool) {
    value.get(..ACCESS_FIELD).map_or((value, false), |start| (start, value.len() > ACCESS_FIELD))
}

/// Appends a value to a text line. Control characters, quotes, backslashes and what isn't UTF-8 become `\xHH`;
/// outside quotes so do spaces.
pub(super) fn text(out: &mut Vec<u8>, value: &[u8], quoted: bool) {
    let (value, cut) = bounded(value);
    let is_plain = if quoted { is_visible::<b' '>(value) } else { is_visible::<b'!'>(value) };
    if is_plain {
        out.extend_from_slice(value);
    } else {
        escaped_text(out, value, quoted);
    }
    if cut {
        out.extend_from_slice(b"...");
    }
}

/// Whether a value between quotes is written as it is, in each format. What is true of a whole is true of its parts.
#[must_use]
pub fn is_plain(value: &[u8]) -> bool {
    is_visible::<b' '>(value)
}

/// Appends a value of which [`is_plain`] is true.
#[inline]
pub(super) fn plain(out: &mut Vec<u8>, value: &[u8]) {
    if value.len() <= ACCESS_FIELD { out.extend_from_slice(value) } else { text(out, value, true) }
}

/// Whether there is nothing to escape: visible ASCII from `LEAST` on, but for quotes and backslashes.
fn is_visible<const LEAST: u8>(value: &[u8]) -> bool {
    !any_of(value, |bytes| !bytes.are_from(LEAST, b'~') | bytes.are(b'"') | bytes.are(b'\\'))
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
    if is_plain(value) {
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
