//! Upstream connections of one core, kept for the next request.
//!
//! A key says everything that two requests must share to share a connection: who we are (by the epoch of our
//! certificate), whom we talk to, how, and what is spoken. HTTP/1 connections are leased to one exchange at a time
//! and come back when both halves are done; HTTP/2 connections are shared by streams. Nothing here is shared between
//! cores.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use leno_http::client::{Config, Connection};
use leno_http::server::Protocol;
use leno_http::{h1, h2};
use leno_model::failure::Failure;
use leno_model::name::Host;
use leno_model::spiffe::SpiffeId;
use leno_runtime::task;
use tokio::sync::Semaphore;

use crate::dial::Dialled;
use crate::limits::{POOL_IDLE, POOL_IDLE_PER_KEY, POOL_IDLE_UNREPEATABLE, STREAMS_PER_CONNECTION};

/// What two requests must have in common to share a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    /// The epoch of our certificate; 0 in plaintext. A new certificate means new connections.
    pub(crate) epoch: u64,
    /// Who must be at the other end.
    pub(crate) peer: Option<SpiffeId>,
    /// The endpoint's uid.
    pub(crate) endpoint: Arc<str>,
    /// The workload's port.
    pub(crate) port: u16,
    /// The service by which it was chosen; the other side counts by it.
    pub(crate) service: Option<Host>,
    /// What is spoken.
    pub(crate) protocol: Protocol,
    /// Settings of TLS towards the outside, by name; connections with different ones aren't shared.
    pub(crate) outside: Option<Arc<str>>,
}

/// The connections of one core.
pub(crate) struct Pool {
    config: Rc<Config>,
    single: RefCell<HashMap<Key, Vec<Idle>>>,
    shared: RefCell<HashMap<Key, Rc<Shared>>>,
}

struct Idle {
    connection: h1::ClientConnection,
    local: Option<SocketAddr>,
}

/// The HTTP/2 connections of one key. One dials at a time, and the others wait for what it gets.
struct Shared {
    connections: RefCell<Vec<(h2::ClientConnection, Option<SocketAddr>)>>,
    dialling: Semaphore,
    used: Cell<Instant>,
}

/// A connection on loan.
pub(crate) struct Lease {
    connection: Option<Connection>,
    /// This side's address.
    pub(crate) local: Option<SocketAddr>,
    /// Whether it had carried requests before.
    pub(crate) reused: bool,
    key: Key,
    pool: Rc<Pool>,
}

impl Pool {
    pub(crate) fn new(config: Config) -> Rc<Self> {
        Rc::new(Self { config: Rc::new(config), single: RefCell::default(), shared: RefCell::default() })
    }

    /// A connection for one request: a kept one, else a new one by `dial`. A request that can't be repeated gets no
    /// connection that idled for long, since the other side may be closing it just now.
    pub(crate) async fn lease<F>(
        self: &Rc<Self>,
        key: Key,
        repeatable: bool,
        dial: F,
    ) -> Result<Lease, Failure>
    where
        F: AsyncFnOnce() -> Result<Dialled, Failure>,
    {
        match key.protocol {
            Protocol::Http1 => self.single(key, repeatable, dial).await,
            Protocol::Http2 => self.stream(key, dial).await,
        }
    }

    async fn single<F>(self: &Rc<Self>, key: Key, repeatable: bool, dial: F) -> Result<Lease, Failure>
    where
        F: AsyncFnOnce() -> Result<Dialled, Failure>,
    {
        let limit = if repeatable { POOL_IDLE } else { POOL_IDLE_UNREPEATABLE };
        if let Some(Idle { connection, local }) = self.kept(&key, limit) {
            return Ok(self.loan(key, Connection::H1(connection), local, true));
        }
        let Dialled { io, local, .. } = dial().await?;
        let connection = h1::ClientConnection::new(io, &self.config);
        Ok(self.loan(key, Connection::H1(connection), local, false))
    }

