//! Strings in the static Huffman code (RFC 7541 §5.2, Appendix B).
//!
//! The code is canonical: among codes of one length the symbols ascend, and the first code of a length follows the last
//! of the one before. So the lengths tell all of it. Every character that is common in fields has at most eight bits
//! and is found by them in one table; the others are found by comparing with the last code of each length.

use super::CompressionError;

/// What eight bits begin with, in one word, so that several are added up at once: a short code's length in the lowest
/// byte, 1 for its symbol in the next one, and the symbol above them. All is 0 where a code has more than eight bits.
type Short = u32;

/// Short codes that are decoded at a time: the bits of [`word`] are enough for any.
const STEP: usize = 7;

/// The length of a string that has more bytes than there may be.
pub(super) const TOO_LONG: usize = usize::MAX;

/// Decodes a string into the front of `out`, which only grows, and at most to `most` bytes. Returns its length, or
/// [`TOO_LONG`]. What was in `out` is overwritten, or left behind the string.
///
/// # Errors
/// If the padding or a code is none that RFC 7541 §5.2 allows.
pub(super) fn decode(code: &[u8], out: &mut Vec<u8>, most: usize) -> Result<usize, CompressionError> {
    // The shortest codes have five bits, and one may seem to begin in the last four. A whole step may be written behind
    // the last symbol.
    let room = (code.len() * 8 / 5 + 1).min(most) + STEP;
    if out.len() < room {
        out.resize(room, 0);
    }
    let end = code.len() * 8;
    let (mut at, mut written) = (0, 0);
    while let Some(places) = out.get_mut(written..).and_then(<[u8]>::first_chunk_mut::<STEP>) {
        let mut bits = word(code, at);
        let mut sum = 0;
        for place in places {
            let short = short(bits);
            // Where a long code begins, nothing is taken, and every further look finds the same.
            bits <<= short & 0xff;
            sum += short & 0xffff;
            [_, _, *place, _] = short.to_le_bytes();
        }
        let [length, symbols, ..] = sum.to_le_bytes();
        at += usize::from(length);
        written += usize::from(symbols);
        if written > most {
            return too_long(code);
        }
        if usize::from(symbols) == STEP {
            continue;
        }
        // What is behind the end is all ones, which begin a long code. Padding does too.
        if at + 8 > end {
            let is_padding = at <= end && bits >> 56 == 0xff;
            return if is_padding { Ok(written) } else { Err(CompressionError::Padding) };
        }
        let (symbol, length) = long(word(code, at) >> 32);
        at += length;
        if at > end {
            return Err(CompressionError::Padding);
        }
        let symbol = u8::try_from(symbol).map_err(|_above| CompressionError::EndOfString)?;
        if let Some(place) = out.get_mut(written) {
            *place = symbol;
        }
        written += 1;
    }
    too_long(code)
}

/// What a string comes to that isn't kept: it has to be in the code all the same.
#[cold]
fn too_long(code: &[u8]) -> Result<usize, CompressionError> {
    let end = code.len() * 8;
    let mut at = 0;
    loop {
        let bits = word(code, at);
        let mut length = usize::try_from(short(bits) & 0xff).unwrap_or_default();
        if length == 0 && at + 8 > end {
            return if bits >> 56 == 0xff { Ok(TOO_LONG) } else { Err(CompressionError::Padding) };
        }
        if length == 0 {
            let (symbol, of_long) = long(bits >> 32);
            u8::try_from(symbol).map_err(|_above| CompressionError::EndOfString)?;
            length = of_long;
        }
        at += length;
        if at > end {
            return Err(CompressionError::Padding);
        }
    }
}

/// The bits from one on, at least 57 of them, with ones behind the end.
#[inline]
fn word(code: &[u8], at: usize) -> u64 {
    match code.get(at / 8..).and_then(<[u8]>::first_chunk::<8>) {
        Some(bytes) => u64::from_be_bytes(*bytes) << (at % 8),
        None => last_word(code, at),
    }
}

