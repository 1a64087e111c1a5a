//! The timers of a core's requests.
//!
//! Nearly no deadline is ever reached, and setting a timer costs more than anything else that is done for one. So a
//! timer that a request has no more use for stays set, and the next request takes it over: it fires too early at worst,
//! and then is set for the time that is meant. What it wakes by then has another reason to be awake, or goes on sleeping.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use leno_http::timer::{self, Kept};
use leno_runtime::clock::recent;
use tokio::time::Instant;

use crate::limits::ALARMS_KEPT;

/// Timers that nobody has a use for.
#[derive(Debug, Default)]
pub(crate) struct Alarms(RefCell<Vec<Kept>>);

/// Tells when a time is over. It takes a timer when it is first asked.
#[derive(Debug)]
pub(crate) struct Alarm {
    until: Instant,
    timer: Option<Kept>,
    alarms: Rc<Alarms>,
}

impl Alarms {
    /// An alarm after so much time.
    pub(crate) fn after(self: &Rc<Self>, time: Duration) -> Alarm {
        Alarm { until: timer::after(recent(), time), timer: None, alarms: Rc::clone(self) }
    }

    fn take(&self, until: Instant) -> Kept {
        self.0.borrow_mut().pop().unwrap_or_else(|| Kept::until(until))
    }
}

impl Alarm {
    /// Resolves when the time is over.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Self { until, timer, alarms } = self;
        let timer = timer.get_or_insert_with(|| alarms.take(*until));
        if timer.is_over(*until, cx) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        let Some(timer) = self.timer.take() else { return };
        let mut kept = self.alarms.0.borrow_mut();
        if kept.len() < ALARMS_KEPT {
            kept.push(timer);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::{advance, timeout};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    async fn rings(alarm: &mut Alarm, within: Duration) -> bool {
        timeout(within, poll_fn(|cx| alarm.poll(cx))).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_goes_from_alarm_to_alarm() {
        let alarms = Rc::<Alarms>::default();
        let mut first = alarms.after(10 * SECOND);
        assert!(!rings(&mut first, SECOND).await);
        drop(first);
        assert_eq!(alarms.0.borrow().len(), 1);
        // It would ring after nine seconds.
        let mut later = alarms.after(20 * SECOND);
        assert!(!rings(&mut later, 19 * SECOND).await);
        assert!(alarms.0.borrow().is_empty());
        let mut beside = alarms.after(30 * SECOND);
        assert!(!rings(&mut beside, SECOND / 2).await);
        assert!(rings(&mut later, SECOND).await);
        drop(later);
        let mut sooner = alarms.after(SECOND);
        assert!(rings(&mut sooner, SECOND + SECOND / 10).await);
        drop(sooner);
        let mut spent = alarms.after(5 * SECOND);
        assert!(!rings(&mut spent, 4 * SECOND).await, "a timer that has fired is set anew");
        assert!(rings(&mut spent, SECOND + SECOND / 10).await);
        assert!(!rings(&mut beside, SECOND).await);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_never_asked_takes_no_timer() {
        let alarms = Rc::<Alarms>::default();
        drop(alarms.after(Duration::MAX));
        assert!(alarms.0.borrow().is_empty());
        let mut alarm = alarms.after(SECOND);
        advance(2 * SECOND).await;
        assert!(rings(&mut alarm, SECOND).await);
    }
}
