//! Compiled units, remembered by what they were compiled from.
//!
//! A unit is looked up by its key and its inputs, compared as they are: what is found was compiled from the same. Units
//! with the same content are one in memory, whatever they were compiled from.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use leno_model::span::ObjectRef;
use leno_telemetry::Counter;
use leno_wire::unit::Unsendable;
use leno_wire::{Encoded, Unit};

use super::Inputs;

/// A compiled unit.
#[derive(Debug)]
pub struct Compiled {
    /// The unit.
    pub unit: Unit,
    /// The unit as it travels; an error where no proxy would take it.
    pub encoded: Result<Arc<Encoded>, Unsendable>,
    /// The objects that it says something of, each once.
    pub objects: Arc<[ObjectRef]>,
}

impl Compiled {
    /// Compiles a unit.
    #[must_use]
    pub fn new(inputs: &impl Inputs) -> Self {
        let unit = inputs.compile();
        let mut objects = inputs.objects();
        objects.sort_unstable();
        objects.dedup();
        Self { encoded: Encoded::new(&unit).map(Arc::new), unit, objects: objects.into() }
    }
}

/// How often units were compiled, and how often that was spared.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Compilations.
    pub compiled: Counter,
    /// Units found.
    pub reused: Counter,
}

/// The units of one kind.
#[derive(Debug)]
pub struct Memo<K, I> {
    entries: Mutex<HashMap<K, Vec<Entry<I>>>>,
    counts: Counts,
}

#[derive(Debug)]
struct Entry<I> {
    inputs: I,
    compiled: Arc<Compiled>,
    /// The last catalog that asked for it.
    used: u64,
}

impl<K: Hash + Eq + Clone, I: Inputs> Memo<K, I> {
    /// Nothing yet.
    #[must_use]
    pub fn new(counts: Counts) -> Self {
        Self { entries: Mutex::default(), counts }
    }

    /// The unit of a key, compiled from these inputs now or earlier. `catalog` is the number of the one that asks.
    pub fn compiled(&self, key: &K, inputs: I, catalog: u64) -> Arc<Compiled> {
        if let Some(found) = self.find(key, &inputs, catalog) {
            self.counts.reused.inc();
            return found;
        }
        // Without the lock: another thread may compile the same, which is wasted and harmless.
        let mut compiled = Compiled::new(&inputs);
        self.counts.compiled.inc();
        let mut entries = self.lock();
        let entries = entries.entry(key.clone()).or_default();
        if let Some(known) = entries.iter_mut().find(|entry| entry.inputs == inputs) {
            known.used = known.used.max(catalog);
            return Arc::clone(&known.compiled);
        }
        for entry in entries.iter() {
            if let (Ok(known), Ok(new)) = (&entry.compiled.encoded, &mut compiled.encoded)
                && known.version() == new.version()
            {
                *new = Arc::clone(known);
                compiled.unit = entry.compiled.unit.clone();
                break;
            }
        }
        let compiled = Arc::new(compiled);
        entries.push(Entry { inputs, compiled: Arc::clone(&compiled), used: catalog });
        compiled
    }

    /// Forgets what no catalog from this number on has asked for.
    pub fn forget(&self, before: u64) {
        self.lock().retain(|_, entries| {
            entries.retain(|entry| entry.used >= before);
            !entries.is_empty()
        });
    }

    fn find(&self, key: &K, inputs: &I, catalog: u64) -> Option<Arc<Compiled>> {
        let mut entries = self.lock();
        let found = entries.get_mut(key)?.iter_mut().find(|entry| entry.inputs == *inputs)?;
        found.used = found.used.max(catalog);
        Some(Arc::clone(&found.compiled))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<K, Vec<Entry<I>>>> {
        // Entries are added and removed whole.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
