//! Circuit breakers: how much may be under way to a destination at once.
//!
//! A breaker counts for one service port and subset, over all cores and across snapshots. What it holds is given back
//! when the [`Taken`] is dropped. It only counts: whoever is refused decides whether to wait or to fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use leno_model::pool::ConnectionPool;

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    /// Connections, idle ones included.
    Connections,
    /// Requests that wait for a connection.
    Pending,
    /// Requests, those that wait included.
    Requests,
}

/// The counts of one service port and subset.
#[derive(Debug, Default)]
pub struct Breaker {
    connections: AtomicU32,
    pending: AtomicU32,
    requests: AtomicU32,
}

/// The limits of a service port and subset, in one place for whoever holds on to them.
#[derive(Debug)]
pub struct Limits {
    /// What is written.
    pub pool: ConnectionPool,
    /// What is under way.
    pub breaker: Arc<Breaker>,
}

/// One of what is limited, until it is dropped.
#[derive(Debug)]
#[must_use = "dropping it gives it back"]
pub struct Taken {
    breaker: Arc<Breaker>,
    resource: Resource,
}

impl Breaker {
    /// Takes one more, if that stays within `most`.
    pub fn take(self: &Arc<Self>, resource: Resource, most: u32) -> Option<Taken> {
        let cell = self.cell(resource);
        // The order of everything matters here: whoever is refused says that it waits, and then asks again.
        let more = |count: u32| (count < most).then(|| count.saturating_add(1));
        cell.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).ok()?;
        Some(Taken { breaker: Arc::clone(self), resource })
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self, resource: Resource) -> u32 {
        self.cell(resource).load(Ordering::SeqCst)
    }

    const fn cell(&self, resource: Resource) -> &AtomicU32 {
        match resource {
            Resource::Connections => &self.connections,
            Resource::Pending => &self.pending,
            Resource::Requests => &self.requests,
        }
    }
}

impl Taken {
    /// What it was taken from.
    #[must_use]
    pub const fn breaker(&self) -> &Arc<Breaker> {
        &self.breaker
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.breaker.cell(self.resource).fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_allowed_by_whatever_interleaving() {
        let breaker = Arc::new(Breaker::default());
        let most = 3;
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        let taken = breaker.take(Resource::Requests, most);
                        assert!(breaker.count(Resource::Requests) <= most);
                        drop(taken);
                    }
                });
            }
        });
        assert_eq!(breaker.count(Resource::Requests), 0);
        assert!(breaker.take(Resource::Pending, 0).is_none(), "0 is none at all");
    }
}
