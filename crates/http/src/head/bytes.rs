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

fn is(byte: u8, class: u8) -> bool {
    CLASSES.get(usize::from(byte)).is_some_and(|classes| classes & class != 0)
}

/// `tchar` of RFC 9110 §5.6.2.
pub(crate) fn is_token_byte(byte: u8) -> bool {
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
