//! The process-wide budget of buffered bytes.
//!
//! Limits per queue don't bound the sum over queues. Whatever holds bytes beyond what is on its way through a relay
//! (replays, mirrors, requests that wait) reserves them here first and gives them back by dropping the reservation.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::REPLAY_STEP;

/// A number of bytes that may be buffered at once, shared by all cores. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Budget {
    bytes: Arc<Semaphore>,
    limit: usize,
}

impl Budget {
    /// A budget of `limit` bytes; see [`crate::limits::BUFFERED_BYTES`].
    #[must_use]
    pub fn new(limit: usize) -> Self {
        let limit = limit.min(Semaphore::MAX_PERMITS);
        Self { bytes: Arc::new(Semaphore::new(limit)), limit }
    }

    /// The limit in bytes.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Bytes reserved now.
    #[must_use]
    pub fn used(&self) -> usize {
        self.limit.saturating_sub(self.bytes.available_permits())
    }

    /// Whether less than a quarter is left.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.bytes.available_permits() < self.limit / 4
    }

    /// Reserves `bytes` if they are free and nobody waits for them; `None` otherwise.
    #[must_use]
    pub fn try_reserve(&self, bytes: usize) -> Option<Reservation> {
        let permit = Arc::clone(&self.bytes).try_acquire_many_owned(u32::try_from(bytes).ok()?).ok()?;
        Some(Reservation { permit })
    }

    /// Reserves `bytes` if half of the budget stays free, for what is good to have but must not keep others from
    /// what they need.
    #[must_use]
    pub fn try_reserve_spare(&self, bytes: usize) -> Option<Reservation> {
        let spare =
            self.bytes.available_permits().checked_sub(bytes).is_some_and(|left| left >= self.limit / 2);
        if spare { self.try_reserve(bytes) } else { None }
    }

    /// Waits, in order of arrival, until `bytes` are free; `None` if they never can be. Bound the wait by a timeout.
    /// Cancelling gives up the place in the order.
    pub async fn reserve(&self, bytes: usize) -> Option<Reservation> {
        if bytes > self.limit {
            return None;
        }
        let permit = Arc::clone(&self.bytes).acquire_many_owned(u32::try_from(bytes).ok()?).await.ok()?;
        Some(Reservation { permit })
    }
}

/// Bytes reserved; dropping gives them back.
#[derive(Debug)]
pub struct Reservation {
    permit: OwnedSemaphorePermit,
}

impl Reservation {
    /// Bytes reserved.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.permit.num_permits()
    }

    /// Adds bytes if they are free, and says whether it did.
    #[must_use]
    pub fn grow(&mut self, bytes: usize) -> bool {
        let Ok(bytes) = u32::try_from(bytes) else { return false };
        match Arc::clone(self.permit.semaphore()).try_acquire_many_owned(bytes) {
            Ok(more) => {
                self.permit.merge(more);
                true
            }
            Err(_none) => false,
        }
    }

    /// Gives some bytes back; at most all.
    pub fn shrink(&mut self, bytes: usize) {
        drop(self.permit.split(bytes.min(self.permit.num_permits())));
    }
}

/// What a buffer that grows and shrinks has reserved, in steps and only of what can be spared.
#[derive(Debug)]
pub(crate) struct Cover {
    budget: Option<Budget>,
    reserved: Option<Reservation>,
}

impl Cover {
    /// Nothing yet. Without a budget everything is covered.
    pub(crate) const fn new(budget: Option<Budget>) -> Self {
        Self { budget, reserved: None }
    }

    /// Reserves so that `bytes` are covered, and says whether they are.
    pub(crate) fn reach(&mut self, bytes: usize) -> bool {
        let Some(budget) = &self.budget else { return true };
        let held = self.reserved.as_ref().map_or(0, Reservation::bytes);
        let Some(missing) = bytes.checked_sub(held).filter(|missing| *missing > 0) else { return true };
        let step = missing.next_multiple_of(REPLAY_STEP);
        match &mut self.reserved {
            Some(reservation) => reservation.grow(step),
            None => {
                self.reserved = budget.try_reserve_spare(step);
                self.reserved.is_some()
            }
        }
    }

    /// Gives everything back.
    pub(crate) fn release(&mut self) {
        self.reserved = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reservations_are_bounded_and_given_back() {
        let budget = Budget::new(100);
        let mut first = budget.try_reserve(60).expect("free");
        assert!(budget.try_reserve(41).is_none());
        assert!(!first.grow(41));
        assert!(first.grow(40));
        assert_eq!((first.bytes(), budget.used()), (100, 100));
        first.shrink(70);
        assert_eq!(budget.used(), 30);
        first.shrink(1000);
        assert_eq!(budget.used(), 0);
        let second = budget.try_reserve(100).expect("free");
        drop(second);
        assert_eq!(budget.used(), 0);
        assert!(budget.try_reserve(usize::MAX).is_none());
        let spare = budget.try_reserve_spare(50).expect("half stays free");
        assert!(budget.try_reserve_spare(1).is_none());
        drop(spare);
    }

    #[tokio::test]
    async fn waiting_ends_when_bytes_come_back() {
        let budget = Budget::new(10);
        assert!(budget.reserve(11).await.is_none(), "more than there can ever be");
        let held = budget.try_reserve(10).expect("free");
        let waiting = budget.reserve(5);
        tokio::pin!(waiting);
        tokio::select! {
            biased;
            _ = &mut waiting => panic!("nothing is free"),
            () = std::future::ready(()) => {}
        }
        assert!(budget.try_reserve(1).is_none(), "the waiter is first");
        drop(held);
        assert_eq!(waiting.await.expect("free now").bytes(), 5);
    }
}
