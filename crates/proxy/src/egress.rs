//! The way out of the mesh: connections that sidecars hand over because their own network leads nowhere else.
//!
//! Who asks is known (mutual TLS), and where to is checked here again: a sidecar's word that an address is external is
//! not enough to reach this host's loopback or its cloud's metadata.

mod resolver;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use leno_http::io::Io;
use leno_model::failure::Failure;
use leno_model::spiffe::SpiffeId;

use crate::bootstrap::HostCaller;
use crate::core::Core;
use crate::inbound;
use crate::local::Local;
use crate::opaque;
use crate::view::View;

pub(crate) use resolver::RESOLVER;

/// Serves a connection that must be mutual TLS of the mesh and is for an external address.
pub(crate) async fn connection(
    core: Rc<Core>,
    local: Arc<Local>,
    io: Box<dyn Io>,
    remote: Option<SocketAddr>,
    host: &[HostCaller],
) {
    let mut shaken = match inbound::shake(&core, &local, io).await {
        Ok(shaken) => shaken,
        Err(refused) => return inbound::turn_away(&core, &local, remote, None, refused),
    };
    let asked = SocketAddr::new(shaken.open.ip, shaken.open.port);
    let led = way(&core.view(), host, &shaken.proof.peer.id, asked);
    match led {
        Ok(address) => {
            let judge = |view: &View, caller: &SpiffeId| way(view, host, caller, asked).map(drop);
            opaque::leaving(core, &local, shaken, remote, asked, address, judge).await;
        }
        Err(failure) => {
            inbound::turn_away(&core, &local, remote, Some(asked), failure);
            inbound::refuse(&mut shaken.io, &shaken.open, failure).await;
        }
    }
}

/// Where a caller that asks for an address is led.
fn way(
    view: &View,
    host: &[HostCaller],
    caller: &SpiffeId,
    asked: SocketAddr,
) -> Result<SocketAddr, Failure> {
    let mesh = view.mesh.as_deref().ok_or(Failure::NotDiscovered)?;
    if asked == RESOLVER {
        return Ok(resolver::of_this_machine());
    }
    let is_ours = caller.trust_domain() == mesh.trust_domain.as_str();
    if is_ours && host.iter().any(|allowed| allowed.is(caller) && allowed.host.contain(asked)) {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), asked.port()));
    }
    if mesh.ranges.iter().any(|range| range.contains(&asked.ip())) {
        return Err(Failure::ForbiddenDestination);
    }
    leno_engine::egress::check(mesh.outbound, asked.ip()).map_err(leno_engine::egress::Forbidden::failure)?;
    Ok(asked)
}

impl HostCaller {
    /// Whether this caller is meant, if it is of the mesh's own trust domain: a federated one has accounts of the same
    /// names.
    fn is(&self, caller: &SpiffeId) -> bool {
        caller.service_account() == Some((self.namespace.as_str(), self.service_account.as_str()))
    }
}
