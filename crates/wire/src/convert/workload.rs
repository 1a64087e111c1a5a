//! A workload's own configuration.

use leno_model::name::WorkloadName;
use leno_model::unit::{InboundPort, WorkloadUnit};

use super::host::{read_protocol, write_protocol};
use super::read::{ascending, host, identity, ip, labels, port, some_text, write_ip, write_labels};
use super::{Interner, Within, each, interned, policy};
use crate::malformed::Malformed;
use crate::proto::units;

pub(super) fn write(unit: &WorkloadUnit) -> units::WorkloadUnit {
    units::WorkloadUnit {
        namespace: unit.name.namespace.to_string(),
        name: unit.name.name.to_string(),
        identity: unit.identity.as_str().to_owned(),
        labels: write_labels(&unit.labels),
        owner: unit.owner.to_string(),
        addresses: unit.addresses.iter().map(write_ip).collect(),
        cluster: unit.cluster.to_string(),
        ports: unit.ports.iter().map(write_port).collect(),
        mtls: Some(policy::write_mtls(&unit.mtls)),
        policies: unit.policies.iter().map(|one| policy::write(one)).collect(),
    }
}

pub(super) fn read(unit: units::WorkloadUnit, texts: &mut Interner) -> Result<WorkloadUnit, Malformed> {
    let ports = each("ports", unit.ports, |port| read_port(port, texts))?;
    ascending("ports", &ports, |port| port.port)?;
    Ok(WorkloadUnit {
        name: WorkloadName {
            namespace: some_text(&unit.namespace, texts).within("namespace")?,
            name: some_text(&unit.name, texts).within("name")?,
        },
        identity: identity(&unit.identity).within("identity")?,
        labels: labels("labels", unit.labels, texts)?,
        owner: interned(&unit.owner, texts),
        addresses: each("addresses", unit.addresses, |bytes| ip(&bytes))?,
        cluster: interned(&unit.cluster, texts),
        ports,
        mtls: policy::read_mtls(unit.mtls.within("mtls")?, texts).within("mtls")?,
        policies: policy::read_all(unit.policies, texts)?,
    })
}

fn write_port(port: &InboundPort) -> units::InboundPort {
    units::InboundPort {
        port: port.port.into(),
        protocol: write_protocol(port.protocol).into(),
        service: port.service.as_ref().map(|(host, name, namespace)| units::InboundService {
            host: host.to_string(),
            name: name.to_string(),
            namespace: namespace.to_string(),
        }),
    }
}

fn read_port(from: units::InboundPort, texts: &mut Interner) -> Result<InboundPort, Malformed> {
    let service = match from.service {
        Some(service) => Some((
            host(&service.host).within("service.host")?,
            interned(&service.name, texts),
            interned(&service.namespace, texts),
        )),
        None => None,
    };
    Ok(InboundPort {
        port: port(from.port).within("port")?,
        protocol: read_protocol(from.protocol)?,
        service,
    })
}
