//! What one core has to itself, and what all cores share.
//!
//! Connections, pools and metric handles never leave their core. Only what is in [`Shared`] crosses threads: the
//! view, the engine's state cells, limits that hold for the whole process, and watches.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::ops::Deref;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use leno_engine::rng::Rng;
use leno_engine::state::StateTable;
use leno_http::budget::Budget;
use leno_http::client;
use leno_runtime::lifecycle::Lifecycle;
use leno_telemetry::access::AccessLog;
use leno_telemetry::faults::Faults;
use leno_telemetry::id::Ids;
use leno_telemetry::istio::{HttpHandle, HttpMetrics, TcpHandle, TcpMetrics};
use leno_telemetry::load::Load;
use leno_telemetry::mirrors::Mirrors;
use leno_telemetry::retries::Retries;
use leno_telemetry::tunnels::Tunnels;
use leno_telemetry::{Registry, Shard};
use leno_wire::client::Discovery;
use tokio::sync::{Semaphore, watch};

use leno_model::name::WorkloadName;

use crate::alarm::Alarms;
use crate::circuit::Gates;
use crate::limits::{HANDSHAKES_AT_ONCE, LEARNT_PORTS, METRIC_HANDLES, MIRRORS_AT_ONCE};
use crate::machine::Machine;
use crate::outside::Outside;
use crate::places::Places;
use crate::pool::Pool;
use crate::sockets::Sockets;
use crate::traces::Tracing;
use crate::view::View;
use crate::vigil::Vigil;

/// What all cores share.
pub struct Shared {
    /// The configuration in effect.
    pub view: ArcSwap<View>,
    /// Counts up with every view, so that open streams can be judged again.
    pub changed: watch::Sender<u64>,
    /// Questions to the control plane.
    pub discovery: Discovery,
    /// Latencies and failures of endpoints.
    pub states: StateTable,
    /// Counts of further tries.
    pub(crate) retries: Retries,
    /// Counts of injected faults.
    pub(crate) faults: Faults,
    /// Counts of copies of requests.
    pub(crate) mirrors: Mirrors,
    /// Counts of HBONE.
    pub(crate) tunnels: Tunnels,
    /// Those who wait for connections.
    pub(crate) gates: Arc<Gates>,
    /// Bytes that may be buffered.
    pub budget: Budget,
    /// TLS towards the outside world.
    pub outside: Outside,
    /// Metrics of requests.
    pub http: HttpMetrics,
    /// Metrics of opaque connections.
    pub tcp: TcpMetrics,
    /// All metrics.
    pub registry: Registry,
    /// The access log, if there is one.
    pub access: Option<AccessLog>,
    /// Traces, where it takes part in them.
    pub(crate) tracing: Option<Tracing>,
    /// Phases of the process.
    pub lifecycle: Lifecycle,
    /// Ports whose application has answered in HTTP. They never fall back to opaque bytes.
    pub(crate) learnt: Mutex<HashSet<(WorkloadName, u16)>>,
    /// How near the process is to its limits.
    pub(crate) load: Load,
    /// What the process listens at.
    pub(crate) sockets: Arc<Sockets>,
    /// Where it runs.
    pub(crate) machine: Machine,
    /// Connections that a core may have open.
    pub(crate) places: usize,
    /// When the process began; idleness is counted in seconds from here.
    pub(crate) began: Instant,
}

impl Shared {
    /// Whether the application on this port of this workload has answered in HTTP.
    pub(crate) fn has_learnt(&self, workload: &WorkloadName, port: u16) -> bool {
        let learnt = self.learnt.lock().unwrap_or_else(PoisonError::into_inner);
        learnt.contains(&(workload.clone(), port))
    }

    /// The application on this port has answered in HTTP.
    pub(crate) fn learn(&self, workload: &WorkloadName, port: u16) {
        let mut learnt = self.learnt.lock().unwrap_or_else(PoisonError::into_inner);
        if learnt.len() < LEARNT_PORTS {
            learnt.insert((workload.clone(), port));
        }
    }
}

/// What one core has to itself.
pub struct Core {
    /// What all cores share.
    pub shared: Arc<Shared>,
    pub(crate) pool: Rc<Pool>,
    /// Whether peers still move.
    pub(crate) vigil: Vigil,
    /// Turns to compute a handshake.
    pub(crate) handshakes: Semaphore,
    pub(crate) places: Rc<Places>,
    /// Timers of requests.
    pub(crate) alarms: Rc<Alarms>,
    /// Copies of requests under way.
    mirroring: Rc<Cell<usize>>,
    view: RefCell<Rc<Held>>,
    rng: RefCell<Rng>,
    /// Of connections, so that what requests draw doesn't depend on how many there are.
    connections_rng: RefCell<Rng>,
    ids: RefCell<Ids>,
    shard: Shard,
    handles: RefCell<HashMap<HandleKey, Handles>>,
}

