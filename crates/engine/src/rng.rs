//! Random draws: a small generator that each core owns and seeds, passed in by value of its draws, never global.
//!
//! It spreads load and draws weights. It is *not* for secrets.

/// A SplitMix64 generator: equidistributed over 64 bits, one multiply-xor chain per draw.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A generator that gives the same draws for the same seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next draw, uniform over all 64-bit numbers.
    pub const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }
}

/// Spreads every bit of `value` over the whole result; a bijection.
pub(crate) const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Maps a draw to `0..bound` by multiplication; the bias is below `bound / 2^64`. 0 for an empty range.
#[must_use]
pub(crate) const fn below(draw: u64, bound: u64) -> u64 {
    let wide = (draw as u128 * bound as u128) >> 64;
    #[allow(clippy::cast_possible_truncation, reason = "less than `bound`")]
    let index = wide as u64;
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_repeat_with_the_seed_and_fill_the_range_evenly() {
        let (mut a, mut b) = (Rng::new(7), Rng::new(7));
        let mut counts = [0_u32; 10];
        for _ in 0..100_000 {
            let draw = a.draw();
            assert_eq!(draw, b.draw());
            counts[usize::try_from(below(draw, 10)).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| (9_600..10_400).contains(count)), "{counts:?}");
        assert_eq!((below(u64::MAX, 10), below(u64::MAX, 0), below(0, 5)), (9, 0, 0));
    }
}
