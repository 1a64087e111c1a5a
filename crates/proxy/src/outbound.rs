//! The life of a connection that the own workload opens.
//!
//! Original destination → meaning → protocol → requests or bytes. What the client dialled decides which service it
//! means; the host in a request decides only where the address says nothing.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use leno_engine::explain::{Explain, Silent};
use leno_engine::route::{Connection, RouteSource, StreamRouter};
use leno_http::head::{Connect, RequestHead, Scheme};
use leno_http::io::Io;
use leno_model::failure::Failure;
use leno_model::name::Host;
use leno_model::request::{RequestView, split_authority};
use leno_model::route::Scope;
use leno_model::service;
use leno_model::unit::{Answer, Question};
use leno_telemetry::istio::{HttpHandle, Reporter, Security};

use crate::core::Core;
use crate::detect::{self, Detected};
use crate::handles::Handles;
use crate::local::Local;
use crate::opaque;
use crate::parties::{Parties, Party, ServiceName};
use crate::path::{self, Decided, Path};
use crate::prepare;
use crate::record::{Ends, Record};
use crate::refused;
use crate::resolve::{self, Meaning};
use crate::serve;
use crate::upstream::{Chosen, To};
use crate::view::View;

/// What a connection was opened to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Dialled {
    /// A service, by its virtual address or because a listener says so.
    Service(Host),
    /// One endpoint, by its own address.
    Endpoint(Host, Arc<str>),
    /// An address outside the mesh.
    External,
    /// A port of the machine that the workload was given.
    Host,
}

/// Whose requests these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    /// The own workload's.
    Own,
    /// Somebody's outside the mesh, at a published port.
    Stranger,
}

/// A connection's way out.
pub(crate) struct OutboundPath {
    pub(crate) local: Arc<Local>,
    pub(crate) ends: Ends,
    pub(crate) dialled: Dialled,
    pub(crate) destination: SocketAddr,
    client: Client,
    /// Decides between the backends of a connection.
    draw: u64,
    unknown: HttpHandle,
    handles: Handles,
}

/// Serves a connection that the workload opened to `destination`.
pub(crate) async fn connection(
    core: Rc<Core>,
    local: Arc<Local>,
    io: Box<dyn Io>,
    remote: Option<SocketAddr>,
    destination: SocketAddr,
) {
    let dialled = match dialled(&core, &local, destination).await {
        Ok(dialled) => dialled,
        Err(failure) => return turn_away(&core, &local, remote, destination, failure),
    };
    // Requests don't ask again, and the connection may outlast every idle time.
    let _interest = resolve::interest(&core, &Question::Address(destination.ip(), destination.port()));
    serve_known(core, local, io, remote, destination, dialled, Client::Own).await;
}

/// Counts and tells of a connection that isn't served.
fn turn_away(
    core: &Core,
    local: &Local,
    remote: Option<SocketAddr>,
    destination: SocketAddr,
    failure: Failure,
) {
    let ends = Ends { remote, local: Some(destination), server_name: None };
    refused::connection(core, local, Reporter::Source, &ends, failure);
}

/// What an address means.
pub(crate) async fn dialled(core: &Core, local: &Local, destination: SocketAddr) -> Result<Dialled, Failure> {
    if local.host.as_ref().is_some_and(|host| host.contain(destination)) {
        return Ok(Dialled::Host);
    }
    match resolve::address(core, destination.ip(), destination.port()).await? {
        Meaning::External => Ok(Dialled::External),
        Meaning::Mesh(Answer::Service(host)) => Ok(Dialled::Service(host)),
        Meaning::Mesh(Answer::Endpoint { host: Some(host), uid }) => Ok(Dialled::Endpoint(host, uid)),
        Meaning::Mesh(
            Answer::Endpoint { host: None, .. } | Answer::Workload { .. } | Answer::Absent { .. },
        ) => Err(Failure::NoDestination),
    }
}

