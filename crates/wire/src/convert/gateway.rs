//! A gateway's own configuration.

use std::sync::Arc;

use leno_model::gateway::ListenerProtocol;
use leno_model::secret::{SecretBytes, TlsSecret};
use leno_model::unit::{GatewayUnit, ListenerUnit};

use super::read::{host, optional_host, port, some_text};
use super::{Interner, Within, each, policy, route};
use crate::malformed::Malformed;
use crate::proto::units;

pub(super) fn write(unit: &GatewayUnit) -> units::GatewayUnit {
    units::GatewayUnit {
        namespace: unit.namespace.to_string(),
        name: unit.name.to_string(),
        listeners: unit.listeners.iter().map(write_listener).collect(),
        policies: unit.policies.iter().map(|one| policy::write(one)).collect(),
    }
}

pub(super) fn read(unit: units::GatewayUnit, texts: &mut Interner) -> Result<GatewayUnit, Malformed> {
    Ok(GatewayUnit {
        namespace: some_text(&unit.namespace, texts).within("namespace")?,
        name: some_text(&unit.name, texts).within("name")?,
        listeners: each("listeners", unit.listeners, |listener| read_listener(listener, texts))?,
        policies: policy::read_all(unit.policies, texts)?,
    })
}

fn write_listener(listener: &ListenerUnit) -> units::Listener {
    let protocol = match listener.protocol {
        ListenerProtocol::Http => units::ListenerProtocol::Http,
        ListenerProtocol::Https => units::ListenerProtocol::Https,
        ListenerProtocol::Tls => units::ListenerProtocol::Tls,
        ListenerProtocol::Tcp => units::ListenerProtocol::Tcp,
    };
    units::Listener {
        name: listener.name.to_string(),
        port: listener.port.into(),
        protocol: protocol.into(),
        hostname: listener.hostname.as_ref().map_or_else(String::new, ToString::to_string),
        certificates: listener.certificates.iter().map(|secret| write_secret(secret)).collect(),
        proxy_protocol: listener.proxy_protocol,
        hosts: listener
            .hosts
            .iter()
            .map(|(host, table)| units::HostRoutes {
                host: host.to_string(),
                table: Some(route::write_table(table)),
            })
            .collect(),
    }
}

fn read_listener(from: units::Listener, texts: &mut Interner) -> Result<ListenerUnit, Malformed> {
    let protocol = match units::ListenerProtocol::try_from(from.protocol) {
        Ok(units::ListenerProtocol::Http) => ListenerProtocol::Http,
        Ok(units::ListenerProtocol::Https) => ListenerProtocol::Https,
        Ok(units::ListenerProtocol::Tls) => ListenerProtocol::Tls,
        Ok(units::ListenerProtocol::Tcp) => ListenerProtocol::Tcp,
        Ok(units::ListenerProtocol::Unspecified) | Err(_) => return Err(Malformed::missing("protocol")),
    };
    Ok(ListenerUnit {
        name: some_text(&from.name, texts).within("name")?,
        port: port(from.port).within("port")?,
        protocol,
        hostname: optional_host(&from.hostname).within("hostname")?,
        certificates: each("certificates", from.certificates, |secret| read_secret(secret).map(Arc::new))?,
        proxy_protocol: from.proxy_protocol,
        hosts: each("hosts", from.hosts, |routes| {
            let table = route::read_table(routes.table.within("table")?, texts).within("table")?;
            Ok((host(&routes.host).within("host")?, table))
        })?,
    })
}

fn write_secret(secret: &TlsSecret) -> units::TlsSecret {
    units::TlsSecret {
        chain: secret.chain.to_string(),
        key: secret.key.expose().to_vec(),
        client_roots: secret.client_roots.as_ref().map(ToString::to_string),
    }
}

/// Certificates and keys are not interned: nothing else should come to share them.
fn read_secret(secret: units::TlsSecret) -> Result<TlsSecret, Malformed> {
    if secret.chain.is_empty() {
        return Err(Malformed::new("empty").in_field("chain"));
    }
    if secret.key.is_empty() {
        return Err(Malformed::new("empty").in_field("key"));
    }
    Ok(TlsSecret {
        chain: secret.chain.into(),
        key: SecretBytes::new(secret.key),
        client_roots: secret.client_roots.map(Into::into),
    })
}
