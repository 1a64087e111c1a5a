//! Durations counted in buckets of at most 0.8 % width, from nanoseconds to a quarter of an hour, in 35 KiB.
//!
//! Bucketing is log-linear: values below 128 ns have a bucket each, every octave above is cut into 128. A percentile is
//! the upper edge of its bucket, so it is never too small, and never above the exactly kept maximum.

use std::time::Duration;

/// log2 of the number of buckets per octave.
const PRECISION: u32 = 7;
/// Values from 2^40 ns (18 minutes) on share the last bucket.
const OCTAVES: u32 = 40;
const PER_OCTAVE: usize = 1 << PRECISION;
const BUCKETS: usize = PER_OCTAVE * ((OCTAVES - PRECISION) as usize + 1);

/// A histogram of durations.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    sum: Duration,
    min: Duration,
    max: Duration,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self {
            buckets: vec![0; BUCKETS],
            count: 0,
            sum: Duration::ZERO,
            min: Duration::MAX,
            max: Duration::ZERO,
        }
    }

    /// Counts one duration.
    pub(crate) fn record(&mut self, value: Duration) {
        let nanos = u64::try_from(value.as_nanos()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.buckets.get_mut(index(nanos)) {
            *bucket += 1;
        }
        self.count += 1;
        self.sum = self.sum.saturating_add(value);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn max(&self) -> Duration {
        self.max
    }

    /// The smallest value, zero when there is none.
    pub(crate) fn min(&self) -> Duration {
        if self.count == 0 { Duration::ZERO } else { self.min }
    }

    /// The mean, zero when there is none.
    pub(crate) fn mean(&self) -> Duration {
        if self.count == 0 { Duration::ZERO } else { self.sum.div_f64(self.count as f64) }
    }

    /// The value that `share` (0 to 1) of all values don't exceed; zero when there is none.
    pub(crate) fn percentile(&self, share: f64) -> Duration {
        let rank = (share * self.count as f64).ceil().max(1.0);
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen as f64 >= rank {
                return Duration::from_nanos(upper_edge(bucket)).min(self.max);
            }
        }
        self.max
    }
}

/// The bucket of a value.
fn index(nanos: u64) -> usize {
    let octave = nanos.checked_ilog2().unwrap_or(0);
    if octave < PRECISION {
        return usize::try_from(nanos).unwrap_or(0);
    }
    if octave >= OCTAVES {
        return BUCKETS - 1;
    }
    // The octave's leading bit is dropped; the seven bits behind it number the bucket within the octave.
    let within = usize::try_from(nanos >> (octave - PRECISION)).unwrap_or(0) & (PER_OCTAVE - 1);
    (octave - PRECISION + 1) as usize * PER_OCTAVE + within
}

/// The largest value of a bucket.
fn upper_edge(bucket: usize) -> u64 {
    let (octave, within) = (bucket / PER_OCTAVE, (bucket % PER_OCTAVE) as u64);
    match octave.checked_sub(1) {
        None => within,
        Some(shift) => ((PER_OCTAVE as u64 + within + 1) << shift) - 1,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_empty_one_says_zero() {
        let empty = Histogram::new();
        assert_eq!((empty.percentile(0.5), empty.mean(), empty.min(), empty.max()), Default::default());
    }

    #[test]
    fn buckets_join_without_gaps() {
        let mut below = None;
        for bucket in 0..BUCKETS {
            let edge = upper_edge(bucket);
            assert_eq!(index(edge), bucket);
            if let Some(below) = below {
                assert_eq!(index(below + 1), bucket);
            }
            below = Some(edge);
        }
        assert_eq!(index(u64::MAX), BUCKETS - 1);
    }

    proptest! {
        /// Against the sorted list: never too small, at most 0.8 % too large.
        #[test]
        fn percentiles_are_close_to_the_exact_ones(
            mut values in proptest::collection::vec(0_u64..20_000_000_000, 1..400),
            share in 0.0..=1.0_f64,
        ) {
            let mut histogram = Histogram::new();
            values.iter().for_each(|nanos| histogram.record(Duration::from_nanos(*nanos)));
            values.sort_unstable();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number")]
            let rank = (share * values.len() as f64).ceil().max(1.0) as usize;
            let exact = values[rank - 1];
            let told = u64::try_from(histogram.percentile(share).as_nanos()).unwrap();
            prop_assert!(told >= exact, "{told} < {exact}");
            prop_assert!(told as f64 <= exact as f64 * 1.008 + 1.0, "{told} for {exact}");
        }
    }
}
