//! HTTP/2: what comes from clients and from servers, and header blocks by themselves.
//!
//! An input's first byte has switches. Behind it stand either the peer's bytes, or frames in few bytes, of which the lengths
//! are made: kind, flags, stream, length and so many bytes, which for heads may be texts. So mutations change what frames say
//! more often than where they end.

pub mod client;
pub mod hpack;
pub(crate) mod naive;
pub mod server;
mod sides;

use bytes::Bytes;
use leno_testkit::frames::{self, Frame, HEADERS, SETTINGS};

/// What the peer of a switch says: the input's bytes, or what they are short for.
fn spoken(switches: u8, preface: &[u8], input: &[u8]) -> Bytes {
    if switches & RAW != 0 {
        return Bytes::copy_from_slice(input);
    }
    let settings = Frame { kind: SETTINGS, flags: 0, stream: 0, payload: Vec::new() };
    let mut bytes = [preface, &settings.bytes()].concat();
    let mut rest = input;
    while let [kind, flags, stream, length, behind @ ..] = rest {
        let (payload, behind) = behind.split_at(behind.len().min(usize::from(*length)));
        let is_head = matches!(*kind, HEADERS) && switches & TEXT != 0;
        let payload = if is_head { block(payload) } else { payload.to_vec() };
        let frame = Frame { kind: *kind, flags: *flags, stream: (*stream).into(), payload };
        bytes.extend_from_slice(&frame.bytes());
        rest = behind;
    }
    bytes.into()
}

/// The input has the bytes themselves.
const RAW: u8 = 1;
/// Heads are texts, of which the blocks are made.
const TEXT: u8 = 0x40;

/// A block of lines `name=value`.
fn block(lines: &[u8]) -> Vec<u8> {
    let lines = lines.split(|byte| *byte == b'\n');
    let fields = lines.map(|line| {
        let at = line.iter().position(|byte| *byte == b'=').unwrap_or(line.len());
        (&line[..at], line.get(at + 1..).unwrap_or_default())
    });
    frames::block(&fields.collect::<Vec<_>>())
}

/// The bytes in one piece, in two, and one by one as far as that doesn't take too long.
fn cuts(bytes: &Bytes) -> [Vec<Bytes>; 3] {
    let sum = bytes.iter().fold(7_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    let at = sum % (bytes.len() + 1);
    let (first, last) = bytes.split_at(bytes.len().min(4096));
    let drops = first.chunks(1).chain(last.chunks(64)).map(|piece| bytes.slice_ref(piece));
    [vec![bytes.clone()], vec![bytes.slice(..at), bytes.slice(at..)], drops.collect()]
}
