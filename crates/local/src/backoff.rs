//! Pauses before something that crashed is started again.

use std::time::{Duration, Instant};

use crate::limits::{BACKOFF_FIRST, BACKOFF_LONGEST, BACKOFF_RESET};

/// Doubles the pause with each crash, and forgets crashes after a long enough sound run.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    started: Instant,
}

impl Backoff {
    /// For something that starts now.
    pub(crate) fn new(now: Instant) -> Self {
        Self { next: BACKOFF_FIRST, started: now }
    }

    /// It starts (again) now.
    pub(crate) fn started(&mut self, now: Instant) {
        self.started = now;
    }

    /// It crashed now: how long to wait before the next start.
    pub(crate) fn crashed(&mut self, now: Instant) -> Duration {
        if now.saturating_duration_since(self.started) >= BACKOFF_RESET {
            self.next = BACKOFF_FIRST;
        }
        let pause = self.next;
        self.next = (pause * 2).min(BACKOFF_LONGEST);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_start_over() {
        let start = Instant::now();
        let mut backoff = Backoff::new(start);
        let pauses: Vec<u128> = (0..9).map(|_| backoff.crashed(start).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 15_000]);
        backoff.started(start);
        assert_eq!(backoff.crashed(start + BACKOFF_RESET), BACKOFF_FIRST);
    }
}
