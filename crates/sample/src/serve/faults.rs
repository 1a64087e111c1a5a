//! Artificial latency and failures, the same for the same seed and order of requests.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;

/// What goes wrong on purpose.
#[derive(Debug)]
pub(crate) struct Faults {
    latency: Duration,
    jitter: Duration,
    error_rate: f64,
    status: StatusCode,
    random: Mutex<fastrand::Rng>,
}

impl Faults {
    pub(crate) fn new(latency: Duration, jitter: Duration, error_rate: f64, status: u16, seed: u64) -> Self {
        Self {
            latency,
            jitter,
            error_rate,
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE),
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
        }
    }

    /// The status with which to fail, for the service's share of requests.
    pub(crate) async fn strike(&self) -> Option<StatusCode> {
        let (wait, fails) = self.draw();
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        fails.then_some(self.status)
    }

    /// Draws wait and failure. Both random numbers are always drawn, so that one setting doesn't shift the other.
    fn draw(&self) -> (Duration, bool) {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        let (late, bad) = (random.f64(), random.f64());
        (self.latency + self.jitter.mul_f64(late), bad < self.error_rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_faults() {
        let new = |seed| Faults::new(Duration::from_millis(5), Duration::from_millis(10), 0.2, 503, seed);
        let draws = |faults: &Faults| (0..1000).map(|_| faults.draw()).collect::<Vec<_>>();
        let first = draws(&new(7));
        assert_eq!(first, draws(&new(7)));
        assert_ne!(first, draws(&new(8)));
        let failed = first.iter().filter(|(_, fails)| *fails).count();
        assert!((150..250).contains(&failed), "{failed}");
        assert!(first.iter().all(|(wait, _)| (5..=15).contains(&wait.as_millis())));
    }

    #[test]
    fn never_and_always() {
        let with = |rate| Faults::new(Duration::ZERO, Duration::ZERO, rate, 503, 1);
        assert!((0..100).all(|_| !with(0.0).draw().1 && with(1.0).draw().1));
    }
}
