//! Weights as slots on a wheel: an endpoint of weight 3 has three slots. Turns go round the wheel in strides, so that
//! a heavy endpoint's turns are spread out; a random draw is any slot.

use crate::rng::below;

/// The wheel.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    /// For each entry, the number of slots up to and including its own. Ascending.
    ends: Vec<u64>,
    stride: u64,
}

impl Slots {
    /// A wheel with a number of slots for each weight; 0 counts as 1.
    pub(crate) fn new(weights: impl Iterator<Item = u32>) -> Self {
        let weights: Vec<u64> = weights.map(|weight| u64::from(weight.max(1))).collect();
        let divisor = weights.iter().fold(0, |a, b| gcd(a, *b)).max(1);
        let mut total = 0;
        let ends: Vec<u64> = weights
            .iter()
            .map(|weight| {
                total += weight / divisor;
                total
            })
            .collect();
        let even = weights.iter().all(|weight| *weight == divisor);
        Self { ends, stride: if even { 1 } else { stride(total) } }
    }

    /// Whose turn it is. Over any `total` consecutive turns, each entry has exactly its share.
    pub(crate) fn at_turn(&self, turn: u64) -> Option<usize> {
        let total = *self.ends.last()?;
        let slot = u128::from(turn.checked_rem(total)?) * u128::from(self.stride) % u128::from(total);
        self.holding(u64::try_from(slot).ok()?)
    }

    /// Who is drawn.
    pub(crate) fn drawn(&self, draw: u64) -> Option<usize> {
        self.holding(below(draw, *self.ends.last()?))
    }

    fn holding(&self, slot: u64) -> Option<usize> {
        let index = self.ends.partition_point(|end| *end <= slot);
        (index < self.ends.len()).then_some(index)
    }
}

/// A step that visits every slot before any twice (it shares no divisor with the number of slots) and spreads
/// neighbours well (it is near the golden section).
fn stride(total: u64) -> u64 {
    let golden = u64::try_from(u128::from(total) * 618 / 1000).unwrap_or(1).max(1);
    (golden..total).find(|step| gcd(*step, total) == 1).unwrap_or(1)
}

const fn gcd(a: u64, b: u64) -> u64 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_round_of_turns_has_the_exact_shares() {
        for weights in [vec![1], vec![1, 1, 1], vec![90, 10], vec![5, 1, 1], vec![4, 4], vec![1000, 1, 7, 0]]
        {
            let slots = Slots::new(weights.iter().copied());
            let total = *slots.ends.last().unwrap();
            let mut counts = vec![0_u64; weights.len()];
            for turn in 17..17 + total {
                counts[slots.at_turn(turn).unwrap()] += 1;
            }
            let sum: u64 = weights.iter().map(|weight| u64::from((*weight).max(1))).sum();
            for (weight, count) in weights.iter().zip(counts) {
                assert_eq!(count * sum, u64::from((*weight).max(1)) * total, "{weights:?}");
            }
        }
    }

    #[test]
    fn heavy_entries_turns_are_spread() {
        let slots = Slots::new([5, 1, 1].into_iter());
        let turns: Vec<_> = (0..14).filter_map(|turn| slots.at_turn(turn)).collect();
        let longest = turns.chunk_by(|a, b| a == b).map(<[_]>::len).max();
        assert!(longest <= Some(4), "{turns:?}");
        let even = Slots::new([1, 1, 1].into_iter());
        assert_eq!((0..4).filter_map(|turn| even.at_turn(turn)).collect::<Vec<_>>(), [0, 1, 2, 0]);
    }

    #[test]
    fn an_empty_wheel_has_nobody() {
        let slots = Slots::new(std::iter::empty());
        assert_eq!((slots.at_turn(3), slots.drawn(3)), (None, None));
    }
}
