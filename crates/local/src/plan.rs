//! What follows from a mesh file: every replica with its name, addresses and sockets, and where the
//! mesh keeps its files.
//!
//! Pure: nothing is created here. The same mesh gives the same plan, so that a restarted process finds
//! what it had.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use crate::mesh::LocalMesh;

/// The namespace of every local workload and service.
pub const NAMESPACE: &str = "default";

/// The trust domain of a local mesh.
pub const TRUST_DOMAIN: &str = "cluster.local";

/// The address in every workload's `resolv.conf`. Any address outside loopback would do, since rules
/// redirect what is sent to port 53; this one is never a workload's.
pub const NAME_SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 240, 0, 1));

/// One process to run, with its sidecar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Replica {
    /// Unique in the mesh: the workload's name, with `-N` from the second replica on.
    pub name: String,
    /// The workload's name.
    pub workload: String,
    /// Its place in `spec.workloads`.
    pub index: usize,
    /// Its service, which is also its service account; the workload's name without service.
    pub service_account: String,
    /// Its service, if it implements one.
    pub service: Option<String>,
    /// `app`, `version` and the labels of the mesh file.
    pub labels: std::collections::BTreeMap<String, String>,
    /// Its own addresses: one IPv4, one IPv6.
    pub addresses: Vec<IpAddr>,
    /// Ports of the host that it may reach, as [`HOST_ADDRESS`].
    pub host_access: Vec<u16>,
    /// Where other sidecars dial it.
    pub inbound: PathBuf,
    /// Where its sidecar answers administration.
    pub admin: PathBuf,
}

/// The name by which workloads with `hostAccess` reach the machine they run on.
pub const HOST_NAME: &str = "host.leno.internal";

/// What [`HOST_NAME`] resolves to. No workload has this address.
pub const HOST_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 240, 255, 254));

/// Address number `ordinal` (from 0) of the pools for workloads: 10.240.0.0/16 and
/// `fd6c:656e:6f:1::/64`, both apart from virtual addresses. `None` when the pool is exhausted.
pub fn addresses(ordinal: u16) -> Option<[IpAddr; 2]> {
    // .0 and .1 are the network and the name server.
    let host = ordinal.checked_add(2)?;
    let [high, low] = host.to_be_bytes();
    Some([
        IpAddr::V4(Ipv4Addr::new(10, 240, high, low)),
        IpAddr::V6(Ipv6Addr::new(0xfd6c, 0x656e, 0x6f, 1, 0, 0, 0, host)),
    ])
}

/// The ranges that [`addresses`] come from.
pub fn ranges() -> Vec<IpNet> {
    let v4 = Ipv4Net::new_assert(Ipv4Addr::new(10, 240, 0, 0), 16);
    let v6 = Ipv6Net::new_assert(Ipv6Addr::new(0xfd6c, 0x656e, 0x6f, 1, 0, 0, 0, 0), 64);
    vec![v4.into(), v6.into()]
}

/// All replicas of a checked mesh, in the order of the file. `sockets` is the mesh's runtime directory.
pub fn replicas(mesh: &LocalMesh, sockets: &std::path::Path) -> Vec<Replica> {
    let mut replicas = Vec::new();
    for (index, workload) in mesh.spec.workloads.iter().enumerate() {
        for number in 0..workload.replicas() {
            let Some(addresses) = u16::try_from(replicas.len()).ok().and_then(addresses) else { break };
            let name = workload.replica_name(number);
            let account = workload.service.clone().unwrap_or_else(|| workload.name());
            let mut labels = workload.labels.clone();
            labels.insert("app".to_owned(), account.clone());
            labels.extend(workload.version.iter().map(|version| ("version".to_owned(), version.clone())));
            replicas.push(Replica {
                workload: workload.name(),
                index,
                service_account: account,
                service: workload.service.clone(),
                labels,
                addresses: addresses.to_vec(),
                host_access: workload.host_access.clone(),
                inbound: sockets.join("s").join(format!("{name}.in")),
                admin: sockets.join("s").join(format!("{name}.admin")),
                name,
            });
        }
    }
    replicas
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_hold_a_full_mesh_and_end() {
        let text = |ordinal| addresses(ordinal).map(|pair| pair.map(|address| address.to_string()));
        assert_eq!(text(0), Some(["10.240.0.2".to_owned(), "fd6c:656e:6f:1::2".to_owned()]));
        assert_eq!(text(300), Some(["10.240.1.46".to_owned(), "fd6c:656e:6f:1::12e".to_owned()]));
        assert_eq!(text(u16::MAX), None);
        assert!((0..=1000).all(|ordinal| addresses(ordinal).is_some_and(|pair| pair[0] != NAME_SERVER)));
    }
}
