//! The receive window of one connection, which is what its peer may make this process hold.
//!
//! It begins small, and grows once for a connection that carries more, on credit of the process-wide budget. It
//! doesn't shrink before the connection ends: a window that was granted can't be taken back.

use super::Settings;
use crate::budget::{Budget, Reservation};

pub(super) struct Window {
    /// How many bytes must have been read before the next attempt to grow.
    due: u64,
    step: u64,
    grown: u32,
    budget: Option<Budget>,
    reservation: Option<Reservation>,
    done: bool,
}

impl Window {
    pub(super) fn new(settings: &Settings, budget: Option<Budget>) -> Self {
        let step = u64::from(settings.connection_window);
        let done = settings.grown_window <= settings.connection_window;
        Self { due: step, step, grown: settings.grown_window, budget, reservation: None, done }
    }

    /// Whether it might grow now.
    pub(super) fn is_due(&self, taken: u64) -> bool {
        !self.done && taken >= self.due
    }

    /// The size to set now, once; `taken` bytes of bodies have been read.
    pub(super) fn grow(&mut self, taken: u64) -> Option<u32> {
        if !self.is_due(taken) {
            return None;
        }
        self.due = taken + self.step;
        if let Some(budget) = &self.budget {
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
        assert_eq!(first.grow(99), None);
        assert_eq!((first.grow(100), second.grow(100)), (Some(400), None));
        assert_eq!((first.grow(1000), budget.used()), (None, 300));
        drop(first);
        assert_eq!(second.grow(150), None, "not before another window's worth");
        assert_eq!(second.grow(200), Some(400));
    }
}
