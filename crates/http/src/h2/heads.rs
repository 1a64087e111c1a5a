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
    /// Bytes of each stream that are never reserved.
    share: usize,
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
    /// None yet. So many bytes of each stream are free, however many the others hold.
    pub(super) fn new(share: usize, budget: Option<Budget>) -> Rc<Self> {
        Rc::new(Self { bytes: Cell::new(0), share, budget })
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.get() == 0
    }

    /// Counts a head of so many bytes; `None` when it is one too many.
    pub(super) fn count(self: &Rc<Self>, size: usize) -> Option<Held> {
        let mut held = Held { heads: Rc::clone(self), size: 0, reservation: None };
        held.grow(size).then_some(held)
    }
}

impl Held {
    /// Counts so many bytes more, and says whether it did.
    pub(super) fn grow(&mut self, more: usize) -> bool {
        let all = self.heads.bytes.get() + more;
        let size = self.size + more;
        let lent = more.min(size.saturating_sub(self.heads.share));
        if let Some(budget) = self.heads.budget.as_ref().filter(|_| all > HEAD_FREE && lent > 0) {
            let is_granted = match &mut self.reservation {
                Some(reservation) => reservation.grow(lent),
                reservation => {
                    *reservation = budget.try_reserve(lent);
                    reservation.is_some()
                }
            };
            if !is_granted {
                return false;
            }
        }
        self.heads.bytes.set(all);
        self.size = size;
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
        let heads = Heads::new(0, Some(budget.clone()));
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

    #[test]
    fn each_stream_s_share_is_free_whatever_the_others_hold() {
        let budget = Budget::new(1000);
        let heads = Heads::new(100, Some(budget.clone()));
        let large = heads.count(HEAD_FREE).expect("free");
        let mut small = heads.count(60).expect("its share");
        assert!(small.grow(40) && budget.used() == 0);
        assert!(small.grow(300) && budget.used() == 300);
        let full = heads.count(800).expect("lent");
        assert!(!small.grow(1) && heads.count(101).is_none() && heads.count(100).is_some());
        drop((large, small, full));
        assert_eq!((budget.used(), heads.bytes.get()), (0, 0));
    }
}
