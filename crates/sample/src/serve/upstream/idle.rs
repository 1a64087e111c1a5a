//! Connections that wait for their next use.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::limits;

/// Idle connections, the latest used first; those that have been idle for long aren't used, since a server may be about
/// to close them.
#[derive(Debug)]
pub(super) struct Idle<T>(Mutex<Vec<(T, Instant)>>);

impl<T> Idle<T> {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// The latest connection that is still usable; those that aren't are dropped.
    pub(super) fn take(&self, usable: impl Fn(&T) -> bool) -> Option<T> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((connection, since)) = idle.pop() {
            if since.elapsed() < limits::IDLE_AGE && usable(&connection) {
                return Some(connection);
            }
        }
        None
    }

    pub(super) fn put(&self, connection: T) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < limits::IDLE_CONNECTIONS {
            idle.push((connection, Instant::now()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_connections_are_bounded_and_checked() {
        let idle = Idle::new();
        (0..limits::IDLE_CONNECTIONS + 9).for_each(|n| idle.put(n));
        assert_eq!(idle.take(|n| n % 10 == 0), Some(60));
        assert_eq!(idle.take(|_| false), None);
        assert_eq!(idle.take(|_| true), None);
    }
}
