//! What one connection has queued for sending.
//!
//! A peer may grant any window and then not read; `h2` would queue for it whatever is given. Each frame that `h2`
//! holds is counted until it was written or thrown away, and streams wait while a connection's queue is full.

use std::cell::{Cell, RefCell};
use std::io::IoSlice;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};

use crate::budget::{Budget, Reservation};
use crate::limits::{H2_QUEUE, H2_QUEUE_FREE, RELAY_BUFFER};

/// The queue of one connection.
#[derive(Debug)]
pub(super) struct Queue {
    bytes: Cell<usize>,
    budget: Option<Budget>,
    waiting: RefCell<Vec<Waker>>,
}

impl Queue {
    pub(super) fn new(budget: Option<Budget>) -> Rc<Self> {
        Rc::new(Self { bytes: Cell::new(0), budget, waiting: RefCell::default() })
    }

    /// Waits until another frame may be queued.
    pub(super) fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        let queued = self.bytes.get();
        let lent = |budget: &Budget| budget.limit().saturating_sub(budget.used()) >= RELAY_BUFFER;
        if queued < H2_QUEUE_FREE || queued < H2_QUEUE && self.budget.as_ref().is_none_or(lent) {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Counts a frame. It may exceed the limits by itself: each stream has one at most.
    pub(super) fn frame(self: &Rc<Self>, bytes: Bytes) -> Payload {
        let size = bytes.len();
        if size == 0 {
            return Payload { bytes, _place: None };
        }
        let queued = self.bytes.get() + size;
        self.bytes.set(queued);
        let budget = self.budget.as_ref().filter(|_| queued > H2_QUEUE_FREE);
        let reservation = budget.and_then(|budget| budget.try_reserve(size));
        Payload { bytes, _place: Some(Place { queue: Rc::clone(self), size, _reservation: reservation }) }
    }
}

/// A frame's place in the queue; dropping it makes room.
#[derive(Debug)]
struct Place {
    queue: Rc<Queue>,
    size: usize,
    _reservation: Option<Reservation>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let before = self.queue.bytes.get();
        let after = before.saturating_sub(self.size);
        self.queue.bytes.set(after);
        // Streams wait only above the free part, and below it every one of them may go on.
        if after < H2_QUEUE_FREE || before >= H2_QUEUE {
            for waker in self.queue.waiting.take() {
                waker.wake();
            }
        }
    }
}

/// A frame as `h2` holds it.
#[derive(Debug)]
pub(super) struct Payload {
    bytes: Bytes,
    _place: Option<Place>,
}

impl Buf for Payload {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn chunks_vectored<'a>(&'a self, dst: &mut [IoSlice<'a>]) -> usize {
        self.bytes.chunks_vectored(dst)
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }

    fn copy_to_bytes(&mut self, len: usize) -> Bytes {
        self.bytes.copy_to_bytes(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has_room(queue: &Queue) -> bool {
        queue.poll_room(&Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn frames_count_until_they_are_gone() {
        let queue = Queue::new(None);
        let frame = Bytes::from(vec![0; 16 * 1024]);
        let mut held = Vec::new();
        while has_room(&queue) {
            held.push(queue.frame(frame.clone()));
            assert!(held.len() <= H2_QUEUE, "it is never full");
        }
        assert_eq!(held.len() * frame.len(), H2_QUEUE);
        held.pop();
        assert!(has_room(&queue));
        drop(held);
        assert_eq!(queue.bytes.get(), 0);
    }

    #[test]
    fn beyond_the_free_part_the_budget_decides() {
        let budget = Budget::new(40 * 1024);
        let queue = Queue::new(Some(budget.clone()));
        let frame = Bytes::from(vec![0; 16 * 1024]);
        let mut held = Vec::new();
        while has_room(&queue) && held.len() < 100 {
            held.push(queue.frame(frame.clone()));
        }
        // Four frames are free and two are lent; for another one too little is left.
        assert_eq!((held.len(), budget.used()), (6, 32 * 1024));
        drop(held);
        assert_eq!(budget.used(), 0);
        let _all = budget.try_reserve(40 * 1024).expect("free");
        let mut held = Vec::new();
        while has_room(&queue) {
            held.push(queue.frame(frame.clone()));
        }
        assert_eq!(held.len() * frame.len(), H2_QUEUE_FREE);
    }
}
