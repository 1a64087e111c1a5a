//! The life of a connection from outside the mesh: TLS where the listener ends it, then requests by host.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use leno_engine::explain::{Explain, Silent};
use leno_engine::route::{Connection, RouteSource};
use leno_http::head::{RequestHead, Scheme};
use leno_http::io::Io;
use leno_http::server::Protocol;
use leno_identity::alpn;
use leno_model::failure::Failure;
use leno_model::gateway::ListenerProtocol;
use leno_model::policy::Peer;
use leno_model::request::RequestView;
use leno_model::route::Scope;
use leno_telemetry::istio::{HttpHandle, Reporter, Security};

use crate::announced;
use crate::certificate::PortTls;
use crate::core::Core;
use crate::detect;
use crate::handles::Handles;
use crate::limits::HANDSHAKE;
use crate::local::Local;
use crate::opaque;
use crate::outbound;
use crate::parties::{Parties, Party, ServiceName};
use crate::path::{self, Decided, Decision, Path};
use crate::prepare;
use crate::record::{Ends, Record};
use crate::refused::{self, Refused};
use crate::secure;
use crate::serve;
use crate::upstream::{Chosen, To};
use crate::view::View;

/// A connection's way into the mesh.
pub(crate) struct GatewayPath {
    pub(crate) local: Arc<Local>,
    pub(crate) ends: Ends,
    port: u16,
    scope: Scope,
    handle: HttpHandle,
    handles: Handles,
}

/// Serves a connection that arrived at a listener's port.
pub(crate) async fn connection(
    core: Rc<Core>,
    local: Arc<Local>,
    mut io: Box<dyn Io>,
    mut remote: Option<SocketAddr>,
    mut address: SocketAddr,
) {
    let port = address.port();
    let (protocol, tls, is_announced) = {
        let view = core.view();
        let Some(tables) = view.gateway.as_deref().and_then(|gateway| gateway.ports.get(&port)) else {
            return;
        };
        (tables.protocol, Arc::clone(&tables.tls), tables.proxy_protocol)
    };
    if is_announced {
        (io, remote, address) = match Box::pin(announced::accept(io, remote, address)).await {
            Ok(announced) => announced,
            Err(refused) => {
                let ends = Ends { remote, local: Some(address), server_name: None };
                return refused::connection(&core, &local, Reporter::Source, &ends, refused);
            }
        };
    }
    let mut ends = Ends { remote, local: Some(address), server_name: None };
    match protocol {
        ListenerProtocol::Http => {
            let Some((protocol, io)) = detect::http(io).await else { return };
            let path = Rc::new(Path::Gateway(GatewayPath::new(&core, local, ends, port)));
            serve::requests(core, path, protocol, io, Scheme::Http).await;
        }
        ListenerProtocol::Https => {
            let (protocol, io) = match Box::pin(shake(&core, &tls, io, &mut ends)).await {
                Ok(shaken) => shaken,
                Err(why) => return turn_away(&core, &local, &ends, why),
            };
            let path = Rc::new(Path::Gateway(GatewayPath::new(&core, local, ends, port)));
            serve::requests(core, path, protocol, io, Scheme::Https).await;
        }
        ListenerProtocol::Tls => {
            let Some((name, io)) = Box::pin(detect::server_name(io)).await else { return };
            ends.server_name = name;
            let path = GatewayPath::new(&core, local, ends, port);
            Box::pin(opaque::gateway(core, &path, io)).await;
        }
        ListenerProtocol::Tcp => {
            let path = GatewayPath::new(&core, local, ends, port);
            Box::pin(opaque::gateway(core, &path, io)).await;
        }
    }
}

/// Shakes hands with a client that speaks HTTP, in bounded time.
async fn shake(
    core: &Core,
    tls: &PortTls,
    io: Box<dyn Io>,
    ends: &mut Ends,
) -> Result<(Protocol, Box<dyn Io>), String> {
    let accepting = secure::accept(core, io, |hello| tls.config(hello.server_name()));
    let tls = match leno_runtime::time::timeout(HANDSHAKE, accepting).await {
        Ok(Ok(tls)) => tls,
        Ok(Err(error)) => return Err(secure::reason(&error)),
        Err(_elapsed) => return Err("no handshake in time".to_owned()),
    };
    let session = tls.session();
    ends.server_name = session.server_name().map(Into::into);
    let is_h2 = session.alpn_protocol() == Some(alpn::H2);
    Ok((if is_h2 { Protocol::Http2 } else { Protocol::Http1 }, Box::new(tls)))
}

/// Counts and tells of a connection that isn't served.
fn turn_away(core: &Core, local: &Local, ends: &Ends, why: impl Display) {
    refused::connection(core, local, Reporter::Source, ends, Refused::because(Failure::DownstreamTls, why));
}

impl GatewayPath {
    fn new(core: &Core, local: Arc<Local>, ends: Ends, port: u16) -> Self {
        let service = ServiceName::outside("unknown");
        let parties = Parties {
            reporter: Reporter::Source,
            local: &local,
            remote: &Party::default(),
            service: &service,
            security: Security::Unknown,
        };
        let handle = core.http_handle(&parties.key(), |metrics, shard| {
            parties.labels(|labels| metrics.resolve(shard, labels))
        });
        let scope = Scope::Gateway {
            namespace: Arc::clone(&local.name.namespace),
            name: Arc::clone(&local.name.name),
        };
        Self { local, ends, port, scope, handle, handles: Handles::default() }
    }

