//! The way out of the mesh: connections that sidecars hand over because their own network leads nowhere else.
//!
//! Who asks is known (mutual TLS), and where to is checked here again: a sidecar's word that an address is external is
//! not enough to reach this host's loopback or its cloud's metadata.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use leno_http::io::Io;
use leno_model::failure::Failure;
use leno_telemetry::istio::Reporter;

use crate::core::Core;
use crate::inbound;
use crate::local::Local;
use crate::opaque;

/// Serves a connection that must be mutual TLS of the mesh and is for an external address.
pub(crate) async fn connection(
    core: Rc<Core>,
    local: Arc<Local>,
    io: Box<dyn Io>,
    remote: Option<SocketAddr>,
) {
    let Some(mut shaken) = inbound::shake(&core, &local, io).await else {
        return opaque::refuse(&core, &local, Reporter::Destination, Failure::NoPeerIdentity);
    };
    let address = SocketAddr::new(shaken.open.ip, shaken.open.port);
    let view = core.view();
    let allowed = match view.mesh.as_deref() {
        None => Err(Failure::NotDiscovered),
        Some(mesh) if mesh.ranges.iter().any(|range| range.contains(&address.ip())) => {
            Err(Failure::ForbiddenDestination)
        }
        Some(mesh) => leno_engine::egress::check(mesh.outbound, address.ip())
            .map_err(leno_engine::egress::Forbidden::failure),
    };
    drop(view);
    match allowed {
        Ok(()) => opaque::leaving(core, &local, shaken, remote, address).await,
        Err(failure) => {
            opaque::refuse(&core, &local, Reporter::Destination, failure);
            inbound::refuse(&mut shaken.io, &shaken.open, failure).await;
        }
    }
}
