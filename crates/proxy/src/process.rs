//! A proxy process from start to end: restore, connect, serve, drain.
//!
//! The main thread runs discovery, certificates, DNS and the admin interface; traffic runs on the cores.

use std::io;
use std::net::IpAddr;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use leno_engine::state::StateTable;
use leno_http::budget::Budget;
use leno_identity::rotation::Settings;
use leno_identity::{Bundle, Svid};
use leno_model::spiffe::TrustDomain;
use leno_runtime::cores::{self, Cores, RuntimeError};
use leno_runtime::lifecycle::{Lifecycle, Phase};
use leno_runtime::signal::{Signal, Signals};
use leno_runtime::{process, task};
use leno_telemetry::Registry;
use leno_telemetry::access::AccessLog;
use leno_telemetry::faults::Faults;
use leno_telemetry::istio::{self, HttpMetrics, TcpMetrics};
use leno_telemetry::load::Load;
use leno_telemetry::mirrors::Mirrors;
use leno_telemetry::retries::Retries;
use leno_telemetry::tunnels::Tunnels;
use leno_telemetry::upstreams::Upstreams;
use leno_wire::Subject;
use leno_wire::client::{self, Config as DiscoveryConfig};
use leno_wire::transport::{Endpoint, Remote};
use tokio::sync::watch;

pub use crate::admin::Door;
use crate::circuit::Gates;
use crate::core::{Core, Shared};
use crate::dns::server::Server as DnsServer;
use crate::doors::Doors;
use crate::limits::{
    CONNECTIONS, DRAIN, DRAIN_REPLACED, FILES_RESERVED, LINGER_REPLACED, SETTLED, SWEEP_INTERVAL, TURNS,
    VIGIL_TICK,
};
use crate::listener::{self, Listener};
use crate::local::Local;
use crate::machine::Machine;
use crate::outside::Outside;
use crate::renew::{self, Renewal};
use crate::secure;
use crate::sockets::{Address, Listed, Sockets};
use crate::takeover::{Succession, TakeOverError};
use crate::traces::{self, Tracing};
use crate::trust::Trust;
use crate::updates;
use crate::vault::{Blobs, Orders, Vault};
use crate::view::View;
use crate::vigil::Vigil;

/// Where the proxy's certificate comes from.
#[derive(Debug)]
pub enum Identity {
    /// The control plane signs it, and it is renewed.
    Issued {
        /// Whom to ask.
        remote: Remote,
        /// When.
        settings: Settings,
    },
    /// It was given, and stays.
    Given {
        /// Certificate and key.
        svid: Box<Svid>,
        /// The roots of its trust domain.
        roots: Bundle,
    },
}

/// Everything that a proxy is started with.
pub struct Setup {
    /// Whom it serves, or the gateway that it is.
    pub local: Arc<Local>,
    /// Whose configuration it carries out.
    pub subject: Subject,
    /// The mesh's trust domain.
    pub trust_domain: TrustDomain,
    /// The control plane.
    pub control: Endpoint,
    /// Where its certificate comes from.
    pub identity: Identity,
    /// What it listens to.
    pub listeners: Vec<Listener>,
    /// Where a gateway opens the ports of its configuration; `None` for other roles.
    pub bind: Option<IpAddr>,
    /// Sockets of mesh DNS.
    pub dns: Vec<DnsSocket>,
    /// The admin interface.
    pub admin: Vec<Door>,
    /// The supervisor's keeping.
    pub vault: Option<StdUnixStream>,
    /// Data cores; at least 1.
    pub cores: usize,
    /// Where access records go.
    pub access: Option<(leno_telemetry::access::Target, leno_telemetry::access::Format)>,
    /// How it takes part in tracing; `None` leaves trace context as it is.
    pub tracing: Option<traces::Settings>,
    /// Where the draws between weighted backends and endpoints begin; each core adds its number. `None` draws that too.
    pub seed: Option<u64>,
    /// How it takes over from an earlier process, and a later one from it.
    pub succession: Succession,
}

