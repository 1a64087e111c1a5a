//! HTTP/2 connections that are alike, shared by streams: requests, or connections of HBONE.
//!
//! One dials at a time, and the others wait for what it gets; they share its failure, too.

use std::cell::{Cell, RefCell};
use std::hash::Hash;
use std::rc::Rc;
use std::time::Instant;

use leno_http::client::{Config, Connection};
use leno_http::h2;
use leno_model::failure::Failure;
use leno_runtime::clock::{Clock, recent};
use leno_runtime::task;
use leno_telemetry::metric::Gauge;
use tokio::sync::{Notify, Semaphore};

use super::{Facts, Lease, Leased, Owner, limit, within};
use crate::circuit::Circuit;
use crate::dial::Dialled;
use crate::limits::POOL_IDLE;
use crate::table::{Equivalent, Table};

/// What a stream wants of a connection.
#[derive(Clone, Copy)]
pub(super) struct Terms<'t> {
    /// Streams of one connection.
    pub(super) most: usize,
    /// By which certificates are judged.
    pub(super) clock: Clock,
    /// The limits.
    pub(super) circuit: Option<&'t Circuit>,
    /// What a new connection is made with.
    pub(super) config: &'t Rc<Config>,
    /// Counts connections.
    pub(super) open: &'t Gauge,
}

/// The HTTP/2 connections of one key.
pub(super) struct Shared {
    connections: RefCell<Vec<Streams>>,
    dialling: Semaphore,
    /// When an attempt failed last, and how. It counts for all who waited for it.
    failed: Cell<Option<(Instant, Failure)>>,
    used: Cell<Instant>,
    /// The limits by which it was used last.
    circuit: RefCell<Option<Circuit>>,
    /// A stream has ended.
    room: Notify,
}

/// One HTTP/2 connection.
#[derive(Clone)]
struct Streams {
    connection: h2::ClientConnection,
    facts: Facts,
    /// Whether nobody is to use it again.
    retired: Rc<Cell<bool>>,
    /// Requests so far.
    served: Rc<Cell<u32>>,
}

impl Streams {
    fn lease(self, reused: bool, circuit: Option<&Circuit>, shared: &Rc<Shared>) -> Lease {
        self.served.set(self.served.get().saturating_add(1));
        let most = circuit.and_then(|circuit| circuit.pool().requests_per_connection);
        if most.is_some_and(|most| self.served.get() >= most) {
            self.retired.set(true);
        }
        let owner = Owner::Shared { retired: self.retired, shared: circuit.map(|_| Rc::clone(shared)) };
        Lease::new(Leased::new(Connection::H2(self.connection), self.facts), reused, owner)
    }
}

/// The connections of a key, which are kept by what `own` makes of it.
pub(super) fn of<K, S>(table: &RefCell<Table<K, Rc<Shared>>>, key: &S, own: impl FnOnce() -> K) -> Rc<Shared>
where
    K: Eq + Hash,
    S: Equivalent<K> + Hash,
{
    let mut table = table.borrow_mut();
    if let Some(shared) = table.get(key) {
        return Rc::clone(shared);
    }
    let new = Rc::new(Shared {
        connections: RefCell::default(),
        dialling: Semaphore::new(1),
        failed: Cell::new(None),
        used: Cell::new(Instant::now()),
        circuit: RefCell::default(),
        room: Notify::new(),
    });
    table.insert(own(), Rc::clone(&new));
    new
}

/// How a connection is spoken on: as all are, unless the destination wants its silent ones probed.
fn probing(config: &Rc<Config>, circuit: Option<&Circuit>) -> Rc<Config> {
    let Some(ping) = circuit.and_then(|circuit| circuit.pool().ping) else { return Rc::clone(config) };
    let mut config = Config::clone(config);
    config.h2.ping_interval = Some(ping.interval);
    config.h2.ping_timeout = ping.timeout.unwrap_or(config.h2.ping_timeout);
    Rc::new(config)
}

impl Shared {
    /// A kept connection with room for one more stream, if there is one now.
    pub(super) fn kept(self: &Rc<Self>, terms: &Terms<'_>) -> Option<Lease> {
        self.used.set(recent().into_std());
        limit(&self.circuit, terms.circuit);
        self.free(terms)
    }

