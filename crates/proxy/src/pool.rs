//! Upstream connections of one core, kept for the next request.
//!
//! A key says everything that two requests must share to share a connection: who we are (by the epoch of our
//! certificate), whom we talk to, how, and what is spoken. No request is sent on a connection after either side's
//! certificate has ended; what is under way by then goes on. HTTP/1 connections are leased to one exchange at a time
//! and come back when both halves are done; HTTP/2 connections are shared by streams. Nothing here is shared between
//! cores.
//!
//! Streams of HBONE come from connections of their own. A request's connection may be such a stream: then the limits that
//! are set for the destination count the streams, which are what it sees as connections.

mod key;
mod shared;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use leno_capture::socket::has_arrived;
use leno_http::client::{Config, Connection};
use leno_http::io::Io;
use leno_http::limits::H2_PING_INTERVAL;
use leno_http::server::Protocol;
use leno_http::{h1, h2};
use leno_model::failure::Failure;
use leno_runtime::clock::{Clock, recent};
use leno_telemetry::metric::{Gauge, Held};
use tokio::sync::Notify;

use crate::circuit::{Circuit, Place};
use crate::dial::Dialled;
use crate::limits::{
    POOL_IDLE, POOL_IDLE_PER_KEY, STREAMS_PER_CONNECTION, TUNNEL_GROWN_WINDOW, TUNNEL_PING, TUNNEL_WINDOW,
    TUNNELS_PER_CONNECTION,
};
use crate::proof::Proof;
use crate::table::Table;
use key::OwnKey;
pub(crate) use key::{Key, TunnelKey};
use shared::{Shared, Terms};

/// What a request wants of a connection.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'w> {
    /// What it must have in common with others.
    pub(crate) key: Key<'w>,
    /// A kept one has rested for less than this. Less than [`POOL_IDLE`] is for what can't be repeated.
    pub(crate) rest: Duration,
    /// By which certificates and lifetimes are judged. It is read where there are any.
    pub(crate) clock: Clock,
    /// The limits.
    pub(crate) circuit: Option<&'w Circuit>,
}

/// The connections of one core.
pub(crate) struct Pool {
    config: Rc<Config>,
    mesh_config: Rc<Config>,
    /// Of connections for HBONE.
    tunnel_config: Rc<Config>,
    /// Counts connections.
    open: Gauge,
    single: RefCell<Table<OwnKey, Rc<Bucket>>>,
    shared: RefCell<Table<OwnKey, Rc<Shared>>>,
    tunnels: RefCell<Table<TunnelKey, Rc<Shared>>>,
}

/// The HTTP/1 connections of one key. Those on loan know where they come back to.
#[derive(Default)]
#[allow(clippy::vec_box, reason = "a connection goes from hand to hand in its box")]
struct Bucket {
    /// Those that are idle, the latest last.
    idle: RefCell<Vec<Box<Leased>>>,
    /// The limits by which it was used last.
    circuit: RefCell<Option<Circuit>>,
    /// How many of this core wait for a connection of it.
    waiting: Cell<u32>,
    /// One has come back.
    back: Notify,
}

impl Bucket {
    /// A kept connection, ready for another request.
    fn lease(self: &Rc<Self>, wanted: &Wanted<'_>) -> Option<Lease> {
        let rest = wanted.circuit.map_or(wanted.rest, |circuit| circuit.rest(wanted.rest));
        let mut kept = kept(self, rest, wanted.clock, wanted.rest < POOL_IDLE)?;
        kept.served = kept.served.saturating_add(1);
        Some(Lease::new(kept, true, Owner::Bucket(Rc::clone(self))))
    }

    /// How long a connection may rest.
    fn longest(&self) -> Duration {
        self.circuit.borrow().as_ref().map_or(POOL_IDLE, Circuit::longest_rest)
    }

