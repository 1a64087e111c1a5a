//! The life of a connection to the own workload.
//!
//! TLS → who is it → what is it for → may it → application. Nothing is forwarded before the peer's identity is known
//! and the policy has spoken: for requests one by one, for opaque bytes once, and again whenever policy or trust
//! changes.

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use bytes::BytesMut;
use leno_engine::authorize::Decision as Verdict;
use leno_engine::explain::{Explain, Silent};
use leno_http::head::{RequestHead, Scheme};
use leno_http::hygiene::xfcc;
use leno_http::io::{Io, Prefixed};
use leno_identity::alpn;
use leno_identity::tls::mesh::ClientAuth;
use leno_identity::tls::peer::{self, Side};
use leno_model::failure::Failure;
use leno_model::name::WorkloadName;
use leno_model::policy::{MtlsMode, Peer};
use leno_model::service;
use leno_telemetry::istio::{HttpHandle, Reporter, Security};
use leno_wire::open::{Decoded, Open, Protocol, Source};
use tokio::io::AsyncReadExt;

use crate::caller::Caller;
use crate::core::Core;
use crate::detect::{self, Detected};
use crate::hbone;
use crate::limits::{DETECT_SILENCE, HANDSHAKE};
use crate::local::Local;
use crate::opaque;
use crate::parties::{Parties, Party, ServiceName};
use crate::path::{Decided, Path};
use crate::prepare;
use crate::proof::Proof;
use crate::record::Ends;
use crate::refused::{self, Refused};
use crate::resolve;
use crate::secure;
use crate::serve;
use crate::upstream::To;
use crate::view::{InboundTables, View};

/// Ports of Leno's own, which no peer may reach through a proxy: admin endpoints trust their localhost.
const OWN_PORTS: [u16; 9] = [15000, 15001, 15006, 15008, 15014, 15020, 15021, 15053, 15090];

/// A connection's way in.
pub(crate) struct InboundPath {
    pub(crate) local: Arc<Local>,
    pub(crate) ends: Ends,
    /// The verified peer, where it came by mutual TLS.
    pub(crate) peer: Option<peer::Peer>,
    /// What it proved that by.
    proof: Option<Rc<Proof>>,
    /// Which of the workloads with its identity it says it is.
    claimed: Option<WorkloadName>,
    /// Its own address in the mesh, where the connection doesn't tell and it is known by now.
    caller: Cell<Option<IpAddr>>,
    /// The workload's address and port.
    pub(crate) destination: SocketAddr,
    /// Whether a service declares the port.
    pub(crate) declared: bool,
    /// The caller, for metrics.
    pub(crate) source: Party,
    /// The peer as requests name it.
    forwarded: Option<xfcc::Written>,
    service: ServiceName,
    handle: HttpHandle,
    learnt: Cell<bool>,
}

/// Serves a connection that must be mutual TLS of the mesh.
pub(crate) async fn mesh(core: Rc<Core>, local: Arc<Local>, io: Box<dyn Io>, remote: Option<SocketAddr>) {
    match shake(&core, &local, io, remote).await {
        Ok(Shaken::Native { caller, proof, open }) => {
            let Open { ip, port, protocol, source, .. } = *open;
            let asked = Asked { address: SocketAddr::new(ip, port), protocol, source };
            Box::pin(one(core, local, remote, proof, caller, asked)).await;
        }
        Ok(Shaken::Hbone { io, proof }) => {
            let serve = |core: &Rc<Core>, hbone::Stream { address, source, caller }| {
                let asked = Asked { address, protocol: Protocol::Opaque, source };
                one(Rc::clone(core), Arc::clone(&local), remote, Rc::clone(&proof), caller, asked)
            };
            Box::pin(hbone::serve(&core, &local, remote, &proof, io, serve)).await;
        }
        Err(refused) => turn_away(&core, &local, remote, None, refused),
    }
}

/// What a peer's proxy asks for.
struct Asked {
    address: SocketAddr,
    protocol: Protocol,
    source: Source,
}

/// Serves what is one connection to the peer's workload.
async fn one(
    core: Rc<Core>,
    local: Arc<Local>,
    remote: Option<SocketAddr>,
    proof: Rc<Proof>,
    caller: Caller,
    asked: Asked,
) {
    let view = core.view();
    let path = admit(&core, &local, &view, proof, &asked, remote);
    drop(view);
    match path {
        Ok(path) => opened(core, path, caller, asked.protocol).await,
        Err(failure) => {
            turn_away(&core, &local, remote, Some(asked.address), failure);
            caller.refuse(failure).await;
        }
    }
}

