//! The mesh file's services, workloads and gateway, as a control plane is told of them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use leno_control::bootstrap as control;
use leno_local::mesh;
use leno_local::plan::{self, Replica};

use crate::mesh_file::MeshFile;

/// The name under which the mesh's own gateway is known, and its service account.
pub(crate) const GATEWAY: &str = "gateway";

/// The mesh's services, with the places where they are written.
pub(crate) fn services(file: &MeshFile) -> Vec<control::Service> {
    let lines = file.service_lines.iter().copied().chain(std::iter::repeat(0));
    let services = file.mesh.spec.services.iter().zip(lines);
    services.map(|(service, line)| service_of(service, &file.name, line)).collect()
}

fn service_of(service: &mesh::Service, file: &str, line: u32) -> control::Service {
    let ports = service.all_ports().into_iter().map(|port| control::Port {
        name: port.name.clone().unwrap_or_default(),
        port: port.port,
        target_port: port.target(),
        protocol: port.protocol.map(protocol),
    });
    control::Service {
        name: service.name.clone(),
        namespace: plan::NAMESPACE.to_owned(),
        ports: ports.collect(),
        headless: service.headless,
        file: file.to_owned(),
        line,
    }
}

fn protocol(protocol: mesh::Protocol) -> control::Protocol {
    match protocol {
        mesh::Protocol::Http => control::Protocol::Http,
        mesh::Protocol::Http2 => control::Protocol::Http2,
        mesh::Protocol::Grpc => control::Protocol::Grpc,
        mesh::Protocol::Tls => control::Protocol::Tls,
        mesh::Protocol::Tcp => control::Protocol::Tcp,
    }
}

/// A replica, with what its sidecar joins with.
pub(crate) fn workload(replica: &Replica, join_token: String, ready: bool) -> control::Workload {
    control::Workload {
        name: replica.name.clone(),
        namespace: plan::NAMESPACE.to_owned(),
        service_account: replica.service_account.clone(),
        owner: Some(replica.workload.clone()),
        labels: replica.labels.clone(),
        addresses: replica.addresses.clone(),
        inbound: replica.inbound.clone(),
        named_ports: BTreeMap::new(),
        join_token: control::Token(join_token),
        ready,
    }
}

/// The gateway, with what it joins with and where it takes what leaves the mesh.
pub(crate) fn gateway(join_token: String, egress: Option<PathBuf>) -> control::Gateway {
    control::Gateway {
        name: GATEWAY.to_owned(),
        namespace: plan::NAMESPACE.to_owned(),
        service_account: GATEWAY.to_owned(),
        labels: [("app".to_owned(), GATEWAY.to_owned())].into(),
        join_token: control::Token(join_token),
        egress,
    }
}
