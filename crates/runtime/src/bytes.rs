//! Many bytes looked at together.

/// Where the first byte is that `stops`, sixteen at a time: without a branch in `stops`, they are looked at by a few
/// instructions.
#[inline]
pub fn position_of(bytes: &[u8], stops: impl Fn(u8) -> bool) -> Option<usize> {
    let first_of = |chunk: [u8; 16]| {
        let mut found = [0; 16];
        for (found, byte) in found.iter_mut().zip(chunk) {
            *found = if stops(byte) { 0xff } else { 0 };
        }
        let at = u128::from_le_bytes(found).trailing_zeros() / 8;
        (at < 16).then_some(at as usize)
    };
    let (chunks, rest) = bytes.as_chunks::<16>();
    for (number, chunk) in chunks.iter().enumerate() {
        if let Some(at) = first_of(*chunk) {
            return Some(number * 16 + at);
        }
    }
    match bytes.last_chunk::<16>() {
        // Some of them have been seen, and don't stop.
        Some(last) => first_of(*last).map(|at| bytes.len() - 16 + at),
        None => rest.iter().position(|byte| stops(*byte)),
    }
}

/// Whether one of the bytes is `wanted`: sixteen are looked at by a few instructions, as long as there is no branch in
/// `wanted`. Some are looked at twice where that saves looking at single ones.
#[inline]
pub fn any_of(bytes: &[u8], wanted: impl Fn(u8) -> bool) -> bool {
    if let (Some(first), Some(last)) = (bytes.first_chunk::<16>(), bytes.last_chunk::<16>()) {
        let (between, _) = bytes.get(16..).unwrap_or_default().as_chunks::<16>();
        return in_chunk(first, &wanted)
            || between.iter().any(|chunk| in_chunk(chunk, &wanted))
            || in_chunk(last, &wanted);
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        return in_chunk(first, &wanted) || in_chunk(last, &wanted);
    }
    match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        (Some(first), Some(last)) => in_chunk(first, &wanted) || in_chunk(last, &wanted),
        _ => bytes.iter().any(|byte| wanted(*byte)),
    }
}

/// The same of so few bytes that each is looked at.
#[inline(always)]
fn in_chunk<const LEN: usize>(chunk: &[u8; LEN], wanted: &impl Fn(u8) -> bool) -> bool {
    chunk.iter().fold(0, |found, byte| found | u8::from(wanted(*byte))) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_bytes_are_looked_at_as_one_is() {
        for len in 0..=70 {
            let mut bytes = vec![b'a'; len];
            let is_it = |byte| byte == b'!';
            assert!(!any_of(&bytes, is_it) && position_of(&bytes, is_it).is_none(), "{len} bytes without it");
            for (first, last) in (0..len).flat_map(|first| (first..len).map(move |last| (first, last))) {
                (bytes[first], bytes[last]) = (b'!', b'!');
                assert!(any_of(&bytes, is_it), "{len} bytes with it at {first} and {last}");
                assert_eq!(position_of(&bytes, is_it), Some(first), "{len} bytes with it at {last} as well");
                (bytes[first], bytes[last]) = (b'a', b'a');
            }
        }
    }
}