/// Counts and tells of a connection that isn't served.
pub(crate) fn turn_away(
    core: &Core,
    local: &Local,
    remote: Option<SocketAddr>,
    asked: Option<SocketAddr>,
    refused: impl Into<Refused>,
) {
    let ends = Ends { remote, local: asked, server_name: None };
    refused::connection(core, local, Reporter::Destination, &ends, refused);
}

/// A connection after its handshake.
pub(crate) enum Shaken {
    /// By `leno/1`, after the first flight.
    Native {
        /// The connection.
        caller: Caller,
        /// Who is there.
        proof: Rc<Proof>,
        /// What it is for.
        open: Box<Open>,
    },
    /// HBONE: the preface of HTTP/2 comes next.
    Hbone {
        /// The connection.
        io: Box<dyn Io>,
        /// Who is there.
        proof: Rc<Proof>,
    },
}

/// Shakes hands and reads the first flight, in bounded time. What isn't of the mesh has no identity; a peer of the mesh
/// may also come while we have none ourselves.
pub(crate) async fn shake(
    core: &Core,
    local: &Local,
    io: Box<dyn Io>,
    remote: Option<SocketAddr>,
) -> Result<Shaken, Refused> {
    match leno_runtime::time::timeout(HANDSHAKE, Box::pin(handshake(core, local, io, remote))).await {
        Ok(shaken) => shaken,
        Err(_elapsed) => Err(Refused::because(Failure::NoPeerIdentity, "no handshake in time")),
    }
}

async fn handshake(
    core: &Core,
    local: &Local,
    io: Box<dyn Io>,
    remote: Option<SocketAddr>,
) -> Result<Shaken, Refused> {
    let current = local.identities.usable(local.wall())?;
    let no_session = |error| Refused::because(Failure::NoPeerIdentity, secure::reason(&error));
    let shaken =
        secure::accept_mesh(core, io, current.server(ClientAuth::Required)).await.map_err(no_session)?;
    let session = shaken.session();
    let proof = Proof::of(session, &current, Side::Client)
        .map_err(|error| Refused::because(Failure::NoPeerIdentity, error))?;
    let proof = Rc::new(proof);
    let is_native = match session.alpn_protocol() {
        Some(leno_wire::open::ALPN) => true,
        Some(alpn::H2) => false,
        _ => return Err(Refused::because(Failure::NoPeerIdentity, "neither leno/1 nor h2 in the handshake")),
    };
    let mut tls = shaken.into_session().map_err(no_session)?;
    let pace_others = |tls: &secure::Session, mark| {
        if let Some(socket) = tls.socket() {
            core.shared.machine.pace_others(socket, remote, mark);
        }
    };
    if !is_native {
        pace_others(&tls, None);
        return Ok(Shaken::Hbone { io: Box::new(tls), proof });
    }
    let (open, rest) = first_flight(&mut tls).await?;
    pace_others(&tls, open.machine.map(|mark| (mark, SocketAddr::new(open.ip, open.port))));
    let io = Prefixed::boxed(rest.freeze(), Box::new(tls));
    let caller = match open.protocol {
        Protocol::Opaque => Caller::Native(io),
        Protocol::Http1 | Protocol::Http2 => Caller::Untold(io),
    };
    Ok(Shaken::Native { caller, proof, open: Box::new(open) })
}

/// Reads the `Open`, and whatever of the connection's own bytes came with it.
async fn first_flight(io: &mut (impl Io + ?Sized)) -> Result<(Open, BytesMut), Refused> {
    let mut buffer = BytesMut::with_capacity(512);
    loop {
        match Open::decode(&buffer) {
            Decoded::Open(open, length) => {
                let rest = buffer.split_off(length);
                return Ok((*open, rest));
            }
            Decoded::Refused(why) => return Err(Refused::because(Failure::NoOpen, why)),
            // Bounded: a longer `Open` than the limit is refused by its length alone.
            Decoded::NeedMore(more) => buffer.reserve(more),
        }
        match io.read_buf(&mut buffer).await {
            Ok(0) => return Err(Refused::because(Failure::NoOpen, "the connection ended")),
            Err(error) => return Err(Refused::because(Failure::NoOpen, error)),
            Ok(_) => {}
        }
    }
}

