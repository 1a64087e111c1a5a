//! Timers that are set again when they fire too early, and the one timer of a connection.
//!
//! A connection waits for one thing at a time, each with a time of its own. Beginning a wait only notes its deadline;
//! a timer that was set earlier for another fires early, sees that, and is set again. So requests that come quickly
//! don't touch the runtime's timers.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Waker};
use std::time::Duration;

use leno_runtime::time::sleep_until;
use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep};

/// A time that nobody lives to see, for what can't be counted.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// The moment so much time after `now`.
#[must_use]
pub fn after(now: Instant, time: Duration) -> Instant {
    now.checked_add(time).unwrap_or(now + FAR)
}

/// A timer that stays set from one wait to the next.
#[derive(Debug)]
pub struct Kept {
    sleep: Pin<Box<Sleep>>,
    /// Whom it wakes, until it has fired.
    task: Option<TaskId>,
}

/// What tells a task's waker from others, as long as there is a clone of it: its data and its functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TaskId(usize, usize);

impl TaskId {
    fn of(waker: &Waker) -> Self {
        Self(waker.data().addr(), std::ptr::from_ref(waker.vtable()).addr())
    }
}

impl Kept {
    /// A timer, set for this time.
    #[must_use]
    pub fn until(deadline: Instant) -> Self {
        Self { sleep: Box::pin(sleep_until(deadline)), task: None }
    }

    /// Whether `deadline` is over. If it isn't, the task is woken by then. The timer may have been set for another time.
    pub fn is_over(&mut self, deadline: Instant, cx: &mut Context<'_>) -> bool {
        let Self { sleep, task } = self;
        if deadline < sleep.deadline() {
            sleep.as_mut().reset(deadline);
        }
        // Most wait for as long as before, and asking the runtime costs more than looking. Until it has fired, the runtime
        // has a clone of the waker.
        let asking = Some(TaskId::of(cx.waker()));
        if !sleep.is_elapsed() && *task == asking {
            return false;
        }
        *task = asking;
        // Outside of the task's budget: asked beyond that, the timer would remember nobody.
        while pin!(unconstrained(sleep.as_mut())).poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return true;
            }
            sleep.as_mut().reset(deadline);
        }
        false
    }
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// The first byte of a request.
    Request,
    /// The rest of a head.
    Head,
    /// The peer to take what is queued.
    Flush,
    /// The rest of a body that nobody wants.
    Drain,
    /// The peer to close.
    Linger,
    /// A message that stalls to flow again, while its bytes are on the budget.
    Stall,
    /// Room on the budget for a message that stalls.
    Room,
}

#[derive(Debug, Default)]
pub(crate) struct Timer {
    kept: Option<Kept>,
    wait: Option<(Wait, Instant)>,
}

impl Timer {
    /// Ends the current wait.
    pub(crate) fn clear(&mut self) {
        self.wait = None;
    }

    /// Begins the current wait anew if it is this one.
    pub(crate) fn restart(&mut self, wait: Wait) {
        if self.wait.is_some_and(|(current, _)| current == wait) {
            self.wait = None;
        }
    }

    /// Lets the current wait, if it is this one, end so much earlier.
    pub(crate) fn shorten(&mut self, wait: Wait, by: Duration) {
        if let Some((current, deadline)) = &mut self.wait
            && *current == wait
            && let Some(earlier) = deadline.checked_sub(by)
        {
            *deadline = earlier;
        }
    }

    /// Goes on with waiting, or begins if this is another thing; whether its time is over.
    pub(crate) fn is_over(&mut self, wait: Wait, limit: Duration, cx: &mut Context<'_>) -> bool {
        let deadline = match self.wait {
            Some((current, deadline)) if current == wait => deadline,
            _ => {
                let deadline = after(Instant::now(), limit);
                self.wait = Some((wait, deadline));
                deadline
            }
        };
        self.kept.get_or_insert_with(|| Kept::until(deadline)).is_over(deadline, cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Poll, Wake};

    use tokio::task::coop;
    use tokio::time::advance;

    use super::*;

    /// A task that counts how often it is woken.
    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Task {
        fn asks(self: &Arc<Self>, kept: &mut Kept, deadline: Instant) -> bool {
            kept.is_over(deadline, &mut Context::from_waker(&Arc::clone(self).into()))
        }

        fn woken(&self) -> usize {
            self.0.swap(0, Ordering::Relaxed)
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_task_that_has_used_up_its_budget_is_woken_all_the_same() {
        let task = Arc::new(Task::default());
        let deadline = Instant::now() + SECOND;
        let mut kept = Kept::until(deadline);
        poll_fn(|cx| {
            while let Poll::Ready(spent) = coop::poll_proceed(cx) {
                spent.made_progress();
            }
            assert!(!task.asks(&mut kept, deadline) && !task.asks(&mut kept, deadline));
            Poll::Ready(())
        })
        .await;
        pass(1).await;
        assert_eq!(task.woken(), 1);
        assert!(task.asks(&mut kept, deadline));
    }

    /// Lets the runtime's timers fire.
    async fn pass(seconds: u32) {
        advance(SECOND * seconds + SECOND / 100).await;
        tokio::task::yield_now().await;
    }

    #[tokio::test(start_paused = true)]
    async fn who_asked_last_is_woken_once() {
        let (one, other) = (Arc::new(Task::default()), Arc::new(Task::default()));
        let deadline = Instant::now() + 10 * SECOND;
        let mut kept = Kept::until(deadline);
        assert!(!one.asks(&mut kept, deadline) && !one.asks(&mut kept, deadline));
        assert!(!other.asks(&mut kept, deadline));
        pass(10).await;
        assert_eq!((one.woken(), other.woken()), (0, 1));
        assert!(other.asks(&mut kept, deadline) && one.asks(&mut kept, deadline));
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_set_anew_for_sooner_and_for_later() {
        let task = Arc::new(Task::default());
        let now = Instant::now();
        let mut kept = Kept::until(now + 100 * SECOND);
        assert!(!task.asks(&mut kept, now + 100 * SECOND));
        assert!(!task.asks(&mut kept, now + SECOND));
        pass(1).await;
        assert_eq!(task.woken(), 1);
        assert!(task.asks(&mut kept, now + SECOND));
        // It has fired, and a wait begins that ends later.
        assert!(!task.asks(&mut kept, now + 5 * SECOND));
        // Another one ends later still: the timer fires too early, and is set again.
        assert!(!task.asks(&mut kept, now + 8 * SECOND));
        pass(4).await;
        assert_eq!(task.woken(), 1);
        assert!(!task.asks(&mut kept, now + 8 * SECOND));
        pass(4).await;
        assert_eq!(task.woken(), 1);
        assert!(task.asks(&mut kept, now + 8 * SECOND));
    }
}
