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
use leno_http::head::{Connect, RequestHead};
use leno_http::io::Io;
use leno_http::server::{Config, Connection, Protocol, Tell};
use leno_model::failure::Failure;
use leno_model::request::RequestView as _;
use leno_runtime::task;
use leno_wire::open::Source;

use crate::caller::{self, Caller};
use crate::core::Core;
use crate::inbound;
use crate::limits::{TUNNEL_CONNECTION_WINDOW, TUNNEL_GROWN_WINDOW, TUNNEL_PING, TUNNEL_WINDOW};
use crate::local::Local;
use crate::places;
use crate::proof::Proof;
use crate::record::Ends;
use crate::refused::{self, Refused};
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
    let counts = &core.shared.tunnels.inbound;
    counts.connections.inc();
    let h2 = h2::Settings {
        peer_is_proxy: true,
        stream_window: TUNNEL_WINDOW,
        connection_window: TUNNEL_CONNECTION_WINDOW,
        grown_window: TUNNEL_GROWN_WINDOW,
        ping_interval: Some(TUNNEL_PING),
        ..h2::Settings::default()
    };
    let tell = {
        let (core, local) = (Rc::clone(core), Arc::clone(local));
        let ends = Ends { remote, ..Ends::default() };
        Tell::by(move |broken| refused::tunnel(&core, &local, &ends, broken))
    };
    let budget = Some(core.shared.budget.clone());
    let config = Config { h2, budget, broken_streams: Some(tell), ..Config::default() };
    let mut connection = Connection::new(Protocol::Http2, io, Rc::new(config));
    let each = async |exchange| match asked(core, local, proof, exchange) {
        Ok((stream, place)) => {
            let (busy, serving) = (places::busy(), one(core, stream));
            let serving = async move {
                serving.await;
                drop((busy, place));
            };
            task::spawn_local("hbone-stream", serving).detach();
        }
        Err(refused) => {
            counts.failed(refused.failure.row().details);
            inbound::turn_away(core, local, remote, None, refused);
        }
    };
    if let Some((failure, rule)) = serve::exchanges(core, &mut connection, each).await {
        inbound::turn_away(core, local, remote, None, Refused::because(failure, rule));
    }
}

/// What a request asks for, and its place. One that is no CONNECT to an address, or that comes after a certificate has
/// ended or where there is no place, is answered here.
fn asked(
    core: &Core,
    local: &Local,
    proof: &Proof,
    exchange: Exchange,
) -> Result<(Stream, places::Tunnel), Refused> {
    let Exchange { head, body, reply } = exchange;
    match admit(core, local, proof, &head) {
        Ok((address, place)) => {
            let source = baggage::read(head.fields());
            let counts = core.shared.tunnels.inbound.clone();
            let caller = Caller::Stream(Box::new(caller::Stream { body, reply, counts }));
            Ok((Stream { address, source, caller }, place))
        }
        Err(refused) => {
            match refused.why() {
                Some(why) => reply.local_because(refused.failure, false, why),
                None => reply.local(refused.failure, false),
            }
            Err(refused)
        }
    }
}

fn admit(
    core: &Core,
    local: &Local,
    proof: &Proof,
    head: &RequestHead,
) -> Result<(SocketAddr, places::Tunnel), Refused> {
    let wall = local.wall();
    local.identities.usable(wall)?;
    if wall > proof.peer.not_after {
        return Err(Failure::NoPeerIdentity.into());
    }
    if *head.connect() != Connect::Connect {
        return Err(Refused::because(Failure::BadRequest, "not a CONNECT"));
    }
    let address = head.authority().parse::<SocketAddr>().map_err(|_name| {
        Refused::because(Failure::BadRequest, "the authority is not an IP address and port")
    })?;
    let place = core.places.tunnel().ok_or(Failure::Overload)?;
    Ok((address, place))
}
