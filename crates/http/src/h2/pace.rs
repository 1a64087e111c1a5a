//! How often a peer may do what costs this side more than itself.
//!
//! Each kind of such things fills a bucket that empties at the pace of a peer that means well.

use std::time::Instant;

/// A bucket that overflows at `most`, and from which `per_second` flow off.
#[derive(Debug)]
pub(super) struct Pace {
    level: f64,
    since: Option<Instant>,
    most: f64,
    per_second: f64,
}

impl Pace {
    pub(super) const fn new(most: f64, per_second: f64) -> Self {
        Self { level: 0.0, since: None, most, per_second }
    }

    /// It was done once more; whether that was too often.
    pub(super) fn exceeds(&mut self) -> bool {
        self.exceeds_at(Instant::now())
    }

    fn exceeds_at(&mut self, now: Instant) -> bool {
        let passed =
            self.since.replace(now).map_or(0.0, |since| now.saturating_duration_since(since).as_secs_f64());
        self.level = (self.level - passed * self.per_second).max(0.0) + 1.0;
        self.level > self.most
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_is_too_much_and_a_steady_few_are_not() {
        let mut pace = Pace::new(500.0, 50.0);
        let begin = Instant::now();
        for second in 0..600 {
            for _ in 0..40 {
                assert!(!pace.exceeds_at(begin + Duration::from_secs(second)));
            }
        }
        let end = begin + Duration::from_secs(600);
        assert_eq!((0..1000).position(|_| pace.exceeds_at(end)), Some(500));
    }
}
