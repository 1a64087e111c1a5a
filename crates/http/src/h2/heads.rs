//! The heads of one connection's open requests.
//!
//! HPACK makes heads of next to nothing: a byte may stand for kilobytes (RFC 7541 §7.3). Beyond a small free part, what
//! they hold once decoded is reserved from the budget until the request was answered.

use std::cell::Cell;
use std::rc::Rc;

use http::Request;

use crate::budget::{Budget, Reservation};
use crate::limits::HEAD_FREE;

/// What a field costs besides its bytes, as HTTP/2 itself counts it (RFC 9113 §6.5.2).
const FIELD_COST: usize = 32;

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
    _reservation: Option<Reservation>,
}

impl Heads {
    pub(super) fn new(budget: Option<Budget>) -> Rc<Self> {
        Rc::new(Self { bytes: Cell::new(0), budget })
    }

    /// Counts a head; `None` when it is one too many.
    pub(super) fn hold(self: &Rc<Self>, request: &Request<()>) -> Option<Held> {
        self.count(size(request))
    }

    fn count(self: &Rc<Self>, size: usize) -> Option<Held> {
        let all = self.bytes.get() + size;
        let reservation = match self.budget.as_ref().filter(|_| all > HEAD_FREE) {
            Some(budget) => Some(budget.try_reserve(size)?),
            None => None,
        };
        self.bytes.set(all);
        Some(Held { heads: Rc::clone(self), size, _reservation: reservation })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.heads.bytes.set(self.heads.bytes.get().saturating_sub(self.size));
    }
}

fn size(request: &Request<()>) -> usize {
    let uri = request.uri();
    let target = uri.path_and_query().map_or(0, |target| target.as_str().len());
    let authority = uri.authority().map_or(0, |authority| authority.as_str().len());
    let fields = request.headers().iter();
    fields.fold(target + authority, |sum, (name, value)| sum + name.as_str().len() + value.len() + FIELD_COST)
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
        drop((free, lent));
        assert_eq!((budget.used(), heads.bytes.get()), (0, 0));
    }

    #[test]
    fn a_head_is_as_large_as_what_it_holds() {
        let request = Request::get("http://a/b?c").header("name", "value").body(()).expect("request");
        assert_eq!(size(&request), 1 + 4 + 4 + 5 + FIELD_COST);
    }
}
