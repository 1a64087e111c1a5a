//! The last snapshots, and what was different in each.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use leno_model::snapshot::{ObjectReport, Snapshot};
use leno_model::span::ObjectRef;

use crate::limits::{HISTORY, MAX_SHOWN_CHANGES};

/// One snapshot that was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Its number.
    pub number: u64,
    /// When it was published.
    pub at: SystemTime,
    /// Objects that are new or different in it, or gone, by name; the first ones where there are many.
    pub objects: Vec<ObjectRef>,
    /// How many objects there are of these.
    pub changed: usize,
    /// Workloads that are new or different in it, or gone. Those that objects declare are counted as such too.
    pub workloads: usize,
}

/// The last snapshots. Clones are the same history.
#[derive(Clone, Debug, Default)]
pub struct History(Arc<Mutex<VecDeque<Published>>>);

impl History {
    /// The last snapshots, oldest first.
    #[must_use]
    pub fn published(&self) -> Vec<Published> {
        self.lock().iter().cloned().collect()
    }

    /// Remembers a snapshot, by comparing it with the last one.
    pub(crate) fn add(&self, number: u64, last: Option<&Snapshot>, now: &Snapshot) -> usize {
        let none = Vec::new();
        let mut objects = changed_objects(last.map_or(&none, |last| &last.objects), &now.objects);
        let changed = objects.len();
        objects.truncate(MAX_SHOWN_CHANGES);
        let workloads = changed_workloads(last, now);
        let mut history = self.lock();
        history.push_back(Published { number, at: SystemTime::now(), objects, changed, workloads });
        let excess = history.len().saturating_sub(HISTORY);
        history.drain(..excess);
        changed
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Published>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn changed_objects(last: &[Arc<ObjectReport>], now: &[Arc<ObjectReport>]) -> Vec<ObjectRef> {
    let by_name = |reports: &[Arc<ObjectReport>]| -> BTreeMap<ObjectRef, u64> {
        reports.iter().map(|report| (report.origin.object.clone(), report.content)).collect()
    };
    let (last, now) = (by_name(last), by_name(now));
    let new = now.iter().filter(|(name, content)| last.get(*name) != Some(content));
    let gone = last.iter().filter(|(name, _)| !now.contains_key(*name));
    let mut names: Vec<ObjectRef> = new.chain(gone).map(|(name, _)| name.clone()).collect();
    names.sort_unstable();
    names
}

fn changed_workloads(last: Option<&Snapshot>, now: &Snapshot) -> usize {
    let Some(last) = last else { return now.workloads.len() };
    let new = now.workloads.iter().filter(|(name, workload)| last.workloads.get(*name) != Some(workload));
    let gone = last.workloads.keys().filter(|name| !now.workloads.contains_key(*name));
    new.count() + gone.count()
}

#[cfg(test)]
mod tests {
    use leno_model::span::{Location, Origin, Verdict};

    use super::*;

    fn object(name: usize, content: u64) -> Arc<ObjectReport> {
        let object = ObjectRef {
            kind: "VirtualService".into(),
            namespace: "default".into(),
            name: format!("{name:04}").into(),
        };
        Arc::new(ObjectReport {
            origin: Origin { object, location: Location { file: "a.yaml".into(), line: 1, column: 1 } },
            content,
            verdict: Verdict::Exact,
            diagnostics: Vec::new(),
        })
    }

    fn empty() -> Snapshot {
        Snapshot::empty("cluster.local".parse().unwrap())
    }

    #[test]
    fn new_different_and_gone_objects_count_and_equal_ones_do_not() {
        let snapshot = |objects| Snapshot { objects, ..empty() };
        let first = snapshot(vec![object(1, 1), object(2, 1), object(3, 1)]);
        let second = snapshot(vec![object(1, 1), object(2, 2), object(4, 1)]);
        let history = History::default();
        assert_eq!(history.add(1, None, &first), 3);
        assert_eq!(history.add(2, Some(&first), &second), 3);
        assert_eq!(history.add(3, Some(&second), &second), 0);
        let published = history.published();
        let names: Vec<&str> = published[1].objects.iter().map(|object| &*object.name).collect();
        assert_eq!(names, ["0002", "0003", "0004"]);
        assert_eq!(published[2].objects, []);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let many =
            Snapshot { objects: (0..2 * MAX_SHOWN_CHANGES).map(|name| object(name, 1)).collect(), ..empty() };
        let history = History::default();
        for number in 0..2 * HISTORY as u64 {
            assert_eq!(history.add(number, None, &many), 2 * MAX_SHOWN_CHANGES);
        }
        let published = history.published();
        assert_eq!(published.len(), HISTORY);
        assert_eq!(published.last().map(|last| last.objects.len()), Some(MAX_SHOWN_CHANGES));
        assert_eq!(published.first().map(|first| first.number), Some(HISTORY as u64));
    }
}
