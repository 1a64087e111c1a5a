//! Classes of bytes in heads: of single ones by one table, of many by a few instructions.

use leno_runtime::bytes::{Found, Sixteen};
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
    let unusual = |bytes: Sixteen| !(bytes.are_letters() | bytes.are_from(b'0', b'9') | bytes.are(b'-'));
    let usual = position_of(bytes, unusual).unwrap_or(bytes.len());
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
    let others = |bytes: Sixteen| {
        !(bytes.are_from(b'a', b'z') | bytes.are_from(b'0', b'9') | bytes.are_from(b'-', b'.'))
    };
    position_of(bytes, others).unwrap_or(bytes.len())
}

/// Control characters, TAB and DEL among them.
pub(crate) fn controls(bytes: Sixteen) -> Found {
    bytes.are_from(0, 0x1f) | bytes.are(0x7f)
}

/// `tchar` of RFC 9110 §5.6.2.
pub(crate) const fn is_token_byte(byte: u8) -> bool {
    is(byte, TOKEN)
}

/// A field name as HTTP/2 has it: a token in lower case (RFC 9113 §8.2.1). Nearly all are letters, digits and dashes.
pub(crate) fn is_lower_token(bytes: &[u8]) -> bool {
    let unusual =
        |bytes: Sixteen| !(bytes.are_from(b'a', b'z') | bytes.are_from(b'0', b'9') | bytes.are(b'-'));
    let is_other = |byte: u8| !is_token_byte(byte) || byte.is_ascii_uppercase();
    !bytes.is_empty() && (!any_of(bytes, unusual) || !bytes.iter().any(|byte| is_other(*byte)))
}

/// What no target holds: all but printable ASCII, and `#`. A fragment is never sent (RFC 9112 §3.2), and all other octets
/// must be percent-encoded (RFC 3986 §2).
pub(crate) fn outside_targets(bytes: Sixteen) -> Found {
    !bytes.are_from(b'!', b'~') | bytes.are(b'#')
}

/// Where the query of a target begins.
pub(crate) fn query_at(target: &[u8]) -> Option<u32> {
    position_of(target, |bytes| bytes.are(b'?')).and_then(|at| u32::try_from(at).ok())
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
            let is_control = |byte: &u8| byte.is_ascii_control();
            prop_assert_eq!(position_of(&bytes, controls), bytes.iter().position(is_control));
            prop_assert_eq!(any_of(&bytes, controls), bytes.iter().any(is_control));
            let is_lower = bytes.iter().all(|b| is_token_byte(*b) && !b.is_ascii_uppercase());
            prop_assert_eq!(is_lower_token(&bytes), is_lower);
        }

        #[test]
        fn any_bytes_are_looked_at_as_one_is(bytes: Vec<u8>, wanted: u8) {
            prop_assert_eq!(position_of(&bytes, |b| b.are(wanted)), bytes.iter().position(|b| *b == wanted));
            prop_assert_eq!(any_of(&bytes, |b| b.are(wanted)), bytes.contains(&wanted));
        }
    }

    #[test]
    fn a_target_is_printable_and_has_no_fragment() {
        let ok: Vec<u8> = (0..=u8::MAX).filter(|byte| !any_of(&[*byte], outside_targets)).collect();
        let expected: Vec<u8> = (b'!'..=b'~').filter(|byte| *byte != b'#').collect();
        assert_eq!(ok, expected);
        assert!(!is_lower_token(b""));
    }
}