/// A socket of mesh DNS.
#[derive(Debug)]
pub enum DnsSocket {
    /// Datagrams.
    Udp(std::net::UdpSocket),
    /// Streams.
    Tcp(std::net::TcpListener),
}

/// Why a proxy cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// A core could not be started, or has ended by a panic.
    #[error("a core of the proxy does not run")]
    Cores(#[from] RuntimeError),
    /// The access log cannot be opened.
    #[error("the access log cannot be opened")]
    AccessLog(#[source] leno_telemetry::access::OpenError),
    /// A socket or signal handler is not to be had.
    #[error("{what} cannot be set up")]
    Setup {
        /// What.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The given certificate cannot be used.
    #[error("the proxy's certificate cannot be used")]
    Identity(#[from] leno_identity::Error),
    /// The earlier process, or the place for a later one.
    #[error(transparent)]
    TakeOver(#[from] TakeOverError),
}

pub(crate) fn setup(what: &'static str) -> impl FnOnce(io::Error) -> ProcessError {
    move |source| ProcessError::Setup { what, source }
}

/// Runs the proxy until it is told to end. To be called inside a [`leno_runtime::cores::LocalRuntime`].
///
/// # Errors
/// When it cannot start.
pub async fn run(mut start: Setup) -> Result<(), ProcessError> {
    let mut signals = Signals::install().map_err(setup("signal handling"))?;
    let files = process::raise_open_files().ok().and_then(|files| files.now);
    let (vault, blobs, orders) = open_vault(start.vault).await?;
    let (discovery, updates, carrying) = client::start(DiscoveryConfig {
        endpoint: start.control,
        subject: start.subject,
        version: env!("CARGO_PKG_VERSION").into(),
        restored: updates::restore(&blobs),
    });
    let (lifecycle, first) = Lifecycle::new("configuration");
    let waiting = lifecycle.readiness().pending("certificate");
    let trust = Arc::new(Trust::new(Arc::clone(&start.local.identities), waiting));
    let registry = registry();
    let open = |(target, format)| AccessLog::open(target, format, &registry);
    let access = start.access.map(open).transpose().map_err(ProcessError::AccessLog)?;
    let began = Instant::now();
    let budget = Budget::new(leno_http::limits::BUFFERED_BYTES);
    let connections = connections(files);
    let load = load(&registry, connections, budget.clone());
    let states = StateTable::new(began, fastrand::u64(..));
    let door = start.succession.door()?;
    let sockets = Arc::new(Sockets::new(std::mem::take(&mut start.succession.inherited)));
    let shared = Arc::new(Shared {
        view: ArcSwap::from_pointee(View::default()),
        changed: watch::Sender::new(0),
        discovery: discovery.clone(),
        gates: Gates::new(Upstreams::new(&registry, Arc::clone(states.ejected()))),
        states,
        budget,
        retries: Retries::new(&registry),
        faults: Faults::new(&registry),
        mirrors: Mirrors::new(&registry),
        tunnels: Tunnels::new(&registry),
        outside: Outside::default(),
        http: HttpMetrics::new(&registry),
        tcp: TcpMetrics::new(&registry),
        tracing: start.tracing.map(|settings| Tracing::new(settings, &registry)),
        registry,
        access,
        lifecycle,
        learnt: std::sync::Mutex::default(),
        load,
        sockets,
        machine: Machine::this(),
        places: connections.div_ceil(start.cores.max(1)),
        began,
    });
    let carrying = task::spawn("discovery", carrying);
    let renewing = start_identity(
        &start.local,
        start.identity,
        &start.trust_domain,
        &trust,
        &blobs,
        &shared,
        vault.clone(),
    )?;
    task::spawn("updates", updates::apply(Arc::clone(&shared), Arc::clone(&trust), updates, first)).detach();
    start_tending(&shared, vault.clone());
    let waits = start.succession.is_succession();
    let serving = Serving { bind: start.bind, seed: start.seed, waits };
    let mut cores = start_cores(&shared, start.listeners, &start.local, start.cores, serving)?;
    Tracing::start(&shared, &start.local);
    let dns = start_dns(&shared, &start.local, start.dns)?;
    let doors = Doors { shared: Arc::clone(&shared), local: Arc::clone(&start.local), admin: start.admin };
    let mut doors = task::spawn_local("doors", doors.serve(start.succession, door, vault.clone()));
    settle(&shared);
    let end = wait_for_end(&mut signals, orders, &mut cores, &mut doors).await?;
    // Whoever asks the next one is not to be answered by this one.
    let asked = (!is_succeeded(&shared, vault.as_deref(), serving, end).await).then_some((doors, dns));
    stop(&shared, &mut signals, end).await;
    Tracing::finish(&shared).await;
    drop((carrying, renewing, asked));
    if let Some(access) = &shared.access {
        access.finish(Duration::from_secs(1)).await;
    }
    Ok(())
}

/// Tells the supervisor, where there is one, that the proxy drains; whether it starts another sidecar beside this one.
async fn is_succeeded(shared: &Shared, vault: Option<&Vault>, serving: Serving, end: End) -> bool {
    let Some(vault) = vault else { return false };
    let has_served = shared.lifecycle.readiness().is_ready();
    let _gone = vault.draining().await;
    has_served && serving.bind.is_none() && end == End::Signalled
}

/// The metrics' registry, with what it tells of the process.
fn registry() -> Registry {
    let registry = Registry::new();
    istio::build(&registry, "proxy", env!("CARGO_PKG_VERSION"));
    leno_telemetry::process::register(&registry);
    registry
}

/// Connections that may be open at once: each may need a descriptor for its upstream as well.
fn connections(files: Option<u64>) -> usize {
    let Some(files) = files else { return CONNECTIONS };
    let half = files.saturating_sub(FILES_RESERVED) / 2;
    usize::try_from(half).unwrap_or(CONNECTIONS).clamp(1, CONNECTIONS)
}

async fn open_vault(
    stream: Option<StdUnixStream>,
) -> Result<(Option<Arc<Vault>>, Blobs, Option<Orders>), ProcessError> {
    match stream {
        Some(stream) => {
            let (vault, blobs, orders) =
                Vault::open(stream).await.map_err(setup("the supervisor's stream"))?;
            if !blobs.is_empty() {
                let kept: Vec<&String> = blobs.keys().collect();
                tracing::info!(?kept, "an earlier process is continued from the supervisor's keeping");
            }
            Ok((Some(Arc::new(vault)), blobs, Some(orders)))
        }
        None => Ok((None, Blobs::new(), None)),
    }
}

fn start_identity(
    local: &Local,
    identity: Identity,
    trust_domain: &TrustDomain,
    trust: &Arc<Trust>,
    blobs: &Blobs,
    shared: &Arc<Shared>,
    vault: Option<Arc<Vault>>,
) -> Result<Option<task::Task<()>>, ProcessError> {
    match identity {
        Identity::Given { svid, roots } => {
            trust.certificate(*svid, Some(roots))?;
            Ok(None)
        }
        Identity::Issued { remote, settings } => {
            let held = renew::restore(blobs, trust_domain, trust, local.wall());
            let renewal = Renewal {
                remote,
                settings,
                trust_domain: trust_domain.clone(),
                trust: Arc::clone(trust),
                discovery: shared.discovery.clone(),
                vault,
                clock: local.clock,
            };
            Ok(Some(task::spawn_local("renewal", renewal.run(held))))
        }
    }
}

fn start_tending(shared: &Arc<Shared>, vault: Option<Arc<Vault>>) {
    task::spawn("tend", updates::tend(Arc::clone(shared))).detach();
    if let Some(vault) = vault {
        task::spawn("keep", updates::keep(Arc::clone(shared), vault)).detach();
    }
}

/// How cores serve.
#[derive(Clone, Copy)]
struct Serving {
    /// Where a gateway opens ports.
    bind: Option<IpAddr>,
    seed: Option<u64>,
    /// Whether nothing is accepted before the process is ready, since an earlier one serves until then.
    waits: bool,
}

fn start_cores(
    shared: &Arc<Shared>,
    listeners: Vec<Listener>,
    local: &Arc<Local>,
    count: usize,
    serving: Serving,
) -> Result<Cores, ProcessError> {
    let mut sets = Vec::with_capacity(count);
    for _ in 1..count {
        let set = listeners.iter().map(|listener| Ok((listener.duplicate()?, None)));
        sets.push(set.collect::<io::Result<Vec<_>>>().map_err(setup("a listener"))?);
    }
    let listed = listeners.into_iter().map(|listener| {
        let address = Address::of(&listener.socket);
        let listed = address.map(|address| shared.sockets.list(address, &listener.socket)).transpose()?;
        Ok((listener, listed))
    });
    sets.push(listed.collect::<io::Result<Vec<_>>>().map_err(setup("a listener"))?);
    let sets = Arc::new(std::sync::Mutex::new(sets));
    let (shared, local) = (Arc::clone(shared), Arc::clone(local));
    Ok(Cores::start(count, move |place| async move {
        ask_for_turns();
        let listeners =
            sets.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop().unwrap_or_default();
        let seed =
            serving.seed.map_or_else(|| fastrand::u64(..), |seed| seed.wrapping_add(place.index as u64));
        if serving.waits {
            shared.lifecycle.reached(Phase::Ready).await;
        }
        let core = Core::new(shared, seed);
        run_core(core, listeners, serving.bind.map(|bind| (bind, place)), local).await;
    })?)
}

/// A core does a little for somebody who waits, again and again.
fn ask_for_turns() {
    match leno_capture::scheduling::ask_for_turns(TURNS) {
        Ok(taken) => tracing::debug!(taken, turns = ?TURNS, "asked the scheduler for short turns"),
        Err(error) => tracing::debug!(%error, "the scheduler gives no short turns"),
    }
}

/// The metrics of the process's limits.
fn load(registry: &Registry, connections: usize, budget: Budget) -> Load {
    Load::new(registry, connections, budget.limit(), move || budget.used())
}

/// One core, until the drain is over.
async fn run_core(
    core: Rc<Core>,
    listeners: Vec<(Listener, Option<Listed>)>,
    gateway: Option<(IpAddr, cores::Core)>,
    local: Arc<Local>,
) {
    for (listener, listed) in listeners {
        let core = Rc::clone(&core);
        task::spawn_local("listener", async move {
            let _listed = listed;
            listener::accept(core, listener).await;
        })
        .detach();
    }
    if let Some((bind, place)) = gateway {
        let serving = listener::gateway(Rc::clone(&core), Arc::clone(&local), bind, place);
        task::spawn_local("listener", serving).detach();
    }
    let sweeping = async {
        let mut squeezed = core.shared.gates.squeezed();
        let (mut sweep, mut vigil) =
            (leno_runtime::time::interval(SWEEP_INTERVAL), leno_runtime::time::interval(VIGIL_TICK));
        loop {
            tokio::select! {
                _ = sweep.tick() => {
                    core.pool.sweep(local.identities.epoch());
                    leno_http::trim_buffers();
                    secure::trim_buffers();
                }
                _ = vigil.tick() => Vigil::look(&core, &local, Instant::now()),
                Ok(()) = squeezed.changed() => core.pool.yield_places(),
            }
        }
    };
    tokio::select! {
        () = core.shared.lifecycle.reached(Phase::Stopped) => {}
        () = sweeping => {}
    }
}

/// Serves mesh DNS for as long as the tasks are kept.
fn start_dns(
    shared: &Arc<Shared>,
    local: &Arc<Local>,
    sockets: Vec<DnsSocket>,
) -> Result<Vec<task::Task<()>>, ProcessError> {
    let mut serving = Vec::with_capacity(sockets.len());
    if sockets.is_empty() {
        return Ok(serving);
    }
    let server = DnsServer::new(Core::new(Arc::clone(shared), fastrand::u64(..)), Arc::clone(local));
    for socket in sockets {
        match socket {
            DnsSocket::Udp(socket) => {
                socket.set_nonblocking(true).map_err(setup("mesh DNS"))?;
                let socket = tokio::net::UdpSocket::from_std(socket).map_err(setup("mesh DNS"))?;
                serving.push(task::spawn_local("dns", Rc::clone(&server).udp(socket)));
            }
            DnsSocket::Tcp(listener) => {
                listener.set_nonblocking(true).map_err(setup("mesh DNS"))?;
                let listener = tokio::net::TcpListener::from_std(listener).map_err(setup("mesh DNS"))?;
                serving.push(task::spawn_local("dns", Rc::clone(&server).tcp(listener)));
            }
        }
    }
    Ok(serving)
}

/// Gives the kernel back what only starting needed, once the proxy serves.
fn settle(shared: &Arc<Shared>) {
    let shared = Arc::clone(shared);
    task::spawn("settle", async move {
        shared.lifecycle.readiness().ready().await;
        for time in SETTLED {
            leno_runtime::time::sleep(time).await;
            match leno_capture::memory::release_files() {
                Ok(kib) => tracing::debug!(kib, "mappings of files were given back"),
                Err(error) => tracing::debug!(%error, "mappings of files were not given back"),
            }
        }
    })
    .detach();
}

async fn wait_for_end(
    signals: &mut Signals,
    orders: Option<Orders>,
    cores: &mut Cores,
    doors: &mut task::Task<Result<(), ProcessError>>,
) -> Result<End, ProcessError> {
    let ordered = async {
        match orders {
            Some(mut orders) => orders.drain().await,
            None => std::future::pending().await,
        }
    };
    let signalled = async {
        // A terminal that goes away doesn't end a proxy.
        while signals.next().await == Signal::Hangup {}
    };
    tokio::select! {
        () = signalled => Ok(End::Signalled),
        () = ordered => Ok(End::Ordered),
        replaced = doors => replaced.unwrap_or_else(|_panicked| Err(panicked("the admin interface"))).map(|()| End::Replaced),
        ended = cores.stopped() => ended.map(|()| End::Ordered).map_err(|_panicked| panicked("a core")),
    }
}

fn panicked(what: &'static str) -> ProcessError {
    ProcessError::Setup { what, source: io::Error::other("it has panicked; this is an error in Leno") }
}

/// Why a proxy ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Somebody has sent it a signal.
    Signalled,
    /// Its supervisor has told it to, or is gone.
    Ordered,
    /// A later process serves in its place.
    Replaced,
}

/// Drains: new work is refused, work under way goes on until the deadline or a second signal.
async fn stop(shared: &Arc<Shared>, signals: &mut Signals, end: End) {
    let (deadline, held) = match end {
        End::Signalled | End::Ordered => (DRAIN, None),
        End::Replaced => {
            tracing::info!("a new process has taken over; this one drains");
            (DRAIN_REPLACED, Some(shared.lifecycle.drain().guard()))
        }
    };
    let lingering = async move {
        leno_runtime::time::sleep(LINGER_REPLACED).await;
        drop(held);
        std::future::pending::<()>().await;
    };
    let mut stopping = std::pin::pin!(shared.lifecycle.stop(deadline));
    let outcome = tokio::select! {
        () = lingering => return,
        outcome = &mut stopping => outcome,
        _ = signals.next() => {
            shared.lifecycle.force();
            // What is cut now still says so in log and metrics.
            stopping.await
        }
    };
    tracing::info!(?outcome, "drained");
}
