//! Balancing, TLS and subsets.

use std::sync::Arc;
use std::time::Duration;

use leno_model::destination::{
    Balancer, Destination, ExternalTls, ProxyProtocol, Subset, TlsMode, TrafficPolicy,
};

use super::read::{labels, port, some_text, write_duration, write_labels};
use super::text::marker;
use super::{Interner, Within, each, hash, interned, origin, resilience, retry};
use crate::malformed::Malformed;
use crate::proto::units;
use crate::proto::units::tls_mode;

pub(super) fn write(destination: &Destination) -> units::Destination {
    units::Destination {
        policy: write_policy(&destination.policy),
        ports: write_ports(&destination.ports),
        subsets: destination.subsets.iter().map(write_subset).collect(),
        origin: destination.origin.as_ref().map(origin::write),
    }
}

pub(super) fn read(from: units::Destination, texts: &mut Interner) -> Result<Destination, Malformed> {
    Ok(Destination {
        policy: read_policy(from.policy.unwrap_or_default(), texts).within("policy")?,
        ports: read_ports(from.ports, texts)?,
        subsets: each("subsets", from.subsets, |subset| read_subset(subset, texts))?,
        origin: from.origin.map(|from| origin::read(from, texts)),
    })
}

fn write_subset(subset: &Subset) -> units::Subset {
    units::Subset {
        name: subset.name.to_string(),
        labels: write_labels(&subset.labels),
        policy: write_policy(&subset.policy),
        ports: write_ports(&subset.ports),
        origin: Some(origin::write(&subset.origin)),
    }
}

fn read_subset(from: units::Subset, texts: &mut Interner) -> Result<Subset, Malformed> {
    Ok(Subset {
        name: some_text(&from.name, texts).within("name")?,
        labels: labels("labels", from.labels, texts)?,
        policy: read_policy(from.policy.unwrap_or_default(), texts).within("policy")?,
        ports: read_ports(from.ports, texts)?,
        origin: origin::required(from.origin, texts)?,
    })
}

fn write_ports(ports: &[(u16, TrafficPolicy)]) -> Vec<units::PortPolicy> {
    ports
        .iter()
        .map(|(port, policy)| units::PortPolicy { port: (*port).into(), policy: write_policy(policy) })
        .collect()
}

fn read_ports(
    ports: Vec<units::PortPolicy>,
    texts: &mut Interner,
) -> Result<Vec<(u16, TrafficPolicy)>, Malformed> {
    each("ports", ports, |from| {
        let policy = read_policy(from.policy.unwrap_or_default(), texts).within("policy")?;
        Ok((port(from.port).within("port")?, policy))
    })
}

/// Nothing where nothing is set: most destinations have no settings.
fn write_policy(policy: &TrafficPolicy) -> Option<units::TrafficPolicy> {
    (*policy != TrafficPolicy::default()).then(|| units::TrafficPolicy {
        balancer: policy.balancer.as_ref().and_then(|balancer| {
            let known = match balancer {
                Balancer::PeakEwma => units::Balancer::PeakEwma,
                Balancer::RoundRobin => units::Balancer::RoundRobin,
                Balancer::Random => units::Balancer::Random,
                Balancer::Hash(_) => return None,
            };
            Some(known.into())
        }),
        hash: match &policy.balancer {
            Some(Balancer::Hash(settings)) => Some(hash::write(settings)),
            _ => None,
        },
        tls: policy.tls.as_ref().map(write_tls),
        connect_timeout: policy.connect_timeout.map(write_duration),
        retry_budget: policy.retry_budget.as_ref().map(retry::write_budget),
        max_retries: policy.max_retries,
        warmup: policy.warmup.as_ref().map(resilience::write_warmup),
        pool: policy.pool.as_ref().map(resilience::write_pool),
        outlier: policy.outlier.as_ref().map(resilience::write_outlier),
        proxy_protocol: policy.proxy_protocol.map(|version| {
            match version {
                ProxyProtocol::V1 => units::ProxyProtocol::V1,
                ProxyProtocol::V2 => units::ProxyProtocol::V2,
            }
            .into()
        }),
    })
}

