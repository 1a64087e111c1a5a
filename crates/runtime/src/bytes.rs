//! Many bytes looked at together.

/// Where the first byte is that `stops`: sixteen are looked at by a few instructions, as long as there is no branch in
/// `stops`. Some are looked at twice where that saves looking at single ones.
#[inline]
pub fn position_of(bytes: &[u8], stops: impl Fn(u8) -> bool) -> Option<usize> {
    let Some(last) = bytes.last_chunk::<16>() else { return position_of_few(bytes, &stops) };
    for (number, chunk) in bytes.as_chunks::<16>().0.iter().enumerate() {
        if let Some(at) = first_of_16(chunk, &stops) {
            return Some(number * 16 + at);
        }
    }
    first_of_16(last, &stops).map(|at| bytes.len() - 16 + at)
}

/// The same of less than sixteen.
#[inline(always)]
fn position_of_few(bytes: &[u8], stops: &impl Fn(u8) -> bool) -> Option<usize> {
    if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        return first_of_8(first, stops).or_else(|| first_of_8(last, stops).map(|at| bytes.len() - 8 + at));
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        return first_of_4(first, stops).or_else(|| first_of_4(last, stops).map(|at| bytes.len() - 4 + at));
    }
    bytes.iter().position(|byte| stops(*byte))
}

/// Defines where the first of so many bytes is that stops, by a number of as many.
macro_rules! first_of {
    ($name:ident, $len:literal, $number:ty) => {
        #[inline(always)]
        fn $name(chunk: &[u8; $len], stops: &impl Fn(u8) -> bool) -> Option<usize> {
            let mut found = [0; $len];
            for (found, byte) in found.iter_mut().zip(chunk) {
                *found = if stops(*byte) { 0xff } else { 0 };
            }
            let at = <$number>::from_le_bytes(found).trailing_zeros() as usize / 8;
            (at < $len).then_some(at)
        }
    };
}

first_of!(first_of_16, 16, u128);
first_of!(first_of_8, 8, u64);
first_of!(first_of_4, 4, u32);

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
