//! Loopback mode: meshes where user namespaces are forbidden.
//!
//! Without a network of its own, a workload is told apart by its addresses: its sidecar listens for each service at
//! 127.CLIENT.SERVICE.SERVICE, an address that only this client is told of, and takes connections for it to the
//! service. Names can't be replaced either, so addresses come by environment variables and templates. Nothing keeps a
//! workload from dialling past its sidecar, or from using another's addresses; [`NO_PROMISE`] says so.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
};

use serde::{Deserialize, Serialize};

use crate::mesh::{LocalMesh, Service, Workload, template::Names};

/// What is told at the start.
pub const NO_PROMISE: [&str; 3] = [
    "loopback mode: workloads are not isolated. A workload can reach anything on this machine and its networks past its \
     sidecar, call services by another workload's addresses and so with its identity, and read what its user may read",
    "what goes through sidecars is as in isolated mode: mutual TLS, policy, metrics. DNS, /etc/hosts and hostAccess are \
     not replaced: workloads are told addresses by variables such as WEB_SERVICE_HOST and WEB_SERVICE_PORT, and listen \
     at the port in PORT",
    "see docs/reference/loopback.md",
];

/// Replicas in loopback mode: the second byte of an address, without 0, which is the machine's own.
pub const CLIENTS: u8 = 254;

/// Ports that applications are given: below those that Linux takes for outgoing connections.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Where a client's number is held while it is used, so that meshes of several users don't take the same.
const LEASE_PORT: u16 = 15053;

/// What is added to a port that this user may not open.
const PRIVILEGED_SHIFT: u16 = 10_000;

/// A replica's part of the loopback network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Place {
    /// Where its sidecar listens, and for what.
    pub services: Vec<Listen>,
    /// Where its application listens, by the port that its service declares.
    pub ports: BTreeMap<u16, u16>,
}

/// A service as one client calls it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Listen {
    /// Its name.
    pub service: String,
    /// The service's port.
    pub port: u16,
    /// The port's name, where it has one.
    pub name: Option<String>,
    /// What the client dials.
    pub address: SocketAddr,
}

/// Why there is no place.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// All numbers are in use.
    #[error(
        "loopback mode has addresses for {CLIENTS} replicas on one machine, and all are in use; end another mesh"
    )]
    NoClient,
    /// No port can be had.
    #[error("no free port in {start} to {end} for an application", start = PORTS.start, end = PORTS.end)]
    NoPort,
}

/// Numbers and ports that are given out, for as long as their replicas are there.
#[derive(Debug)]
pub struct Places {
    /// The first port that may be opened.
    first_port: u16,
    clients: BTreeMap<String, (u8, UdpSocket)>,
    ports: BTreeMap<(String, u16), u16>,
}

impl Places {
    /// Nothing is given out yet.
    pub fn new() -> Self {
        Self { first_port: first_port(), clients: BTreeMap::new(), ports: BTreeMap::new() }
    }

    /// The place of a replica of a workload.
    ///
    /// # Errors
    /// When addresses or ports are used up.
    pub fn of(&mut self, mesh: &LocalMesh, workload: &Workload, replica: &str) -> Result<Place, Error> {
        let client = self.client(replica)?;
        let first_port = self.first_port;
        let services = mesh.spec.services.iter().enumerate().flat_map(|(index, service)| {
            service.all_ports().into_iter().map(move |port| Listen {
                service: service.name.clone(),
                address: address(client, index, port.port, first_port),
                port: port.port,
                name: port.name,
            })
        });
        let own = mesh.spec.services.iter().find(|service| Some(&service.name) == workload.service.as_ref());
        let mut ports = BTreeMap::new();
        for port in own.map(Service::all_ports).unwrap_or_default() {
            ports.insert(port.target(), self.port(replica, port.target())?);
        }
        Ok(Place { services: services.collect(), ports })
    }

    /// Forgets all replicas but these.
    pub fn keep(&mut self, replicas: &BTreeSet<&str>) {
        self.clients.retain(|name, _| replicas.contains(name.as_str()));
        self.ports.retain(|(name, _), _| replicas.contains(name.as_str()));
    }

    fn client(&mut self, replica: &str) -> Result<u8, Error> {
        if let Some((client, _)) = self.clients.get(replica) {
            return Ok(*client);
        }
        let lease =
            |client| Some((client, UdpSocket::bind((Ipv4Addr::new(127, client, 0, 1), LEASE_PORT)).ok()?));
        let (client, lease) = (1..=CLIENTS).find_map(lease).ok_or(Error::NoClient)?;
        self.clients.insert(replica.to_owned(), (client, lease));
        Ok(client)
    }

