//! Service hosts and their endpoints.

use std::net::SocketAddr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use leno_model::service::{Address, Endpoint, Locality, Protocol, ServicePort, TargetPort, Transport};
use leno_model::unit::{EndpointUnit, HostUnit};

use super::read::{ascending, host, identity, ip, labels, port, some_text, write_ip, write_labels};
use super::text::marker;
use super::{Interner, Within, destination, each, interned, route};
use crate::limits::MAX_UNIX_PATH;
use crate::malformed::Malformed;
use crate::proto::units;
use crate::proto::units::{address, service_port, transport};

pub(super) fn write(unit: &HostUnit) -> units::HostUnit {
    units::HostUnit {
        host: unit.host.to_string(),
        namespace: unit.namespace.to_string(),
        name: unit.name.to_string(),
        vips: unit.vips.iter().map(write_ip).collect(),
        ports: unit.ports.iter().map(write_port).collect(),
        headless: unit.headless,
        external: unit.external,
        routes: unit
            .routes
            .iter()
            .map(|(port, table)| units::PortRoutes {
                port: u32::from(*port),
                table: Some(route::write_table(table)),
            })
            .collect(),
        destination: Some(destination::write(&unit.destination)),
    }
}

pub(super) fn read(unit: units::HostUnit, texts: &mut Interner) -> Result<HostUnit, Malformed> {
    let ports = each("ports", unit.ports, |port| read_port(port, texts))?;
    ascending("ports", &ports, |port| port.port)?;
    let routes = each("routes", unit.routes, |routes| {
        // Here 0 is every port without a table of its own.
        let port = if routes.port == 0 { 0 } else { port(routes.port).within("port")? };
        Ok((port, route::read_table(routes.table.within("table")?, texts).within("table")?))
    })?;
    if routes.iter().enumerate().any(|(index, (port, _))| routes.iter().take(index).any(|(p, _)| p == port)) {
        return Err(Malformed::new("a port is given twice").in_field("routes"));
    }
    Ok(HostUnit {
        host: host(&unit.host).within("host")?,
        namespace: interned(&unit.namespace, texts),
        name: interned(&unit.name, texts),
        vips: each("vips", unit.vips, |bytes| ip(&bytes))?,
        ports,
        headless: unit.headless,
        external: unit.external,
        routes,
        destination: destination::read(unit.destination.within("destination")?, texts)
            .within("destination")?,
    })
}

fn write_port(port: &ServicePort) -> units::ServicePort {
    units::ServicePort {
        port: port.port.into(),
        name: port.name.to_string(),
        protocol: write_protocol(port.protocol).into(),
        target: Some(match &port.target {
            TargetPort::Number(number) => service_port::Target::Number((*number).into()),
            TargetPort::Name(name) => service_port::Target::Named(name.to_string()),
        }),
    }
}

fn read_port(from: units::ServicePort, texts: &mut Interner) -> Result<ServicePort, Malformed> {
    Ok(ServicePort {
        port: port(from.port).within("port")?,
        name: interned(&from.name, texts),
        protocol: read_protocol(from.protocol)?,
        target: match from.target.within("target")? {
            service_port::Target::Number(number) => TargetPort::Number(port(number).within("number")?),
            service_port::Target::Named(name) => TargetPort::Name(some_text(&name, texts).within("named")?),
        },
    })
}

pub(super) fn write_protocol(protocol: Protocol) -> units::Protocol {
    match protocol {
        Protocol::Auto => units::Protocol::Auto,
        Protocol::Http => units::Protocol::Http,
        Protocol::Http2 => units::Protocol::Http2,
        Protocol::Grpc => units::Protocol::Grpc,
        Protocol::Tls => units::Protocol::Tls,
        Protocol::Tcp => units::Protocol::Tcp,
    }
}

pub(super) fn read_protocol(number: i32) -> Result<Protocol, Malformed> {
    Ok(match units::Protocol::try_from(number) {
        Ok(units::Protocol::Auto) => Protocol::Auto,
        Ok(units::Protocol::Http) => Protocol::Http,
        Ok(units::Protocol::Http2) => Protocol::Http2,
        Ok(units::Protocol::Grpc) => Protocol::Grpc,
        Ok(units::Protocol::Tls) => Protocol::Tls,
        Ok(units::Protocol::Tcp) => Protocol::Tcp,
        Ok(units::Protocol::Unspecified) | Err(_) => return Err(Malformed::missing("protocol")),
    })
}

pub(super) fn write_endpoints(unit: &EndpointUnit) -> units::EndpointUnit {
    units::EndpointUnit {
        host: unit.host.to_string(),
        endpoints: unit.endpoints.iter().map(write_endpoint).collect(),
    }
}

pub(super) fn read_endpoints(
    unit: units::EndpointUnit,
    texts: &mut Interner,
) -> Result<EndpointUnit, Malformed> {
    let endpoints = each("endpoints", unit.endpoints, |endpoint| read_endpoint(endpoint, texts))?;
    ascending("endpoints", &endpoints, |endpoint| endpoint.uid.clone())?;
    Ok(EndpointUnit { host: host(&unit.host).within("host")?, endpoints })
}

