//! The phases of a process: starting, ready, draining, stopped.
//!
//! Invariant: the phase only goes forward. It follows from [`Readiness`] and [`Drain`], which it owns.

use std::time::Duration;

use tokio::sync::watch;

use crate::drain::{self, Drain, Outcome};
use crate::readiness::{Pending, Readiness};

/// Where a process is between its start and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Parts are still coming up.
    Starting,
    /// It takes work.
    Ready,
    /// It takes no new work and finishes what it has. Its readiness probe fails.
    Draining,
    /// Everything has ended or was cut.
    Stopped,
}

impl Phase {
    /// The phase's name in the admin API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
        }
    }
}

/// The life of a process. Shared behind an `Arc` by those who ask and the one who ends it.
#[derive(Debug)]
pub struct Lifecycle {
    readiness: Readiness,
    trigger: drain::Trigger,
    drain: Drain,
    /// Only ever `Starting`, `Draining` or `Stopped`: being ready is asked of `readiness`.
    end: watch::Sender<Phase>,
}

impl Lifecycle {
    /// A process that is starting, and the first thing its readiness waits for.
    pub fn new(first: &'static str) -> (Self, Pending) {
        let (readiness, pending) = Readiness::new(first);
        let (trigger, drain) = drain::new();
        (Self { readiness, trigger, drain, end: watch::Sender::new(Phase::Starting) }, pending)
    }

    /// Where the process is.
    pub fn phase(&self) -> Phase {
        match *self.end.borrow() {
            Phase::Starting if self.readiness.is_ready() => Phase::Ready,
            phase => phase,
        }
    }

    /// What the process waits for before it is ready.
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// What tasks watch to learn that they should end.
    pub fn drain(&self) -> &Drain {
        &self.drain
    }

    /// Waits until the process has reached this phase or a later one.
    pub async fn reached(&self, phase: Phase) {
        let mut end = self.end.subscribe();
        let ended = async {
            drop(end.wait_for(|now| *now >= phase.max(Phase::Draining)).await);
        };
        match phase {
            Phase::Starting => {}
            Phase::Ready => tokio::select! {
                () = self.readiness.ready() => {}
                () = ended => {}
            },
            Phase::Draining | Phase::Stopped => ended.await,
        }
    }

    /// Ends the process: drains it, forces what isn't done at the deadline, and calls it stopped.
    pub async fn stop(&self, deadline: Duration) -> Outcome {
        self.advance(Phase::Draining);
        let outcome = self.trigger.run(deadline).await;
        self.advance(Phase::Stopped);
        outcome
    }

    /// Cuts a drain short, as a second interrupt does.
    pub fn force(&self) {
        self.advance(Phase::Draining);
        self.trigger.force();
    }

    fn advance(&self, to: Phase) {
        self.end.send_if_modified(|now| {
            let forward = to > *now;
            *now = to.max(*now);
            forward
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn goes_forward_only() {
        let (life, start) = Lifecycle::new("start");
        assert_eq!(life.phase(), Phase::Starting);
        drop(start);
        life.reached(Phase::Ready).await;
        assert_eq!(life.phase(), Phase::Ready);

        let life = Arc::new(life);
        let guard = life.drain().guard();
        let stop = crate::spawn("stop", {
            let life = life.clone();
            async move { life.stop(Duration::from_secs(5)).await }
        });
        life.reached(Phase::Draining).await;
        assert_eq!(life.phase(), Phase::Draining);
        life.reached(Phase::Ready).await;
        drop(guard);
        assert_eq!(stop.await, Ok(Outcome::Graceful));
        assert_eq!(life.phase(), Phase::Stopped);
        life.force();
        assert_eq!(life.phase(), Phase::Stopped);
    }

    #[tokio::test]
    async fn a_process_that_ends_before_it_was_ready_wakes_who_waits() {
        let (life, _start) = Lifecycle::new("start");
        assert_eq!(life.stop(Duration::ZERO).await, Outcome::Graceful);
        life.reached(Phase::Ready).await;
        assert_eq!(life.phase(), Phase::Stopped);
    }
}
