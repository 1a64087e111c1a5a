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
use leno_wire::open::Source;

use crate::bootstrap::HostCaller;
use crate::caller::Caller;
use crate::core::Core;
use crate::hbone;
use crate::inbound::{self, Shaken};
use crate::local::Local;
use crate::opaque::{self, Leaving};
use crate::proof::Proof;
use crate::traces::collector::COLLECTOR;
use crate::view::View;

pub(crate) use resolver::RESOLVER;

/// Serves a connection that must be mutual TLS of the mesh and is for an external address.
pub(crate) async fn connection(
    core: Rc<Core>,
    local: Arc<Local>,
    io: Box<dyn Io>,
    remote: Option<SocketAddr>,
    host: Arc<[HostCaller]>,
) {
    match inbound::shake(&core, &local, io, remote).await {
        Ok(Shaken::Native { caller, proof, open }) => {
            let asked = SocketAddr::new(open.ip, open.port);
            Box::pin(one(&core, &local, remote, &host, proof, caller, asked, &open.source)).await;
        }
        Ok(Shaken::Hbone { io, proof }) => {
            let serve = |core: &Rc<Core>, hbone::Stream { address, source, caller }| {
                let (core, local, proof) = (Rc::clone(core), Arc::clone(&local), Rc::clone(&proof));
                let host = Arc::clone(&host);
                async move { one(&core, &local, remote, &host, proof, caller, address, &source).await }
            };
            Box::pin(hbone::serve(&core, &local, remote, &proof, io, serve)).await;
        }
        Err(refused) => inbound::turn_away(&core, &local, remote, None, refused),
    }
}

/// Leads one connection out.
#[expect(clippy::too_many_arguments, reason = "both ends, and what is known of the caller")]
async fn one(
    core: &Rc<Core>,
    local: &Arc<Local>,
    remote: Option<SocketAddr>,
    host: &[HostCaller],
    proof: Rc<Proof>,
    caller: Caller,
    asked: SocketAddr,
    source: &Source,
) {
    let collector = match &core.shared.tracing {
        Some(tracing) if asked == COLLECTOR => tracing.address_for_others().await,
        _ => None,
    };
    let led = way(&core.view(), host, collector, &proof.peer.id, asked);
    match led {
        Ok(address) => {
            let judge = |view: &View, caller: &SpiffeId| way(view, host, collector, caller, asked).map(drop);
            let source = inbound::caller(&proof.peer, source);
            let leaving = Leaving { remote, source, asked, address };
            opaque::leaving(Rc::clone(core), local, caller, proof, leaving, judge).await;
        }
        Err(failure) => {
            inbound::turn_away(core, local, remote, Some(asked), failure);
            caller.refuse(failure).await;
        }
    }
}

/// Where a caller that asks for an address is led.
fn way(
    view: &View,
    host: &[HostCaller],
    collector: Option<SocketAddr>,
    caller: &SpiffeId,
    asked: SocketAddr,
) -> Result<SocketAddr, Failure> {
    let mesh = view.mesh.as_deref().ok_or(Failure::NotDiscovered)?;
    if asked == RESOLVER {
        return Ok(resolver::of_this_machine());
    }
    if asked == COLLECTOR {
        return collector.ok_or(Failure::NoDestination);
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
