//! Who uses a connection: the handles by which a client opens streams, and the streams themselves.

use std::rc::Rc;
use std::time::Instant;

use super::{Conn, Role};

impl Conn {
    pub(in crate::h2) fn active(&self) -> usize {
        self.active.get()
    }

    pub(in crate::h2) fn idle_since(&self) -> Option<Instant> {
        (self.active.get() == 0).then(|| self.idle_since.get())
    }

    fn has_closed(&self) {
        let active = self.active.get().saturating_sub(1);
        self.active.set(active);
        if active == 0 && self.role == Role::Client {
            self.idle_since.set(Instant::now());
            self.wake_if_unused();
        }
    }

    pub(in crate::h2) fn add_handle(&self) {
        self.handles.set(self.handles.get() + 1);
    }

    pub(in crate::h2) fn drop_handle(&self) {
        self.handles.set(self.handles.get().saturating_sub(1));
        self.wake_if_unused();
    }

    /// A client that nobody can use any more ends.
    pub(super) fn is_unused(&self) -> bool {
        self.role == Role::Client && self.handles.get() == 0 && self.active.get() == 0
    }

    fn wake_if_unused(&self) {
        if self.is_unused()
            && let Ok(mut state) = self.state.try_borrow_mut()
        {
            state.wake();
        }
    }
}

/// A place among a connection's streams: of one that is open, of which a half lives, or for which a request waits.
#[derive(Debug)]
pub(in crate::h2) struct Place(Rc<Conn>);

impl Place {
    pub(in crate::h2) fn of(conn: &Rc<Conn>) -> Self {
        conn.active.set(conn.active.get() + 1);
        Self(Rc::clone(conn))
    }

    pub(in crate::h2) fn conn(&self) -> &Rc<Conn> {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.has_closed();
    }
}
