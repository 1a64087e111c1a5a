//! What follows from a mesh file: every replica with its name, addresses and sockets, and where the
//! mesh keeps its files.
//!
//! Pure: nothing is created here. The same mesh gives the same plan, so that a restarted process finds
//! what it had.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
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
    /// Its service, which is also its service account; the workload's name without service.
    pub service_account: String,
    /// Its service, if it implements one.
    pub service: Option<String>,
    /// `app`, `version` and the labels of the mesh file.
    pub labels: BTreeMap<String, String>,
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

/// Which replica has which addresses. One that comes back has them again; those of one that is gone are given
/// to others only when all have been used, since callers may remember them.
#[derive(Debug, Clone, Default)]
pub struct Pool {
    taken: BTreeMap<String, u16>,
    next: u16,
}

/// Ordinals that a [`Pool`] gives out: far more than a mesh has replicas, and none of them is [`HOST_ADDRESS`].
const ORDINALS: u16 = 60_000;

impl Pool {
    /// The addresses of a replica. `None` when all are taken.
    pub fn of(&mut self, replica: &str) -> Option<[IpAddr; 2]> {
        if let Some(&ordinal) = self.taken.get(replica) {
            return addresses(ordinal);
        }
        let used: BTreeSet<u16> = self.taken.values().copied().collect();
        let ordinal = (self.next..ORDINALS).chain(0..self.next).find(|ordinal| !used.contains(ordinal))?;
        self.taken.insert(replica.to_owned(), ordinal);
        self.next = (ordinal + 1) % ORDINALS;
        addresses(ordinal)
    }

    /// Forgets all replicas but these.
    pub fn keep(&mut self, replicas: &BTreeSet<&str>) {
        self.taken.retain(|name, _| replicas.contains(name.as_str()));
    }
}

/// All replicas of a checked mesh, in the order of the file. `sockets` is the mesh's runtime directory.
pub fn replicas(mesh: &LocalMesh, sockets: &Path, pool: &mut Pool) -> Vec<Replica> {
    let each = mesh.spec.workloads.iter().flat_map(|workload| {
        (0..workload.replicas()).map(move |number| (workload, workload.replica_name(number)))
    });
    each.map_while(|(workload, name)| {
        let addresses = pool.of(&name)?.to_vec();
        let account = workload.service_account();
        let mut labels = workload.labels.clone();
        labels.insert("app".to_owned(), account.clone());
        labels.extend(workload.version.iter().map(|version| ("version".to_owned(), version.clone())));
        Some(Replica {
            workload: workload.name(),
            service_account: account,
            service: workload.service.clone(),
            labels,
            addresses,
            host_access: workload.host_access.clone(),
            inbound: sockets.join("s").join(format!("{name}.in")),
            admin: sockets.join("s").join(format!("{name}.admin")),
            name,
        })
    })
    .collect()
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

    #[test]
    fn a_replica_keeps_its_addresses_and_others_get_new_ones() {
        let mut pool = Pool::default();
        let [web, cart] = ["web", "cart"].map(|name| pool.of(name));
        assert_ne!(web, cart);
        pool.keep(&BTreeSet::from(["cart"]));
        assert_eq!(pool.of("cart"), cart);
        assert!(pool.of("shop").is_some_and(|shop| Some(shop) != web && Some(shop) != cart));
        pool.next = ORDINALS;
        assert_eq!(pool.of("last"), web, "what is free is used once all have been");
    }
}
