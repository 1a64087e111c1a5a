//! When a process is ready: when nothing that it waits for is left.
//!
//! Each part that must come up first holds a [`Pending`]; the last one dropped makes the process ready, for good.
//! Becoming unready is not readiness but the end, see [`drain`](crate::drain).

use std::sync::Arc;
use std::thread;

use tokio::sync::watch;

/// What a process still waits for before it is ready.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<watch::Sender<State>>);

#[derive(Debug, Default)]
struct State {
    /// In the order in which they were announced; names may repeat.
    pending: Vec<&'static str>,
    ready: bool,
}

/// Keeps the process unready until dropped. One that is dropped by a panic stays pending, since what it stood for
/// didn't come up.
#[must_use = "dropping it says that the part is ready"]
#[derive(Debug)]
pub struct Pending {
    name: &'static str,
    of: Readiness,
}

impl Readiness {
    /// A process that isn't ready, and the first thing it waits for. Having one from the start means that it can't be
    /// ready before all its parts were announced.
    pub fn new(first: &'static str) -> (Self, Pending) {
        let readiness = Self(Arc::new(watch::Sender::default()));
        let pending = readiness.pending(first);
        (readiness, pending)
    }

    /// Announces another part to wait for. Without effect once the process was ready.
    pub fn pending(&self, name: &'static str) -> Pending {
        self.0.send_modify(|state| state.pending.push(name));
        Pending { name, of: self.clone() }
    }

    /// Whether everything has come up.
    pub fn is_ready(&self) -> bool {
        self.0.borrow().ready
    }

    /// Waits until everything has come up.
    pub async fn ready(&self) {
        // The sender lives as long as `self`, so the wait can only end by becoming ready.
        let mut state = self.0.subscribe();
        drop(state.wait_for(|state| state.ready).await);
    }

    /// The names of what is missing, for people who ask why a process isn't ready.
    pub fn missing(&self) -> Vec<&'static str> {
        let state = self.0.borrow();
        if state.ready { Vec::new() } else { state.pending.clone() }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if thread::panicking() {
            return;
        }
        self.of.0.send_modify(|state| {
            if let Some(at) = state.pending.iter().position(|name| *name == self.name) {
                state.pending.remove(at);
            }
            state.ready |= state.pending.is_empty();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_dropped_makes_it_ready() {
        let (readiness, start) = Readiness::new("start");
        let listener = readiness.pending("listener");
        let other = readiness.pending("listener");
        drop(start);
        drop(listener);
        assert_eq!(readiness.missing(), ["listener"]);
        assert!(!readiness.is_ready());
        drop(other);
        assert!(readiness.is_ready());
        let late = readiness.pending("late");
        assert!(readiness.is_ready(), "ready is for good");
        assert!(readiness.missing().is_empty());
        drop(late);
    }

    #[test]
    fn a_panic_is_not_ready() {
        let (readiness, start) = Readiness::new("start");
        let ended = thread::spawn(move || {
            let _start = start;
            panic!("on purpose");
        });
        assert!(ended.join().is_err());
        assert!(!readiness.is_ready());
        assert_eq!(readiness.missing(), ["start"]);
    }

    #[tokio::test]
    async fn waiters_are_woken() {
        let (readiness, start) = Readiness::new("start");
        let waiter = crate::spawn("waiter", {
            let readiness = readiness.clone();
            async move { readiness.ready().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished());
        drop(start);
        assert_eq!(waiter.await, Ok(()));
        readiness.ready().await;
    }
}
