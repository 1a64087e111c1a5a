//! Series of traffic: per pair of source and destination, per class of outcome, per thread.
//!
//! The pair's labels are kept once, as text; an outcome adds a few bytes to them. Cells have one writer each, the thread
//! of their [`Shard`](crate::Shard), and are summed up when shown.
//!
//! Invariants: at most [`TRAFFIC_PAIRS`] pairs, [`TRAFFIC_SERIES`] series and [`CLASSES_PER_PAIR`] outcomes per pair.
//! What is over a limit counts in a pair, or an outcome, whose labels say `overflow`. A pair that no handle uses and
//! that doesn't change for [`SERIES_IDLE`] is dropped when metrics are shown.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use leno_runtime::Instant;

use crate::Counter;
use crate::family::OVERFLOW;
use crate::labels;
use crate::limits::{CLASSES_PER_PAIR, SERIES_IDLE, TRAFFIC_PAIRS, TRAFFIC_SERIES};
use crate::registry::{Reading, Value};

use super::PAIR;

/// What tells the series of a pair apart.
pub(super) trait Class: Copy + Ord + Send + Sync {
    /// Stands for the outcomes that are too many.
    const OVERFLOW: Self;

    /// Its labels.
    fn render(self) -> String;
}

/// What a thread counts in one series.
pub(super) trait Cells: Default + Send + Sync {
    type Sum: Default + Send;

    fn add_to(&self, sum: &mut Self::Sum);

    /// A number that changes with every use.
    fn activity(sum: &Self::Sum) -> u64;
}

#[derive(Debug)]
pub(super) struct Pairs<K, C> {
    pairs: Mutex<BTreeMap<Arc<str>, Known<K, C>>>,
    series: AtomicUsize,
    overflow: Counter,
    overflow_pair: Arc<Pair<K, C>>,
}

#[derive(Debug)]
struct Known<K, C> {
    pair: Arc<Pair<K, C>>,
    activity: u64,
    changed: Instant,
}

#[derive(Debug)]
pub(super) struct Pair<K, C> {
    /// Rendered, without the class's.
    pub(super) labels: Arc<str>,
    series: Mutex<BTreeMap<K, Shards<C>>>,
}

/// A series' cells, by the shard that writes them.
type Shards<C> = Vec<(u32, Arc<C>)>;

impl<K: Class, C: Cells> Pair<K, C> {
    fn new(labels: Arc<str>) -> Arc<Self> {
        Arc::new(Self { labels, series: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<K, Shards<C>>> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sums(&self) -> Vec<(K, C::Sum)> {
        let sum = |shards: &Shards<C>| {
            let mut sum = C::Sum::default();
            shards.iter().for_each(|(_, cells)| cells.add_to(&mut sum));
            sum
        };
        self.lock().iter().map(|(class, shards)| (*class, sum(shards))).collect()
    }
}

/// The cells of a shard, made when the shard first needs them.
fn cells_of<C: Cells>(shards: &mut Shards<C>, shard: u32) -> Arc<C> {
    if let Some((_, cells)) = shards.iter().find(|(owner, _)| *owner == shard) {
        return cells.clone();
    }
    let cells = Arc::new(C::default());
    shards.push((shard, cells.clone()));
    cells
}

impl<K: Class, C: Cells> Pairs<K, C> {
    pub(super) fn new(overflow: Counter) -> Self {
        let mut text = String::new();
        PAIR.iter().for_each(|name| labels::push(&mut text, name, OVERFLOW));
        Self {
            pairs: Mutex::default(),
            series: AtomicUsize::new(0),
            overflow,
            overflow_pair: Pair::new(text.into()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Known<K, C>>> {
        self.pairs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pair with these rendered labels.
    pub(super) fn pair(&self, labels: &str) -> Arc<Pair<K, C>> {
        let mut pairs = self.lock();
        if let Some(known) = pairs.get(labels) {
            return known.pair.clone();
        }
        if pairs.len() >= TRAFFIC_PAIRS {
            self.overflow.inc();
            return self.overflow_pair.clone();
        }
        let labels: Arc<str> = labels.into();
        let pair = Pair::new(labels.clone());
        pairs.insert(labels, Known { pair: pair.clone(), activity: 0, changed: Instant::now() });
        pair
    }

    /// The cells in which a shard counts a class of a pair.
    pub(super) fn cells(&self, pair: &Pair<K, C>, class: K, shard: u32) -> Arc<C> {
        if let Some(shards) = pair.lock().get_mut(&class) {
            return cells_of(shards, shard);
        }
        let spills = pair.labels == self.overflow_pair.labels;
        if !spills && self.series.fetch_add(1, Ordering::Relaxed) >= TRAFFIC_SERIES {
            self.series.fetch_sub(1, Ordering::Relaxed);
            self.overflow.inc();
            return self.cells(&self.overflow_pair, class, shard);
        }
        let mut series = pair.lock();
        let class = if series.len() < CLASSES_PER_PAIR { class } else { K::OVERFLOW };
        if class == K::OVERFLOW {
            self.overflow.inc();
        }
        let before = series.len();
        let cells = cells_of(series.entry(class).or_default(), shard);
        if !spills && series.len() == before {
            // The series was there after all: it came from another thread, or it is the pair's overflow.
            self.series.fetch_sub(1, Ordering::Relaxed);
        }
        cells
    }

    /// All series, ordered by labels, each with the `value` of its sum. Drops what has been idle for long.
    pub(super) fn show(&self, value: impl Fn(&C::Sum) -> Value) -> Vec<Reading> {
        let now = Instant::now();
        let mut values = Vec::new();
        let mut read = |labels: &Arc<str>, series: &[(K, C::Sum)]| {
            values.extend(series.iter().map(|(class, sum)| (labels.clone(), *class, value(sum))));
        };
        self.lock().retain(|labels, known| {
            let series = known.pair.sums();
            let activity = series.iter().map(|(_, sum)| C::activity(sum)).fold(0, u64::wrapping_add);
            if activity != known.activity || Arc::strong_count(&known.pair) > 1 {
                known.activity = activity;
                known.changed = now;
            }
            let kept = now.duration_since(known.changed) < SERIES_IDLE;
            if kept {
                read(labels, &series);
            } else {
                self.series.fetch_sub(series.len(), Ordering::Relaxed);
            }
            kept
        });
        read(&self.overflow_pair.labels, &self.overflow_pair.sums());
        let readings =
            values.into_iter().map(|(labels, class, value)| Reading { labels, class: class.render(), value });
        readings.collect()
    }
}
