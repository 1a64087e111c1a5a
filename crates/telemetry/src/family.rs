//! Metrics of one name that differ in their labels.
//!
//! Invariant: at most [`SERIES_PER_FAMILY`] series; what comes after goes into one series whose labels all say
//! `overflow`, and into `leno_metrics_overflow_total`. Counters and histograms that nobody holds and that don't change
//! for [`SERIES_IDLE`] are dropped; gauges stay until [removed](Family::remove), since their value stays true.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use leno_runtime::Instant;

use crate::labels;
use crate::limits::{SERIES_IDLE, SERIES_PER_FAMILY};
use crate::metric::{Counter, Metric};
use crate::registry::{Collect, Desc, Reading};

/// The label value of the series that takes what is over a limit.
pub const OVERFLOW: &str = "overflow";

/// Metrics of one name. `N` is the number of its labels.
#[derive(Debug)]
pub struct Family<M, const N: usize> {
    series: Arc<Series<M>>,
    labels: PhantomData<[(); N]>,
}

impl<M, const N: usize> Clone for Family<M, N> {
    fn clone(&self) -> Self {
        Self { series: self.series.clone(), labels: PhantomData }
    }
}

impl<M: Metric, const N: usize> Family<M, N> {
    /// `series` must have `N` labels.
    pub(crate) fn of(series: Arc<Series<M>>) -> Self {
        Self { series, labels: PhantomData }
    }

    /// The metric with these label values, in the order of the labels' names. Takes a lock: hold on to the result.
    pub fn with(&self, values: [&str; N]) -> M {
        self.series.with(&values)
    }

    /// Drops the series with these label values. Handles to it go on counting unseen.
    pub fn remove(&self, values: [&str; N]) {
        let key = self.series.key(&values);
        self.series.lock().remove(key.as_str());
    }
}

/// The series of a family.
#[derive(Debug)]
pub(crate) struct Series<M> {
    desc: Desc,
    /// Counts what was too much. Only the family that counts this has none.
    overflow: Option<Family<Counter, 1>>,
    slots: Mutex<BTreeMap<Arc<str>, Slot<M>>>,
}

#[derive(Debug)]
struct Slot<M> {
    metric: M,
    activity: Option<u64>,
    changed: Instant,
}

impl<M: Metric> Series<M> {
    pub(crate) fn new(desc: Desc, overflow: Option<Family<Counter, 1>>) -> Self {
        Self { desc, overflow, slots: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Slot<M>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self, values: &[&str]) -> String {
        let mut key = String::new();
        for (name, value) in self.desc.labels.iter().zip(values) {
            labels::push(&mut key, name, value);
        }
        key
    }

    pub(crate) fn with(&self, values: &[&str]) -> M {
        let key = self.key(values);
        let mut slots = self.lock();
        if let Some(slot) = slots.get(key.as_str()) {
            return slot.metric.clone();
        }
        if slots.len() < SERIES_PER_FAMILY {
            return self.insert(&mut slots, key);
        }
        if let Some(counter) = &self.overflow {
            counter.with([self.desc.name]).inc();
        }
        let overflow = self.key(&vec![OVERFLOW; self.desc.labels.len()]);
        match slots.get(overflow.as_str()) {
            Some(slot) => slot.metric.clone(),
            None => self.insert(&mut slots, overflow),
        }
    }

    fn insert(&self, slots: &mut BTreeMap<Arc<str>, Slot<M>>, key: String) -> M {
        let metric = M::zero(&self.desc);
        let slot = Slot { metric: metric.clone(), activity: metric.activity(), changed: Instant::now() };
        slots.insert(key.into(), slot);
        metric
    }

    /// Drops what nobody holds and what hasn't changed for long. A family without labels always shows its series.
    fn sweep(&self, slots: &mut BTreeMap<Arc<str>, Slot<M>>) {
        if self.desc.labels.is_empty() {
            return;
        }
        let now = Instant::now();
        slots.retain(|_, slot| {
            let activity = slot.metric.activity();
            if activity.is_none() || activity != slot.activity || !slot.metric.is_unheld() {
                slot.activity = activity;
                slot.changed = now;
            }
            now.duration_since(slot.changed) < SERIES_IDLE
        });
    }
}

impl<M: Metric> Collect for Series<M> {
    fn collect(&self, _desc: &Desc) -> Vec<Reading> {
        let mut slots = self.lock();
        self.sweep(&mut slots);
        let readings = slots.iter().map(|(labels, slot)| Reading {
            labels: labels.clone(),
            class: String::new(),
            value: slot.metric.read(),
        });
        readings.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::Registry;
    use crate::exposition::Format;

    use super::*;

    fn lines(registry: &Registry, prefix: &str) -> Vec<String> {
        let text = registry.encode_to_string(Format::Text);
        text.lines().filter(|line| line.starts_with(prefix)).map(str::to_owned).collect()
    }

    #[test]
    fn the_same_labels_are_the_same_metric() {
        let registry = Registry::new();
        let family = registry.counters("x_total", "X.", &["a", "b"]);
        family.with(["1", "2"]).inc();
        family.with(["1", "2"]).add(2);
        family.with(["2", "1"]).inc();
        assert_eq!(lines(&registry, "x_"), [r#"x_total{a="1",b="2"} 3"#, r#"x_total{a="2",b="1"} 1"#]);
        family.remove(["1", "2"]);
        assert_eq!(lines(&registry, "x_"), [r#"x_total{a="2",b="1"} 1"#]);
    }

    #[test]
    fn too_many_series_go_into_one() {
        let registry = Registry::new();
        let family = registry.counters("x_total", "X.", &["a"]);
        for i in 0..SERIES_PER_FAMILY + 5 {
            family.with([&i.to_string()]).inc();
        }
        assert!(lines(&registry, "x_").contains(&r#"x_total{a="overflow"} 5"#.to_owned()));
        assert_eq!(lines(&registry, "x_").len(), SERIES_PER_FAMILY + 1);
        assert_eq!(
            lines(&registry, "leno_metrics_overflow_total"),
            [r#"leno_metrics_overflow_total{metric="x_total"} 5"#]
        );
        family.with(["7"]).inc();
        assert!(lines(&registry, "x_").contains(&r#"x_total{a="7"} 2"#.to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn idle_series_are_dropped_unless_held_or_gauges() {
        let registry = Registry::new();
        let family = registry.counters("x_total", "X.", &["a"]);
        let plain = registry.counter("plain_total", "Without labels.");
        registry.gauges("g", "G.", &["a"]).with(["1"]).set(7);
        let held = family.with(["held"]);
        family.with(["idle"]).inc();
        drop(plain);
        assert_eq!(lines(&registry, "x_").len(), 2);
        tokio::time::advance(SERIES_IDLE - Duration::from_secs(1)).await;
        assert_eq!(lines(&registry, "x_").len(), 2);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(lines(&registry, "x_"), [r#"x_total{a="held"} 0"#]);
        assert_eq!(lines(&registry, "g{"), [r#"g{a="1"} 7"#]);
        assert_eq!(lines(&registry, "plain_total"), ["plain_total 0"]);
        drop(held);
    }
}
