//! Whole proxies between a client and an application: each role, each pair of versions that it can have.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use leno_model::gateway::ListenerProtocol;
use leno_model::policy::MtlsMode;
use leno_model::pool::{ConnectionPool, Upgrade};
use leno_model::service::{Protocol, Transport};
use leno_wire::Unit;

use crate::gateway::plain;
use crate::routes::{forward, table};
use crate::world::{OWN, World, service, workload};

/// A version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Http1,
    Http2,
}

use Version::{Http1, Http2};

/// A way through a proxy.
pub(super) struct Leg {
    pub(super) name: String,
    /// What the client speaks.
    pub(super) client: Version,
    /// What the application speaks.
    pub(super) application: Version,
    pub(super) address: SocketAddr,
    _world: World,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Outbound,
    Inbound,
    Gateway,
}

/// Every way there is: a sidecar speaks to its own application what the client speaks.
const LEGS: [(Role, Version, Version); 10] = [
    (Role::Outbound, Http1, Http1),
    (Role::Outbound, Http1, Http2),
    (Role::Outbound, Http2, Http1),
    (Role::Outbound, Http2, Http2),
    (Role::Gateway, Http1, Http1),
    (Role::Gateway, Http1, Http2),
    (Role::Gateway, Http2, Http1),
    (Role::Gateway, Http2, Http2),
    (Role::Inbound, Http1, Http1),
    (Role::Inbound, Http2, Http2),
];

/// Starts a proxy for each way before an application of the version that it needs.
pub(super) async fn all(
    application: impl AsyncFn(Version, IpAddr) -> SocketAddr,
    clients: &[Version],
) -> Vec<Leg> {
    let mut legs = Vec::new();
    for (role, client, spoken) in LEGS.into_iter().filter(|(_, client, _)| clients.contains(client)) {
        // A sidecar reaches its own application on loopback.
        let ip = if role == Role::Inbound { Ipv4Addr::LOCALHOST.into() } else { OWN };
        let app = application(spoken, ip).await;
        let world = World::new();
        let address = match role {
            Role::Outbound => world.web(units(spoken, app), 1).await,
            Role::Gateway => {
                world
                    .edge(units(spoken, app), |port| {
                        vec![plain(port, ListenerProtocol::Http, "*", table(forward()))]
                    })
                    .await
            }
            Role::Inbound => inbound(&world, spoken, app).await,
        };
        let name = format!("{role:?}, {client:?} to {spoken:?}");
        legs.push(Leg { name, client, application: spoken, address, _world: world });
    }
    legs
}

/// The service, spoken to in this version whatever the client speaks. Nothing that fails is remembered.
fn units(spoken: Version, app: SocketAddr) -> [Unit; 2] {
    let (protocol, upgrade) = match spoken {
        Http1 => (Protocol::Http, Upgrade::Never),
        Http2 => (Protocol::Http2, Upgrade::Http2),
    };
    let [mut host, endpoints] = service(protocol, Transport::Plain, app);
    if let Unit::Host(unit) = &mut host {
        let unit = Arc::get_mut(unit).expect("nobody else has it yet");
        unit.destination.policy.pool =
            Some(ConnectionPool { upgrade: Some(upgrade), ..ConnectionPool::default() });
    }
    [host, endpoints]
}

async fn inbound(world: &World, spoken: Version, app: SocketAddr) -> SocketAddr {
    let protocol = if spoken == Http1 { Protocol::Http } else { Protocol::Http2 };
    let mut unit = workload(&[(app.port(), protocol)], Vec::new());
    unit.mtls.mode = MtlsMode::Permissive;
    world.direct(unit, app.port()).await
}
