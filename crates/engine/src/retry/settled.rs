//! Requests whose failure this proxy has retried in vain.
//!
//! An application fails because what it called has failed. Its own proxy sees both: the call that was retried, and the
//! answer that follows from it. What ties them together is the request id, which applications carry on for the sake of
//! traces. Forging an id changes only how the forger's own failures are retried.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::limits::SETTLED_REQUESTS;
use crate::rng::mix;

/// A table of hashes of request ids, without locks; later ids overwrite earlier ones.
#[derive(Debug)]
pub struct Settled {
    seed: u64,
    slots: Box<[AtomicU64]>,
}

impl Settled {
    /// An empty table. `seed` keeps callers from choosing ids that meet.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, slots: (0..SETTLED_REQUESTS).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Remembers a request.
    pub fn note(&self, id: &[u8]) {
        let hash = self.hash(id);
        if let Some(slot) = self.slot(hash) {
            slot.store(hash, Ordering::Relaxed);
        }
    }

    /// Whether the request is remembered.
    #[must_use]
    pub fn holds(&self, id: &[u8]) -> bool {
        let hash = self.hash(id);
        self.slot(hash).is_some_and(|slot| slot.load(Ordering::Relaxed) == hash)
    }

    fn slot(&self, hash: u64) -> Option<&AtomicU64> {
        let count = u64::try_from(self.slots.len()).ok().filter(|count| *count > 0)?;
        self.slots.get(usize::try_from(hash % count).ok()?)
    }

    /// Never 0, which is an empty slot.
    fn hash(&self, id: &[u8]) -> u64 {
        let fold = |hash: u64, chunk: &[u8]| {
            let word = chunk.iter().fold(0, |word: u64, byte| (word << 8) | u64::from(*byte));
            mix(hash ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15)
        };
        id.chunks(8).fold(mix(self.seed ^ id.len() as u64), fold).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_requests_are_remembered() {
        let settled = Settled::new(3);
        assert!(!settled.holds(b""));
        for number in 0..100_u32 {
            let id = number.to_string();
            assert!(!settled.holds(id.as_bytes()), "{id}");
            settled.note(id.as_bytes());
            assert!(settled.holds(id.as_bytes()), "{id}");
        }
        let kept = (0..100_u32).filter(|number| settled.holds(number.to_string().as_bytes())).count();
        assert!(kept > 80, "{kept}");
        assert_eq!(settled.slots.len(), SETTLED_REQUESTS);
    }
}
