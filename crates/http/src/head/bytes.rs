//! Classes of bytes in heads, by one table.

const TOKEN: u8 = 1;
const TARGET: u8 = 2;
const NAME: u8 = 4;

#[allow(clippy::indexing_slicing, reason = "in a constant, an index out of range doesn't compile")]
const CLASSES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        let alphanumeric = byte.is_ascii_alphanumeric();
        if alphanumeric
            || matches!(
                byte,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            )
        {
            table[byte as usize] |= TOKEN;
        }
        if byte != b'#' {
            table[byte as usize] |= TARGET;
        }
        if alphanumeric
            || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'+' | b'=' | b'*')
        {
            table[byte as usize] |= NAME;
        }
        byte += 1;
    }
    table
};

#[allow(clippy::indexing_slicing, reason = "a byte is below 256")]
const fn is(byte: u8, class: u8) -> bool {
    CLASSES[byte as usize] & class != 0
}

/// How many of the first bytes are `tchar`. Names consist of letters, digits and dashes, which are looked at eight at a
/// time.
pub(crate) fn token_len(bytes: &[u8]) -> usize {
    let (words, _) = bytes.as_chunks::<8>();
    let mut seen = 0;
    for word in words {
        let others = !usual(u64::from_le_bytes(*word)) & HIGH;
        if others != 0 {
            seen += (others.trailing_zeros() / 8) as usize;
            break;
        }
        seen += 8;
    }
    let rest = bytes.get(seen..).unwrap_or_default();
    seen + rest.iter().position(|b| !is_token_byte(*b)).unwrap_or(rest.len())
}

/// The high bit of each of eight bytes.
const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);

/// The high bits of those bytes that are ASCII letters, digits or dashes. No sum carries into the next byte, since all
/// summands are below 0x80.
const fn usual(word: u64) -> u64 {
    const fn all(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }
    /// The high bits of bytes below 0x80 that are in a range.
    const fn within(word: u64, first: u8, last: u8) -> u64 {
        word.wrapping_add(all(0x80 - first)) & !word.wrapping_add(all(0x7f - last))
    }
    let low = word & all(0x7f);
    let letters = within((word | all(0x20)) & all(0x7f), b'a', b'z');
    (letters | within(low, b'0', b'9') | within(low, b'-', b'-')) & !word
}

/// The high bits of those of eight bytes that are control characters, TAB and DEL among them. Behind the first one others
/// may be set, too.
pub(crate) const fn controls(word: [u8; 8]) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let word = u64::from_le_bytes(word);
    // Borrows go up, which in text order is to what comes after.
    let low = word.wrapping_sub(ONES * 0x20) & !word;
    let del = word ^ (ONES * 0x7f);
    (low | (del.wrapping_sub(ONES) & !del)) & HIGH
}

/// The digits of a number in a base up to sixteen. Formatting machinery would be most of the cost of a short field.
pub(crate) fn digits<const BASE: u64>(number: u64, place: &mut [u8; 20]) -> &[u8] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut rest = number;
    let mut start = place.len();
    for digit in place.iter_mut().rev() {
        start -= 1;
        *digit =
            usize::try_from(rest % BASE).ok().and_then(|digit| DIGITS.get(digit)).copied().unwrap_or(b'0');
        rest /= BASE;
        if rest == 0 {
            break;
        }
    }
    place.get(start..).unwrap_or_default()
}

/// `tchar` of RFC 9110 §5.6.2.
pub(crate) const fn is_token_byte(byte: u8) -> bool {
    is(byte, TOKEN)
}

/// A field name as HTTP/2 has it: a token in lower case (RFC 9113 §8.2.1).
pub(crate) fn is_lower_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && token_len(bytes) == bytes.len() && !bytes.iter().any(u8::is_ascii_uppercase)
}

/// Printable ASCII but `#`: a fragment is never sent (RFC 9112 §3.2), and all other octets must be percent-encoded
/// (RFC 3986 §2).
pub(crate) fn is_target_byte(byte: u8) -> bool {
    is(byte, TARGET)
}

/// Bytes of a registered name (RFC 3986 §3.2.2) that occur in host names; `%` would need decoding and never occurs.
pub(crate) fn is_name_byte(byte: u8) -> bool {
    is(byte, NAME)
}