/// Serves a connection whose meaning is known. A published port comes here directly.
pub(crate) async fn serve_known(
    core: Rc<Core>,
    local: Arc<Local>,
    io: Box<dyn Io>,
    remote: Option<SocketAddr>,
    destination: SocketAddr,
    dialled: Dialled,
    client: Client,
) {
    // A published port names its service without having asked for it yet.
    if let Dialled::Service(host) = &dialled
        && !core.view().hosts.contains_key(host)
        && !matches!(resolve::name(&core, host.as_str()).await, Ok(Some(_)))
    {
        return turn_away(&core, &local, remote, destination, Failure::NoDestination);
    }
    let _interest = match &dialled {
        Dialled::Service(host) => resolve::interest(&core, &Question::Name(host.as_str().into())),
        _ => None,
    };
    let declared = declared(&core, &dialled, destination.port());
    // In a box: here it is once, however often it is passed on.
    let mut path =
        Box::new(OutboundPath { client, ..OutboundPath::new(&core, &local, dialled, destination, remote) });
    match declared {
        service::Protocol::Tcp | service::Protocol::Tls if path.reads_names(&core) => {
            let Some((name, io)) = Box::pin(detect::server_name(io)).await else { return };
            path.ends.server_name = name;
            Box::pin(opaque::outbound(core, &path, io)).await;
        }
        service::Protocol::Tcp | service::Protocol::Tls => Box::pin(opaque::outbound(core, &path, io)).await,
        service::Protocol::Http | service::Protocol::Http2 | service::Protocol::Grpc => {
            if let Some((protocol, io)) = detect::http(io).await {
                serve::requests(core, Rc::new(Path::Outbound(*path)), protocol, io, Scheme::Http).await;
            }
        }
        service::Protocol::Auto => undeclared(core, path, io).await,
    }
}

/// A connection of which nothing is declared.
async fn undeclared(core: Rc<Core>, mut path: Box<OutboundPath>, io: Box<dyn Io>) {
    let view = core.view();
    let detected = match path.opaque_to(&view) {
        // Where it leads depends on what the client says.
        _ if path.reads_names(&core) => Box::pin(detect::client(io)).await,
        Ok(to) => Box::pin(detect::any(&core, &path.local, &to, &path.ends, io)).await,
        Err(failure) => Detected::Failed(failure),
    };
    drop(view);
    match detected {
        Detected::Http(protocol, io) => {
            serve::requests(core, Rc::new(Path::Outbound(*path)), protocol, io, Scheme::Http).await;
        }
        Detected::Opaque(io, name) => {
            path.ends.server_name = name;
            Box::pin(opaque::outbound(core, &path, io)).await;
        }
        Detected::Spoke { client, chosen, upstream } => {
            Box::pin(opaque::joined(core, &path, chosen, client, upstream)).await;
        }
        Detected::Failed(failure) => {
            refused::connection(&core, &path.local, Reporter::Source, &path.ends, failure);
        }
        Detected::Gone => {}
    }
}

/// What is declared to be spoken there.
fn declared(core: &Core, dialled: &Dialled, port: u16) -> service::Protocol {
    let view = core.view();
    let (Dialled::Service(host) | Dialled::Endpoint(host, _)) = dialled else {
        return service::Protocol::Auto;
    };
    let Some(tables) = view.hosts.get(host) else { return service::Protocol::Auto };
    match dialled {
        Dialled::Endpoint(_, uid) => {
            service_port_of(tables, uid, port).map_or(service::Protocol::Auto, |port| tables.protocol(port))
        }
        _ => tables.protocol(port),
    }
}

/// The service port behind a workload port of one endpoint, which is what a client of a headless service dials.
pub(crate) fn service_port_of(tables: &crate::view::HostTables, uid: &str, target: u16) -> Option<u16> {
    let endpoint = tables.endpoints.endpoints.iter().find(|endpoint| &*endpoint.uid == uid)?;
    let by_target = endpoint.ports.iter().find(|(_, port)| *port == target).map(|(port, _)| *port);
    by_target.or_else(|| tables.unit.port(target).map(|port| port.port))
}

fn unknown_handle(core: &Core, local: &Local, dialled: &Dialled, destination: SocketAddr) -> HttpHandle {
    let view = core.view();
    let service = service_name(&view, dialled, &destination.to_string());
    handle_for(core, local, &Party::default(), &service)
}

