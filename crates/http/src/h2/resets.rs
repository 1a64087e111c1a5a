//! How often a client may take a request back.
//!
//! A reset frees the client's place for the next stream at once, while here a connection to the upstream was opened for
//! nothing, so resets must cost the client something (CVE-2023-44487). `h2` counts only those that come before the
//! request was accepted; this counts all, by a bucket that empties at the pace of a client that means well.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use crate::limits::{H2_RESETS, H2_RESETS_PER_SECOND};

/// Of one connection.
#[derive(Debug)]
pub(super) struct Resets {
    /// Resets that haven't been forgotten.
    level: Cell<f64>,
    since: Cell<Instant>,
}

impl Resets {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self { level: Cell::new(0.0), since: Cell::new(Instant::now()) })
    }

    /// The client has reset a stream that was being served.
    pub(super) fn count(&self) {
        self.count_at(Instant::now());
    }

    fn count_at(&self, now: Instant) {
        let forgotten = now.saturating_duration_since(self.since.get()).as_secs_f64() * H2_RESETS_PER_SECOND;
        self.level.set((self.level.get() - forgotten).max(0.0) + 1.0);
        self.since.set(now);
    }

    /// Whether there were more than a client that means well would need.
    pub(super) fn are_too_many(&self) -> bool {
        self.level.get() > H2_RESETS
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_is_too_much_and_a_steady_few_are_not() {
        let resets = Resets::new();
        let begin = Instant::now();
        for second in 0..600 {
            for _ in 0..40 {
                resets.count_at(begin + Duration::from_secs(second));
            }
        }
        assert!(!resets.are_too_many());
        for _ in 0..=500 {
            resets.count_at(begin + Duration::from_secs(600));
        }
        assert!(resets.are_too_many());
    }
}
