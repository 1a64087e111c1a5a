//! What is shared under a key, and survives while anybody holds it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Entries that may be dead before they are looked for.
const DEAD: usize = 64;

/// A table of shared values, with at most so many entries.
#[derive(Debug)]
pub(super) struct Kept<K, V> {
    most: usize,
    entries: Mutex<Entries<K, V>>,
}

#[derive(Debug)]
struct Entries<K, V> {
    map: HashMap<K, Weak<V>>,
    /// Entries that were in use when unused ones were last removed, and values made since.
    used: usize,
    made: usize,
}

impl<K: Eq + Hash, V> Kept<K, V> {
    pub(super) fn new(most: usize) -> Self {
        Self { most, entries: Mutex::new(Entries { map: HashMap::new(), used: 0, made: 0 }) }
    }

    /// The value under a key, made where there is none. Beyond the table's limit it is new each time.
    pub(super) fn of(&self, key: K, make: impl FnOnce() -> V) -> Arc<V> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = entries.map.get(&key).and_then(Weak::upgrade) {
            return value;
        }
        // A sweep costs as much as there are entries, so it waits until they have doubled.
        entries.made += 1;
        if entries.made > entries.used.max(DEAD) {
            entries.map.retain(|_, value| value.strong_count() > 0);
            entries.used = entries.map.len();
            entries.made = 0;
        }
        let value = Arc::new(make());
        if entries.map.len() < self.most {
            entries.map.insert(key, Arc::downgrade(&value));
        }
        value
    }

    /// How many entries there are, unused ones that were not swept yet included.
    pub(super) fn len(&self) -> usize {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).map.len()
    }
}
