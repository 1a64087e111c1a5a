//! Classes of bytes in heads, by one table.

pub(crate) use leno_runtime::bytes::{any_of, position_of};

const TOKEN: u8 = 1;
const NAME: u8 = 2;

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

/// How many of the first bytes are `tchar`. Names consist of letters, digits and dashes: those are looked for first.
pub(crate) fn token_len(bytes: &[u8]) -> usize {
    let is_unusual = |byte: u8| {
        !(((byte | 0x20).wrapping_sub(b'a') < 26) | (byte.wrapping_sub(b'0') < 10) | (byte == b'-'))
    };
    let usual = position_of(bytes, is_unusual).unwrap_or(bytes.len());
    match bytes.get(usual) {
        Some(byte) if is_token_byte(*byte) => {
            let rest = bytes.get(usual..).unwrap_or_default();
            usual + rest.iter().position(|b| !is_token_byte(*b)).unwrap_or(rest.len())
        }
        _ => usual,
    }
}

/// How many of the first bytes are what nearly all names of hosts consist of: small letters, digits, `-` and `.`.
pub(crate) fn plain_name_len(bytes: &[u8]) -> usize {
    let is_other = |byte: u8| {
        !((byte.wrapping_sub(b'a') < 26) | (byte.wrapping_sub(b'0') < 10) | (byte == b'-') | (byte == b'.'))
    };
    position_of(bytes, is_other).unwrap_or(bytes.len())
}

/// A control character, TAB and DEL among them.
pub(crate) const fn is_control(byte: u8) -> bool {
    (byte < 0x20) | (byte == 0x7f)
}

/// `tchar` of RFC 9110 §5.6.2.
pub(crate) const fn is_token_byte(byte: u8) -> bool {
    is(byte, TOKEN)
}

/// A field name as HTTP/2 has it: a token in lower case (RFC 9113 §8.2.1). Nearly all are letters, digits and dashes.
pub(crate) fn is_lower_token(bytes: &[u8]) -> bool {
    let is_unusual =
        |byte: u8| !((byte.wrapping_sub(b'a') < 26) | (byte.wrapping_sub(b'0') < 10) | (byte == b'-'));
    let is_other = |byte: u8| !is_token_byte(byte) || byte.is_ascii_uppercase();
    !bytes.is_empty() && (!any_of(bytes, is_unusual) || !bytes.iter().any(|byte| is_other(*byte)))
}

/// Printable ASCII but `#`: a fragment is never sent (RFC 9112 §3.2), and all other octets must be percent-encoded
/// (RFC 3986 §2).
pub(crate) const fn is_target_byte(byte: u8) -> bool {
    (byte > b' ') & (byte < 0x7f) & (byte != b'#')
}

/// Bytes of a registered name (RFC 3986 §3.2.2) that occur in host names; `%` would need decoding and never occurs.
pub(crate) fn is_name_byte(byte: u8) -> bool {
    is(byte, NAME)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn many_bytes_are_looked_at_as_one_is(before in "[a-z]{0,40}", byte: u8, after in "[a-z]{0,40}") {
            let bytes = [before.as_bytes(), &[byte], after.as_bytes()].concat();
            prop_assert_eq!(position_of(&bytes, is_control), bytes.iter().position(|b| is_control(*b)));
            prop_assert_eq!(any_of(&bytes, is_control), bytes.iter().any(|b| is_control(*b)));
            let is_lower = bytes.iter().all(|b| is_token_byte(*b) && !b.is_ascii_uppercase());
            prop_assert_eq!(is_lower_token(&bytes), is_lower);
        }

        #[test]
        fn any_bytes_are_looked_at_as_one_is(bytes: Vec<u8>, wanted: u8) {
            prop_assert_eq!(position_of(&bytes, |b| b == wanted), bytes.iter().position(|b| *b == wanted));
            prop_assert_eq!(any_of(&bytes, |b| b == wanted), bytes.contains(&wanted));
        }
    }

    #[test]
    fn a_target_is_printable_and_has_no_fragment() {
        let ok: Vec<u8> = (0..=u8::MAX).filter(|byte| is_target_byte(*byte)).collect();
        let expected: Vec<u8> = (b'!'..=b'~').filter(|byte| *byte != b'#').collect();
        assert_eq!(ok, expected);
        assert!(!is_lower_token(b""));
    }
}
