//! The three kinds of metric, as handles that cost a few nanoseconds to use.
//!
//! A handle is resolved once and held by the object that uses it. These are shared between threads by relaxed atomics;
//! what every request updates uses cells that belong to one thread instead (see [`crate::istio`]), because seven
//! shared updates cost 42 ns alone and 100 ns when two cores meet, seven of a thread's own cost 3 ns.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::registry::{Desc, Value};

/// What OpenMetrics calls a metric's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts observations by size.
    Histogram,
}

impl Kind {
    /// The name in `# TYPE`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A number that only grows. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The count so far.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down. Clones show together.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicI64>);

/// Counts one in a [`Gauge`] until it is dropped.
#[must_use = "a held one that is dropped at once counts nothing"]
#[derive(Debug)]
pub struct Held(Gauge);

impl Gauge {
    /// Replaces the value.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Adds `n`, which may be negative.
    pub fn add(&self, n: i64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Adds one until the result is dropped: for things that exist, such as connections.
    pub fn hold(&self) -> Held {
        self.add(1);
        Held(self.clone())
    }

    /// The value now.
    pub fn value(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}

/// The bounds of a histogram. Observations are whole numbers of a small base unit, so that recording needs no floating
/// point; what is shown is divided by `per_unit`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Buckets {
    /// The upper bounds as shown, ascending, without `+Inf`.
    pub le: &'static [f64],
    /// The same bounds in base units.
    upper: &'static [u64],
    /// Base units per shown unit.
    per_unit: u64,
}

/// Envoy's default bounds, which Istio's histograms have whatever they measure.
const ENVOY: [f64; 19] = [
    0.5,
    1.0,
    5.0,
    10.0,
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1_000.0,
    2_500.0,
    5_000.0,
    10_000.0,
    30_000.0,
    60_000.0,
    300_000.0,
    600_000.0,
    1_800_000.0,
    3_600_000.0,
];

/// From half a millisecond to a minute, for Leno's own work.
const SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 20.0, 60.0];

impl Buckets {
    /// Milliseconds, observed in microseconds, in Envoy's bounds.
    pub const MILLISECONDS: Self = Self { le: &ENVOY, upper: &scaled(ENVOY, 1_000), per_unit: 1_000 };
    /// Bytes, in Envoy's bounds.
    pub const BYTES: Self = Self { le: &ENVOY, upper: &scaled(ENVOY, 1), per_unit: 1 };
    /// Seconds, observed in microseconds, for Leno's own work.
    pub const SECONDS: Self = Self { le: &SECONDS, upper: &scaled(SECONDS, 1_000_000), per_unit: 1_000_000 };

    /// Which bucket an observation counts in; the number of bounds stands for `+Inf`.
    pub(crate) fn index(&self, observed: u64) -> usize {
        self.upper.partition_point(|bound| *bound < observed)
    }

    /// A sum of observations in the shown unit.
    pub(crate) fn shown(&self, sum: u64) -> f64 {
        sum as f64 / self.per_unit as f64
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "bounds are small constants; a fraction of a base unit is cut off"
)]
#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn scaled<const N: usize>(bounds: [f64; N], per_unit: u64) -> [u64; N] {
    let mut upper = [0; N];
    let mut i = 0;
    while i < N {
        upper[i] = (bounds[i] * per_unit as f64) as u64;
        i += 1;
    }
    upper
}

/// Counts observations by size. Clones count together.
#[derive(Clone, Debug)]
pub struct Histogram(Arc<Observed>);

