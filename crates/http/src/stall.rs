//! A receive half whose bytes aren't written on, because the other side doesn't read.
//!
//! What such a half holds (an HTTP/2 stream's window, an HTTP/1 buffer) is counted on the budget from the moment it
//! stalls until it flows again. Where nothing is left to count it on, the stalled message is cut off after a while:
//! slow readers make room for the others, not the other way round. A half that flows costs nothing.

use std::task::{Context, Poll};

use leno_model::failure::Failure;

use crate::budget::{Budget, Reservation};
use crate::limits::{STALL_LONG, STALL_PATIENCE};
use crate::timer::{Timer, Wait};

/// Of one receive half; as small as can be while it flows.
#[derive(Debug, Default)]
pub(crate) struct Stall(Option<Box<Stalled>>);

#[derive(Debug, Default)]
struct Stalled {
    reservation: Option<Reservation>,
    timer: Timer,
}

impl Stall {
    /// The half flows.
    pub(crate) fn end(&mut self) {
        // Who has stalled once will again, so the rest is kept.
        if let Some(stalled) = &mut self.0 {
            stalled.reservation = None;
            stalled.timer.clear();
        }
    }

    /// The half doesn't flow, and may hold `bytes` meanwhile. Resolves when it is to be cut off.
    pub(crate) fn poll(&mut self, budget: &Budget, bytes: usize, cx: &mut Context<'_>) -> Poll<Failure> {
        let stalled = self.0.get_or_insert_default();
        loop {
            if stalled.reservation.is_none() {
                stalled.reservation = budget.try_reserve(bytes);
            }
            let (wait, limit) = match stalled.reservation {
                Some(_) => (Wait::Stall, STALL_LONG),
                None => (Wait::Room, STALL_PATIENCE),
            };
            if !stalled.timer.is_over(wait, limit, cx) {
                return Poll::Pending;
            }
            if stalled.reservation.is_none() || budget.is_short() {
                return Poll::Ready(Failure::Overload);
            }
            stalled.timer.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    fn is_cut(stall: &mut Stall, budget: &Budget) -> bool {
        stall.poll(budget, 60, &mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[tokio::test(start_paused = true)]
    async fn those_without_room_are_cut_and_the_others_only_under_pressure() {
        let budget = Budget::new(100);
        let mut first = Stall::default();
        let mut second = Stall::default();
        assert!(!is_cut(&mut first, &budget) && !is_cut(&mut second, &budget));
        assert_eq!(budget.used(), 60);
        advance(STALL_PATIENCE + Duration::from_millis(1)).await;
        assert!(!is_cut(&mut first, &budget) && is_cut(&mut second, &budget));
        advance(STALL_LONG).await;
        assert!(!is_cut(&mut first, &budget), "nobody needs the room");
        let rest = budget.try_reserve(40).expect("free");
        advance(STALL_LONG + Duration::from_millis(1)).await;
        assert!(is_cut(&mut first, &budget));
        drop(rest);
        first.end();
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn room_that_comes_back_is_taken_and_flowing_forgets_the_wait() {
        let budget = Budget::new(60);
        let held = budget.try_reserve(60).expect("free");
        let mut stall = Stall::default();
        assert!(!is_cut(&mut stall, &budget));
        advance(STALL_PATIENCE / 2).await;
        stall.end();
        assert!(!is_cut(&mut stall, &budget));
        advance(STALL_PATIENCE * 3 / 4).await;
        assert!(!is_cut(&mut stall, &budget), "the wait began anew");
        drop(held);
        advance(STALL_PATIENCE).await;
        assert!(!is_cut(&mut stall, &budget));
        assert_eq!(budget.used(), 60);
    }
}
