//! Timers that are set again when they fire too early, and the one timer of a connection.
//!
//! A connection waits for one thing at a time, each with a time of its own. Beginning a wait only notes its deadline;
//! a timer that was set earlier for another fires early, sees that, and is set again. So requests that come quickly
//! don't touch the runtime's timers.

use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// A time that nobody lives to see, for what can't be counted.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// The moment after so much time.
#[must_use]
pub fn after(time: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(time).unwrap_or(now + FAR)
}

/// Whether `deadline` is over. If it isn't, the task is woken by then. The timer may have been set for another time.
pub fn is_over(mut sleep: Pin<&mut Sleep>, deadline: Instant, cx: &mut Context<'_>) -> bool {
    if deadline < sleep.deadline() {
        sleep.as_mut().reset(deadline);
    }
    while sleep.as_mut().poll(cx).is_ready() {
        if Instant::now() >= deadline {
            return true;
        }
        sleep.as_mut().reset(deadline);
    }
    false
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
    sleep: Option<Pin<Box<Sleep>>>,
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
                let deadline = after(limit);
                self.wait = Some((wait, deadline));
                deadline
            }
        };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        is_over(sleep.as_mut(), deadline, cx)
    }
}