fn write_endpoint(endpoint: &Endpoint) -> units::Endpoint {
    units::Endpoint {
        uid: endpoint.uid.to_string(),
        ip: write_ip(&endpoint.ip),
        ports: endpoint
            .ports
            .iter()
            .map(|(service, target)| units::PortPair { service: (*service).into(), target: (*target).into() })
            .collect(),
        transport: Some(write_transport(&endpoint.transport)),
        identity: endpoint.identity.as_ref().map_or_else(String::new, |id| id.as_str().to_owned()),
        labels: write_labels(&endpoint.labels),
        owner: endpoint.owner.to_string(),
        namespace: endpoint.namespace.to_string(),
        weight: endpoint.weight,
        locality: write_locality(&endpoint.locality),
        network: endpoint.network.to_string(),
        cluster: endpoint.cluster.to_string(),
        ready: endpoint.ready,
        hostname: endpoint.hostname.as_ref().map(ToString::to_string),
    }
}

fn read_endpoint(from: units::Endpoint, texts: &mut Interner) -> Result<Endpoint, Malformed> {
    let ports = each("ports", from.ports, |pair| {
        Ok((port(pair.service).within("service")?, port(pair.target).within("target")?))
    })?;
    ascending("ports", &ports, |(service, _)| *service)?;
    if from.weight == 0 {
        return Err(Malformed::new("must be at least 1").in_field("weight"));
    }
    Ok(Endpoint {
        uid: some_text(&from.uid, texts).within("uid")?,
        ip: ip(&from.ip).within("ip")?,
        ports,
        transport: read_transport(from.transport.within("transport")?).within("transport")?,
        identity: match from.identity.as_str() {
            "" => None,
            text => Some(identity(text).within("identity")?),
        },
        labels: labels("labels", from.labels, texts)?,
        owner: interned(&from.owner, texts),
        namespace: interned(&from.namespace, texts),
        weight: from.weight,
        locality: read_locality(from.locality.unwrap_or_default(), texts),
        network: interned(&from.network, texts),
        cluster: interned(&from.cluster, texts),
        ready: from.ready,
        hostname: from.hostname.map(|name| interned(&name, texts)),
    })
}

fn write_locality(locality: &Locality) -> Option<units::Locality> {
    (*locality != Locality::default()).then(|| units::Locality {
        region: locality.region.to_string(),
        zone: locality.zone.to_string(),
        subzone: locality.subzone.to_string(),
    })
}

fn read_locality(locality: units::Locality, texts: &mut Interner) -> Locality {
    Locality {
        region: interned(&locality.region, texts),
        zone: interned(&locality.zone, texts),
        subzone: interned(&locality.subzone, texts),
    }
}

fn write_transport(transport: &Transport) -> units::Transport {
    use transport::Kind;
    let kind = match transport {
        Transport::Plain => Kind::Plain(true),
        Transport::Native(address) => Kind::Native(write_address(address)),
        Transport::Hbone(address) => Kind::Hbone(write_address(address)),
        Transport::IstioMtls => Kind::IstioMtls(true),
    };
    units::Transport { kind: Some(kind) }
}

fn read_transport(from: units::Transport) -> Result<Transport, Malformed> {
    use transport::Kind;
    Ok(match from.kind.within("kind")? {
        Kind::Plain(yes) => {
            marker(yes).within("plain")?;
            Transport::Plain
        }
        Kind::Native(address) => Transport::Native(read_address(address).within("native")?),
        Kind::Hbone(address) => Transport::Hbone(read_address(address).within("hbone")?),
        Kind::IstioMtls(yes) => {
            marker(yes).within("istio_mtls")?;
            Transport::IstioMtls
        }
    })
}

pub(super) fn write_address(address: &Address) -> units::Address {
    let kind = match address {
        Address::Tcp(address) => address::Kind::Tcp(address.to_string()),
        Address::Unix(path) => address::Kind::Unix(path.as_os_str().as_bytes().to_vec()),
    };
    units::Address { kind: Some(kind) }
}

pub(super) fn read_address(from: units::Address) -> Result<Address, Malformed> {
    match from.kind.within("kind")? {
        address::Kind::Tcp(text) => match text.parse::<SocketAddr>() {
            Ok(address) if address.port() != 0 => Ok(Address::Tcp(address)),
            _ => Err(Malformed::new(format_args!("{text:?} is not IP:PORT")).in_field("tcp")),
        },
        address::Kind::Unix(path) => {
            if path.first() == Some(&b'/') && path.len() <= MAX_UNIX_PATH && !path.contains(&0) {
                Ok(Address::Unix(PathBuf::from(std::ffi::OsString::from_vec(path))))
            } else {
                Err(Malformed::new("not an absolute path that fits a socket address").in_field("unix"))
            }
        }
    }
}