pub(crate) fn service_name(view: &View, dialled: &Dialled, outside: &str) -> ServiceName {
    match dialled {
        Dialled::Service(host) | Dialled::Endpoint(host, _) => match view.hosts.get(host) {
            Some(tables) => ServiceName::new(host, &tables.unit.name, &tables.unit.namespace),
            None => ServiceName::outside(host.as_str()),
        },
        Dialled::External | Dialled::Host => ServiceName::outside(outside),
    }
}

fn handle_for(core: &Core, local: &Local, remote: &Party, service: &ServiceName) -> HttpHandle {
    let parties = Parties { reporter: Reporter::Source, local, remote, service, security: Security::Unknown };
    core.http_handle(&parties.key(), |metrics, shard| parties.labels(|labels| metrics.resolve(shard, labels)))
}

/// Counts a request under the endpoint that it goes to.
pub(crate) fn count_for(core: &Core, local: &Local, handles: &Handles, chosen: &Chosen, record: &mut Record) {
    let (Some(picked), Some(host)) = (&chosen.picked, chosen.service()) else { return };
    let handle = handles.of(picked, || {
        let view = core.view();
        let service = service_name(&view, &Dialled::Service(host.clone()), host.as_str());
        let remote = picked.endpoint().map(Party::of_endpoint).unwrap_or_default();
        handle_for(core, local, &remote, &service)
    });
    record.move_to(handle);
}

impl OutboundPath {
    pub(crate) fn new(
        core: &Core,
        local: &Arc<Local>,
        dialled: Dialled,
        destination: SocketAddr,
        remote: Option<SocketAddr>,
    ) -> Self {
        let unknown = unknown_handle(core, local, &dialled, destination);
        let ends = Ends { remote, local: Some(destination), server_name: None };
        Self {
            local: Arc::clone(local),
            ends,
            dialled,
            destination,
            client: Client::Own,
            draw: core.draw_for_connection(),
            unknown,
            handles: Handles::default(),
        }
    }

    /// Whether its routes ask which name the client asks for.
    fn reads_names(&self, core: &Core) -> bool {
        let view = core.view();
        let Dialled::Service(host) = &self.dialled else { return false };
        let router = view.hosts.get(host).and_then(|tables| tables.stream_router(self.destination.port()));
        router.is_some_and(StreamRouter::reads_names)
    }

