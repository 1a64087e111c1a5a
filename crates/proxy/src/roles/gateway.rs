//! A proxy at the edge: listeners as its configuration says, published ports, and the way out.

use std::net::TcpListener;
use std::num::NonZeroUsize;
use std::sync::Arc;

use leno_identity::tls;
use leno_telemetry::access::{Format, Target};
use leno_wire::Subject;
use leno_wire::transport::Endpoint;

use super::sidecar::adopt;
use crate::bootstrap::{GatewayHandoff, HandoffError};
use crate::listener::{Kind, Listener, Socket};
use crate::process::{Door, Identity, Setup};
use crate::takeover::Succession;

/// The setup that a handoff means, with this form of the access log.
///
/// # Errors
/// When a name in it is not valid, a port is taken, or a descriptor is not what it should be.
pub fn setup(handoff: GatewayHandoff, format: Format, tls: tls::Options) -> Result<Setup, HandoffError> {
    let trust_domain = handoff.trust_domain.parse().map_err(HandoffError::TrustDomain)?;
    let local = Arc::new(handoff.workload.local(&handoff.mesh, 0, tls));
    let remote = handoff.control.remote(&handoff.join_token);
    let mut succession = Succession::begin(handoff.take_over)?;
    let mut listeners = Vec::new();
    for published in handoff.published {
        let host = published.host.parse().map_err(HandoffError::Host)?;
        let left = succession.inherited.tcp(published.listen);
        let socket = left
            .map_or_else(|| TcpListener::bind(published.listen), Ok)
            .map_err(|source| HandoffError::Bind { address: published.listen, source })?;
        let kind = Kind::Published { host, port: published.port };
        listeners.push(Listener { kind, socket: Socket::Tcp(socket), local: Arc::clone(&local) });
    }
    if let Some(fd) = handoff.egress {
        let socket = Socket::Unix(adopt("the egress listener", fd)?.into());
        listeners.push(Listener {
            kind: Kind::Egress { host: handoff.host_callers.into() },
            socket,
            local: Arc::clone(&local),
        });
    }
    let (namespace, name) = (Arc::clone(&local.name.namespace), Arc::clone(&local.name.name));
    Ok(Setup {
        subject: Subject::Gateway { namespace, name },
        trust_domain,
        control: Endpoint::Remote(remote.clone()),
        identity: Identity::Issued { remote, settings: handoff.renewal.settings() },
        listeners,
        bind: Some(handoff.bind),
        dns: Vec::new(),
        admin: vec![Door::Operator(adopt("the admin listener", handoff.admin)?.into())],
        vault: handoff.vault.map(|fd| adopt("the parent's stream", fd)).transpose()?.map(Into::into),
        cores: leno_runtime::process::cores(NonZeroUsize::new(handoff.threads)),
        access: Some((Target::Stdout, format)),
        tracing: handoff.tracing.map(|tracing| tracing.settings(false)).transpose()?,
        seed: None,
        succession,
        local,
    })
}
