//! Values of fields, made safe to write.
//!
//! Invariant: no value, whoever chose it, ends a line, a quoted text or a JSON string.

use std::io::Write as _;

use crate::limits::ACCESS_FIELD;

/// Appends anything that has a text of its own.
pub(super) fn display(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    // Writing to memory doesn't fail.
    let _infallible = write!(out, "{value}");
}

/// The value, or its beginning where it is too long.
fn bounded(value: &[u8]) -> (&[u8], bool) {
    value.get(..ACCESS_FIELD).map_or((value, false), |start| (start, value.len() > ACCESS_FIELD))
}

/// Appends a value to a text line. Control characters, quotes, backslashes and what isn't UTF-8 become `\xHH`;
/// outside quotes so do spaces.
pub(super) fn text(out: &mut Vec<u8>, value: &[u8], quoted: bool) {
    let (value, cut) = bounded(value);
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
    if cut {
        out.extend_from_slice(b"...");
    }
}

fn hex(out: &mut Vec<u8>, byte: u8) {
    display(out, format_args!("\\x{byte:02X}"));
}

/// Appends a value as a JSON string with its quotes (RFC 8259 §7). What isn't UTF-8 becomes U+FFFD.
pub(super) fn json(out: &mut Vec<u8>, value: &[u8]) {
    let (value, cut) = bounded(value);
    out.push(b'"');
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
    if cut {
        out.extend_from_slice(b"...");
    }
    out.push(b'"');
}