    /// A connection with room for one more stream: a kept one, else a new one by `dial`. Where connections are limited, it
    /// waits until it may have one.
    pub(super) async fn lease<F>(self: &Rc<Self>, terms: Terms<'_>, dial: F) -> Result<Lease, Failure>
    where
        F: AsyncFnOnce() -> Result<Dialled, Failure>,
    {
        let Terms { clock, circuit, config, open, .. } = terms;
        let asked = Instant::now();
        if let Some(kept) = self.kept(&terms) {
            return Ok(kept);
        }
        let _turn = self.dialling.acquire().await.map_err(|_never_closed| Failure::Internal)?;
        if let Some(kept) = self.free(&terms) {
            return Ok(kept);
        }
        if let Some((at, failure)) = self.failed.get()
            && at >= asked
        {
            return Err(failure);
        }
        let mut wait = None;
        let place = loop {
            let Some(circuit) = circuit else { break None };
            if let Some(place) = circuit.place() {
                break Some(place);
            }
            match &wait {
                None => wait = Some(circuit.wait()?),
                Some(wait) => wait.changed(&self.room).await?,
            }
            if let Some(kept) = self.free(&terms) {
                return Ok(kept);
            }
        };
        drop(wait);
        let fail = |failure| self.failed.set(Some((Instant::now(), failure)));
        let Dialled { io, local, until, proof } = dial().await.inspect_err(|failure| fail(*failure))?;
        let (io, until) = within(circuit, place, io, until, clock);
        let (connection, driver) = h2::ClientConnection::new(io, &probing(config, circuit));
        task::spawn_local("upstream-http2", driver).detach();
        let made = Streams {
            connection,
            facts: Facts { local, until, proof, _open: Rc::new(open.hold()) },
            retired: Rc::default(),
            served: Rc::default(),
        };
        self.connections.borrow_mut().push(made.clone());
        Ok(made.lease(false, circuit, self))
    }

    /// A stream has ended: who waits here may have its room, and who waits elsewhere the connection's place.
    pub(super) fn came_back(&self) {
        if self.is_in_the_way() {
            self.give_up();
        } else {
            self.room.notify_one();
        }
    }

    /// Whether others wait for a connection, and nobody here does.
    pub(super) fn is_in_the_way(&self) -> bool {
        self.dialling.available_permits() > 0
            && self.circuit.borrow().as_ref().is_some_and(Circuit::is_waited_for)
    }

    /// Lets nobody use the connections again. They close when their streams have ended.
    pub(super) fn give_up(&self) {
        let _closing = self.connections.take();
    }

    /// Drops connections that have idled for too long, and if `stale` all of them; whether any of them, or somebody who
    /// waits for one, is left.
    pub(super) fn sweep(self: &Rc<Self>, stale: bool, now: Instant) -> bool {
        self.connections.borrow_mut().retain(|Streams { connection, .. }| {
            let rested = connection.idle_since().map(|since| now.saturating_duration_since(since));
            connection.is_open() && !(stale || rested.is_some_and(|rested| rested >= POOL_IDLE))
        });
        Rc::strong_count(self) > 1
            || !self.connections.borrow().is_empty()
            || now.saturating_duration_since(self.used.get()) < POOL_IDLE
    }

    /// A connection with room for another stream. Closed ones are forgotten.
    fn free(self: &Rc<Self>, terms: &Terms<'_>) -> Option<Lease> {
        let most = terms.circuit.and_then(|circuit| circuit.pool().streams);
        let most = most.map_or(terms.most, |most| terms.most.min(most as usize));
        let mut connections = self.connections.borrow_mut();
        connections.retain(|streams| streams.connection.is_open() && !streams.retired.get());
        let has_room = |Streams { connection, facts, .. }: &&Streams| {
            facts.hold(terms.clock) && connection.active() < most && connection.available() > 0
        };
        let free = connections.iter().find(has_room).cloned();
        drop(connections);
        free.map(|streams| streams.lease(true, terms.circuit, self))
    }
}
