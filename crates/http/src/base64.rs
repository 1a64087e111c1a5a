//! Base64 (RFC 4648 §4) of streams: bytes that don't fill a group wait for the next.

use bytes::{BufMut as _, Bytes, BytesMut};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Writes.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    /// Bytes that don't fill a group.
    rest: Vec<u8>,
}

impl Encoder {
    pub(crate) fn encode(&mut self, data: &[u8]) -> Bytes {
        self.rest.extend_from_slice(data);
        let whole = self.rest.len() - self.rest.len() % 3;
        let mut text = BytesMut::with_capacity(whole / 3 * 4);
        for group in self.rest.get(..whole).unwrap_or_default().chunks(3) {
            put(group, &mut text);
        }
        self.rest.drain(..whole);
        text.freeze()
    }

    /// The last bytes; what is left of the group is filled.
    pub(crate) fn last(&mut self, data: &[u8]) -> Bytes {
        let mut text = BytesMut::from(&*self.encode(data));
        if !self.rest.is_empty() {
            put(&self.rest, &mut text);
            self.rest.clear();
        }
        text.freeze()
    }
}

/// One to three bytes.
fn put(group: &[u8], text: &mut BytesMut) {
    let mut bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
    bits <<= 8 * (3 - group.len());
    for at in 0..4 {
        let symbol = ALPHABET.get((bits >> (18 - 6 * at) & 63) as usize).copied().unwrap_or_default();
        text.put_u8(if at <= group.len() { symbol } else { b'=' });
    }
}

/// The text of these bytes.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&Encoder::default().last(bytes)).into_owned()
}

/// Reads. A text may consist of several, each with an end of its own.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// Bits and symbols of a group that isn't complete.
    bits: u32,
    symbols: u32,
    padding: u32,
}

impl Decoder {
    /// The bytes of a piece of the text; `None` where it is none.
    pub(crate) fn decode(&mut self, text: &[u8]) -> Option<Bytes> {
        let mut data = BytesMut::with_capacity(text.len() / 4 * 3 + 3);
        for symbol in text {
            let value = match symbol {
                b'=' if self.symbols >= 2 => {
                    self.padding += 1;
                    0
                }
                _ if self.padding > 0 => return None,
                b'A'..=b'Z' => symbol - b'A',
                b'a'..=b'z' => symbol - b'a' + 26,
                b'0'..=b'9' => symbol - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            self.bits = self.bits << 6 | u32::from(value);
            self.symbols += 1;
            if self.symbols == 4 {
                let [_, bytes @ ..] = self.bits.to_be_bytes();
                let count = 3_usize.saturating_sub(self.padding as usize);
                let (kept, unused) = bytes.split_at_checked(count)?;
                // One text for each sequence of bytes.
                if unused.iter().any(|byte| *byte != 0) {
                    return None;
                }
                data.put_slice(kept);
                *self = Self::default();
            }
        }
        Some(data.freeze())
    }

    /// Whether nothing of a group is missing.
    pub(crate) fn is_whole(&self) -> bool {
        self.symbols == 0
    }
}
