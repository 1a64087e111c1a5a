//! A proxy beside one workload.

use std::num::NonZeroUsize;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::Arc;

use leno_capture::descriptor;
use leno_identity::tls;
use leno_telemetry::access::{Format, Target};
use leno_wire::Subject;
use leno_wire::transport::Endpoint;

use crate::bootstrap::{Handoff, HandoffError};
use crate::listener::{Kind, Listener, Socket};
use crate::local::Local;
use crate::process::{DnsSocket, Door, Identity, Setup};
use crate::takeover::Succession;

/// The setup that a supervisor's handoff means, with this form of the access log.
///
/// # Errors
/// When a name in it is not valid, or a descriptor is not what it should be.
pub fn setup(handoff: Handoff, format: Format, tls: tls::Options) -> Result<Setup, HandoffError> {
    let trust_domain = handoff.trust_domain.parse().map_err(HandoffError::TrustDomain)?;
    let local = handoff.workload.local(&handoff.mesh, handoff.mark, tls);
    let local = Arc::new(Local { application: handoff.application, ..local });
    let remote = handoff.control.remote(&handoff.join_token);
    let sockets = handoff.sockets;
    let mut listeners = Vec::new();
    for fd in sockets.outbound {
        let socket = Socket::Tcp(adopt("an outbound listener", fd)?.into());
        listeners.push(Listener { kind: Kind::Outbound, socket, local: Arc::clone(&local) });
    }
    for service in sockets.services {
        let socket = Socket::Tcp(adopt("a service's listener", service.listener)?.into());
        let host = service.host.parse().map_err(HandoffError::Host)?;
        let kind = Kind::Service { host, port: service.port };
        listeners.push(Listener { kind, socket, local: Arc::clone(&local) });
    }
    let inbound = Socket::Unix(adopt("the inbound listener", sockets.inbound)?.into());
    listeners.push(Listener { kind: Kind::Mesh, socket: inbound, local: Arc::clone(&local) });
    let mut dns = Vec::new();
    for fd in sockets.dns_udp {
        dns.push(DnsSocket::Udp(adopt("a DNS socket", fd)?.into()));
    }
    for fd in sockets.dns_tcp {
        dns.push(DnsSocket::Tcp(adopt("a DNS listener", fd)?.into()));
    }
    Ok(Setup {
        subject: Subject::Workload(local.name.clone()),
        trust_domain,
        control: Endpoint::Remote(remote.clone()),
        identity: Identity::Issued { remote, settings: handoff.renewal.settings() },
        listeners,
        bind: None,
        dns,
        admin: vec![Door::Operator(adopt("the admin listener", sockets.admin)?.into())],
        vault: handoff.vault.map(|fd| adopt("the supervisor's stream", fd)).transpose()?.map(Into::into),
        cores: leno_runtime::process::cores(NonZeroUsize::new(handoff.threads)),
        access: Some((Target::Stdout, format)),
        tracing: handoff.tracing.map(|tracing| tracing.settings(true)).transpose()?,
        seed: None,
        succession: Succession::default(),
        local,
    })
}

/// Takes over an inherited descriptor.
pub(super) fn adopt(what: &'static str, fd: RawFd) -> Result<OwnedFd, HandoffError> {
    descriptor::adopt(fd).map_err(|source| HandoffError::Descriptor { what, source })
}