#[derive(Debug)]
struct Observed {
    buckets: Buckets,
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    fn new(buckets: Buckets) -> Self {
        let counts = (0..=buckets.le.len()).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Observed { buckets, counts, sum: AtomicU64::new(0) }))
    }

    /// Counts an observation in base units: microseconds for times, bytes for sizes.
    pub fn observe(&self, observed: u64) {
        if let Some(count) = self.0.counts.get(self.0.buckets.index(observed)) {
            count.fetch_add(1, Ordering::Relaxed);
            self.0.sum.fetch_add(observed, Ordering::Relaxed);
        }
    }

    /// How many observations there were.
    pub fn count(&self) -> u64 {
        self.0.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

/// What [`Family`](crate::Family) needs of a metric. Sealed: the kinds are a closed set.
pub trait Metric: Clone + Send + Sync + sealed::Sealed + 'static {}

pub(crate) mod sealed {
    use super::{Desc, Value};

    pub trait Sealed: Sized {
        /// A metric at zero.
        fn zero(desc: &Desc) -> Self;
        /// What it shows.
        fn read(&self) -> Value;
        /// Whether only the family has it.
        fn is_unheld(&self) -> bool;
        /// A number that changes with the metric, or `None` where a value stays valid though nothing changes it.
        fn activity(&self) -> Option<u64>;
    }
}

impl Metric for Counter {}
impl sealed::Sealed for Counter {
    fn zero(_desc: &Desc) -> Self {
        Self::default()
    }

    fn read(&self) -> Value {
        Value::Count(self.value())
    }

    fn is_unheld(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    fn activity(&self) -> Option<u64> {
        Some(self.value())
    }
}

impl Metric for Gauge {}
impl sealed::Sealed for Gauge {
    fn zero(_desc: &Desc) -> Self {
        Self::default()
    }

    fn read(&self) -> Value {
        Value::Number(self.value() as f64)
    }

    fn is_unheld(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    fn activity(&self) -> Option<u64> {
        None
    }
}

impl Metric for Histogram {}
impl sealed::Sealed for Histogram {
    fn zero(desc: &Desc) -> Self {
        Self::new(desc.buckets())
    }

    fn read(&self) -> Value {
        let counts = self.0.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        Value::Histogram { counts, sum: self.0.sum.load(Ordering::Relaxed) }
    }

    fn is_unheld(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    fn activity(&self) -> Option<u64> {
        Some(self.count())
    }
}

/// A counter that only one thread writes, and any may read: a plain addition where [`Counter`] needs a locked one.
/// Who holds it must see to the one writer; a second one loses counts, nothing worse.
#[derive(Debug, Default)]
pub(crate) struct Own(AtomicU64);

impl Own {
    pub(crate) fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A histogram in Envoy's bounds that only one thread writes.
#[derive(Debug, Default)]
pub(crate) struct OwnHistogram {
    counts: [Own; ENVOY.len() + 1],
    sum: Own,
}

/// The sum of several [`OwnHistogram`]s.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Observations {
    pub(crate) counts: [u64; ENVOY.len() + 1],
    pub(crate) sum: u64,
}

impl OwnHistogram {
    pub(crate) fn observe(&self, buckets: &Buckets, observed: u64) {
        if let Some(count) = self.counts.get(buckets.index(observed)) {
            count.add(1);
            self.sum.add(observed);
        }
    }

    pub(crate) fn add_to(&self, total: &mut Observations) {
        for (total, count) in total.counts.iter_mut().zip(&self.counts) {
            *total = total.wrapping_add(count.value());
        }
        total.sum = total.sum.wrapping_add(self.sum.value());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        for (buckets, observed, index) in [
            (Buckets::MILLISECONDS, 0, 0),
            (Buckets::MILLISECONDS, 500, 0),
            (Buckets::MILLISECONDS, 501, 1),
            (Buckets::MILLISECONDS, 3_600_000_000, 18),
            (Buckets::MILLISECONDS, 3_600_000_001, 19),
            (Buckets::BYTES, 0, 0),
            (Buckets::BYTES, 1, 1),
            (Buckets::BYTES, 2, 2),
            (Buckets::SECONDS, 500, 0),
            (Buckets::SECONDS, u64::MAX, 14),
        ] {
            assert_eq!(buckets.index(observed), index, "{observed}");
            assert_eq!(buckets.le.len(), buckets.upper.len());
        }
    }

    #[test]
    fn a_held_gauge_counts_what_exists() {
        let gauge = Gauge::default();
        let held = [gauge.hold(), gauge.hold()];
        assert_eq!(gauge.value(), 2);
        drop(held);
        assert_eq!(gauge.value(), 0);
    }
}