/// Whether a connection may be served at all, and how it then is.
fn admit(
    core: &Core,
    local: &Arc<Local>,
    view: &View,
    proof: Rc<Proof>,
    asked: &Asked,
    remote: Option<SocketAddr>,
) -> Result<Box<InboundPath>, Failure> {
    let tables = view.inbound.as_deref().ok_or(Failure::NotDiscovered)?;
    let destination = asked.address;
    // Nothing else stands for the workload's address: Linux would take an unspecified one for loopback.
    if !tables.unit.addresses.contains(&destination.ip()) || OWN_PORTS.contains(&destination.port()) {
        return Err(Failure::ForbiddenDestination);
    }
    let ends = Ends { remote, local: Some(destination), server_name: None };
    let source = caller(&proof.peer, &asked.source);
    let peer = Some(proof.peer.clone());
    let claimed = WorkloadName {
        namespace: Arc::clone(&asked.source.namespace),
        name: Arc::clone(&asked.source.workload),
    };
    let path = InboundPath::new(core, local, tables, ends, peer, destination, source);
    Ok(Box::new(InboundPath { proof: Some(proof), claimed: Some(claimed), ..path }))
}

/// The caller as it describes itself, as far as its certificate doesn't say otherwise.
pub(crate) fn caller(peer: &peer::Peer, source: &Source) -> Party {
    let namespace = peer.id.service_account().map(|(namespace, _)| namespace);
    let contradicts = namespace.is_some_and(|namespace| namespace != &*source.namespace);
    if contradicts {
        return Party {
            namespace: namespace.unwrap_or_default().into(),
            identity: Some(peer.id.clone()),
            ..Party::default()
        };
    }
    Party {
        uid: Arc::clone(&source.workload),
        owner: Arc::clone(&source.owner),
        namespace: Arc::clone(&source.namespace),
        cluster: Arc::clone(&source.cluster),
        identity: Some(peer.id.clone()),
        labels: source.labels.clone(),
    }
}

/// Serves a connection from a peer's proxy.
async fn opened(core: Rc<Core>, path: Box<InboundPath>, caller: Caller, protocol: Protocol) {
    let spoken = path.spoken(&core);
    let is_http = spoken.is_http() || core.shared.has_learnt(&path.local.name, path.destination.port());
    let is_opaque = matches!(spoken, service::Protocol::Tcp | service::Protocol::Tls);
    match (protocol, caller) {
        (Protocol::Http1, Caller::Untold(io)) if !is_opaque => {
            http(core, path, leno_http::server::Protocol::Http1, io).await;
        }
        (Protocol::Http2, Caller::Untold(io)) if !is_opaque => {
            http(core, path, leno_http::server::Protocol::Http2, io).await;
        }
        // Whatever the peer says, requests are seen where requests are spoken.
        (Protocol::Opaque, caller) if is_http => {
            if let Ok(io) = caller.accept().await {
                plain_http(core, path, io).await;
            }
        }
        (Protocol::Opaque, caller) if !is_opaque => undeclared(core, path, caller).await,
        (_, caller) => Box::pin(opaque::inbound(core, &path, caller)).await,
    }
}

/// Serves a connection that arrived at a port of the workload itself: plaintext, or TLS of the mesh.
pub(crate) async fn direct(
    core: Rc<Core>,
    local: Arc<Local>,
    io: Box<dyn Io>,
    remote: Option<SocketAddr>,
    destination: SocketAddr,
) {
    let view = core.view();
    let Some(tables) = view.inbound.as_deref() else {
        return turn_away(&core, &local, remote, Some(destination), Failure::NotDiscovered);
    };
    let mode = tables.unit.mtls.port(destination.port());
    let clients_begin = tables.unit.port(destination.port()).is_some_and(|port| port.protocol.is_http());
    // Where nothing but the client's bytes can come first, a slow one is waited for.
    let patience = if mode == MtlsMode::Strict || clients_begin { HANDSHAKE } else { DETECT_SILENCE };
    let Some((io, is_mesh)) = detect::mesh_tls(io, patience).await else { return };
    match (mode, is_mesh) {
        (MtlsMode::Strict | MtlsMode::Permissive, true) => {
            drop(view);
            return mesh(core, local, io, remote).await;
        }
        (MtlsMode::Strict, false) => {
            let refused = Refused::because(Failure::NoPeerIdentity, "plaintext under STRICT");
            return turn_away(&core, &local, remote, Some(destination), refused);
        }
        (MtlsMode::Permissive, false) | (MtlsMode::Disable, _) => {}
    }
    let ends = Ends { remote, local: Some(destination), server_name: None };
    let path = InboundPath::new(&core, &local, tables, ends, None, destination, Party::default());
    let path = Box::new(path);
    drop(view);
    match path.spoken(&core) {
        spoken if spoken.is_http() => plain_http(core, path, io).await,
        service::Protocol::Auto => undeclared(core, path, Caller::Untold(io)).await,
        _ => Box::pin(opaque::inbound(core, &path, Caller::Untold(io))).await,
    }
}