    /// Whether others wait for a connection, and nobody here does.
    fn is_in_the_way(&self) -> bool {
        self.waiting.get() == 0 && self.circuit.borrow().as_ref().is_some_and(Circuit::is_waited_for)
    }

    fn most_requests(&self) -> u32 {
        self.circuit
            .borrow()
            .as_ref()
            .and_then(|circuit| circuit.pool().requests_per_connection)
            .unwrap_or(u32::MAX)
    }
}

/// Takes the limits over that hold now.
fn limit(place: &RefCell<Option<Circuit>>, circuit: Option<&Circuit>) {
    let is_same = match (&*place.borrow(), circuit) {
        (None, None) => true,
        (Some(held), Some(circuit)) => held.is_same(circuit),
        _ => false,
    };
    if !is_same {
        place.replace(circuit.cloned());
    }
}

/// One who waits for a connection of a bucket.
struct Waiting<'b>(&'b Bucket);

impl<'b> Waiting<'b> {
    fn at(bucket: &'b Bucket) -> Self {
        bucket.waiting.set(bucket.waiting.get() + 1);
        Self(bucket)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.set(self.0.waiting.get().saturating_sub(1));
    }
}

/// A connection that requests are sent on. It stays in its box, whoever has it.
struct Leased {
    connection: Connection,
    facts: Facts,
    /// Requests of an HTTP/1 connection, that which is under way included.
    served: u32,
    /// When an HTTP/1 connection was given back.
    since: Instant,
}

/// What is known of a connection besides its key.
#[derive(Clone)]
struct Facts {
    local: Option<SocketAddr>,
    until: Option<SystemTime>,
    /// Who is there, for streams that outlive a change of trust.
    proof: Option<Rc<Proof>>,
    /// Counts the connection for as long as anybody may use it.
    _open: Rc<Held>,
}

impl Facts {
    /// Whether both sides are still who they were, as far as certificates say it.
    fn hold(&self, clock: Clock) -> bool {
        self.until.is_none_or(|until| clock.recent_wall() <= until)
    }
}

impl Leased {
    fn new(connection: Connection, facts: Facts) -> Box<Self> {
        Box::new(Self { connection, facts, served: 1, since: Instant::now() })
    }

    fn rested(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }
}

/// A connection on loan.
pub(crate) struct Lease {
    /// `None` once it was given back.
    leased: Option<Box<Leased>>,
    /// Whether it had carried requests before.
    pub(crate) reused: bool,
    owner: Owner,
}

/// Whom a connection on loan belongs to.
enum Owner {
    /// Where an HTTP/1 connection comes back to.
    Bucket(Rc<Bucket>),
    Shared {
        /// Whether nobody is to use the HTTP/2 connection again.
        retired: Rc<Cell<bool>>,
        /// Who wants to know that it came back, where there are limits.
        shared: Option<Rc<Shared>>,
    },
}

impl Pool {
    /// No connections yet. `open` counts those that there will be.
    pub(crate) fn new(config: Config, open: Gauge) -> Rc<Self> {
        // Proxies bear being asked whether they are there, and nobody else would notice for streams that are silent.
        let mut mesh_config = config.clone();
        mesh_config.h2.ping_interval = Some(H2_PING_INTERVAL);
        let mut tunnel_config = config.clone();
        tunnel_config.h2 = h2::Settings {
            stream_window: TUNNEL_WINDOW,
            connection_window: TUNNEL_GROWN_WINDOW,
            grown_window: TUNNEL_GROWN_WINDOW,
            ping_interval: Some(TUNNEL_PING),
            ..config.h2
        };
        Rc::new(Self {
            config: Rc::new(config),
            mesh_config: Rc::new(mesh_config),
            tunnel_config: Rc::new(tunnel_config),
            open,
            single: RefCell::default(),
            shared: RefCell::default(),
            tunnels: RefCell::default(),
        })
    }

