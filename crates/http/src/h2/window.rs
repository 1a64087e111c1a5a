//! The receive window of one connection, which is what its peer may make this process hold.
//!
//! It begins small, and grows once for a connection that carries more, on credit of the process-wide budget. It
//! doesn't shrink before the connection ends: a window that was granted can't be taken back.

use std::cell::Cell;
use std::rc::Rc;

use super::Settings;
use crate::budget::{Budget, Reservation};

/// What the streams of a connection receive.
#[derive(Debug)]
pub(super) struct Received {
    /// Body bytes that they have handed out.
    pub(super) taken: Cell<u64>,
    /// What each may hold that nobody takes.
    pub(super) stream_window: usize,
    /// What that is counted on.
    pub(super) budget: Option<Budget>,
}

pub(super) struct Window {
    received: Rc<Received>,
    /// How many must have been before the next attempt to grow.
    due: u64,
    step: u64,
    grown: u32,
    reservation: Option<Reservation>,
    done: bool,
}

impl Window {
    pub(super) fn new(settings: &Settings, budget: Option<Budget>) -> Self {
        let step = u64::from(settings.connection_window);
        let done = settings.grown_window <= settings.connection_window;
        let stream_window = usize::try_from(settings.stream_window).unwrap_or(usize::MAX);
        let received = Rc::new(Received { taken: Cell::new(0), stream_window, budget });
        Self { received, due: step, step, grown: settings.grown_window, reservation: None, done }
    }

    /// What the streams share.
    pub(super) fn received(&self) -> &Rc<Received> {
        &self.received
    }

    /// The size to set now, once.
    pub(super) fn grow(&mut self) -> Option<u32> {
        let taken = self.received.taken.get();
        if self.done || taken < self.due {
            return None;
        }
        self.due = taken + self.step;
        if let Some(budget) = &self.received.budget {
            let more = usize::try_from(u64::from(self.grown) - self.step).ok()?;
            self.reservation = Some(budget.try_reserve_spare(more)?);
        }
        self.done = true;
        Some(self.grown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_once_and_only_on_credit() {
        let settings = Settings { connection_window: 100, grown_window: 400, ..Settings::default() };
        let budget = Budget::new(700);
        let mut first = Window::new(&settings, Some(budget.clone()));
        let mut second = Window::new(&settings, Some(budget.clone()));
        assert_eq!(first.grow(), None);
        first.received().taken.set(100);
        second.received().taken.set(100);
        assert_eq!((first.grow(), second.grow()), (Some(400), None));
        first.received().taken.set(1000);
        assert_eq!((first.grow(), budget.used()), (None, 300));
        drop(first);
        assert_eq!(second.grow(), None, "not before another window's worth");
        second.received().taken.set(200);
        assert_eq!(second.grow(), Some(400));
    }
}