async fn http(
    core: Rc<Core>,
    path: Box<InboundPath>,
    protocol: leno_http::server::Protocol,
    io: Box<dyn Io>,
) {
    serve::requests(core, Rc::new(Path::Inbound(path)), protocol, io, Scheme::Http).await;
}

async fn plain_http(core: Rc<Core>, path: Box<InboundPath>, io: Box<dyn Io>) {
    if let Some((protocol, io)) = detect::http(io).await {
        http(core, path, protocol, io).await;
    }
}

/// A port of which nothing is declared.
async fn undeclared(core: Rc<Core>, path: Box<InboundPath>, caller: Caller) {
    // The verdict on who may connect comes before anything is dialled.
    if let Err(failure) = path.check(&core).await {
        return opaque::deny(&core, &path, caller, failure).await;
    }
    let Ok(io) = caller.accept().await else { return };
    match Box::pin(detect::any(&core, &path.local, &path.to(), &path.ends, io)).await {
        Detected::Http(protocol, io) => http(core, path, protocol, io).await,
        Detected::Opaque(io, _) => Box::pin(opaque::inbound(core, &path, Caller::Untold(io))).await,
        Detected::Spoke { client, upstream, .. } => {
            Box::pin(opaque::joined_inbound(core, &path, client, upstream)).await;
        }
        Detected::Failed(failure) => {
            refused::connection(&core, &path.local, Reporter::Destination, &path.ends, failure);
        }
        Detected::Gone => {}
    }
}

impl InboundPath {
    fn new(
        core: &Core,
        local: &Arc<Local>,
        tables: &InboundTables,
        ends: Ends,
        peer: Option<peer::Peer>,
        destination: SocketAddr,
        source: Party,
    ) -> Self {
        let declared = tables.unit.port(destination.port());
        let service = match declared.and_then(|port| port.service.as_ref()) {
            Some((host, name, namespace)) => ServiceName::new(host, name, namespace),
            None => ServiceName::undeclared(&destination.to_string()),
        };
        let security = if peer.is_some() { Security::MutualTls } else { Security::None };
        let parties =
            Parties { reporter: Reporter::Destination, local, remote: &source, service: &service, security };
        let handle = core.http_handle(&parties.key(), |metrics, shard| {
            parties.labels(|labels| metrics.resolve(shard, labels))
        });
        Self {
            local: Arc::clone(local),
            ends,
            forwarded: peer.as_ref().map(|peer| prepare::caller(local, peer)),
            peer,
            proof: None,
            claimed: None,
            caller: Cell::new(None),
            destination,
            declared: declared.is_some(),
            source,
            service,
            handle,
            learnt: Cell::new(false),
        }
    }

    /// A path as it would be for a connection of this peer.
    pub(crate) fn explained(
        core: &Core,
        local: &Arc<Local>,
        tables: &InboundTables,
        peer: Option<peer::Peer>,
        remote: Option<SocketAddr>,
        destination: SocketAddr,
    ) -> Self {
        let ends = Ends { remote, local: Some(destination), server_name: None };
        Self::new(core, local, tables, ends, peer, destination, Party::default())
    }