    /// A path as it would be for a connection to this port, and the scheme that is spoken there; `None` where the gateway
    /// has no listener.
    pub(crate) fn explained(
        core: &Core,
        local: &Arc<Local>,
        port: u16,
        client: Option<IpAddr>,
    ) -> Option<(Self, Scheme)> {
        let view = core.view();
        let scheme = match view.gateway.as_deref()?.ports.get(&port)?.protocol {
            ListenerProtocol::Http => Scheme::Http,
            ListenerProtocol::Https => Scheme::Https,
            // No request comes there.
            ListenerProtocol::Tls | ListenerProtocol::Tcp => return None,
        };
        let remote = client.map(|ip| SocketAddr::new(ip, 0));
        Some((Self::new(core, Arc::clone(local), Ends { remote, ..Ends::default() }, port), scheme))
    }

    pub(crate) fn handle(&self, _core: &Core) -> HttpHandle {
        self.handle.clone()
    }

    pub(crate) fn prepare(&self, core: &Core, head: &mut RequestHead) -> Result<(), Failure> {
        prepare::edge(core, self.peer().ip, head)
    }

    pub(crate) fn chosen(&self, core: &Core, chosen: &Chosen, record: &mut Record) {
        outbound::count_for(core, &self.local, &self.handles, chosen, record);
    }

    pub(crate) fn decide<'v>(
        &'v self,
        view: &'v View,
        head: &RequestHead,
        draw: u64,
        explain: &mut impl Explain,
    ) -> Decided<'v> {
        if let Err(failure) = self.check(view, head, explain) {
            return Decided::fail(failure);
        }
        let tables = view.gateway.as_deref().and_then(|gateway| gateway.ports.get(&self.port));
        let Some(tables) = tables else { return Decided::fail(Failure::NoRoute) };
        if !tables.admits(self.ends.server_name.as_deref(), head.authority()) {
            return Decided::fail(Failure::NoRoute);
        }
        let Some(router) = tables.router(head.authority()) else { return Decided::fail(Failure::NoRoute) };
        let mut decided =
            Decided::by_route(view, router.route(head, &self.source(), draw, explain), self.port);
        if let Decision::Forward(plan) = &mut decided.decision {
            // That a client speaks HTTP/2 says nothing about the applications behind (as with Istio's gateways).
            let usual = if head.is_grpc() { Protocol::Http2 } else { Protocol::Http1 };
            plan.speak(usual);
        }
        decided
    }

    /// What routes may ask about the gateway.
    fn source(&self) -> RouteSource<'_> {
        RouteSource {
            labels: &self.local.labels,
            namespace: &self.local.name.namespace,
            port: self.port,
            scope: &self.scope,
        }
    }

    /// Where a connection goes that isn't looked into.
    pub(crate) fn opaque_to<'v>(&self, view: &'v View, draw: u64) -> Result<To<'v>, Failure> {
        self.check_connection(view)?;
        let tables = view.gateway.as_deref().and_then(|gateway| gateway.ports.get(&self.port));
        let name = self.ends.server_name.as_deref();
        let router = tables.and_then(|tables| tables.stream_router(name.unwrap_or_default()));
        let destination = self.ends.local.map(|address| address.ip());
        let connection = Connection { server_name: name, destination };
        let routed = router.and_then(|router| router.route(&connection, &self.source(), draw, &mut Silent));
        path::streamed(view, &routed.ok_or(Failure::NoRoute)?, self.port)
    }

    /// Whether the gateway's policies allow a connection that isn't looked into.
    pub(crate) fn check_connection(&self, view: &View) -> Result<(), Failure> {
        let gateway = view.gateway.as_deref().ok_or(Failure::NotDiscovered)?;
        let verdict = gateway.authorizer.check_opaque(&self.peer(), &mut Silent);
        if verdict.is_allowed() { Ok(()) } else { Err(Failure::Denied) }
    }

    /// Whether the gateway's policies allow a request.
    pub(crate) fn check(
        &self,
        view: &View,
        head: &RequestHead,
        explain: &mut impl Explain,
    ) -> Result<(), Failure> {
        let gateway = view.gateway.as_deref().ok_or(Failure::NotDiscovered)?;
        if !gateway.authorizer.is_empty()
            && !gateway.authorizer.check(&self.peer(), Some(head), explain).is_allowed()
        {
            return Err(Failure::Denied);
        }
        Ok(())
    }

    /// The connection as policies see it: a client outside the mesh has no identity.
    fn peer(&self) -> Peer {
        let unspecified = SocketAddr::from(([0, 0, 0, 0], self.port));
        let remote = self.ends.remote.unwrap_or(unspecified).ip();
        let local = self.ends.local.unwrap_or(unspecified);
        Peer {
            ip: remote,
            identity: None,
            remote_ip: remote,
            destination_ip: local.ip(),
            destination_port: self.port,
            sni: self.ends.server_name.clone(),
        }
    }
}
