//! A destination's limits at work: places for connections and requests, and the wait for a connection.
//!
//! Counts belong to the engine and hold for all cores. Who waits is woken by whoever gives a place back, in turn. A
//! wait is bounded in number by the destination's settings and in time by what a connection may take.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use leno_engine::breaker::{Breaker, Limits, Resource, Taken};
use leno_engine::destination::Cluster;
use leno_http::io::Io;
use leno_model::failure::Failure;
use leno_model::pool::ConnectionPool;
use leno_telemetry::metric::Counter;
use leno_telemetry::upstreams::Upstreams;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::limits::POOL_IDLE;

/// Dead entries that are kept before they are swept.
const DEAD_GATES: usize = 64;

/// Those who wait for connections, by the breaker that keeps them waiting.
#[derive(Debug)]
pub(crate) struct Gates {
    waiting: Mutex<HashMap<usize, Weak<Notify>>>,
    /// Counts up with everybody who begins to wait: idle connections may be in their way.
    squeezed: watch::Sender<u64>,
    upstreams: Upstreams,
}

impl Gates {
    pub(crate) fn new(upstreams: Upstreams) -> Arc<Self> {
        Arc::new(Self { waiting: Mutex::default(), squeezed: watch::Sender::new(0), upstreams })
    }

    /// Tells of everybody who begins to wait.
    pub(crate) fn squeezed(&self) -> watch::Receiver<u64> {
        self.squeezed.subscribe()
    }

    fn of(&self, breaker: &Arc<Breaker>) -> Arc<Notify> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= DEAD_GATES {
            waiting.retain(|_, gate| gate.strong_count() > 0);
        }
        let gate = waiting.entry(Arc::as_ptr(breaker).addr()).or_default();
        gate.upgrade().unwrap_or_else(|| {
            let new = Arc::new(Notify::new());
            *gate = Arc::downgrade(&new);
            new
        })
    }

    /// Something was given back: the next who waits looks.
    fn freed(&self, breaker: &Arc<Breaker>) {
        if breaker.count(Resource::Pending) == 0 {
            return;
        }
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gate) = waiting.get(&Arc::as_ptr(breaker).addr()).and_then(Weak::upgrade) {
            gate.notify_one();
        }
    }
}

/// The limits that hold for one choice of an endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Circuit {
    limits: Arc<Limits>,
    gates: Arc<Gates>,
    /// How long anybody waits for a connection.
    limit: Duration,
}

impl Circuit {
    /// The limits of a cluster that has any.
    pub(crate) fn of(cluster: &Cluster, gates: &Arc<Gates>, limit: Duration) -> Option<Self> {
        let limits = Arc::clone(cluster.limits()?);
        Some(Self { limits, gates: Arc::clone(gates), limit })
    }

    /// Whether these are the same limits of the same destination, of one configuration.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.limits, &other.limits) && self.limit == other.limit
    }

    /// What is written.
    pub(crate) fn pool(&self) -> &ConnectionPool {
        &self.limits.pool
    }

    fn breaker(&self) -> &Arc<Breaker> {
        &self.limits.breaker
    }

    /// A place for a request, where they are limited.
    pub(crate) fn request(&self) -> Result<Option<Taken>, Failure> {
        let Some(most) = self.pool().requests else { return Ok(None) };
        let taken = self.breaker().take(Resource::Requests, most);
        taken.map(Some).ok_or_else(|| overflow(&self.gates.upstreams.requests))
    }

    /// A place for a connection of opaque bytes, where they are limited. Nobody waits for one.
    pub(crate) fn opaque(&self) -> Result<Place, Failure> {
        self.place().ok_or_else(|| overflow(&self.gates.upstreams.connections))
    }

    /// A place for a connection, if there is one.
    pub(crate) fn place(&self) -> Option<Place> {
        let Some(most) = self.pool().connections else { return Some(Place(None)) };
        let taken = self.breaker().take(Resource::Connections, most)?;
        Some(Place(Some((taken, Arc::clone(&self.gates)))))
    }

    /// Begins to wait for a connection.
    pub(crate) fn wait(&self) -> Result<Wait, Failure> {
        let most = self.pool().pending.unwrap_or(u32::MAX);
        let full = || overflow(&self.gates.upstreams.pending);
        let pending = self.breaker().take(Resource::Pending, most).ok_or_else(full)?;
        let gate = self.gates.of(self.breaker());
        self.gates.squeezed.send_modify(|count| *count = count.wrapping_add(1));
        Ok(Wait {
            gate,
            until: Instant::now() + self.limit,
            gates: Arc::clone(&self.gates),
            _pending: pending,
        })
    }

    /// Whether anybody waits for a connection.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.pool().connections.is_some() && self.breaker().count(Resource::Pending) > 0
    }

    /// How long a connection is kept without a request.
    pub(crate) fn longest_rest(&self) -> Duration {
        match self.pool().http_idle {
            None => POOL_IDLE,
            Some(idle) if idle.is_zero() => Duration::MAX,
            Some(idle) => idle,
        }
    }

    /// The same for a request that allows for `rest`.
    pub(crate) fn rest(&self, rest: Duration) -> Duration {
        let longest = self.longest_rest();
        if rest == POOL_IDLE { longest } else { rest.min(longest) }
    }
}

fn overflow(counter: &Counter) -> Failure {
    counter.inc();
    Failure::Overflow
}

/// Somebody who waits for a connection.
#[derive(Debug)]
pub(crate) struct Wait {
    gate: Arc<Notify>,
    until: Instant,
    gates: Arc<Gates>,
    _pending: Taken,
}

impl Wait {
    /// Until a place may have become free anywhere, or a connection by `own`.
    pub(crate) async fn changed(&self, own: &Notify) -> Result<(), Failure> {
        tokio::select! {
            () = self.gate.notified() => Ok(()),
            () = own.notified() => Ok(()),
            () = leno_runtime::time::sleep_until(self.until) => Err(overflow(&self.gates.upstreams.pending)),
        }
    }
}

/// A place for a connection, kept by its socket.
#[derive(Debug)]
pub(crate) struct Place(Option<(Taken, Arc<Gates>)>);

impl Place {
    /// Gives the socket the place to keep.
    pub(crate) fn keep(self, io: Box<dyn Io>) -> Box<dyn Io> {
        if self.0.is_none() { io } else { Box::new(Placed { io, _place: self }) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((taken, gates)) = self.0.take() {
            let breaker = Arc::clone(taken.breaker());
            drop(taken);
            gates.freed(&breaker);
        }
    }
}

struct Placed {
    io: Box<dyn Io>,
    _place: Place,
}

leno_http::forward_socket!(Placed, io);

leno_http::forward_reads!(Placed, io);
leno_http::forward_writes!(Placed, io);
