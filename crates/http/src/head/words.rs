//! Short texts looked at eight bytes at a time.

/// A number without a pattern: the fraction of the golden ratio.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// A hash of `bytes`, continued from that of what comes before them. Whoever chooses the bytes can make hashes equal, so
/// that equal ones prove nothing, and what is found by one must be found in a bounded number of steps.
#[inline]
pub(crate) const fn hash(before: u64, bytes: &[u8]) -> u64 {
    let mut state = before ^ bytes.len() as u64;
    let Some(last) = bytes.last_chunk::<16>() else {
        return match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
            (Some(first), Some(last)) => mix(state ^ u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
            _ => mix(state ^ short(bytes), 0),
        };
    };
    let mut rest = bytes;
    while let Some((pair, after)) = rest.split_first_chunk::<16>() {
        state = mix_pair(state, *pair);
        rest = after;
    }
    if rest.is_empty() { state } else { mix_pair(state, *last) }
}

#[allow(clippy::cast_possible_truncation, reason = "the halves of the pair")]
const fn mix_pair(state: u64, pair: [u8; 16]) -> u64 {
    let pair = u128::from_le_bytes(pair);
    mix(state ^ pair as u64, (pair >> 64) as u64)
}

#[allow(clippy::cast_possible_truncation, reason = "the halves of the product")]
const fn mix(a: u64, b: u64) -> u64 {
    let product = a as u128 * (b ^ MIX) as u128;
    product as u64 ^ (product >> 64) as u64
}

/// All bytes of fewer than eight as one word, another for each text of the same length. Where nothing of the text is,
/// there are blanks.
const fn short(bytes: &[u8]) -> u64 {
    match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>(), bytes) {
        (Some(first), Some(last), _) => {
            (u32::from_le_bytes(*last) as u64) << 32 | u32::from_le_bytes(*first) as u64
        }
        (_, _, [a]) => BLANKS ^ (*a ^ b' ') as u64,
        (_, _, [a, b]) => BLANKS << 16 | u16::from_le_bytes([*a, *b]) as u64,
        (_, _, [a, b, c]) => BLANKS << 24 | u32::from_le_bytes([*a, *b, *c, 0]) as u64,
        _ => BLANKS,
    }
}

/// Eight blanks: the bit that lower-case letters, digits and dashes have, and upper-case letters don't.
const BLANKS: u64 = u64::from_ne_bytes([b' '; 8]);

/// Whether two texts are the same. Most are short, so that a call of `memcmp` would be most of the cost.
#[inline]
pub(crate) fn are_same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    if a.len() > 32 {
        return a == b;
    }
    let (words, others) = (a.as_chunks::<8>().0, b.as_chunks::<8>().0);
    match (a.last_chunk::<8>(), b.last_chunk::<8>()) {
        (Some(last), Some(other)) => last == other && words.iter().zip(others).all(|(a, b)| a == b),
        _ => short(a) == short(b),
    }
}

/// Whether a field name is `name` in any case, where `name` has lower-case letters, digits and dashes only. Control
/// characters, which no field name has, may be taken for these.
#[inline]
pub(crate) fn is_named(bytes: &[u8], name: &[u8]) -> bool {
    const fn lower(word: u64) -> u64 {
        word | BLANKS
    }
    if bytes.len() != name.len() {
        return false;
    }
    match (bytes.last_chunk::<8>(), name.last_chunk::<8>()) {
        (Some(last), Some(other)) => {
            let (words, others) = (bytes.as_chunks::<8>().0, name.as_chunks::<8>().0);
            let is_same = |a: &[u8; 8], b: &[u8; 8]| lower(u64::from_le_bytes(*a)) == u64::from_le_bytes(*b);
            is_same(last, other) && words.iter().zip(others).all(|(a, b)| is_same(a, b))
        }
        _ => lower(short(bytes)) == lower(short(name)),
    }
}

/// Whether all bytes are such as lower-case names consist of. It is false for some that aren't letters too, such as `_`.
#[inline]
pub(crate) fn is_lower(bytes: &[u8]) -> bool {
    let all = match bytes.last_chunk::<8>() {
        Some(last) => {
            let words = bytes.as_chunks::<8>().0.iter();
            words.fold(u64::from_le_bytes(*last), |all, word| all & u64::from_le_bytes(*word))
        }
        None => short(bytes),
    };
    all & BLANKS == BLANKS
}

/// The text in lower case, in `place`, unless it is too large for that.
pub(crate) fn lower<'p>(bytes: &[u8], place: &'p mut [u8; 64]) -> Option<&'p [u8]> {
    const fn all(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }
    let (words, rest) = bytes.as_chunks::<8>();
    let text = place.get_mut(..bytes.len())?;
    let (places, places_of_rest) = text.as_chunks_mut::<8>();
    for (place, word) in places.iter_mut().zip(words) {
        let word = u64::from_le_bytes(*word);
        // The high bits of upper-case letters. No sum carries into the next byte, since all summands are below 0x80.
        let low = word & all(0x7f);
        let above = low.wrapping_add(all(0x80 - b'A')) & !low.wrapping_add(all(0x7f - b'Z'));
        *place = (word | (above & !word & all(0x80)) >> 2).to_le_bytes();
    }
    for (place, byte) in places_of_rest.iter_mut().zip(rest) {
        *place = byte.to_ascii_lowercase();
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::is_token_byte;

    #[test]
    fn texts_are_the_same_only_if_each_byte_is() {
        for len in 0..40 {
            let text: Vec<u8> = (0..len).map(|at| b'a' + at % 26).collect();
            assert!(are_same(&text, &text) && is_named(&text, &text) && is_lower(&text));
            assert!(is_named(&text.to_ascii_uppercase(), &text));
            assert!(!are_same(&text, &[&text[..], b"-"].concat()));
            for at in 0..text.len() {
                let mut other = text.clone();
                other[at] = b'-';
                assert!(!are_same(&text, &other) && !is_named(&other, &text));
                assert_ne!(hash(0, &text), hash(0, &other));
                for byte in b'A'..=b'Z' {
                    other[at] = byte;
                    assert!(!is_lower(&other), "{byte} at {at} of {len}");
                }
            }
        }
    }

    #[test]
    fn names_are_told_from_other_tokens() {
        for byte in (0..=u8::MAX).filter(|byte| is_token_byte(*byte)) {
            for (at, small) in b"http2-settings".iter().enumerate() {
                let mut token = *b"HTTP2-settings";
                token[at] = byte;
                assert_eq!(
                    is_named(&token, b"http2-settings"),
                    byte.eq_ignore_ascii_case(small),
                    "{byte:?} at {at}"
                );
            }
        }
        assert!(!is_named(b"hos", b"host") && !is_named(b"hosts", b"host"));
    }

    #[test]
    fn letters_become_lower_case_and_nothing_else_does() {
        let bytes: Vec<u8> = (0..=u8::MAX).collect();
        for len in 0..=64 {
            for text in bytes.windows(len.max(1)).step_by(5) {
                let mut place = [0; 64];
                assert_eq!(lower(text, &mut place), Some(&text.to_ascii_lowercase()[..]));
            }
        }
        assert_eq!(lower(&bytes[..65], &mut [0; 64]), None);
    }

    #[test]
    fn a_hash_goes_on_from_the_one_before() {
        assert_ne!(hash(hash(0, b"a"), b"bc"), hash(hash(0, b"ab"), b"c"));
        assert_ne!(hash(0, b""), hash(0, b"\0"));
    }
}