    /// What routes of a service port may ask about the workload.
    fn source(&self, port: u16) -> RouteSource<'_> {
        RouteSource {
            labels: &self.local.labels,
            namespace: &self.local.name.namespace,
            port,
            scope: &Scope::Mesh,
        }
    }

    /// Where a service's routes for connections lead; `None` where no rule matches.
    fn streamed<'v>(&self, view: &'v View, host: &Host) -> Option<Result<To<'v>, Failure>> {
        let port = self.destination.port();
        let connection = Connection {
            server_name: self.ends.server_name.as_deref(),
            destination: Some(self.destination.ip()),
        };
        let router = view.hosts.get(host)?.stream_router(port)?;
        let routed = router.route(&connection, &self.source(port), self.draw, &mut Silent)?;
        Some(path::streamed(view, &routed, port))
    }

    /// The service that a TLS client outside the mesh's addresses asks for by name. As with requests, only what is held
    /// already counts.
    fn by_server_name<'v>(&self, view: &'v View) -> Option<To<'v>> {
        let host: Host = self.ends.server_name.as_deref()?.parse().ok()?;
        if let Some(routed) = self.streamed(view, &host) {
            return routed.ok();
        }
        let cluster = view.hosts.get(&host)?.cluster(self.destination.port(), None).ok()?;
        Some(To::Cluster { cluster, only: None })
    }

    /// Where opaque bytes go: where the service's routes for connections say, else to the service that was dialled,
    /// whatever its routes for requests say.
    pub(crate) fn opaque_to<'v>(&self, view: &'v View) -> Result<To<'v>, Failure> {
        let port = self.destination.port();
        match &self.dialled {
            Dialled::Service(host) => {
                if let Some(routed) = self.streamed(view, host) {
                    return routed;
                }
                let tables = view.hosts.get(host).ok_or(Failure::NoDestination)?;
                Ok(To::Cluster { cluster: tables.cluster(port, None)?, only: None })
            }
            Dialled::Endpoint(host, uid) => {
                let tables = view.hosts.get(host).ok_or(Failure::NoDestination)?;
                let port = service_port_of(tables, uid, port).unwrap_or(port);
                Ok(To::Cluster { cluster: tables.cluster(port, None)?, only: Some(Arc::clone(uid)) })
            }
            Dialled::External => match self.by_server_name(view) {
                Some(to) => Ok(to),
                None if resolve::lets_out(view) => Ok(external(view, self.destination)),
                None => Err(Failure::ForbiddenDestination),
            },
            Dialled::Host => Ok(external(view, self.destination)),
        }
    }

    /// The destination in Istio's notation, for logs.
    pub(crate) fn cluster_name(&self) -> String {
        match &self.dialled {
            Dialled::Service(host) | Dialled::Endpoint(host, _) => {
                format!("outbound|{}||{host}", self.destination.port())
            }
            Dialled::External | Dialled::Host => "PassthroughCluster".to_owned(),
        }
    }

    pub(crate) fn is_from_stranger(&self) -> bool {
        self.client == Client::Stranger
    }

    pub(crate) fn handle(&self, _core: &Core) -> HttpHandle {
        self.unknown.clone()
    }

    pub(crate) fn prepare(&self, core: &Core, head: &mut RequestHead) -> Result<(), Failure> {
        match self.client {
            Client::Own => prepare::outbound(core, head),
            Client::Stranger => {
                let unspecified = IpAddr::from([0, 0, 0, 0]);
                let ip = self.ends.remote.map_or(unspecified, |remote| remote.ip());
                prepare::edge(core, ip, head)
            }
        }
    }

    pub(crate) fn chosen(&self, core: &Core, chosen: &Chosen, record: &mut Record) {
        count_for(core, &self.local, &self.handles, chosen, record);
    }

    pub(crate) fn decide<'v>(
        &'v self,
        view: &'v View,
        head: &RequestHead,
        draw: u64,
        explain: &mut impl Explain,
    ) -> Decided<'v> {
        let port = self.destination.port();
        // Who published a port of an application meant no way on from there.
        if self.client == Client::Stranger && *head.connect() == Connect::Connect {
            return Decided::fail(Failure::UpgradeRefused);
        }
        match &self.dialled {
            Dialled::Service(host) => self.route(view, host, port, head, draw, explain),
            Dialled::Endpoint(..) | Dialled::Host => match self.opaque_to(view) {
                Ok(to) => Decided::forward(to),
                Err(failure) => Decided::fail(failure),
            },
            Dialled::External => self.by_authority(view, head, draw, explain),
        }
    }

    fn route<'v>(
        &'v self,
        view: &'v View,
        host: &Host,
        port: u16,
        head: &RequestHead,
        draw: u64,
        explain: &mut impl Explain,
    ) -> Decided<'v> {
        let Some(router) = view.hosts.get(host).and_then(|tables| tables.router(port)) else {
            return Decided::fail(Failure::NoDestination);
        };
        Decided::by_route(view, router.route(head, &self.source(port), draw, explain), port)
    }

    /// A request to an address outside the mesh may still name a service of it by host: a client behind a fixed proxy
    /// address, or with a wildcard host. Only what is held already counts, since asking for every external host would
    /// tell the control plane where people go.
    fn by_authority<'v>(
        &'v self,
        view: &'v View,
        head: &RequestHead,
        draw: u64,
        explain: &mut impl Explain,
    ) -> Decided<'v> {
        // What a CONNECT names is the business of the proxy that was dialled.
        let named = if *head.connect() == Connect::Connect { "" } else { head.authority() };
        let (name, port) = split_authority(named);
        let port = port.unwrap_or_else(|| self.destination.port());
        if let Some(host) = name.parse::<Host>().ok().filter(|host| view.hosts.contains_key(host)) {
            return self.route(view, &host, port, head, draw, explain);
        }
        if !resolve::lets_out(view) {
            return Decided::fail(Failure::ForbiddenDestination);
        }
        Decided::forward(external(view, self.destination))
    }
}

/// Out of the mesh, by its egress where it has one.
pub(crate) fn external(view: &View, address: SocketAddr) -> To<'_> {
    let egress = view.mesh.as_deref().and_then(|mesh| mesh.egress.as_ref());
    To::External { address, egress: egress.map(|egress| (egress.address.clone(), egress.identity.clone())) }
}
