//! Ports of this machine that a mesh is to open: whether they can be had, and who else has them.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use leno_local::client;
use leno_local::mesh::LocalMesh;

use crate::error::Problem;

/// Checks that every published port can be opened, but for those that are open already.
pub(super) fn check(mesh: &LocalMesh, open: &BTreeSet<SocketAddr>) -> Result<(), Problem> {
    for (service, address) in published(mesh).filter(|(_, address)| !open.contains(address)) {
        let Err(source) = TcpListener::bind(address) else { continue };
        let service = service.to_owned();
        return Err(match source.kind() {
            io::ErrorKind::AddrInUse => Problem::PortTaken { address, service, holder: holder(address) },
            _ => Problem::PortRefused { address, service, source },
        });
    }
    Ok(())
}

/// What a mesh publishes.
pub(super) fn of(mesh: &LocalMesh) -> BTreeSet<SocketAddr> {
    published(mesh).map(|(_, address)| address).collect()
}

/// Names of services, and where they are published.
fn published(mesh: &LocalMesh) -> impl Iterator<Item = (&str, SocketAddr)> {
    mesh.spec.services.iter().flat_map(|service| {
        let ports = service.all_ports().into_iter();
        ports.filter_map(|port| Some((service.name.as_str(), port.publish?.0)))
    })
}

/// Who has a port: a mesh of this user, else one of their processes, else somebody whose processes can't be seen.
fn holder(address: SocketAddr) -> String {
    let Some(process) = listening(address).iter().find_map(|inode| process_with(inode)) else {
        return "a process of another user".to_owned();
    };
    let is_its = |mesh: &String| {
        client::status(mesh)
            .is_ok_and(|status| status.programs.iter().any(|program| program.process == Some(process)))
    };
    if let Some(mesh) = client::running().into_iter().find(is_its) {
        return format!("the mesh {mesh:?}");
    }
    let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
    format!("process {process} ({})", name.trim())
}

/// Inodes of the sockets that listen at this address, or at all addresses with its port.
fn listening(address: SocketAddr) -> Vec<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    tables.iter().flat_map(|table| table.lines()).filter_map(|line| socket(line, address)).collect()
}

/// The inode of a line of `/proc/net/tcp` or `tcp6` if it is such a socket.
fn socket(line: &str, address: SocketAddr) -> Option<String> {
    const LISTEN: &str = "0A";
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (ip, port) = fields.get(1)?.split_once(':')?;
    let is_port = u16::from_str_radix(port, 16) == Ok(address.port());
    let v4 = u32::from_str_radix(ip, 16).ok().map(|bits| Ipv4Addr::from(bits.to_ne_bytes()));
    let is_ip = match (v4, address) {
        (Some(ip), SocketAddr::V4(address)) => {
            ip.is_unspecified() || address.ip().is_unspecified() || ip == *address.ip()
        }
        // Longer ones are of IPv6, which may cover IPv4 too.
        _ => true,
    };
    let is_listening = fields.get(3) == Some(&LISTEN) && is_port && is_ip;
    is_listening.then(|| fields.get(9).map(|inode| (*inode).to_owned()))?
}

/// The process that has a socket open, of those that can be seen.
fn process_with(inode: &str) -> Option<u32> {
    let wanted = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    numbers.find(|process| {
        let files = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
        files
            .filter_map(|file| fs::read_link(file.path()).ok())
            .any(|link| link.as_os_str() == wanted.as_str())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mesh(publish: SocketAddr) -> LocalMesh {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "leno.dev/v1alpha1", "kind": "LocalMesh", "metadata": {"name": "m"},
            "spec": {"services": [{"name": "web", "port": 80, "publish": publish.to_string()}],
                     "workloads": [{"service": "web", "command": "x"}]},
        }))
        .unwrap()
    }

    #[test]
    fn a_taken_port_is_told_with_who_has_it() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = taken.local_addr().unwrap();
        let told = check(&mesh(address), &BTreeSet::new()).unwrap_err().to_string();
        let own = format!("process {} (", std::process::id());
        assert!(told.contains(&address.to_string()) && told.contains(&own), "{told}");
        assert!(check(&mesh(address), &of(&mesh(address))).is_ok(), "what is open already is no trouble");
        drop(taken);
        assert!(check(&mesh(address), &BTreeSet::new()).is_ok());
    }
}
