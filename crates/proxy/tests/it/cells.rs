//! Every feature of HTTP in every cell: HTTP/1 and HTTP/2 on either side, in plaintext and by either transport of the
//! mesh. Servers that others wrote answer. The page `docs/reference/protocols.md` is written from here.

mod features;
mod page;
mod peer;
mod programs;
pub(crate) mod servers;

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use leno_http::server::Protocol;
use leno_model::pool::{ConnectionPool, Upgrade};
use leno_model::service::{self, Address, Transport};
use leno_testkit::programs::or_skip;
use leno_wire::Unit;

use crate::world::{OWN, World, service, workload};
use features::{Cell, FEATURES, Feature};
use servers::{Server, Servers};

const VERSIONS: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];
const SERVERS: [Server; 4] = [Server::Node, Server::Nginx, Server::Grpc, Server::Hyper];

/// How the client's proxy reaches the application.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Hop {
    /// Itself, in plaintext.
    Plain,
    /// Through the application's proxy.
    Leno,
    /// The same, by HBONE.
    Hbone,
}

#[tokio::test]
async fn in_plaintext() {
    every_cell(Hop::Plain).await;
}

#[tokio::test]
async fn by_leno_1() {
    every_cell(Hop::Leno).await;
}

#[tokio::test]
async fn by_hbone() {
    every_cell(Hop::Hbone).await;
}

async fn every_cell(hop: Hop) {
    let Some(servers) = or_skip(Servers::start(&format!("{hop:?}")).await) else { return };
    let file = servers.folder.join("upload");
    std::fs::write(&file, "0123456789abcdef".repeat(1 << 16)).unwrap();
    let trying = async {
        for (server, inside) in SERVERS.into_iter().flat_map(|server| VERSIONS.map(|inside| (server, inside)))
        {
            let Some(app) = servers.at(server, inside) else { continue };
            let (_world, proxy) = mesh(hop, inside, app).await;
            for outside in VERSIONS {
                let here = |feature: &&Feature| {
                    feature.server == server && feature.missing(outside, inside).is_none()
                };
                for feature in FEATURES.iter().filter(here) {
                    let _told = OnFailure(format!("{hop:?}, {outside:?} to {inside:?}: {}", feature.name));
                    (feature.try_it)(Cell { proxy, file: &file, outside, inside }).await;
                }
            }
        }
    };
    tokio::task::LocalSet::new().run_until(trying).await;
}

/// Tells what was tried, should it fail.
struct OnFailure(String);

impl Drop for OnFailure {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _told = writeln!(std::io::stderr(), "{}", self.0);
        }
    }
}

/// A client's proxy before an application that speaks `inside` at `app`, an address of this machine's own, whatever the
/// client does. The application's proxy finds it there by its port.
async fn mesh(hop: Hop, inside: Protocol, app: SocketAddr) -> (World, SocketAddr) {
    let spoken = match inside {
        Protocol::Http1 => service::Protocol::Http,
        Protocol::Http2 => service::Protocol::Http2,
    };
    let world = World::new();
    let (transport, proxies) = if hop == Hop::Plain {
        (Transport::Plain, 1)
    } else {
        let path = world.app(workload(&[(app.port(), spoken)], Vec::new())).await;
        let address = Address::Unix(path);
        let transport = if hop == Hop::Leno { Transport::Native(address) } else { Transport::Hbone(address) };
        (transport, 2)
    };
    let target = if hop == Hop::Plain { app } else { SocketAddr::new(OWN, app.port()) };
    let [host, endpoints] = service(spoken, transport, target);
    let Unit::Host(mut unit) = host else { panic!("a host") };
    let upgrade = (inside == Protocol::Http1).then_some(Upgrade::Never);
    let pool = ConnectionPool { upgrade, ..ConnectionPool::default() };
    Arc::make_mut(&mut unit).destination.policy.pool = Some(pool);
    let proxy = world.web([Unit::Host(unit), endpoints], proxies).await;
    (world, proxy)
}
