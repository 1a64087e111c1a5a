//! Streams that this proxy opens, each on a pooled connection to the peer's proxy.

use std::net::SocketAddr;

use http::{Method, StatusCode};
use leno_http::exchange::{self, Answer, Outgoing, Response};
use leno_http::head::{RequestHead, Scheme};
use leno_http::io::Io;
use leno_identity::holder::Transport;
use leno_model::failure::Failure;
use leno_model::service::Address;
use leno_model::spiffe::SpiffeId;

use super::baggage;
use crate::core::Core;
use crate::dial::{self, Dialled, SocketSettings};
use crate::local::Local;
use crate::pool::{Lease, TunnelKey};

/// An open stream, with its share in the connection.
struct Tunnel {
    stream: exchange::Tunnel,
    _connection: Lease,
}

impl Io for Tunnel {}

leno_http::forward_reads!(Tunnel, stream);
leno_http::forward_writes!(Tunnel, stream);

/// Opens a stream to a workload's address through the proxy at `address`, which must be `expected`.
pub(crate) async fn open(
    core: &Core,
    local: &Local,
    (address, expected): (&Address, &SpiffeId),
    target: SocketAddr,
    socket: SocketSettings,
) -> Result<Dialled, Failure> {
    let identity = local.identities.usable(local.wall())?;
    let key = TunnelKey {
        epoch: identity.epoch(),
        own: identity.id().clone(),
        peer: expected.clone(),
        address: address.clone(),
        socket,
    };
    let head = connect(local, target)?;
    loop {
        let dialling = async || {
            let dialled = dial::mesh(local, address, expected, Transport::Hbone, socket).await?;
            core.shared.tunnels.outbound.connections.inc();
            Ok(dialled)
        };
        let mut lease = core.pool.tunnel(&key, local.clock, dialling).await?;
        let opened = match lease.connection()?.send(&head).await {
            Ok((outgoing, response)) => granted(outgoing, response).await,
            Err(unsent) => Err(unsent.failure),
        };
        match opened {
            Ok(stream) => {
                let (own, until, proof) = (lease.local(), lease.until(), lease.proof());
                let io: Box<dyn Io> = Box::new(Tunnel { stream, _connection: lease });
                return Ok(Dialled { io, local: own, until, proof });
            }
            // Nothing of the application's has been sent, and the connection may have died while it rested.
            Err(Failure::UpstreamClosed | Failure::UpstreamRefused) if lease.reused => lease.discard(),
            Err(failure) => return Err(failure),
        }
    }
}

fn connect(local: &Local, target: SocketAddr) -> Result<RequestHead, Failure> {
    let invalid = |_invalid| Failure::Internal;
    let mut head =
        RequestHead::new(Method::CONNECT, Scheme::Https, &target.to_string(), "").map_err(invalid)?;
    head.fields_mut().set(baggage::NAME, baggage::write(local).as_bytes()).map_err(invalid)?;
    Ok(head)
}

/// Waits for the answer. The application's bytes follow only a good one.
async fn granted(outgoing: Outgoing, mut response: Response) -> Result<exchange::Tunnel, Failure> {
    loop {
        match response.head().await? {
            Answer::Informational(_) => {}
            Answer::Final(head, incoming) if head.status().is_success() => {
                return Ok(outgoing.into_tunnel(incoming));
            }
            Answer::Final(head, _) => return Err(refusal(head.status())),
        }
    }
}

/// What a refusal by the peer's proxy is to us. ztunnel says 401 for what policy denies and 404 for what is not its own.
fn refusal(status: StatusCode) -> Failure {
    match status.as_u16() {
        401 | 403 => Failure::Denied,
        404 => Failure::ForbiddenDestination,
        429 => Failure::Overflow,
        502 | 503 => Failure::ConnectFailed,
        504 => Failure::ConnectTimeout,
        _ => Failure::UpstreamProtocol,
    }
}
