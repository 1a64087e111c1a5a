//! The wish that a connection end gracefully, shared between its owner and its codec on one core.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};

use crate::wakers::register;

/// Asks one connection to end gracefully. Cheap to clone; stays on its core.
#[derive(Clone, Debug, Default)]
pub struct Drain(Rc<State>);

#[derive(Debug, Default)]
struct State {
    begun: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Drain {
    /// Begins: an HTTP/1 connection closes once it has been idle for [`LEAVE_TIME`](crate::limits::LEAVE_TIME), and
    /// answers from now on say `Connection: close`; HTTP/2 sends GOAWAY twice, around a round trip (RFC 9113 §6.8).
    /// Exchanges under way go on.
    pub fn begin(&self) {
        if !self.0.begun.replace(true)
            && let Some(waker) = self.0.waker.borrow_mut().take()
        {
            waker.wake();
        }
    }

    /// Whether draining has begun.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        self.0.begun.get()
    }

    /// Lets the connection's task be woken when draining begins.
    pub(crate) fn register(&self, cx: &Context<'_>) {
        register(&mut self.0.waker.borrow_mut(), cx);
    }
}
