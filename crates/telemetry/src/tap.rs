//! Live copies of access records for whoever watches, such as the console.
//!
//! While nobody watches, a record costs one relaxed load. Invariant: a watcher never delays traffic; one that is too
//! slow misses records and learns how many.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::access::{AccessRecord, Format, Shown};
use crate::limits::{TAP_QUEUE, TAPS};

/// Chooses records. Runs on the thread that carries the traffic: it must be quick.
pub type Filter = Box<dyn Fn(&AccessRecord<'_>) -> bool + Send + Sync>;

/// Where records can be watched. Clones are the same place.
#[derive(Clone, Debug, Default)]
pub struct Tap(Arc<Shared>);

#[derive(Default)]
struct Shared {
    watchers: AtomicUsize,
    list: Mutex<Vec<Watcher>>,
}

struct Watcher {
    filter: Filter,
    lines: Sender<Box<[u8]>>,
    missed: Arc<AtomicU64>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tap").field("watchers", &self.watchers).finish_non_exhaustive()
    }
}

/// The records that a watcher gets. Dropping it ends the watch.
#[derive(Debug)]
pub struct Watch {
    lines: Receiver<Box<[u8]>>,
    missed: Arc<AtomicU64>,
}

/// There are [`TAPS`] watchers already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{TAPS} others are watching already")]
pub struct TooMany;

impl Tap {
    /// A place where nobody watches yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether anybody watches: ask before making a record only for this.
    pub fn is_watched(&self) -> bool {
        self.0.watchers.load(Ordering::Relaxed) > 0
    }

    /// Shows a record to those who want it.
    pub fn offer(&self, record: &AccessRecord<'_>) {
        if !self.is_watched() {
            return;
        }
        let mut list = self.lock();
        let mut line = Vec::new();
        list.retain(|watcher| {
            if watcher.lines.is_closed() {
                return false;
            }
            if (watcher.filter)(record) {
                if line.is_empty() {
                    record.encode(Format::Json, &mut Shown::new(), &mut line);
                }
                if watcher.lines.try_send(line.as_slice().into()).is_err() {
                    watcher.missed.fetch_add(1, Ordering::Relaxed);
                }
            }
            true
        });
        self.0.watchers.store(list.len(), Ordering::Relaxed);
    }

    /// Watches the records that `filter` chooses.
    ///
    /// # Errors
    /// When too many watch already.
    pub fn watch(&self, filter: Filter) -> Result<Watch, TooMany> {
        let mut list = self.lock();
        list.retain(|watcher| !watcher.lines.is_closed());
        if list.len() >= TAPS {
            return Err(TooMany);
        }
        let (sender, lines) = channel(TAP_QUEUE);
        let missed = Arc::new(AtomicU64::new(0));
        list.push(Watcher { filter, lines: sender, missed: missed.clone() });
        self.0.watchers.store(list.len(), Ordering::Relaxed);
        Ok(Watch { lines, missed })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Watcher>> {
        self.0.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    /// The next record as a line of JSON. Ends when the tap is gone. Safe to cancel.
    pub async fn next(&mut self) -> Option<Box<[u8]>> {
        self.lines.recv().await
    }

    /// How many records were missed since this was last asked.
    pub fn missed(&self) -> u64 {
        self.missed.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn record(code: u16) -> AccessRecord<'static> {
        AccessRecord { response_code: code, ..AccessRecord::new(UNIX_EPOCH) }
    }

    #[tokio::test]
    async fn watchers_get_what_they_chose() {
        let tap = Tap::new();
        assert!(!tap.is_watched());
        let mut errors = tap.watch(Box::new(|record| record.response_code >= 500)).unwrap();
        let mut all = tap.watch(Box::new(|_| true)).unwrap();
        [200, 503].iter().for_each(|code| tap.offer(&record(*code)));
        let code = |line: Option<Box<[u8]>>| {
            let record: serde_json::Value = serde_json::from_slice(&line.unwrap()).unwrap();
            record["response_code"].as_u64()
        };
        assert_eq!(code(all.next().await), Some(200));
        assert_eq!(code(all.next().await), Some(503));
        assert_eq!(code(errors.next().await), Some(503));
        drop((all, errors));
        tap.offer(&record(200));
        assert!(!tap.is_watched());
    }

    #[test]
    fn a_slow_watcher_misses_and_learns() {
        let tap = Tap::new();
        let watch = tap.watch(Box::new(|_| true)).unwrap();
        (0..TAP_QUEUE + 3).for_each(|_| tap.offer(&record(200)));
        assert_eq!((watch.missed(), watch.missed()), (3, 0));
    }

    #[test]
    fn watchers_are_few() {
        let tap = Tap::new();
        let mut watches: Vec<_> = (0..TAPS).map(|_| tap.watch(Box::new(|_| true)).unwrap()).collect();
        assert_eq!(tap.watch(Box::new(|_| true)).err(), Some(TooMany));
        watches.pop();
        assert!(tap.watch(Box::new(|_| true)).is_ok());
    }
}