    /// A connection for one request: a kept one, else a new one by `dial`. Where connections are limited, it waits until
    /// it may have one.
    pub(crate) async fn lease<F>(&self, wanted: Wanted<'_>, dial: F) -> Result<Lease, Failure>
    where
        F: AsyncFnOnce() -> Result<Dialled, Failure>,
    {
        match wanted.key.protocol {
            Protocol::Http1 => self.single(wanted, dial).await,
            Protocol::Http2 => {
                let shared = shared::of(&self.shared, &wanted.key, || wanted.key.into());
                shared.lease(self.terms(&wanted), dial).await
            }
        }
    }

    /// The same where that takes no wait: a kept connection, if there is one.
    pub(crate) fn kept(&self, wanted: &Wanted<'_>) -> Option<Lease> {
        match wanted.key.protocol {
            Protocol::Http1 => {
                let bucket = self.single.borrow().get(&wanted.key).map(Rc::clone)?;
                limit(&bucket.circuit, wanted.circuit);
                bucket.lease(wanted)
            }
            Protocol::Http2 => {
                let shared = self.shared.borrow().get(&wanted.key).map(Rc::clone)?;
                shared.kept(&self.terms(wanted))
            }
        }
    }

    /// What a request wants of an HTTP/2 connection.
    fn terms<'t>(&'t self, wanted: &Wanted<'t>) -> Terms<'t> {
        let Wanted { key, clock, circuit, .. } = *wanted;
        let config = if key.peer.is_some() && !key.tunnel { &self.mesh_config } else { &self.config };
        Terms { most: STREAMS_PER_CONNECTION, clock, circuit, config, open: &self.open }
    }

    /// A connection with room for one more stream of HBONE: a kept one, else a new one by `dial`.
    pub(crate) async fn tunnel<F>(&self, key: &TunnelKey, clock: Clock, dial: F) -> Result<Lease, Failure>
    where
        F: AsyncFnOnce() -> Result<Dialled, Failure>,
    {
        let (config, open) = (&self.tunnel_config, &self.open);
        let terms = Terms { most: TUNNELS_PER_CONNECTION, clock, circuit: None, config, open };
        shared::of(&self.tunnels, key, || key.clone()).lease(terms, dial).await
    }

    async fn single<F>(&self, wanted: Wanted<'_>, dial: F) -> Result<Lease, Failure>
    where
        F: AsyncFnOnce() -> Result<Dialled, Failure>,
    {
        let Wanted { key, clock, circuit, .. } = wanted;
        let bucket = self.bucket(key);
        limit(&bucket.circuit, circuit);
        let mut wait = None;
        let place = loop {
            if let Some(lease) = bucket.lease(&wanted) {
                return Ok(lease);
            }
            let Some(circuit) = circuit else { break None };
            if let Some(place) = circuit.place() {
                break Some(place);
            }
            // What has rested for too long for this request gives up its place.
            if bucket.idle.borrow_mut().pop().is_some() {
                continue;
            }
            match &wait {
                // Whatever was given back before it was known that somebody waits is looked for once more.
                None => wait = Some((circuit.wait()?, Waiting::at(&bucket))),
                Some((wait, _)) => {
                    wait.changed(&bucket.back).await?;
                }
            }
        };
        drop(wait);
        let Dialled { io, local, until, proof } = dial().await?;
        let (io, until) = within(circuit, place, io, until, clock);
        let connection = Connection::H1(h1::ClientConnection::new(io, &self.config));
        let facts = Facts { local, until, proof, _open: Rc::new(self.open.hold()) };
        Ok(Lease::new(Leased::new(connection, facts), false, Owner::Bucket(bucket)))
    }

    fn bucket(&self, key: Key<'_>) -> Rc<Bucket> {
        let mut single = self.single.borrow_mut();
        match single.get(&key) {
            Some(bucket) => Rc::clone(bucket),
            None => Rc::clone(single.entry(key.into()).or_default()),
        }
    }

    /// Drops every idle connection that is kept for one request at a time; whether there was one.
    pub(crate) fn shed(&self) -> bool {
        let dropped = self.single.borrow().values().fold(0, |sum, bucket| sum + bucket.idle.take().len());
        dropped > 0
    }

    /// Gives up connections that others wait for: idle ones at once, shared ones when their streams have ended.
    pub(crate) fn yield_places(&self) {
        for bucket in self.single.borrow().values().filter(|bucket| bucket.is_in_the_way()) {
            let _closed = bucket.idle.take();
        }
        for shared in self.shared.borrow().values().filter(|shared| shared.is_in_the_way()) {
            shared.give_up();
        }
    }

    /// Drops what has idled for too long, and everything of an epoch before `epoch` that is idle.
    pub(crate) fn sweep(&self, epoch: u64) {
        let now = Instant::now();
        self.single.borrow_mut().retain(|key, bucket| {
            let stale = key.epoch != 0 && key.epoch < epoch;
            let longest = bucket.longest();
            let is_good = |idle: &mut Box<Leased>| {
                !stale && idle.rested(now) < longest && idle.connection.is_reusable()
            };
            bucket.idle.borrow_mut().retain_mut(is_good);
            Rc::strong_count(bucket) > 1 || !bucket.idle.borrow().is_empty()
        });
        self.shared.borrow_mut().retain(|key, shared| shared.sweep(key.epoch != 0 && key.epoch < epoch, now));
        self.tunnels.borrow_mut().retain(|key, shared| shared.sweep(key.epoch < epoch, now));
    }
}

/// A new connection's socket with its place, and when it takes requests last.
fn within(
    circuit: Option<&Circuit>,
    place: Option<Place>,
    io: Box<dyn Io>,
    until: Option<SystemTime>,
    clock: Clock,
) -> (Box<dyn Io>, Option<SystemTime>) {
    let lifetime = circuit.and_then(|circuit| circuit.pool().lifetime);
    let end = lifetime.and_then(|lifetime| clock.recent_wall().checked_add(lifetime));
    let until = match (until, end) {
        (Some(until), Some(end)) => Some(until.min(end)),
        (until, end) => until.or(end),
    };
    let io = match place {
        Some(place) => place.keep(io),
        None => io,
    };
    (io, until)
}

/// The most recently used connection that is still good, `surely` so by what the kernel knows. Older ones that aren't are
/// dropped on the way.
fn kept(bucket: &Bucket, limit: Duration, clock: Clock, surely: bool) -> Option<Box<Leased>> {
    let longest = bucket.longest();
    let mut idle = bucket.idle.borrow_mut();
    let now = recent().into_std();
    while let Some(mut candidate) = idle.pop() {
        let rested = candidate.rested(now);
        if rested >= limit {
            // The last one in is the youngest: nothing below it is better for this request.
            if rested < longest {
                idle.push(candidate);
            }
            return None;
        }
        let is_open = |connection: &mut Connection| match surely {
            true => connection.is_surely_reusable(|socket| has_arrived(&socket)),
            false => connection.is_reusable(),
        };
        if candidate.facts.hold(clock) && is_open(&mut candidate.connection) {
            return Some(candidate);
        }
    }
    None
}

impl Lease {
    fn new(leased: Box<Leased>, reused: bool, owner: Owner) -> Self {
        Self { leased: Some(leased), reused, owner }
    }

    fn facts(&self) -> Option<&Facts> {
        self.leased.as_ref().map(|leased| &leased.facts)
    }

    /// This side's address.
    pub(crate) fn local(&self) -> Option<SocketAddr> {
        self.facts()?.local
    }

    /// See [`Dialled::until`].
    pub(crate) fn until(&self) -> Option<SystemTime> {
        self.facts()?.until
    }

    /// See [`Dialled::proof`].
    pub(crate) fn proof(&self) -> Option<Rc<Proof>> {
        self.facts()?.proof.clone()
    }

    /// The connection.
    pub(crate) fn connection(&mut self) -> Result<&mut Connection, Failure> {
        self.leased.as_mut().map(|leased| &mut leased.connection).ok_or(Failure::Internal)
    }

    /// Gives it back for nobody to use again. Exchanges that others have on it go on.
    pub(crate) fn discard(mut self) {
        self.leased = None;
        if let Owner::Shared { retired, .. } = &self.owner {
            retired.set(true);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let leased = self.leased.take();
        let home = match &self.owner {
            Owner::Bucket(home) => home,
            Owner::Shared { shared, .. } => {
                drop(leased);
                if let Some(shared) = shared {
                    shared.came_back();
                }
                return;
            }
        };
        let Some(mut leased) = leased else { return };
        // Whether the peer has closed it is looked at when it is needed again.
        let is_idle = matches!(&leased.connection, Connection::H1(connection) if connection.is_idle());
        if !is_idle || leased.served >= home.most_requests() || home.is_in_the_way() {
            return;
        }
        let mut idle = home.idle.borrow_mut();
        if idle.len() < POOL_IDLE_PER_KEY {
            leased.since = recent().into_std();
            idle.push(leased);
            home.back.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use leno_runtime::task;

    use super::*;
    use crate::limits::POOL_IDLE_UNREPEATABLE;

    fn key() -> Key<'static> {
        Key {
            epoch: 0,
            peer: None,
            tunnel: false,
            endpoint: None,
            target: SocketAddr::from(([127, 0, 0, 1], 8080)),
            service: None,
            protocol: Protocol::Http1,
            outside: None,
            first: None,
        }
    }

    fn gauge() -> Gauge {
        leno_telemetry::Registry::new().gauge("open", "Connections.")
    }

    /// Leases a connection and gives it back; whether it had been used before.
    async fn lease(pool: &Pool, repeatable: bool) -> bool {
        let rest = if repeatable { POOL_IDLE } else { POOL_IDLE_UNREPEATABLE };
        let dial = async || {
            let (io, peer) = tokio::io::duplex(64);
            // The peer goes on, or the connection would be closed.
            task::spawn_local("peer", async move {
                std::future::pending::<()>().await;
                drop(peer);
            })
            .detach();
            Ok(Dialled { io: Box::new(io), local: None, until: None, proof: None })
        };
        pool.lease(Wanted { key: key(), rest, clock: Clock::system(), circuit: None }, dial)
            .await
            .unwrap()
            .reused
    }

    fn let_rest(pool: &Pool, time: Duration) {
        for bucket in pool.single.borrow().values() {
            for idle in bucket.idle.borrow_mut().iter_mut() {
                idle.since -= time;
            }
        }
    }

    #[test]
    fn what_cannot_be_repeated_gets_no_connection_that_rested_for_long() {
        leno_runtime::LocalRuntime::new().unwrap().block_on(async {
            let pool = Pool::new(Config::default(), gauge());
            assert!(!lease(&pool, true).await, "the first is new");
            assert!(lease(&pool, false).await, "it comes back");
            let_rest(&pool, POOL_IDLE_UNREPEATABLE);
            assert!(!lease(&pool, false).await, "it may be closing");
            let_rest(&pool, POOL_IDLE_UNREPEATABLE);
            assert!(lease(&pool, true).await, "a request that can be repeated tries it");
            let_rest(&pool, POOL_IDLE);
            assert!(!lease(&pool, true).await, "it has rested for too long");
        });
    }

    #[test]
    fn what_rests_for_long_is_swept() {
        leno_runtime::LocalRuntime::new().unwrap().block_on(async {
            let pool = Pool::new(Config::default(), gauge());
            lease(&pool, true).await;
            pool.sweep(0);
            assert_eq!(pool.single.borrow().len(), 1);
            let_rest(&pool, POOL_IDLE);
            pool.sweep(0);
            assert!(pool.single.borrow().is_empty());
        });
    }
}
