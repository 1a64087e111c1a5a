//! Finding peers that have stopped: their proxy is there, and nothing in it moves any more.
//!
//! The kernel answers for such a process, and a Unix socket has no probes at all, so neither tells. Connections by
//! `leno/1` on which somebody waits in vain are noticed once per [`VIGIL_TICK`]; then one handshake, however many wait,
//! finds out whether the peer still does anything. If it doesn't, all of the core's connections to it fail. HTTP/2
//! connections have probes of their own. An application that takes its time is none of this: its proxy answers.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use leno_http::server::Protocol;
use leno_model::failure::Failure;
use leno_model::service::Address;
use leno_model::spiffe::SpiffeId;
use leno_runtime::task;
use tokio::io::{AsyncRead, ReadBuf};

use crate::core::Core;
use crate::dial::{self, Proxy, Purpose, Way};
use crate::limits::{CONNECT, VIGIL_REST};
use crate::local::Local;
use crate::secure::Client;
use crate::table::Table;
use crate::upstream::Spoken;

/// The peers that one core has connections to.
#[derive(Default)]
pub(crate) struct Vigil {
    peers: RefCell<Table<(Address, SpiffeId), Rc<Peer>>>,
}

/// A proxy, and the connections to it.
struct Peer {
    /// How it is asked.
    purpose: Purpose,
    connections: RefCell<Vec<Weak<State>>>,
    asking: Cell<bool>,
    /// When it answered last.
    answered: Cell<Option<Instant>>,
}

/// What is known of a connection.
#[derive(Default)]
struct State {
    reads: Cell<u32>,
    /// `reads` at the last look.
    seen: Cell<u32>,
    /// Who waits to read.
    waker: RefCell<Option<Waker>>,
    dead: Cell<bool>,
}

/// A connection that is watched.
pub(crate) struct Watched {
    tls: Client,
    state: Rc<State>,
}

impl Vigil {
    /// Watches a connection to a peer's proxy.
    pub(crate) fn watch(
        &self,
        tls: Client,
        address: &Address,
        expected: &SpiffeId,
        purpose: &Purpose,
    ) -> Watched {
        let mut peers = self.peers.borrow_mut();
        let peer = peers.entry((address.clone(), expected.clone())).or_insert_with(|| {
            let purpose = Purpose { spoken: Spoken::Http(Protocol::Http1), ..purpose.clone() };
            Rc::new(Peer {
                purpose,
                connections: RefCell::default(),
                asking: Cell::new(false),
                answered: Cell::new(None),
            })
        });
        let state = Rc::new(State::default());
        peer.connections.borrow_mut().push(Rc::downgrade(&state));
        Watched { tls, state }
    }

    /// Looks at all connections; asks peers that have been silent since the last look although somebody waits.
    pub(crate) fn look(core: &Rc<Core>, local: &Arc<Local>, now: Instant) {
        let mut silent = Vec::new();
        core.vigil.peers.borrow_mut().retain(|(address, expected), peer| {
            let is_silent = peer.look();
            let is_due = peer.answered.get().is_none_or(|at| now.saturating_duration_since(at) >= VIGIL_REST);
            if is_silent && is_due && !peer.asking.replace(true) {
                silent.push((Rc::clone(peer), address.clone(), expected.clone()));
            }
            peer.asking.get() || !peer.connections.borrow().is_empty()
        });
        for (peer, address, expected) in silent {
            let (core, local) = (Rc::clone(core), Arc::clone(local));
            task::spawn_local("vigil", async move { peer.ask(&core, &local, address, expected).await })
                .detach();
        }
    }
}

impl Peer {
    /// Whether somebody waits on a connection that has been silent since the last look. Forgets those that have ended.
    fn look(&self) -> bool {
        let mut is_silent = false;
        self.connections.borrow_mut().retain(|connection| {
            let Some(state) = connection.upgrade() else { return false };
            let reads = state.reads.get();
            is_silent |= state.waker.borrow().is_some() && state.seen.replace(reads) == reads;
            true
        });
        is_silent
    }

    /// All reads so far, of the connections that are there.
    fn heard(&self) -> u32 {
        let connections = self.connections.borrow();
        let reads = connections.iter().filter_map(Weak::upgrade).map(|state| state.reads.get());
        reads.fold(0, u32::wrapping_add)
    }

    async fn ask(&self, core: &Core, local: &Local, address: Address, expected: SpiffeId) {
        let before = self.heard();
        let way = Way::Native { proxy: Proxy::At(address), expected, purpose: self.purpose.clone() };
        let answer = dial::dial(core, local, &way, CONNECT).await.map(drop);
        // One that has no time for a handshake and yet serves others is alive.
        if answer == Err(Failure::ConnectTimeout) && self.heard() == before {
            self.give_up();
        } else {
            self.answered.set(Some(Instant::now()));
        }
        self.asking.set(false);
    }

    /// Fails every connection.
    fn give_up(&self) {
        let connections = self.connections.take();
        tracing::info!(connections = connections.len(), "a peer's proxy has stopped");
        for state in connections.iter().filter_map(Weak::upgrade) {
            state.dead.set(true);
            if let Some(waker) = state.waker.take() {
                waker.wake();
            }
        }
    }
}

leno_http::forward_socket!(Watched, tls);

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.state.dead.get() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let read = Pin::new(&mut self.tls).poll_read(cx, buf);
        let mut waker = self.state.waker.borrow_mut();
        if read.is_ready() {
            self.state.reads.set(self.state.reads.get().wrapping_add(1));
            *waker = None;
        } else if !cx.waker().will_wake(Waker::noop()) {
            // Whoever only looks whether a kept connection is still open doesn't wait.
            match &mut *waker {
                Some(waker) => waker.clone_from(cx.waker()),
                None => *waker = Some(cx.waker().clone()),
            }
        }
        drop(waker);
        read
    }
}

leno_http::forward_writes!(Watched, tls);

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(states: &[Rc<State>]) -> Peer {
        let purpose = Purpose {
            target: ([127, 0, 0, 1], 80).into(),
            service: None,
            spoken: Spoken::Http(Protocol::Http1),
        };
        let connections = RefCell::new(states.iter().map(Rc::downgrade).collect());
        Peer { purpose, connections, asking: Cell::new(false), answered: Cell::new(None) }
    }

    #[test]
    fn only_those_who_wait_in_vain_are_noticed() {
        let [idle, waiting] = [(); 2].map(|()| Rc::new(State::default()));
        *waiting.waker.borrow_mut() = Some(Waker::noop().clone());
        waiting.reads.set(1);
        let peer = peer(&[Rc::clone(&idle), Rc::clone(&waiting)]);
        assert!(!peer.look(), "something was heard");
        assert!(peer.look(), "nothing since");
        waiting.reads.set(2);
        assert!(!peer.look());
        drop(waiting);
        assert!(!peer.look(), "nobody waits any more");
        assert_eq!(peer.connections.borrow().len(), 1);
    }

    #[test]
    fn all_connections_to_a_dead_peer_fail() {
        let states = [(); 2].map(|()| Rc::new(State::default()));
        let peer = peer(&states);
        peer.give_up();
        assert!(states.iter().all(|state| state.dead.get()));
    }
}