    /// The most recently used connection that is still good. Older ones that aren't are dropped on the way.
    fn kept(&self, key: &Key, limit: Duration) -> Option<Idle> {
        let mut single = self.single.borrow_mut();
        let idle = single.get_mut(key)?;
        let now = Instant::now();
        while let Some(mut candidate) = idle.pop() {
            let rested = candidate.connection.idle_since().map(|since| now.saturating_duration_since(since));
            if rested.is_some_and(|rested| rested >= limit) {
                // The last one in is the youngest: nothing below it is better for this request.
                if rested.is_some_and(|rested| rested < POOL_IDLE) {
                    idle.push(candidate);
                }
                return None;
            }
            if candidate.connection.is_reusable() {
                return Some(candidate);
            }
        }
        None
    }

    async fn stream<F>(self: &Rc<Self>, key: Key, dial: F) -> Result<Lease, Failure>
    where
        F: AsyncFnOnce() -> Result<Dialled, Failure>,
    {
        let shared = Rc::clone(self.shared.borrow_mut().entry(key.clone()).or_insert_with(|| {
            Rc::new(Shared {
                connections: RefCell::default(),
                dialling: Semaphore::new(1),
                used: Cell::new(Instant::now()),
            })
        }));
        shared.used.set(Instant::now());
        if let Some((connection, local)) = shared.free() {
            return Ok(self.loan(key, Connection::H2(connection), local, true));
        }
        let _turn = shared.dialling.acquire().await.map_err(|_never_closed| Failure::Internal)?;
        if let Some((connection, local)) = shared.free() {
            return Ok(self.loan(key, Connection::H2(connection), local, true));
        }
        let Dialled { io, local, .. } = dial().await?;
        let (connection, driver) = h2::ClientConnection::handshake(io, Rc::clone(&self.config)).await?;
        task::spawn_local("upstream-http2", driver).detach();
        shared.connections.borrow_mut().push((connection.clone(), local));
        Ok(self.loan(key, Connection::H2(connection), local, false))
    }

    fn loan(
        self: &Rc<Self>,
        key: Key,
        connection: Connection,
        local: Option<SocketAddr>,
        reused: bool,
    ) -> Lease {
        Lease { connection: Some(connection), local, reused, key, pool: Rc::clone(self) }
    }

    /// Drops what has idled for too long, and everything of an epoch before `epoch` that is idle.
    pub(crate) fn sweep(&self, epoch: u64) {
        let now = Instant::now();
        self.single.borrow_mut().retain(|key, idle| {
            let stale = key.epoch != 0 && key.epoch < epoch;
            idle.retain_mut(|idle| {
                let rested = idle.connection.idle_since().map(|since| now.saturating_duration_since(since));
                !stale && rested.is_none_or(|rested| rested < POOL_IDLE) && idle.connection.is_reusable()
            });
            !idle.is_empty()
        });
        self.shared.borrow_mut().retain(|key, shared| {
            let stale = key.epoch != 0 && key.epoch < epoch;
            shared.connections.borrow_mut().retain(|(connection, _)| {
                let rested = connection.idle_since().map(|since| now.saturating_duration_since(since));
                connection.is_open() && !(stale || rested.is_some_and(|rested| rested >= POOL_IDLE))
            });
            Rc::strong_count(shared) > 1
                || !shared.connections.borrow().is_empty()
                || now.saturating_duration_since(shared.used.get()) < POOL_IDLE
        });
    }
}

impl Shared {
    /// A connection with room for another stream. Closed ones are forgotten.
    fn free(&self) -> Option<(h2::ClientConnection, Option<SocketAddr>)> {
        let mut connections = self.connections.borrow_mut();
        connections.retain(|(connection, _)| connection.is_open());
        connections
            .iter()
            .find(|(connection, _)| {
                connection.active() < STREAMS_PER_CONNECTION && connection.available() > 0
            })
            .cloned()
    }
}

impl Lease {
    /// The connection.
    pub(crate) fn connection(&mut self) -> Result<&mut Connection, Failure> {
        self.connection.as_mut().ok_or(Failure::Internal)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(Connection::H1(mut connection)) = self.connection.take() else { return };
        if !connection.is_reusable() {
            return;
        }
        let mut single = self.pool.single.borrow_mut();
        let idle = single.entry(self.key.clone()).or_default();
        if idle.len() < POOL_IDLE_PER_KEY {
            idle.push(Idle { connection, local: self.local });
        }
    }
}