/// Whom a metric handle is about, as far as it differs within one core.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct HandleKey {
    /// Ourselves.
    pub(crate) local: Arc<str>,
    /// The other end: an endpoint's uid, or a caller's name.
    pub(crate) remote: Arc<str>,
    /// The service.
    pub(crate) service: Arc<str>,
    /// The rest: reporter, security, principal.
    pub(crate) kind: u64,
}

#[derive(Clone, Default)]
struct Handles {
    http: Option<HttpHandle>,
    tcp: Option<TcpHandle>,
}

impl Core {
    /// A core with nothing under way.
    #[must_use]
    pub fn new(shared: Arc<Shared>, seed: u64) -> Rc<Self> {
        let view = RefCell::new(Rc::new(Held(shared.view.load_full())));
        let upstream = client::Config { budget: Some(shared.budget.clone()), ..client::Config::default() };
        Rc::new(Self {
            pool: Pool::new(upstream, shared.load.upstream()),
            vigil: Vigil::default(),
            handshakes: Semaphore::new(HANDSHAKES_AT_ONCE),
            places: Places::new(shared.places, shared.load.clone()),
            alarms: Rc::default(),
            mirroring: Rc::default(),
            view,
            rng: RefCell::new(Rng::new(seed)),
            connections_rng: RefCell::new(Rng::new(!seed)),
            ids: RefCell::new(Ids::seeded(seed)),
            shard: shared.registry.shard(),
            handles: RefCell::default(),
            shared,
        })
    }

    /// The configuration in effect now. A request takes it once.
    pub(crate) fn view(&self) -> Rc<Held> {
        let mut held = self.view.borrow_mut();
        let newest = self.shared.view.load();
        if !Arc::ptr_eq(&held.0, &newest) {
            *held = Rc::new(Held(Arc::clone(&newest)));
        }
        Rc::clone(&held)
    }

    /// Counts a copy of a request as under way until the result is dropped; `None` where there are enough.
    pub(crate) fn mirroring(&self) -> Option<Mirroring> {
        let count = self.mirroring.get();
        (count < MIRRORS_AT_ONCE).then(|| {
            self.mirroring.set(count + 1);
            Mirroring(Rc::clone(&self.mirroring))
        })
    }

    /// A number uniform over 64 bits.
    pub(crate) fn draw(&self) -> u64 {
        self.rng.borrow_mut().draw()
    }

    /// The same, once for each connection.
    pub(crate) fn draw_for_connection(&self) -> u64 {
        self.connections_rng.borrow_mut().draw()
    }

    /// Calls `f` with a new request id.
    pub(crate) fn with_request_id<T>(&self, f: impl FnOnce(&[u8]) -> T) -> T {
        let id = self.ids.borrow_mut().request_id();
        f(id.as_bytes())
    }

    /// Calls `f` with the generator of ids.
    pub(crate) fn with_ids<T>(&self, f: impl FnOnce(&mut Ids) -> T) -> T {
        f(&mut self.ids.borrow_mut())
    }

    /// Seconds since the process began.
    pub(crate) fn seconds(&self) -> u64 {
        self.shared.began.elapsed().as_secs()
    }

    /// The metric handle of a key, resolved by `labels` the first time.
    pub(crate) fn http_handle(
        &self,
        key: &HandleKey,
        resolve: impl FnOnce(&HttpMetrics, &Shard) -> HttpHandle,
    ) -> HttpHandle {
        if let Some(handle) = self.handles.borrow().get(key).and_then(|handles| handles.http.clone()) {
            return handle;
        }
        let handle = resolve(&self.shared.http, &self.shard);
        self.remember(key).http = Some(handle.clone());
        handle
    }

    /// See [`Self::http_handle`].
    pub(crate) fn tcp_handle(
        &self,
        key: &HandleKey,
        resolve: impl FnOnce(&TcpMetrics, &Shard) -> TcpHandle,
    ) -> TcpHandle {
        if let Some(handle) = self.handles.borrow().get(key).and_then(|handles| handles.tcp.clone()) {
            return handle;
        }
        let handle = resolve(&self.shared.tcp, &self.shard);
        self.remember(key).tcp = Some(handle.clone());
        handle
    }

    fn remember(&self, key: &HandleKey) -> std::cell::RefMut<'_, Handles> {
        let mut handles = self.handles.borrow_mut();
        if handles.len() >= METRIC_HANDLES {
            handles.clear();
        }
        std::cell::RefMut::map(handles, |handles| handles.entry(key.clone()).or_default())
    }
}

/// A copy of a request under way.
pub(crate) struct Mirroring(Rc<Cell<usize>>);

impl Drop for Mirroring {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// A view, counted by one core alone: taking it costs nothing that cores contend for.
#[derive(Debug)]
pub(crate) struct Held(Arc<View>);

impl Deref for Held {
    type Target = View;

    fn deref(&self) -> &View {
        &self.0
    }
}
