//! Places for the connections that a core accepts.
//!
//! When they run out, a new connection takes the place of one that nobody needs: first of those that have not begun
//! anything (no request, no relay; a handshake may be under way), oldest first, then of those that have been idle for
//! a while. A connection with something under way keeps its place; when all do, new ones wait, and the rest of
//! them in the kernel. So whoever opens connections and says nothing drives out only others who do.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use leno_runtime::clock::recent;
use leno_telemetry::load::Load;
use leno_telemetry::metric::Held;
use pin_project_lite::pin_project;
use tokio::sync::Notify;
use tokio::task::futures::TaskLocalFuture;

use crate::limits::{ACCEPT_PAUSE, CUT_AT_ONCE, IDLE_KEPT, SILENT_PER_CORE};

#[cfg(test)]
mod tests;

/// The places of one core.
pub(crate) struct Places {
    most: usize,
    taken: RefCell<HashMap<u64, Rc<State>>>,
    silent: Cell<usize>,
    tunnels: Cell<usize>,
    next: Cell<u64>,
    freed: Notify,
    load: Load,
}

/// What is known of a connection.
struct State {
    id: u64,
    /// Since when it has nothing under way.
    since: Cell<Instant>,
    /// What it has under way.
    busy: Cell<usize>,
    /// Whether it has had anything under way.
    begun: Cell<bool>,
    /// Whether somebody else got its place.
    cut: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    places: Rc<Places>,
}

/// A connection's place, until this is dropped.
pub(crate) struct Place {
    state: Rc<State>,
    _open: Held,
}

/// A tunnel's place, until this is dropped.
pub(crate) struct Tunnel(Rc<Places>);

/// Something that a connection has under way, until this is dropped.
pub(crate) struct Busy(Option<Rc<State>>);

tokio::task_local! {
    /// The place of the connection that a task serves.
    static STATE: Rc<State>;
}

/// Marks the connection that the current task serves as having something under way.
pub(crate) fn busy() -> Busy {
    let state = STATE.try_with(Rc::clone).ok();
    if let Some(state) = &state {
        state.busy.set(state.busy.get() + 1);
        if !state.begun.replace(true) {
            state.places.silent.set(state.places.silent.get().saturating_sub(1));
        }
    }
    Busy(state)
}

impl Drop for Busy {
    fn drop(&mut self) {
        let Some(state) = &self.0 else { return };
        let left = state.busy.get().saturating_sub(1);
        state.busy.set(left);
        if left == 0 {
            state.since.set(recent().into_std());
        }
    }
}

impl Places {
    pub(crate) fn new(most: usize, load: Load) -> Rc<Self> {
        Rc::new(Self {
            most: most.max(1),
            taken: RefCell::default(),
            silent: Cell::new(0),
            tunnels: Cell::new(0),
            next: Cell::new(0),
            freed: Notify::new(),
            load,
        })
    }

    /// A place, as soon as there is one.
    pub(crate) async fn take(self: &Rc<Self>) -> Place {
        if self.silent.get() >= SILENT_PER_CORE {
            self.cut();
        }
        let mut waits = false;
        while self.taken.borrow().len() >= self.most {
            if self.cut() > 0 {
                // Their sockets are closed when their tasks have run.
                tokio::task::yield_now().await;
                continue;
            }
            if !std::mem::replace(&mut waits, true) {
                self.load.waited();
            }
            let _either = leno_runtime::time::timeout(ACCEPT_PAUSE, self.freed.notified()).await;
        }
        self.give()
    }

    /// A place for a tunnel, if there is one: as many as for connections, which they are to the application. Nobody's is
    /// taken away for it, since the peer can be told.
    pub(crate) fn tunnel(self: &Rc<Self>) -> Option<Tunnel> {
        let tunnels = self.tunnels.get();
        (tunnels < self.most).then(|| {
            self.tunnels.set(tunnels + 1);
            Tunnel(Rc::clone(self))
        })
    }

    fn give(self: &Rc<Self>) -> Place {
        let id = self.next.get();
        self.next.set(id + 1);
        let state = Rc::new(State {
            id,
            since: Cell::new(Instant::now()),
            busy: Cell::new(0),
            begun: Cell::new(false),
            cut: Cell::new(false),
            waker: RefCell::default(),
            places: Rc::clone(self),
        });
        self.silent.set(self.silent.get() + 1);
        self.taken.borrow_mut().insert(id, Rc::clone(&state));
        Place { state, _open: self.load.open() }
    }

    /// Closes connections that nobody needs, several at a time where there are many, since finding them means looking
    /// at all; how many.
    fn cut(&self) -> usize {
        let count = (self.most / CUT_AT_ONCE).max(1);
        let now = Instant::now();
        let mut idle: Vec<Rc<State>> =
            self.taken.borrow().values().filter(|state| state.is_cuttable(now)).cloned().collect();
        let order = |state: &Rc<State>| (state.begun.get(), state.since.get());
        if idle.len() > count {
            idle.select_nth_unstable_by_key(count, order);
            idle.truncate(count);
        }
        for state in &idle {
            if state.begun.get() {
                self.load.cut_idle();
            } else {
                self.load.cut_silent();
            }
            self.forget(state);
            state.cut.set(true);
            if let Some(waker) = state.waker.take() {
                waker.wake();
            }
        }
        idle.len()
    }

    fn forget(&self, state: &State) {
        if self.taken.borrow_mut().remove(&state.id).is_some() && !state.begun.get() {
            self.silent.set(self.silent.get().saturating_sub(1));
        }
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.0.tunnels.set(self.0.tunnels.get().saturating_sub(1));
    }
}

impl State {
    fn is_cuttable(&self, now: Instant) -> bool {
        self.busy.get() == 0
            && (!self.begun.get() || now.saturating_duration_since(self.since.get()) >= IDLE_KEPT)
    }
}

impl Place {
    /// Serves the connection until it has ended or somebody else needs its place more.
    pub(crate) fn serve<F: Future<Output = ()>>(self, serving: F) -> Served<F> {
        Served { serving: STATE.scope(Rc::clone(&self.state), serving), place: self }
    }
}

pin_project! {
    /// A connection that is served. A struct instead of an `async` block, which would hold the future twice.
    pub(crate) struct Served<F> {
        #[pin]
        serving: TaskLocalFuture<Rc<State>, F>,
        place: Place,
    }
}

impl<F: Future<Output = ()>> Future for Served<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let state = &this.place.state;
        if state.cut.get() {
            return Poll::Ready(());
        }
        let mut waker = state.waker.borrow_mut();
        match &mut *waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        drop(waker);
        this.serving.poll(cx)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let places = &self.state.places;
        places.forget(&self.state);
        places.freed.notify_one();
    }
}