/// The same where fewer than eight bytes are left.
fn last_word(code: &[u8], at: usize) -> u64 {
    let (word, begin) = match (code.last_chunk::<8>(), code.first_chunk::<4>(), code.last_chunk::<4>()) {
        (Some(last), ..) => (u64::from_be_bytes(*last), code.len() * 8 - 64),
        (None, Some(first), Some(last)) => {
            // Their middle may be the same bytes.
            let (first, last) = (u32::from_be_bytes(*first), u32::from_be_bytes(*last));
            (u64::from(first) << 32 | u64::from(last) << (64 - 8 * code.len()), 0)
        }
        _ => (code.iter().rev().fold(0, |word, byte| (word | u64::from(*byte) << 56) >> 8) << 8, 0),
    };
    // All ones behind the end, and what moves in from there.
    let word = word | u64::MAX.unbounded_shr(bits(code.len() * 8));
    let gone = bits(at - begin);
    word.unbounded_shl(gone) | !u64::MAX.unbounded_shl(gone)
}

fn bits(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[inline]
#[allow(clippy::indexing_slicing, reason = "eight bits are below 256")]
const fn short(bits: u64) -> Short {
    SHORT[(bits >> 56) as usize]
}

/// The symbol that 32 bits begin with, and its length in bits.
#[cold]
fn long(bits: u64) -> (u16, usize) {
    for group in &LONGS {
        let at = bits.wrapping_sub(group.first.into()) >> (32 - group.length);
        if bits < group.end {
            let symbol = usize::try_from(at).ok().and_then(|at| SYMBOLS.get(usize::from(group.symbols) + at));
            return (symbol.copied().unwrap_or(END), group.length.into());
        }
    }
    (END, 30)
}

/// A byte's code and its length in bits.
#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "for tests only")]
pub(super) fn code(byte: u8) -> (u32, u8) {
    let length = LENGTHS[usize::from(byte)];
    // What comes before it takes this part of all codes.
    let taken: u64 = SYMBOLS
        .iter()
        .take_while(|symbol| **symbol != u16::from(byte))
        .map(|symbol| 1 << (32 - LENGTHS[usize::from(*symbol)]))
        .sum();
    (u32::try_from(taken >> (32 - length)).unwrap(), length)
}

/// The symbol that ends a string and never occurs in one.
const END: u16 = 256;

/// The codes of one length above eight.
#[derive(Clone, Copy)]
struct Group {
    length: u8,
    /// The first of them, in the high bits.
    first: u32,
    /// What is above all of them.
    end: u64,
    /// Where their symbols begin among [`SYMBOLS`].
    symbols: u16,
}

/// All symbols in the order of their codes.
#[allow(clippy::indexing_slicing, reason = "in a constant, an index out of range doesn't compile")]
static SYMBOLS: [u16; 257] = {
    let mut symbols = [0; 257];
    let (mut at, mut length) = (0, 5);
    while length <= 30 {
        let mut symbol = 0;
        while symbol <= END {
            if LENGTHS[symbol as usize] == length {
                symbols[at] = symbol;
                at += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    symbols
};

/// The lengths above eight that codes have: 10 to 15, 19 to 28, and 30.
const LONG_LENGTHS: usize = 17;

#[allow(clippy::indexing_slicing, reason = "in a constant, an index out of range doesn't compile")]
#[allow(clippy::cast_possible_truncation, reason = "codes and symbols are of 32 and 16 bits")]
const TABLES: ([Short; 256], [Group; LONG_LENGTHS]) = {
    let mut shorts = [0; 256];
    let mut groups = [Group { length: 0, first: 0, end: 0, symbols: 0 }; LONG_LENGTHS];
    // The next code, in the high ones of 32 bits.
    let mut code: u64 = 0;
    let (mut at, mut group, mut length) = (0, 0, 5);
    while length <= 30 {
        let (first, symbols) = (code, at);
        while at < 257 && LENGTHS[SYMBOLS[at] as usize] == length {
            let mut place = code >> 24;
            code += 1 << (32 - length);
            while length <= 8 && place < code >> 24 {
                shorts[place as usize] = (SYMBOLS[at] as Short) << 16 | 1 << 8 | length as Short;
                place += 1;
            }
            at += 1;
        }
        if length > 8 && at > symbols {
            groups[group] = Group { length, first: first as u32, end: code, symbols: symbols as u16 };
            group += 1;
        }
        length += 1;
    }
    (shorts, groups)
};

static SHORT: [Short; 256] = TABLES.0;
static LONGS: [Group; LONG_LENGTHS] = TABLES.1;

/// Bits of each symbol's code (RFC 7541 Appendix B).
static LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28,
    28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6,
    6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7,
    8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7,
    15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24,
    23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23,
    23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26,
    26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20,
    21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27,
    27, 27, 26, 30,
];
