//! Mesh settings and trust bundles.

use std::sync::Arc;

use leno_model::retry::RepeatRule;
use leno_model::unit::{BundleUnit, Egress, MeshSettings, OutboundMode};

use super::host::{read_address, write_address};
use super::read::{host, identity, net, some_text};
use super::{Interner, Within, each};
use crate::malformed::Malformed;
use crate::proto::units;

pub(super) fn write_settings(unit: &MeshSettings) -> units::MeshSettings {
    let outbound = match unit.outbound {
        OutboundMode::AllowAny => units::OutboundMode::AllowAny,
        OutboundMode::RegistryOnly => units::OutboundMode::RegistryOnly,
    };
    units::MeshSettings {
        trust_domain: unit.trust_domain.to_string(),
        cluster_domain: unit.cluster_domain.to_string(),
        root_namespace: unit.root_namespace.to_string(),
        ranges: unit.ranges.iter().map(ToString::to_string).collect(),
        wildcard_hosts: unit.wildcard_hosts.iter().map(ToString::to_string).collect(),
        outbound: outbound.into(),
        egress: unit.egress.as_ref().map(|egress| units::Egress {
            address: Some(write_address(&egress.address)),
            identity: egress.identity.as_str().to_owned(),
        }),
        repeat_any: unit.repeat == RepeatRule::Any,
    }
}

pub(super) fn read_settings(
    unit: units::MeshSettings,
    texts: &mut Interner,
) -> Result<MeshSettings, Malformed> {
    let outbound = match units::OutboundMode::try_from(unit.outbound) {
        Ok(units::OutboundMode::AllowAny) => OutboundMode::AllowAny,
        Ok(units::OutboundMode::RegistryOnly) => OutboundMode::RegistryOnly,
        Ok(units::OutboundMode::Unspecified) | Err(_) => return Err(Malformed::missing("outbound")),
    };
    let wildcard_hosts = each("wildcard_hosts", unit.wildcard_hosts, |text| {
        let host = host(&text)?;
        if host.is_wildcard() { Ok(host) } else { Err(Malformed::new("not a wildcard")) }
    })?;
    Ok(MeshSettings {
        trust_domain: unit.trust_domain.parse().map_err(Malformed::new).within("trust_domain")?,
        cluster_domain: some_text(&unit.cluster_domain, texts).within("cluster_domain")?,
        root_namespace: some_text(&unit.root_namespace, texts).within("root_namespace")?,
        ranges: each("ranges", unit.ranges, |text| net(&text))?,
        wildcard_hosts,
        outbound,
        egress: unit.egress.map(read_egress).transpose().within("egress")?,
        repeat: if unit.repeat_any { RepeatRule::Any } else { RepeatRule::Safe },
    })
}

fn read_egress(from: units::Egress) -> Result<Egress, Malformed> {
    Ok(Egress {
        address: read_address(from.address.within("address")?).within("address")?,
        identity: identity(&from.identity).within("identity")?,
    })
}

pub(super) fn write_bundle(unit: &BundleUnit) -> units::BundleUnit {
    units::BundleUnit {
        trust_domain: unit.trust_domain.to_string(),
        roots: unit.roots.iter().map(|root| root.to_vec()).collect(),
        sequence: unit.sequence,
    }
}

pub(super) fn read_bundle(unit: units::BundleUnit) -> Result<BundleUnit, Malformed> {
    Ok(BundleUnit {
        trust_domain: unit.trust_domain.parse().map_err(Malformed::new).within("trust_domain")?,
        roots: each("roots", unit.roots, |root| {
            // Every certificate is a DER SEQUENCE (RFC 5280 §4.1); the rest is for whoever trusts it to check.
            if root.first() == Some(&0x30) { Ok(Arc::from(root)) } else { Err(Malformed::new("not DER")) }
        })?,
        sequence: unit.sequence,
    })
}
