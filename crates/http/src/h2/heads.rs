//! The heads and trailers of one connection's open streams.
//!
//! HPACK makes heads of next to nothing: a byte may stand for kilobytes (RFC 7541 §7.3). Beyond a small free part, what
//! they hold once decoded is reserved from the budget: of requests until they were answered, and of what comes later until
//! the stream is gone.

use std::cell::Cell;
use std::rc::Rc;

use crate::budget::{Budget, Reservation};
use crate::limits::HEAD_FREE;

/// Of one connection.
#[derive(Debug)]
pub(super) struct Heads {
    bytes: Cell<usize>,
    budget: Option<Budget>,
}

/// A head in its connection's account, until this is dropped.
#[derive(Debug)]
pub(super) struct Held {
    heads: Rc<Heads>,
    size: usize,
    reservation: Option<Reservation>,
}

impl Heads {
    pub(super) fn new(budget: Option<Budget>) -> Rc<Self> {
        Rc::new(Self { bytes: Cell::new(0), budget })
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.get() == 0
    }

    /// Counts a head of so many bytes; `None` when it is one too many.
    pub(super) fn count(self: &Rc<Self>, size: usize) -> Option<Held> {
        let all = self.bytes.get() + size;
        let reservation = match self.budget.as_ref().filter(|_| all > HEAD_FREE) {
            Some(budget) => Some(budget.try_reserve(size)?),
            None => None,
        };
        self.bytes.set(all);
        Some(Held { heads: Rc::clone(self), size, reservation })
    }
}

impl Held {
    /// Counts so many bytes more, and says whether it did.
    pub(super) fn grow(&mut self, more: usize) -> bool {
        let all = self.heads.bytes.get() + more;
        if let Some(budget) = self.heads.budget.as_ref().filter(|_| all > HEAD_FREE) {
            let is_granted = match &mut self.reservation {
                Some(reservation) => reservation.grow(more),
                reservation => {
                    *reservation = budget.try_reserve(more);
                    reservation.is_some()
                }
            };
            if !is_granted {
                return false;
            }
        }
        self.heads.bytes.set(all);
        self.size += more;
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.heads.bytes.set(self.heads.bytes.get().saturating_sub(self.size));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_free_part_the_budget_decides() {
        let budget = Budget::new(10_000);
        let heads = Heads::new(Some(budget.clone()));
        let free = heads.count(HEAD_FREE).expect("free");
        assert_eq!(budget.used(), 0);
        let lent = heads.count(6000).expect("lent");
        assert_eq!(budget.used(), 6000);
        assert!(heads.count(6000).is_none());
        let mut grown = heads.count(1000).expect("lent");
        assert!(grown.grow(2000) && !grown.grow(2000));
        assert_eq!(budget.used(), 9000);
        drop((free, lent, grown));
        assert_eq!((budget.used(), heads.bytes.get()), (0, 0));
    }
}
