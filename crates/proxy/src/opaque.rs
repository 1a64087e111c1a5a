//! Opaque bytes: connections that are relayed without a look into them.
//!
//! An inbound one was judged when it was opened and is judged again whenever policy or trust changes; a denied one is
//! cut. An outbound one is judged by the other side; it is cut only if that side itself is trusted no more.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use leno_engine::state::{InFlight, Outcome};
use leno_http::io::Io;
use leno_http::relay::{self, DuplexEnd, Tally};
use leno_model::failure::{Failure, Fault};
use leno_model::pool::ConnectionPool;
use leno_model::spiffe::SpiffeId;
use leno_runtime::drain;
use leno_telemetry::access::{AccessRecord, Address};
use leno_telemetry::istio::{Reporter, Security, TcpHandle, TcpRecord};

use crate::caller::Caller;
use crate::circuit::Circuit;
use crate::core::Core;
use crate::dial::{Dialled, Way, dial};
use crate::gateway::GatewayPath;
use crate::inbound::InboundPath;
use crate::judged;
use crate::limits::{CONNECT, TALLY_INTERVAL};
use crate::local::Local;
use crate::outbound::{self, OutboundPath};
use crate::parties::{Parties, Party, ServiceName};
use crate::places;
use crate::proof::Proof;
use crate::record::Ends;
use crate::refused;
use crate::upstream::{self, Chosen, Client, Spoken};
use crate::view::View;

pub(crate) fn handle(core: &Core, parties: &Parties<'_>) -> TcpHandle {
    core.tcp_handle(&parties.key(), |metrics, shard| parties.labels(|labels| metrics.resolve(shard, labels)))
}

/// Ends a connection that policy denies.
pub(crate) async fn deny(core: &Core, path: &InboundPath, caller: Caller, failure: Failure) {
    handle(core, &path.parties()).failed(failure.row().flag);
    caller.refuse(failure).await;
}

/// Relays a connection of the own workload.
pub(crate) async fn outbound(core: Rc<Core>, path: &OutboundPath, client: Box<dyn Io>) {
    let view = core.view();
    let chosen = path
        .opaque_to(&view)
        .and_then(|to| upstream::choose(&core, &to, Spoken::Opaque, Client::opaque(&to, &path.ends), &[]));
    drop(view);
    let chosen = match chosen {
        Ok(chosen) => chosen,
        Err(failure) => return outbound_failed(&core, path, None, failure),
    };
    match dial_chosen(&core, &path.local, &chosen).await {
        Ok(upstream) => outbound_joined(core, path, chosen, client, upstream).await,
        Err(failure) => {
            outbound_failed(&core, path, Some(&chosen), failure);
        }
    }
}

/// Dials what was chosen for opaque bytes, and tells the balancer and outlier detection how that went.
pub(crate) async fn dial_chosen(core: &Core, local: &Local, chosen: &Chosen) -> Result<Dialled, Failure> {
    let place = chosen.circuit.as_ref().map(Circuit::opaque).transpose()?;
    let began = Instant::now();
    let dialled = chosen.dial(core, local).await.map(|dialled| Dialled {
        io: match place {
            Some(place) => place.keep(dialled.io),
            None => dialled.io,
        },
        ..dialled
    });
    let now = Instant::now();
    let outcome = match &dialled {
        Ok(_) => Outcome::Answered(now.saturating_duration_since(began)),
        Err(failure) if failure.row().fault == Fault::Upstream => Outcome::Failed,
        Err(_) => return dialled,
    };
    if let Some(in_flight) = &chosen.in_flight {
        in_flight.learn(now, outcome);
    }
    dialled
}

/// Relays between a client of the own workload and a server that was dialled during detection.
pub(crate) async fn joined(
    core: Rc<Core>,
    path: &OutboundPath,
    chosen: Box<Chosen>,
    client: Box<dyn Io>,
    upstream: Dialled,
) {
    outbound_joined(core, path, chosen, client, upstream).await;
}

async fn outbound_joined(
    core: Rc<Core>,
    path: &OutboundPath,
    chosen: Box<Chosen>,
    client: Box<dyn Io>,
    upstream: Dialled,
) {
    let view = core.view();
    let dialled = chosen.service().cloned().map_or_else(|| path.dialled.clone(), outbound::Dialled::Service);
    let service = outbound::service_name(&view, &dialled, &path.destination.to_string());
    drop(view);
    let leg = Leg { local: &path.local, ends: &path.ends, service, cluster: path.cluster_name() };
    leg.relay(&core, chosen, (client, upstream), |_| Ok(())).await;
}

