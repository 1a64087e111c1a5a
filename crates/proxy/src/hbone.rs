//! HBONE: connections as streams of HTTP/2 over mutual TLS, each opened by a CONNECT whose authority is the workload's
//! address and port. What ztunnel, waypoints and Envoy speak on port 15008.
//!
//! What is inside of a stream is one plain TCP connection. Accepted ones are judged like those of `leno/1`, by the same
//! code; dialled ones come from the core's pool. Refusals are statuses, as the failure table has them.
//!
//! The peer's word about itself is the header `baggage`, and as with `leno/1` good for metrics alone.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use leno_http::exchange::Exchange;
use leno_http::h2;
use leno_http::head::Connect;
use leno_http::io::Io;
use leno_http::server::{Config, Connection, Protocol};
use leno_model::failure::Failure;
use leno_model::request::RequestView as _;
use leno_runtime::task;
use leno_wire::open::Source;

use crate::caller::Caller;
use crate::core::Core;
use crate::inbound;
use crate::local::Local;
use crate::places;
use crate::proof::Proof;
use crate::refused::Refused;
use crate::serve;

mod baggage;
mod dial;

pub(crate) use dial::open;

/// A stream that a peer opened, before it is known whether it is served.
pub(crate) struct Stream {
    /// What is asked for.
    pub(crate) address: SocketAddr,
    /// The peer as it describes itself.
    pub(crate) source: Source,
    /// The stream.
    pub(crate) caller: Caller,
}

/// Serves the streams of a connection, each by `one`, until it ends.
pub(crate) async fn serve<F>(
    core: &Rc<Core>,
    local: &Arc<Local>,
    remote: Option<SocketAddr>,
    proof: &Proof,
    io: Box<dyn Io>,
    one: impl Fn(&Rc<Core>, Stream) -> F,
) where
    F: Future<Output = ()> + 'static,
{
    let h2 = h2::Settings { peer_is_proxy: true, ..h2::Settings::default() };
    let config = Config { h2, budget: Some(core.shared.budget.clone()), ..Config::default() };
    let mut connection = Connection::new(Protocol::Http2, io, Rc::new(config));
    let each = async |exchange| match asked(local, proof, exchange) {
        Ok(stream) => {
            let (busy, serving) = (places::busy(), one(core, stream));
            // Bounded by the connection's limit of concurrent streams.
            let serving = async move {
                serving.await;
                drop(busy);
            };
            task::spawn_local("hbone-stream", serving).detach();
        }
        Err(refused) => inbound::turn_away(core, local, remote, None, refused),
    };
    if let Some((failure, rule)) = serve::exchanges(core, &mut connection, each).await {
        inbound::turn_away(core, local, remote, None, Refused::because(failure, rule));
    }
}

/// What a request asks for. One that is no CONNECT to an address, or comes after a certificate has ended, is answered
/// here.
fn asked(local: &Local, proof: &Proof, exchange: Exchange) -> Result<Stream, Refused> {
    let Exchange { head, body, reply } = exchange;
    let wall = local.wall();
    let usable = local.identities.usable(wall).map(drop);
    let current = if wall > proof.peer.not_after { Err(Failure::NoPeerIdentity) } else { usable };
    if let Err(failure) = current {
        reply.local(failure, false);
        return Err(failure.into());
    }
    let address = match head.connect() {
        Connect::Connect => {
            head.authority().parse().map_err(|_name| "the authority is not an IP address and port")
        }
        _ => Err("not a CONNECT"),
    };
    match address {
        Ok(address) => {
            let source = baggage::read(head.fields());
            Ok(Stream { address, source, caller: Caller::Stream(Box::new((body, reply))) })
        }
        Err(rule) => {
            reply.local_because(Failure::BadRequest, false, rule);
            Err(Refused::because(Failure::BadRequest, rule))
        }
    }
}
