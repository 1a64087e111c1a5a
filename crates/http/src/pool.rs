//! Relay buffers of one core.
//!
//! A connection holds a buffer only while it holds bytes: reads go to a leased buffer, and one that turns out not to
//! be needed goes back within the same poll. That is what keeps idle connections small.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

use crate::limits::{RELAY_BUFFER, RELAY_BUFFERS_KEPT};

thread_local! {
    static FREE: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer of [`RELAY_BUFFER`] bytes on loan; its content is whatever was in it.
pub(crate) struct Lease(Box<[u8]>);

impl Lease {
    pub(crate) fn take() -> Self {
        let kept = FREE.with_borrow_mut(Vec::pop);
        Self(kept.unwrap_or_else(|| vec![0; RELAY_BUFFER].into_boxed_slice()))
    }
}

impl Deref for Lease {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.0);
        // At thread exit the list may be gone already; the buffer then is freed.
        let _kept = FREE.try_with(|free| {
            if let Ok(mut free) = free.try_borrow_mut()
                && free.len() < RELAY_BUFFERS_KEPT
            {
                free.push(buffer);
            }
        });
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lease")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_reused_up_to_the_limit() {
        let leases: Vec<_> = (0..RELAY_BUFFERS_KEPT + 4).map(|_| Lease::take()).collect();
        assert!(leases.iter().all(|lease| lease.len() == RELAY_BUFFER));
        drop(leases);
        assert_eq!(FREE.with_borrow(Vec::len), RELAY_BUFFERS_KEPT);
        let lease = Lease::take();
        assert_eq!(FREE.with_borrow(Vec::len), RELAY_BUFFERS_KEPT - 1);
        drop(lease);
    }
}
