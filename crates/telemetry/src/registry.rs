//! Where a process's metrics are known by name.
//!
//! A component registers its metrics in its `new` and keeps the handles; there are no statics. Registering a name again
//! gives the same metric, so two instances of a component count together. A name that is malformed, or that is already
//! used for something else, gives a handle that works and isn't shown; [`Registry::problems`] lists those, and a test of
//! each binary keeps that list empty.

use std::any::Any;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::vec;

use crate::exposition::{Encoder, Format};
use crate::family::{Family, Series};
use crate::limits::EXPOSITION_PIECE;
use crate::metric::{Buckets, Counter, Gauge, Histogram, Kind, Metric};

#[cfg(test)]
mod tests;

/// What is known of a metric before it has a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Desc {
    /// Its name, with `_total` for counters.
    pub name: &'static str,
    /// One sentence for people.
    pub help: &'static str,
    /// Its type.
    pub kind: Kind,
    /// The names of its labels, in the order in which they are shown.
    pub labels: &'static [&'static str],
    /// A histogram's bounds.
    pub buckets: Option<Buckets>,
}

impl Desc {
    /// The bounds of a histogram. One that was registered without any isn't shown.
    pub(crate) fn buckets(&self) -> Buckets {
        self.buckets.unwrap_or(Buckets::SECONDS)
    }
}

/// Shows the current values of one or more metrics.
pub trait Collect: Any + Send + Sync {
    /// The series of `desc`, which is one of those that this was registered with, ordered by labels.
    fn collect(&self, desc: &Desc) -> Vec<Reading>;
}

/// What one series shows at one moment.
#[derive(Debug)]
pub struct Reading {
    /// Rendered labels (`a="b",c="d"`), which may be shared between readings.
    pub labels: Arc<str>,
    /// More labels of the same form. One of both or both may be empty.
    pub class: String,
    /// The value.
    pub value: Value,
}

impl Reading {
    /// The only series of a family without labels.
    pub fn alone(value: Value) -> Self {
        Self { labels: Arc::default(), class: String::new(), value }
    }
}

/// The value of a [`Reading`].
#[derive(Debug)]
pub enum Value {
    /// Of a counter.
    Count(u64),
    /// Of a gauge, or of a counter of something that isn't whole, such as seconds.
    Number(f64),
    /// Of a histogram with the [`Buckets`] of its [`Desc`].
    Histogram {
        /// Per bucket, not cumulative, the last one beyond all bounds.
        counts: Box<[u64]>,
        /// In base units.
        sum: u64,
    },
}

/// A process's metrics. Clones are the same registry.
#[derive(Clone, Debug)]
pub struct Registry(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    entries: Mutex<Entries>,
    shards: AtomicU32,
    overflow: Family<Counter, 1>,
}

#[derive(Debug, Default)]
struct Entries {
    /// By name, which makes the exposition's order.
    known: BTreeMap<&'static str, Entry>,
    problems: Vec<String>,
}

#[derive(Clone)]
struct Entry {
    desc: Desc,
    source: Arc<dyn Collect>,
}

/// The right to write cells that have one writer. One per thread that carries traffic; it can't leave that thread.
#[derive(Clone, Debug)]
pub struct Shard {
    pub(crate) index: u32,
    /// Neither `Send` nor `Sync`.
    thread: PhantomData<(*const (), Cell<()>)>,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.desc.name)
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

const OVERFLOW: Desc = Desc {
    name: "leno_metrics_overflow_total",
    help: "Label sets that were counted in their metric's overflow series because it has too many.",
    kind: Kind::Counter,
    labels: &["metric"],
    buckets: None,
};

impl Registry {
    /// A registry that knows only its own overflow counter.
    pub fn new() -> Self {
        let series = Arc::new(Series::new(OVERFLOW, None));
        let mut entries = Entries::default();
        entries.known.insert(OVERFLOW.name, Entry { desc: OVERFLOW, source: series.clone() });
        let overflow = Family::of(series);
        Self(Arc::new(Shared { entries: Mutex::new(entries), shards: AtomicU32::new(0), overflow }))
    }

    /// A counter without labels.
    pub fn counter(&self, name: &'static str, help: &'static str) -> Counter {
        self.counters(name, help, &[]).with([])
    }

