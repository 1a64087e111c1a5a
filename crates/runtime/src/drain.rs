//! An orderly end: graceful first, forced at a deadline.
//!
//! A [`Drain`] is what a task watches: it hears that the drain has [begun](Drain::begun) (accept nothing new, finish
//! what is there) and that it is [forced](Drain::forced) (stop now). What it must finish it covers with a [`Guard`].
//! A [`Trigger`] is the right to start it. Invariant: the stages only go forward.
//!
//! Whatever takes in new work, such as a listener, holds a guard of its own until it has stopped; else the drain could
//! be over while it accepts one more connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::coop::unconstrained;

use crate::limits::FORCED_GRACE;
use crate::time;

#[cfg(test)]
mod tests;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Open,
    Begun,
    Forced,
}

/// Counts the guards and wakes who waits for the last one.
#[derive(Debug, Default)]
struct Guards {
    held: AtomicUsize,
    /// How many were held when the drain was forced.
    cut: AtomicUsize,
    none_left: Notify,
}

/// What a task watches to learn that it should end. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Drain {
    stage: watch::Receiver<Stage>,
    guards: Arc<Guards>,
}

/// The right to start a drain. Dropping it without a [`run`](Self::run) means that the drain never begins.
#[derive(Debug)]
pub struct Trigger {
    stage: watch::Sender<Stage>,
    guards: Arc<Guards>,
}

/// Delays the end of a drain until dropped.
#[must_use = "a guard that is dropped at once delays nothing"]
#[derive(Debug)]
pub struct Guard(Arc<Guards>);

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything finished by itself.
    Graceful,
    /// The deadline passed, or somebody forced it, and `cut` guards were still held then.
    Forced {
        /// How many were cut short.
        cut: usize,
        /// How many didn't even stop when told so.
        stuck: usize,
    },
}

/// A drain that hasn't begun.
pub fn new() -> (Trigger, Drain) {
    let (sender, stage) = watch::channel(Stage::Open);
    let guards = Arc::new(Guards::default());
    (Trigger { stage: sender, guards: guards.clone() }, Drain { stage, guards })
}

impl Drain {
    /// Waits until the drain has begun. Never ends when its trigger was dropped.
    ///
    /// Safe to cancel. Registering costs a lock, so a loop should pin it once instead of calling it in each round. One poll
    /// registers, so whoever polls it with the same waker need not do so again before [`is_open`](Self::is_open) denies.
    pub async fn begun(&self) {
        self.reached(Stage::Begun).await;
    }

    /// Waits until the drain is forced: stop now. Otherwise as [`begun`](Self::begun).
    pub async fn forced(&self) {
        self.reached(Stage::Forced).await;
    }

    /// Whether the drain hasn't begun. Takes no lock, where that is so.
    pub fn is_open(&self) -> bool {
        // Nobody marks a later stage as seen by this receiver.
        matches!(self.stage.has_changed(), Ok(false)) || *self.stage.borrow() == Stage::Open
    }

    /// Whether the drain has begun.
    pub fn is_begun(&self) -> bool {
        *self.stage.borrow() >= Stage::Begun
    }

    /// Whether the drain is forced.
    pub fn is_forced(&self) -> bool {
        *self.stage.borrow() >= Stage::Forced
    }

    /// Delays the end of the drain until the guard is dropped. May be called at any stage.
    pub fn guard(&self) -> Guard {
        self.guards.held.fetch_add(1, Ordering::Relaxed);
        Guard(self.guards.clone())
    }

    /// How many guards are held.
    pub fn held(&self) -> usize {
        self.guards.held.load(Ordering::Relaxed)
    }

    /// Waits until no guard is held.
    pub async fn drained(&self) {
        self.guards.drained().await;
    }

    async fn reached(&self, stage: Stage) {
        let mut watched = self.stage.clone();
        // Asked by a task that has used its budget up, `wait_for` registers nobody and only asks to be polled again.
        if unconstrained(watched.wait_for(|now| *now >= stage)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Trigger {
    /// Runs the drain: lets everything finish, forces it after `deadline`, and gives what was forced a moment to stop.
    ///
    /// When cancelled, the drain stays at the stage it has reached.
    pub async fn run(&self, deadline: Duration) -> Outcome {
        self.advance(Stage::Begun);
        let mut stage = self.stage.subscribe();
        tokio::select! {
            biased;
            _forced = stage.wait_for(|now| *now >= Stage::Forced) => {}
            () = self.guards.drained() => return Outcome::Graceful,
            () = time::sleep(deadline) => self.advance(Stage::Forced),
        }
        let _late = time::timeout(FORCED_GRACE, self.guards.drained()).await;
        Outcome::Forced {
            cut: self.guards.cut.load(Ordering::Relaxed),
            stuck: self.guards.held.load(Ordering::Relaxed),
        }
    }

    /// Forces the drain at once, whether or not it has begun; a [`run`](Self::run) under way then ends soon.
    pub fn force(&self) {
        self.advance(Stage::Forced);
    }

    fn advance(&self, to: Stage) {
        self.stage.send_if_modified(|now| {
            let forward = to > *now;
            if forward && to == Stage::Forced {
                self.guards.cut.store(self.guards.held.load(Ordering::Relaxed), Ordering::Relaxed);
            }
            *now = to.max(*now);
            forward
        });
    }
}

impl Guards {
    async fn drained(&self) {
        loop {
            let mut none_left = std::pin::pin!(self.none_left.notified());
            none_left.as_mut().enable();
            // Acquire: what the guards' holders did before they dropped them is seen by who waits for that.
            if self.held.load(Ordering::Acquire) == 0 {
                return;
            }
            none_left.await;
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.0.held.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.none_left.notify_waiters();
        }
    }
}
