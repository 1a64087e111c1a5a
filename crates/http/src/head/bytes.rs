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

/// How many of the first bytes are `tchar`, four at a time.
pub(crate) fn token_len(bytes: &[u8]) -> usize {
    let (fours, _) = bytes.as_chunks::<4>();
    let whole =
        fours.iter().take_while(|four| four.iter().fold(true, |all, b| all & is(*b, TOKEN))).count() * 4;
    let rest = bytes.get(whole..).unwrap_or_default();
    whole + rest.iter().position(|b| !is(*b, TOKEN)).unwrap_or(rest.len())
}

/// `tchar` of RFC 9110 §5.6.2.
pub(crate) const fn is_token_byte(byte: u8) -> bool {
    is(byte, TOKEN)
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