/// Relays a connection from outside the mesh to where the routes of its listener lead.
pub(crate) async fn gateway(core: Rc<Core>, path: &GatewayPath, client: Box<dyn Io>) {
    let view = core.view();
    let to = path.opaque_to(&view, core.draw_for_connection());
    let cluster = to.as_ref().map(upstream::To::name).unwrap_or_default();
    let chosen =
        to.and_then(|to| upstream::choose(&core, &to, Spoken::Opaque, Client::opaque(&to, &path.ends), &[]));
    drop(view);
    let reached = match chosen {
        Ok(chosen) => dial_chosen(&core, &path.local, &chosen).await.map(|upstream| (chosen, upstream)),
        Err(failure) => Err(failure),
    };
    let (chosen, upstream) = match reached {
        Ok(reached) => reached,
        Err(failure) => {
            return refused::connection(&core, &path.local, Reporter::Source, &path.ends, failure);
        }
    };
    let view = core.view();
    let service = match chosen.service() {
        Some(host) => outbound::service_name(&view, &outbound::Dialled::Service(host.clone()), host.as_str()),
        None => ServiceName::outside("unknown"),
    };
    drop(view);
    let leg = Leg { local: &path.local, ends: &path.ends, service, cluster };
    leg.relay(&core, chosen, (client, upstream), |view| path.check_connection(view)).await;
}

/// A connection that leads away from here.
struct Leg<'p> {
    local: &'p Arc<Local>,
    ends: &'p Ends,
    service: ServiceName,
    /// The destination in Istio's notation.
    cluster: String,
}

impl Leg<'_> {
    /// Relays it until it ends, or until the peer's proof or `judge` denies it after a change.
    async fn relay(
        self,
        core: &Core,
        mut chosen: Box<Chosen>,
        (client, mut upstream): (Box<dyn Io>, Dialled),
        judge: impl Fn(&View) -> Result<(), Failure>,
    ) {
        let remote = chosen.endpoint().map(Party::of_endpoint).unwrap_or_default();
        let parties = Parties {
            reporter: Reporter::Source,
            local: self.local,
            remote: &remote,
            service: &self.service,
            security: Security::Unknown,
        };
        let in_flight = chosen.in_flight.take();
        let mut stream = Stream::begin(core, &parties, self.ends, in_flight);
        stream.upstream = Some(chosen.target);
        stream.cluster = Some(self.cluster);
        stream.pool = chosen.circuit.as_ref().map(|circuit| *circuit.pool()).unwrap_or_default();
        let proof = upstream.proof.take();
        let judge = async |core: &Core| {
            judge(&core.view())?;
            proof.as_ref().map_or(Ok(()), |proof| proof.check(self.local))
        };
        stream.relay(core, client, upstream, judge).await;
    }
}

fn outbound_failed(core: &Core, path: &OutboundPath, chosen: Option<&Chosen>, failure: Failure) {
    let view = core.view();
    let service = outbound::service_name(&view, &path.dialled, &path.destination.to_string());
    let remote = chosen.and_then(Chosen::endpoint).map(Party::of_endpoint).unwrap_or_default();
    let parties = Parties {
        reporter: Reporter::Source,
        local: &path.local,
        remote: &remote,
        service: &service,
        security: Security::Unknown,
    };
    handle(core, &parties).failed(failure.row().flag);
    let mut stream = Stream::begin(core, &parties, &path.ends, None);
    stream.failure = Some(failure);
    stream.cluster = Some(path.cluster_name());
}

