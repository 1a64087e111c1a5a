//! Pauses between attempts: longer each time, and different for everyone.

use std::time::Duration;

use crate::limits::{BACKOFF_FIRST, BACKOFF_MAX, BACKOFF_RESET};

/// The next pause.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { next: BACKOFF_FIRST }
    }

    /// The pause after an attempt or a stream that lived this long: between a half and the whole of a time that
    /// doubles, so that proxies that lost their control plane together do not come back together.
    pub(crate) fn pause(&mut self, lived: Duration) -> Duration {
        if lived >= BACKOFF_RESET {
            self.next = BACKOFF_FIRST;
        }
        let whole = self.next;
        self.next = (whole * 2).min(BACKOFF_MAX);
        whole.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_limit_and_start_over_after_a_healthy_stream() {
        let mut backoff = Backoff::new();
        let mut whole = BACKOFF_FIRST;
        for _ in 0..10 {
            let pause = backoff.pause(Duration::ZERO);
            assert!(pause >= whole / 2 && pause <= whole, "{pause:?} of {whole:?}");
            whole = (whole * 2).min(BACKOFF_MAX);
        }
        assert!(backoff.pause(Duration::ZERO) >= BACKOFF_MAX / 2);
        assert!(backoff.pause(BACKOFF_RESET) <= BACKOFF_FIRST);
    }
}
