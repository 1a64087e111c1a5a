//! Many bytes looked at together: sixteen by a few instructions.

use std::ops::{BitAnd, BitOr, Not};

use wide::u8x16;

/// Sixteen bytes to be asked the same question.
#[derive(Clone, Copy, Debug)]
pub struct Sixteen(u8x16);

/// Which of sixteen bytes it is true of.
#[derive(Clone, Copy, Debug)]
pub struct Found(u8x16);

impl Sixteen {
    #[inline(always)]
    fn of(bytes: [u8; 16]) -> Self {
        Self(u8x16::new(bytes))
    }

    /// Which are this byte.
    #[inline(always)]
    #[must_use]
    pub fn are(self, byte: u8) -> Found {
        Found(self.0.simd_eq(u8x16::splat(byte)))
    }

    /// Which are from `first` to `last`.
    #[inline(always)]
    #[must_use]
    pub fn are_from(self, first: u8, last: u8) -> Found {
        let above = self.0 - u8x16::splat(first);
        Found(above.min(u8x16::splat(last.wrapping_sub(first))).simd_eq(above))
    }

    /// Which are ASCII letters of either case.
    #[inline(always)]
    #[must_use]
    pub fn are_letters(self) -> Found {
        Self(self.0 | u8x16::splat(0x20)).are_from(b'a', b'z')
    }
}

impl Found {
    /// One bit for each byte, the first byte's the lowest.
    #[inline(always)]
    fn bits(self) -> u32 {
        self.0.to_bitmask() & 0xffff
    }
}

impl BitAnd for Found {
    type Output = Self;