/// Relays a connection to the own workload.
pub(crate) async fn inbound(core: Rc<Core>, path: &InboundPath, mut caller: Caller) {
    if let Err(failure) = path.check(&core).await {
        return deny(&core, path, caller, failure).await;
    }
    let to = path.to();
    let client = Client::opaque(&to, &path.ends);
    let chosen = match upstream::choose(&core, &to, Spoken::Opaque, client, &[]) {
        Ok(chosen) => chosen,
        Err(failure) => {
            refused::connection(&core, &path.local, Reporter::Destination, &path.ends, failure);
            return caller.refuse(failure).await;
        }
    };
    // In a box, or every open connection would hold the room that dialling needs, twice.
    let dialling = Box::pin(chosen.dial(&core, &path.local));
    match caller.meanwhile(dialling).await {
        Ok(upstream) => {
            let Ok(client) = caller.accept().await else { return };
            joined_inbound(core, path, client, upstream).await;
        }
        Err(failure) => {
            handle(&core, &path.parties()).failed(failure.row().flag);
            caller.refuse(failure).await;
        }
    }
}

/// Relays between a peer and the application that was dialled for it.
pub(crate) async fn joined_inbound(
    core: Rc<Core>,
    path: &InboundPath,
    client: Box<dyn Io>,
    upstream: Dialled,
) {
    let mut stream = Stream::begin(&core, &path.parties(), &path.ends, None);
    stream.upstream = Some(path.destination);
    stream.cluster = Some(format!("inbound|{}||", path.destination.port()));
    stream.relay(&core, client, upstream, async |core| path.check(core).await).await;
}

/// A connection that leaves the mesh.
pub(crate) struct Leaving {
    /// Where it comes from.
    pub(crate) remote: Option<SocketAddr>,
    /// The caller as metrics name it.
    pub(crate) source: Party,
    /// What it dialled.
    pub(crate) asked: SocketAddr,
    /// Where that leads.
    pub(crate) address: SocketAddr,
}

/// Relays a connection that leaves the mesh. `judge` says after a change whether the caller may still be led there.
pub(crate) async fn leaving(
    core: Rc<Core>,
    local: &Arc<Local>,
    mut caller: Caller,
    proof: Rc<Proof>,
    leaving: Leaving,
    judge: impl Fn(&View, &SpiffeId) -> Result<(), Failure>,
) {
    let Leaving { remote, source, asked, address } = leaving;
    let service = ServiceName::outside(&asked.to_string());
    let parties = Parties {
        reporter: Reporter::Destination,
        local,
        remote: &source,
        service: &service,
        security: Security::MutualTls,
    };
    let way = Way::Plain(address);
    let dialling = Box::pin(dial(&core, local, &way, CONNECT));
    match caller.meanwhile(dialling).await {
        Ok(upstream) => {
            let Ok(io) = caller.accept().await else { return };
            let ends = Ends { remote, local: Some(address), server_name: None };
            let mut stream = Stream::begin(&core, &parties, &ends, None);
            stream.upstream = Some(address);
            stream.cluster = Some("PassthroughCluster".to_owned());
            let judge = async |core: &Core| {
                judge(&core.view(), &proof.peer.id)?;
                proof.check(local)
            };
            stream.relay(&core, io, upstream, judge).await;
        }
        Err(failure) => {
            handle(&core, &parties).failed(failure.row().flag);
            caller.refuse(failure).await;
        }
    }
}

/// Waits until a connection has lasted or been silent for as long as its destination's settings allow.
async fn over(pool: &ConnectionPool, received: &Tally, sent: &Tally) -> Result<DuplexEnd, Failure> {
    let lasted = async {
        match pool.lifetime {
            Some(lifetime) => leno_runtime::time::sleep(lifetime).await,
            None => std::future::pending().await,
        }
    };
    let silent = async {
        let Some(idle) = pool.opaque_idle.filter(|idle| !idle.is_zero()) else {
            return std::future::pending().await;
        };
        let mut seen = (received.bytes(), sent.bytes());
        let mut since = Instant::now();
        while since.elapsed() < idle {
            leno_runtime::time::sleep((idle / 4).min(idle.saturating_sub(since.elapsed()))).await;
            let now = (received.bytes(), sent.bytes());
            if now != seen {
                (seen, since) = (now, Instant::now());
            }
        }
    };
    tokio::select! {
        () = lasted => Ok(DuplexEnd::Complete),
        () = silent => Err(Failure::StreamIdle),
    }
}

/// A connection under way; told when it is dropped.
struct Stream<'c> {
    core: &'c Core,
    metrics: TcpRecord,
    in_flight: Option<InFlight>,
    ends: Ends,
    began: Instant,
    start: SystemTime,
    upstream: Option<SocketAddr>,
    cluster: Option<String>,
    /// How long it may last, and be silent.
    pool: ConnectionPool,
    failure: Option<Failure>,
    /// From the client, and to it.
    received: Tally,
    sent: Tally,
    counted: (u64, u64),
    /// Until it is told: the log ends with the drain.
    _until_drained: drain::Guard,
}