    fn port(&mut self, replica: &str, target: u16) -> Result<u16, Error> {
        let key = (replica.to_owned(), target);
        if let Some(port) = self.ports.get(&key) {
            return Ok(*port);
        }
        let taken: BTreeSet<u16> = self.ports.values().copied().collect();
        let is_free =
            |port: &u16| !taken.contains(port) && TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)).is_ok();
        // Meshes that start at the same time begin to look at different places.
        let start = u16::try_from(std::process::id() % 1000).unwrap_or(0) * 10;
        let mut candidates = PORTS.skip(usize::from(start)).chain(PORTS.take(usize::from(start)));
        let port = candidates.find(is_free).ok_or(Error::NoPort)?;
        self.ports.insert(key, port);
        Ok(port)
    }
}

/// Where a client calls a service's port, where ports from `first_port` on may be opened.
fn address(client: u8, service: usize, port: u16, first_port: u16) -> SocketAddr {
    // From 127.CLIENT.0.2 on; a mesh file has far fewer services than that.
    let [high, low] = u16::try_from(service + 2).unwrap_or(u16::MAX).to_be_bytes();
    let port = if port < first_port { port.saturating_add(PRIVILEGED_SHIFT) } else { port };
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, client, high, low)), port)
}

impl Default for Places {
    fn default() -> Self {
        Self::new()
    }
}

/// The first port that this process may open. Root of a user namespace is not the machine's.
fn first_port() -> u16 {
    if crate::up::as_root().unwrap_or(false) {
        return 0;
    }
    let first = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    first.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(1024)
}

impl Place {
    /// What templates stand for.
    pub(crate) fn names(&self, workload_port: Option<u16>) -> Names {
        let mut services = BTreeMap::new();
        for listen in &self.services {
            let address = (listen.address.ip().to_string(), listen.address.port());
            services.entry(listen.service.clone()).or_insert(address);
        }
        let port = workload_port.and_then(|target| self.ports.get(&target)).copied();
        Names { services, port }
    }

    /// Variables that tell a workload where services are, named as Kubernetes does, and where to listen.
    pub(crate) fn variables(&self, workload_port: Option<u16>) -> BTreeMap<String, String> {
        let mut variables = BTreeMap::new();
        for listen in &self.services {
            let service = variable(&listen.service);
            let port = listen.address.port().to_string();
            variables
                .entry(format!("{service}_SERVICE_HOST"))
                .or_insert_with(|| listen.address.ip().to_string());
            variables.entry(format!("{service}_SERVICE_PORT")).or_insert_with(|| port.clone());
            if let Some(name) = &listen.name {
                variables.insert(format!("{service}_SERVICE_PORT_{}", variable(name)), port);
            }
        }
        if let Some(port) = workload_port.and_then(|target| self.ports.get(&target)) {
            variables.insert("PORT".to_owned(), port.to_string());
        }
        for (target, port) in &self.ports {
            variables.insert(format!("PORT_{target}"), port.to_string());
        }
        variables
    }
}

/// A name as part of a variable's.
fn variable(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_an_address_for_each_service() {
        let mesh: LocalMesh = serde_json::from_value(serde_json::json!({
            "apiVersion": "leno.dev/v1alpha1", "kind": "LocalMesh", "metadata": {"name": "m"},
            "spec": {
                "services": [{"name": "web-shop", "port": 8080},
                             {"name": "db", "ports": [{"name": "sql", "port": 5432}, {"port": 5433}]}],
                "workloads": [{"service": "web-shop", "command": "x"}],
            },
        }))
        .unwrap();
        let workload = &mesh.spec.workloads[0];
        let mut places = Places::default();
        let [one, two] = ["a", "b"].map(|replica| places.of(&mesh, workload, replica).unwrap());
        let addresses: BTreeSet<_> =
            one.services.iter().chain(&two.services).map(|listen| listen.address).collect();
        assert_eq!(addresses.len(), 6, "{addresses:?}");
        assert_ne!(one.ports[&8080], two.ports[&8080]);
        assert_eq!(places.of(&mesh, workload, "a").unwrap(), one, "a replica keeps its place");
        let variables = one.variables(Some(8080));
        assert_eq!(variables["WEB_SHOP_SERVICE_PORT"], "8080");
        assert_eq!(variables["DB_SERVICE_PORT_SQL"], "5432");
        assert_eq!(variables["DB_SERVICE_HOST"], one.services[1].address.ip().to_string());
        assert_eq!(variables["PORT"], one.ports[&8080].to_string());
        assert_eq!(variables["PORT_8080"], variables["PORT"]);
    }
}