    /// Counters that differ in labels.
    pub fn counters<const N: usize>(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str; N],
    ) -> Family<Counter, N> {
        self.family(Desc { name, help, kind: Kind::Counter, labels, buckets: None })
    }

    /// A gauge without labels.
    pub fn gauge(&self, name: &'static str, help: &'static str) -> Gauge {
        self.gauges(name, help, &[]).with([])
    }

    /// Gauges that differ in labels.
    pub fn gauges<const N: usize>(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str; N],
    ) -> Family<Gauge, N> {
        self.family(Desc { name, help, kind: Kind::Gauge, labels, buckets: None })
    }

    /// A histogram without labels.
    pub fn histogram(&self, name: &'static str, help: &'static str, buckets: Buckets) -> Histogram {
        self.histograms(name, help, &[], buckets).with([])
    }

    /// Histograms that differ in labels.
    pub fn histograms<const N: usize>(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str; N],
        buckets: Buckets,
    ) -> Family<Histogram, N> {
        self.family(Desc { name, help, kind: Kind::Histogram, labels, buckets: Some(buckets) })
    }

    /// Registers metrics whose values are kept elsewhere.
    pub fn register(&self, descs: &[Desc], source: Arc<dyn Collect>) {
        let mut entries = self.lock();
        for desc in descs {
            if let Some(problem) = problem(desc) {
                entries.problems.push(problem);
            } else if entries.known.contains_key(desc.name) {
                entries.problems.push(format!("{} is registered twice", desc.name));
            } else {
                entries.known.insert(desc.name, Entry { desc: *desc, source: source.clone() });
            }
        }
    }

    /// A shard for the calling thread. Each call gives another one: make it once per core and clone it.
    pub fn shard(&self) -> Shard {
        Shard { index: self.0.shards.fetch_add(1, Ordering::Relaxed), thread: PhantomData }
    }

    /// Everything that is registered, by name.
    pub fn describe(&self) -> Vec<Desc> {
        self.lock().known.values().map(|entry| entry.desc).collect()
    }

    /// What was registered wrongly and isn't shown. Empty in a program without mistakes.
    pub fn problems(&self) -> Vec<String> {
        self.lock().problems.clone()
    }

    /// All metrics, ordered by name and labels.
    pub fn pieces(&self, format: Format) -> Pieces {
        let entries: Vec<Entry> = self.lock().known.values().cloned().collect();
        Pieces { encoder: Encoder::new(format), entries: entries.into_iter(), family: None, is_ended: false }
    }

    /// All metrics as one text, for tests and small registries.
    pub fn encode_to_string(&self, format: Format) -> String {
        self.pieces(format).collect()
    }

    /// Counts label sets that a metric could not keep apart.
    pub(crate) fn overflow(&self, name: &str) -> Counter {
        self.0.overflow.with([name])
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `desc` must have `N` labels.
    fn family<M: Metric, const N: usize>(&self, desc: Desc) -> Family<M, N> {
        let mut entries = self.lock();
        if let Some(entry) = entries.known.get(desc.name).cloned() {
            let source: Arc<dyn Any + Send + Sync> = entry.source;
            if let Ok(same) = source.downcast::<Series<M>>()
                && entry.desc == desc
            {
                return Family::of(same);
            }
            entries.problems.push(format!("{} is registered twice, and differently", desc.name));
            return Family::of(Arc::new(Series::new(desc, None)));
        }
        let series = Arc::new(Series::new(desc, Some(self.0.overflow.clone())));
        match problem(&desc) {
            Some(problem) => entries.problems.push(problem),
            None => drop(entries.known.insert(desc.name, Entry { desc, source: series.clone() })),
        }
        Family::of(series)
    }
}

/// A registry's metrics as text, in pieces of [`EXPOSITION_PIECE`] and a series at most more.
///
/// A family's values are read when its beginning is rendered, so families can be of different moments, as far apart as
/// whoever takes the pieces is slow. Reading takes locks that requests need only for series that they didn't have yet.
/// Besides a piece, the values of one family are held: 0.5 KiB for one of Istio's histograms, whose text has 20 KiB.
#[derive(Debug)]
pub struct Pieces {
    encoder: Encoder,
    entries: vec::IntoIter<Entry>,
    /// The family that is being rendered, and its series that aren't yet.
    family: Option<(Desc, vec::IntoIter<Reading>)>,
    is_ended: bool,
}

impl Iterator for Pieces {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        while self.encoder.len() < EXPOSITION_PIECE && !self.is_ended {
            if let Some((desc, readings)) = &mut self.family
                && let Some(reading) = readings.next()
            {
                self.encoder.series(desc, &reading);
            } else if let Some(Entry { desc, source }) = self.entries.next() {
                self.encoder.family(&desc);
                self.family = Some((desc, source.collect(&desc).into_iter()));
            } else {
                self.encoder.end();
                self.is_ended = true;
            }
        }
        let piece = self.encoder.take();
        (!piece.is_empty()).then_some(piece)
    }
}

/// What is wrong with a description, if anything.
fn problem(desc: &Desc) -> Option<String> {
    let name = desc.name;
    let word = |text: &str| {
        text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && text.bytes().next().is_some_and(|b| !b.is_ascii_digit())
    };
    if !word(name) {
        return Some(format!("{name} is not a metric name"));
    }
    if (desc.kind == Kind::Counter) != name.ends_with("_total") {
        return Some(format!("{name} is a {}: counters and only they end in _total", desc.kind.as_str()));
    }
    if desc.kind == Kind::Histogram && desc.buckets.is_none() {
        return Some(format!("{name} is a histogram without bounds"));
    }
    let bad = |label: &&&str| !word(label) || label.starts_with("__") || **label == "le";
    desc.labels.iter().find(bad).map(|label| format!("{name} can't have a label {label}"))
}