impl<'c> Stream<'c> {
    fn begin(core: &'c Core, parties: &Parties<'_>, ends: &Ends, in_flight: Option<InFlight>) -> Self {
        Self {
            core,
            metrics: handle(core, parties).open(),
            in_flight,
            ends: ends.clone(),
            began: Instant::now(),
            start: parties.local.clock.wall(),
            upstream: None,
            cluster: None,
            pool: ConnectionPool::default(),
            failure: None,
            received: Tally::default(),
            sent: Tally::default(),
            counted: (0, 0),
            _until_drained: core.shared.lifecycle.drain().guard(),
        }
    }

    /// Relays until both directions have ended, the drain is over, or `judge` denies it after a change.
    async fn relay(
        &mut self,
        core: &Core,
        mut client: Box<dyn Io>,
        mut upstream: Dialled,
        judge: impl AsyncFn(&Core) -> Result<(), Failure>,
    ) {
        let drain = core.shared.lifecycle.drain().clone();
        let _busy = places::busy();
        let mut changed = core.shared.changed.subscribe();
        let mut ticks = leno_runtime::time::interval(TALLY_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (received, sent) = (std::mem::take(&mut self.received), std::mem::take(&mut self.sent));
        // Whatever changed since the connection was judged, while its server was dialled, has told nobody yet.
        let end = if let Err(failure) = judge(core).await {
            Err(failure)
        } else {
            let moving = relay::duplex(&mut *client, &mut *upstream.io, &received, &sent);
            let denied = async {
                loop {
                    if changed.changed().await.is_err() {
                        std::future::pending::<()>().await;
                    }
                    if let Err(failure) = judge(core).await {
                        break failure;
                    }
                }
            };
            let pool = self.pool;
            let over = over(&pool, &received, &sent);
            tokio::pin!(moving, denied, over);
            loop {
                tokio::select! {
                    biased;
                    end = &mut moving => break Ok(end),
                    () = drain.forced() => break Err(Failure::Draining),
                    failure = &mut denied => break Err(failure),
                    end = &mut over => break end,
                    _ = ticks.tick() => self.count(received.bytes(), sent.bytes()),
                }
            }
        };
        self.count(received.bytes(), sent.bytes());
        (self.received, self.sent) = (received, sent);
        self.failure = match end {
            Ok(DuplexEnd::Complete) => None,
            Ok(DuplexEnd::First(_)) => Some(Failure::DownstreamGone),
            Ok(DuplexEnd::Second(error)) => {
                Some(judged::failure_of(&error).unwrap_or(Failure::UpstreamClosed))
            }
            Err(failure) => Some(failure),
        };
        if let Some(in_flight) = self.in_flight.take() {
            // That it could be connected to was told then.
            if self.failure.is_some_and(|failure| failure.row().fault == Fault::Upstream) {
                in_flight.finish(Instant::now(), Outcome::Failed);
            }
        }
    }

    /// Counts what moved since the last time.
    fn count(&mut self, received: u64, sent: u64) {
        let (before_received, before_sent) = self.counted;
        self.metrics.received(received.saturating_sub(before_received));
        self.metrics.sent(sent.saturating_sub(before_sent));
        self.counted = (received, sent);
    }
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        let Some(access) = &self.core.shared.access else { return };
        let row = self.failure.map(Failure::row);
        access.record(&AccessRecord {
            response_flags: row.map_or("-", |row| row.flag),
            connection_termination_details: row.map(|row| row.details),
            bytes_received: self.received.bytes(),
            bytes_sent: self.sent.bytes(),
            duration: self.began.elapsed(),
            upstream_host: self.upstream.map(Address::Ip),
            upstream_cluster: self.cluster.as_deref().map(str::as_bytes),
            downstream_local_address: self.ends.local.map(Address::Ip),
            downstream_remote_address: self.ends.remote.map(Address::Ip),
            requested_server_name: self.ends.server_name.as_deref().map(str::as_bytes),
            ..AccessRecord::new(self.start)
        });
    }
}