fn read_policy(from: units::TrafficPolicy, texts: &mut Interner) -> Result<TrafficPolicy, Malformed> {
    let by_key = from.hash.map(|from| hash::read(from, texts)).transpose().within("hash")?;
    let balancer = match (from.balancer.map(units::Balancer::try_from), by_key) {
        (None, None) => None,
        (None, Some(settings)) => Some(Balancer::Hash(settings.into())),
        (Some(_), Some(_)) => return Err(Malformed::new("stands beside a balancer").in_field("hash")),
        (Some(Ok(units::Balancer::PeakEwma)), None) => Some(Balancer::PeakEwma),
        (Some(Ok(units::Balancer::RoundRobin)), None) => Some(Balancer::RoundRobin),
        (Some(Ok(units::Balancer::Random)), None) => Some(Balancer::Random),
        (Some(Ok(units::Balancer::Unspecified) | Err(_)), None) => {
            return Err(Malformed::missing("balancer"));
        }
    };
    let proxy_protocol = match from.proxy_protocol.map(units::ProxyProtocol::try_from) {
        None => None,
        Some(Ok(units::ProxyProtocol::V1)) => Some(ProxyProtocol::V1),
        Some(Ok(units::ProxyProtocol::V2)) => Some(ProxyProtocol::V2),
        Some(Ok(units::ProxyProtocol::Unspecified) | Err(_)) => {
            return Err(Malformed::missing("proxy_protocol"));
        }
    };
    Ok(TrafficPolicy {
        balancer,
        tls: from.tls.map(|tls| read_tls(tls, texts)).transpose().within("tls")?,
        connect_timeout: from.connect_timeout.map(Duration::from_nanos),
        retry_budget: from.retry_budget.map(retry::read_budget),
        max_retries: from.max_retries,
        warmup: from.warmup.map(resilience::read_warmup),
        pool: from.pool.as_ref().map(resilience::read_pool).transpose().within("pool")?,
        outlier: from.outlier.map(resilience::read_outlier).transpose().within("outlier")?,
        proxy_protocol,
    })
}

fn write_tls(tls: &TlsMode) -> units::TlsMode {
    use tls_mode::Kind;
    let kind = match tls {
        TlsMode::Auto => Kind::Auto(true),
        TlsMode::Disable => Kind::Disable(true),
        TlsMode::Mesh => Kind::Mesh(true),
        TlsMode::External(external) => Kind::External(units::ExternalTls {
            client: external.client.as_ref().map(|(certificate, key)| units::ClientFiles {
                certificate: certificate.to_string(),
                key: key.to_string(),
            }),
            roots: external.roots.as_ref().map(ToString::to_string),
            subject_alt_names: external.subject_alt_names.iter().map(ToString::to_string).collect(),
            sni: external.sni.as_ref().map(ToString::to_string),
            insecure_skip_verify: external.insecure_skip_verify,
        }),
    };
    units::TlsMode { kind: Some(kind) }
}

fn read_tls(from: units::TlsMode, texts: &mut Interner) -> Result<TlsMode, Malformed> {
    use tls_mode::Kind;
    let (mode, given) = match from.kind.within("kind")? {
        Kind::Auto(yes) => (TlsMode::Auto, yes),
        Kind::Disable(yes) => (TlsMode::Disable, yes),
        Kind::Mesh(yes) => (TlsMode::Mesh, yes),
        Kind::External(external) => {
            (TlsMode::External(read_external(external, texts).within("external")?), true)
        }
    };
    marker(given).map(|()| mode)
}

fn read_external(from: units::ExternalTls, texts: &mut Interner) -> Result<ExternalTls, Malformed> {
    let mut file =
        |field, path: &str| -> Result<Arc<str>, Malformed> { some_text(path, texts).within(field) };
    let client = match &from.client {
        Some(client) => {
            Some((file("client.certificate", &client.certificate)?, file("client.key", &client.key)?))
        }
        None => None,
    };
    let roots = from.roots.as_deref().map(|path| file("roots", path)).transpose()?;
    Ok(ExternalTls {
        client,
        roots,
        subject_alt_names: each("subject_alt_names", from.subject_alt_names, |name| some_text(&name, texts))?,
        sni: from.sni.map(|name| interned(&name, texts)),
        insecure_skip_verify: from.insecure_skip_verify,
    })
}
