//! Which traces are recorded.
//!
//! Who has decided before is followed; else a share of all traces is recorded, by the random part of the trace id. All
//! proxies with one ratio so agree on a trace without telling each other, and one with a smaller ratio records a part of
//! what one with a larger ratio does (OpenTelemetry's consistent probability sampling).

use crate::b3::Given;

/// The bits of a trace id that are random (Trace Context Level 2 §3.2.2.3).
const RANDOM_BITS: u32 = 56;

/// A share of traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampler {
    /// Ids below it aren't recorded.
    threshold: u64,
}

impl Sampler {
    /// Records this share of the traces that nobody has decided about: 0 is none, 1 all. Anything else is taken for the
    /// nearest of them.
    pub fn of(ratio: f64) -> Self {
        let all = 1_u64 << RANDOM_BITS;
        let ratio = if ratio.is_nan() { 0.0 } else { ratio.clamp(0.0, 1.0) };
        // A product of 2^56 and at most 1 fits, and is exact in the bits that count.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 2^56")]
        let recorded = (ratio * all as f64).round() as u64;
        Self { threshold: all.saturating_sub(recorded) }
    }

    /// Whether a trace is recorded when nobody has decided.
    pub fn records(&self, trace_id: u128) -> bool {
        let random = u64::try_from(trace_id & ((1 << RANDOM_BITS) - 1)).unwrap_or_default();
        random >= self.threshold
    }

    /// Whether a trace is recorded.
    pub fn decide(&self, given: &Given, trace_id: u128) -> bool {
        given.wish.decision().unwrap_or_else(|| self.records(trace_id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::b3::Wish;
    use crate::id::Ids;

    #[test]
    fn the_share_is_kept() {
        let mut ids = Ids::seeded(1);
        let traces: Vec<_> = (0..20_000).map(|_| ids.trace_id()).collect();
        for ratio in [0.0, 0.01, 0.25, 0.5, 1.0] {
            let sampler = Sampler::of(ratio);
            let recorded = traces.iter().filter(|trace| sampler.records(**trace)).count();
            let share = recorded as f64 / traces.len() as f64;
            assert!((share - ratio).abs() < 0.01, "{share} of {ratio}");
            let is_exact = ratio > 0.0 && ratio < 1.0;
            assert!(is_exact || share == ratio, "none and all are exact");
        }
    }

    #[test]
    fn smaller_shares_are_parts_of_larger_ones() {
        let mut ids = Ids::seeded(2);
        let (small, large) = (Sampler::of(0.1), Sampler::of(0.3));
        assert!((0..10_000).map(|_| ids.trace_id()).all(|id| !small.records(id) || large.records(id)));
        // Only the random part counts.
        let id = ids.trace_id();
        assert_eq!(small.records(id), small.records(id & ((1 << 56) - 1)));
    }

    #[test]
    fn who_decided_before_is_followed() {
        for (wish, ratio, recorded) in [
            (Wish::Record, 0.0, true),
            (Wish::Debug, 0.0, true),
            (Wish::Skip, 1.0, false),
            (Wish::Open, 1.0, true),
            (Wish::Open, 0.0, false),
        ] {
            assert_eq!(
                Sampler::of(ratio).decide(&Given { parent: None, wish }, 7),
                recorded,
                "{wish:?} {ratio}"
            );
        }
    }

    #[test]
    fn odd_ratios_are_the_nearest_possible() {
        assert_eq!(Sampler::of(-1.0), Sampler::of(0.0));
        assert_eq!(Sampler::of(f64::NAN), Sampler::of(0.0));
        assert_eq!(Sampler::of(7.0), Sampler::of(1.0));
    }
}