    /// Both ends, for metrics of connections.
    pub(crate) fn parties(&self) -> Parties<'_> {
        Parties {
            reporter: Reporter::Destination,
            local: &self.local,
            remote: &self.source,
            service: &self.service,
            security: if self.peer.is_some() { Security::MutualTls } else { Security::None },
        }
    }

    /// What is declared to be spoken on the port.
    fn spoken(&self, core: &Core) -> service::Protocol {
        let view = core.view();
        let port = view.inbound.as_deref().and_then(|tables| tables.unit.port(self.destination.port()));
        port.map_or(service::Protocol::Auto, |port| port.protocol)
    }

    pub(crate) fn to(&self) -> To<'static> {
        To::Application { port: self.destination.port(), declared: self.declared, ip: self.destination.ip() }
    }

    /// The host of the service that declares the port.
    pub(crate) fn declared_service(&self) -> Option<&Arc<str>> {
        self.declared.then_some(&self.service.host)
    }

    pub(crate) fn handle(&self, _core: &Core) -> HttpHandle {
        self.handle.clone()
    }

    pub(crate) fn prepare(&self, core: &Core, head: &mut RequestHead) -> Result<(), Failure> {
        prepare::inbound(core, self.forwarded.as_ref(), head)
    }

    /// The connection as policies see it.
    pub(crate) fn peer(&self) -> Peer {
        let ip = self.ends.remote.map(|remote| remote.ip()).or_else(|| self.caller.get());
        let ip = ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        Peer {
            ip,
            identity: self.peer.as_ref().map(|peer| peer.id.clone()),
            remote_ip: ip,
            destination_ip: self.destination.ip(),
            destination_port: self.destination.port(),
            sni: self.ends.server_name.clone(),
        }
    }

    /// Finds out the caller's own address if a policy asks for it and the connection doesn't tell: a Unix socket has
    /// none. What counts is where the control plane knows the workload to be that the caller says it is, provided that
    /// it has the identity which the caller has proved; a caller of which that can't be said has no known address.
    pub(crate) async fn learn_caller(&self, core: &Core) {
        let reads = || {
            let view = core.view();
            view.inbound.as_deref().is_some_and(|tables| tables.authorizer.reads_addresses())
        };
        let (Some(peer), Some(claimed)) = (&self.peer, &self.claimed) else { return };
        if self.ends.remote.is_some() || self.caller.get().is_some() || !reads() {
            return;
        }
        let Ok(Some((identity, addresses))) = Box::pin(resolve::workload(core, claimed)).await else {
            return;
        };
        if identity != peer.id {
            return;
        }
        let alike = |ip: &&IpAddr| ip.is_ipv4() == self.destination.is_ipv4();
        let known = addresses.iter().find(alike).or_else(|| addresses.first()).copied();
        // A gateway has no address in the mesh: it calls from this host.
        self.caller.set(Some(known.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))));
    }

    /// Whether an opaque connection is allowed by what is in effect now.
    pub(crate) async fn check(&self, core: &Core) -> Result<(), Failure> {
        self.learn_caller(core).await;
        self.check_connection(&core.view())
    }

    fn check_connection(&self, view: &View) -> Result<(), Failure> {
        let tables = view.inbound.as_deref().ok_or(Failure::NotDiscovered)?;
        self.check_trust(view)?;
        if self.peer.is_none() && tables.unit.mtls.port(self.destination.port()) == MtlsMode::Strict {
            return Err(Failure::NoPeerIdentity);
        }
        let verdict = tables.authorizer.check_opaque(&self.peer(), &mut Silent);
        if verdict.is_allowed() { Ok(()) } else { Err(Failure::Denied) }
    }

    /// Whether the peer is still one that is trusted.
    fn check_trust(&self, view: &View) -> Result<(), Failure> {
        match &self.peer {
            Some(peer) if !view.bundles.contains_key(peer.id.trust_domain()) => Err(Failure::NoPeerIdentity),
            _ => self.proof.as_ref().map_or(Ok(()), |proof| proof.check(&self.local)),
        }
    }

    pub(crate) fn decide<'v>(
        &'v self,
        view: &'v View,
        head: &RequestHead,
        explain: &mut impl Explain,
    ) -> Decided<'v> {
        let Some(tables) = view.inbound.as_deref() else { return Decided::fail(Failure::NotDiscovered) };
        if self.peer.is_none() && tables.unit.mtls.port(self.destination.port()) == MtlsMode::Strict {
            return Decided::fail(Failure::NoPeerIdentity);
        }
        if let Err(failure) = self.check_trust(view) {
            return Decided::fail(failure);
        }
        // A proxy that renews its certificate has long come back with the new one; what it began before goes on.
        if self.peer.as_ref().is_some_and(|peer| self.local.wall() > peer.not_after) {
            return Decided::fail(Failure::NoPeerIdentity);
        }
        if !tables.authorizer.is_empty() {
            let verdict = tables.authorizer.check(&self.peer(), Some(head), explain);
            if let Verdict::Denied { by } = verdict.decision {
                let rule = by.map_or_else(|| "none".to_owned(), ToString::to_string);
                let details = Some(format!("rbac_access_denied_matched_policy[{rule}]"));
                return Decided { details, ..Decided::fail(Failure::Denied) };
            }
        }
        Decided::forward(self.to())
    }

    /// The application has answered in HTTP: from now on the port never falls back to opaque bytes.
    pub(crate) fn learn(&self, core: &Core) {
        if !self.learnt.replace(true) {
            core.shared.learn(&self.local.name, self.destination.port());
        }
    }
}
