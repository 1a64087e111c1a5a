//! Time that tests can pause.
//!
//! [`Instant`] is tokio's, so a paused runtime stops it. The wall clock is for people and certificates only: nothing is
//! measured with it. What a task does between two waits takes microseconds, so it reads the clock once ([`recent`]).

use std::cell::Cell;
use std::time::SystemTime;

pub use tokio::time::Instant;

use crate::limits::WALL_ANCHOR;

/// A moment on both clocks.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    instant: Instant,
    wall: SystemTime,
}

/// Tells the time. Copy it to wherever time is asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    /// Where the wall clock stood at some instant; without it the system's is read.
    fixed: Option<Anchor>,
}

thread_local! {
    /// While a task runs: when it first asked for the time.
    static TURN: Cell<Turn> = const { Cell::new(Turn::Nobody) };
    static ANCHOR: Cell<Option<Anchor>> = const { Cell::new(None) };
    /// What was told last of the system's clock: a task's instant is asked for more than once.
    static TOLD: Cell<Option<Anchor>> = const { Cell::new(None) };
}

/// What this thread runs.
#[derive(Clone, Copy, Debug)]
enum Turn {
    /// No task.
    Nobody,
    /// A task that hasn't asked for the time.
    Begun,
    /// A task, and the time that it was told.
    Told(Instant),
}

/// Now, as of the first time that the running task asked since it was woken; outside of tasks, now.
pub fn recent() -> Instant {
    match TURN.get() {
        Turn::Told(instant) => instant,
        Turn::Begun => {
            let now = Instant::now();
            TURN.set(Turn::Told(now));
            now
        }
        Turn::Nobody => Instant::now(),
    }
}

/// Runs a task until it waits, with a time of its own.
pub(crate) fn turn<T>(run: impl FnOnce() -> T) -> T {
    struct Back(Turn);
    impl Drop for Back {
        fn drop(&mut self) {
            TURN.set(self.0);
        }
    }
    let _back = Back(TURN.replace(Turn::Begun));
    run()
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock whose wall time is `wall` now and goes on with [`Instant`]: under a paused runtime it stands still too.
    pub fn starting_at(wall: SystemTime) -> Self {
        Self { fixed: Some(Anchor { instant: Instant::now(), wall }) }
    }

    /// Now, for measuring.
    pub fn now(&self) -> Instant {
        Instant::now()
    }

    /// Now, for people and certificates.
    pub fn wall(&self) -> SystemTime {
        match self.fixed {
            Some(anchor) => anchor.wall_at(Instant::now()),
            None => SystemTime::now(),
        }
    }

    /// What the wall clock showed at [`recent`].
    pub fn recent_wall(&self) -> SystemTime {
        self.wall_at(recent())
    }

    /// What the wall clock showed at an instant that was just taken. Cheaper than [`wall`](Self::wall), for records that
    /// have the instant already; exact but for a step of the system's clock within the last second.
    pub fn wall_at(&self, instant: Instant) -> SystemTime {
        if let Some(anchor) = self.fixed {
            return anchor.wall_at(instant);
        }
        match TOLD.get() {
            Some(told) if told.instant == instant => told.wall,
            _ => {
                let wall = Anchor::recent(instant).wall_at(instant);
                TOLD.set(Some(Anchor { instant, wall }));
                wall
            }
        }
    }
}

impl Anchor {
    /// This thread's anchor, renewed when the instant is too far ahead of it.
    fn recent(instant: Instant) -> Self {
        match ANCHOR.get() {
            Some(anchor) if instant < anchor.instant + WALL_ANCHOR => anchor,
            _ => {
                let anchor = Self { instant: Instant::now(), wall: SystemTime::now() };
                ANCHOR.set(Some(anchor));
                anchor
            }
        }
    }

    fn wall_at(self, instant: Instant) -> SystemTime {
        let at = match instant.checked_duration_since(self.instant) {
            Some(later) => self.wall.checked_add(later),
            None => self.wall.checked_sub(self.instant - instant),
        };
        at.unwrap_or(self.wall)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_fixed_clock_goes_with_the_runtime() {
        let start = UNIX_EPOCH + Duration::from_secs(1_000_000);
        let clock = Clock::starting_at(start);
        let before = clock.now();
        assert_eq!(clock.wall(), start);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(clock.wall(), start + Duration::from_secs(60));
        assert_eq!(clock.wall_at(before), start);
        assert_eq!(clock.wall_at(before - Duration::from_secs(5)), start - Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_s_time_stands_still_until_it_waits() {
        let step = Duration::from_secs(1);
        let task = crate::task::spawn("asks", async move {
            let first = recent();
            tokio::time::advance(step).await;
            let second = recent();
            assert_eq!(second, first + step);
            // Another's turn within this one leaves it as it was.
            assert_eq!(turn(recent), second);
            assert_eq!(recent(), second);
        });
        task.await.expect("ends well");
        let before = recent();
        tokio::time::advance(step).await;
        assert_eq!(recent(), before + step);
    }

    #[test]
    fn an_instant_is_dated_close_to_the_system_clock() {
        let clock = Clock::system();
        for _ in 0..3 {
            let (before, instant, after) = (SystemTime::now(), clock.now(), SystemTime::now());
            let dated = clock.wall_at(instant);
            let slack = Duration::from_millis(50);
            assert!(dated >= before - slack && dated <= after + slack);
        }
    }
}