    #[inline(always)]
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl BitOr for Found {
    type Output = Self;

    #[inline(always)]
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Not for Found {
    type Output = Self;

    #[inline(always)]
    fn not(self) -> Self {
        Self(!self.0)
    }
}

/// Where the first byte is that is `wanted`.
#[inline]
pub fn position_of(bytes: &[u8], wanted: impl Fn(Sixteen) -> Found) -> Option<usize> {
    let Some(last) = bytes.last_chunk() else {
        return lowest(wanted(Sixteen::of(few(bytes).to_le_bytes())).bits()).filter(|at| *at < bytes.len());
    };
    for (number, chunk) in bytes.as_chunks().0.iter().enumerate() {
        if let Some(at) = lowest(wanted(Sixteen::of(*chunk)).bits()) {
            return Some(number * 16 + at);
        }
    }
    // Some are looked at twice, which costs less than to look at the rest one by one.
    lowest(wanted(Sixteen::of(*last)).bits()).map(|at| bytes.len() - 16 + at)
}

/// Whether one of the bytes is `wanted`.
#[inline]
pub fn any_of(bytes: &[u8], wanted: impl Fn(Sixteen) -> Found) -> bool {
    position_of(bytes, wanted).is_some()
}

/// Whether one of the bytes is `wanted` where it stands: asked about bytes and those before them, which before the first
/// is a zero.
#[inline]
pub fn any_after(bytes: &[u8], wanted: impl Fn(Sixteen, Sixteen) -> Found) -> bool {
    let Some(first) = bytes.first_chunk() else {
        let number = few(bytes);
        let found = wanted(Sixteen::of((number << 8).to_le_bytes()), Sixteen::of(number.to_le_bytes()));
        return lowest(found.bits()).is_some_and(|at| at < bytes.len());
    };
    let is_in =
        |before: &[u8; 16], chunk: &[u8; 16]| wanted(Sixteen::of(*before), Sixteen::of(*chunk)).bits() != 0;
    // All but the first have one before them: the chunks of those, and of all but the last.
    let ([befores @ .., _], [_, others @ ..]) = (bytes, bytes) else { return false };
    is_in(&(u128::from_le_bytes(*first) << 8).to_le_bytes(), first)
        || befores.as_chunks().0.iter().zip(others.as_chunks().0).any(|(before, chunk)| is_in(before, chunk))
        || matches!((befores.last_chunk(), others.last_chunk()), (Some(b), Some(chunk)) if is_in(b, chunk))
}

/// Less than sixteen bytes as one number, the first byte the lowest.
#[inline(always)]
fn few(bytes: &[u8]) -> u128 {
    // Two halves that overlap agree where they do.
    if let (Some(low), Some(high)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let (low, high) = (u64::from_le_bytes(*low), u64::from_le_bytes(*high));
        let high = high >> 8 >> (8 * 15_usize.saturating_sub(bytes.len()));
        return u128::from(low) | u128::from(high) << 64;
    }
    if let (Some(low), Some(high)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let (low, high) = (u64::from(u32::from_le_bytes(*low)), u64::from(u32::from_le_bytes(*high)));
        return u128::from(low | high << (8 * bytes.len().saturating_sub(4)));
    }
    match *bytes {
        [first, second, third] => u128::from(u32::from_le_bytes([first, second, third, 0])),
        [first, second] => u128::from(u16::from_le_bytes([first, second])),
        [only] => u128::from(only),
        _ => 0,
    }
}

/// The number of the lowest bit.
#[inline(always)]
fn lowest(bits: u32) -> Option<usize> {
    (bits != 0).then_some(bits.trailing_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_bytes_are_looked_at_as_one_is() {
        for len in 0..=70 {
            let mut bytes = vec![b'a'; len];
            let is_it = |bytes: Sixteen| bytes.are(b'!');
            assert!(!any_of(&bytes, is_it) && position_of(&bytes, is_it).is_none(), "{len} bytes without it");
            for (first, last) in (0..len).flat_map(|first| (first..len).map(move |last| (first, last))) {
                (bytes[first], bytes[last]) = (b'!', b'!');
                assert!(any_of(&bytes, is_it), "{len} bytes with it at {first} and {last}");
                assert_eq!(position_of(&bytes, is_it), Some(first), "{len} bytes with it at {last} as well");
                (bytes[first], bytes[last]) = (b'a', b'a');
            }
        }
    }

    #[test]
    fn what_is_behind_less_than_sixteen_is_not_looked_at() {
        for len in 0..16 {
            assert!(!any_of(&vec![b'a'; len], |bytes| bytes.are(0)), "{len} bytes");
            assert!(!any_after(&vec![b'a'; len], |_, bytes| bytes.are(0)), "{len} bytes");
        }
    }

    #[test]
    fn bytes_are_seen_beside_those_before_them() {
        for len in 1..=70 {
            let mut bytes = vec![b'a'; len];
            let follows = |before: Sixteen, bytes: Sixteen| before.are(b'/') & bytes.are(b'.');
            let begins = |before: Sixteen, bytes: Sixteen| before.are(0) & bytes.are(b'.');
            for (slash, dot) in (0..len).flat_map(|slash| (0..len).map(move |dot| (slash, dot))) {
                (bytes[slash], bytes[dot]) = (b'/', b'.');
                assert_eq!(
                    any_after(&bytes, follows),
                    dot == slash + 1,
                    "{len} bytes, / at {slash}, . at {dot}"
                );
                assert_eq!(any_after(&bytes, begins), dot == 0, "{len} bytes with . at {dot}");
                (bytes[slash], bytes[dot]) = (b'a', b'a');
            }
        }
    }

    #[test]
    fn each_question_is_about_single_bytes() {
        for byte in 0..=u8::MAX {
            let is_found = |ask: &dyn Fn(Sixteen) -> Found| position_of(&[byte], ask) == Some(0);
            let text = format!("{byte:#x}");
            assert_eq!(is_found(&|b| b.are_letters()), byte.is_ascii_alphabetic(), "{text}");
            assert_eq!(is_found(&|b| b.are_from(b'0', b'9')), byte.is_ascii_digit(), "{text}");
            assert_eq!(is_found(&|b| b.are_from(0x80, 0xff)), !byte.is_ascii(), "{text}");
            assert_eq!(
                is_found(&|b| !b.are(b'-') & !b.are_from(0, 0x1f)),
                byte != b'-' && byte > 0x1f,
                "{text}"
            );
        }
    }
}
