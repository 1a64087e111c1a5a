//! Integers with a prefix of some bits (RFC 7541 §5.1).

use super::CompressionError;

/// Bytes that may follow a prefix: values up to some 268 million, which is far more than any length or index here.
const MORE: usize = 4;

/// Reads an integer whose first byte, without the bits before the prefix, is `prefix`, and whose prefix has the bits
/// `mask`. What follows is taken off `input`.
///
/// # Errors
/// If the integer has more than four bytes behind its prefix, or the input ends within it.
#[inline]
pub(super) fn decode(prefix: u8, mask: u8, input: &mut &[u8]) -> Result<u32, CompressionError> {
    if prefix < mask { Ok(prefix.into()) } else { decode_more(mask, input) }
}

fn decode_more(mask: u8, input: &mut &[u8]) -> Result<u32, CompressionError> {
    let mut value = u32::from(mask);
    let mut shift = 0;
    for (at, &byte) in input.iter().enumerate().take(MORE) {
        value += u32::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            *input = input.get(at + 1..).unwrap_or_default();
            return Ok(value);
        }
    }
    Err(if input.len() < MORE { CompressionError::Truncated } else { CompressionError::Integer })
}

/// Writes an integer behind `first`, the bits before the prefix.
#[inline]
pub(super) fn encode(first: u8, mask: u8, value: usize, out: &mut Vec<u8>) {
    match u8::try_from(value) {
        Ok(value) if value < mask => out.push(first | value),
        _ => encode_more(first, mask, value, out),
    }
}

fn encode_more(first: u8, mask: u8, value: usize, out: &mut Vec<u8>) {
    out.push(first | mask);
    let mut rest = value - usize::from(mask);
    while rest >= 0x80 {
        out.push(low_bits(rest) | 0x80);
        rest >>= 7;
    }
    out.push(low_bits(rest));
}

#[allow(clippy::cast_possible_truncation, reason = "seven bits")]
fn low_bits(value: usize) -> u8 {
    (value & 0x7f) as u8
}
