//! Workloads, services and gateways that a supervisor announces.
//!
//! [`Workloads`] is the handle: whoever holds it says what there is, and the store takes it into the next snapshot. What
//! is said twice in the same words changes nothing.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use leno_model::gateway::Gateway;
use leno_model::labels::Labels;
use leno_model::name::{Host, HostError, WorkloadName};
use leno_model::service::{Locality, Service, Transport, Workload};
use leno_model::snapshot::Key;
use leno_model::span::{Location, ObjectRef, Origin};
use leno_model::spiffe::{self, SpiffeId, TrustDomain};
use tokio::sync::watch;

use crate::limits::MAX_ANNOUNCED;

/// One running workload, as its supervisor knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalWorkload {
    /// Unique in its namespace.
    pub name: Arc<str>,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its service account.
    pub service_account: Arc<str>,
    /// The deployment that it is an instance of, for metrics.
    pub owner: Arc<str>,
    /// Its labels.
    pub labels: Labels,
    /// Its own addresses; endpoints point to the first.
    pub addresses: Vec<IpAddr>,
    /// How other proxies reach it.
    pub transport: Transport,
    /// Ports by name.
    pub named_ports: Vec<(Arc<str>, u16)>,
    /// Whether it may get new requests.
    pub ready: bool,
}

/// A gateway that a supervisor runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalGateway {
    /// Its name.
    pub name: Arc<str>,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its service account, whatever class a Gateway object of its name has.
    pub service_account: Arc<str>,
    /// Its labels, for policies.
    pub labels: Labels,
}

/// Why something is not announced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnnounceError {
    /// Its namespace and service account make no identity.
    #[error("{namespace}/{service_account} is not a service account")]
    Identity {
        /// The namespace.
        namespace: Arc<str>,
        /// The service account.
        service_account: Arc<str>,
        /// Why not.
        #[source]
        source: spiffe::ParseError,
    },
    /// Its name makes no host.
    #[error("{0} is not the name of a service")]
    Host(Arc<str>, #[source] HostError),
    /// A workload without address can be neither reached nor named.
    #[error("{0} has no address")]
    NoAddress(WorkloadName),
    /// Too many are announced already.
    #[error("more than {MAX_ANNOUNCED} workloads are announced")]
    TooMany,
}

/// Everything that is announced, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Announced {
    /// Services by host. Those that want a virtual address and have none get one by the store.
    pub services: BTreeMap<Host, Announcement>,
    /// Workloads by name.
    pub workloads: BTreeMap<WorkloadName, Arc<Workload>>,
    /// Gateways by namespace and name.
    pub gateways: BTreeMap<Key, LocalGateway>,
}

/// A service that is announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The service.
    pub service: Arc<Service>,
    /// Whether a virtual address is to be chosen for it.
    pub wants_vip: bool,
}

/// Announces. Clones are the same register; any thread may use one.
#[derive(Clone, Debug)]
pub struct Workloads {
    trust_domain: TrustDomain,
    cluster: Arc<str>,
    announced: Arc<Mutex<Announced>>,
    changed: watch::Sender<u64>,
    told: Arc<AtomicU64>,
}

impl Workloads {
    /// An empty register of a trust domain.
    #[must_use]
    pub fn new(trust_domain: TrustDomain) -> Self {
        Self {
            trust_domain,
            cluster: Arc::default(),
            announced: Arc::default(),
            changed: watch::Sender::new(0),
            told: Arc::default(),
        }
    }

    /// The same for a named cluster, which metrics name for both ends of a request.
    #[must_use]
    pub fn in_cluster(self, cluster: &str) -> Self {
        Self { cluster: cluster.into(), ..self }
    }

    /// Announces a workload, or describes it anew.
    ///
    /// # Errors
    /// When it makes no identity, has no address, or is one too many.
    pub fn set(&self, workload: LocalWorkload) -> Result<(), AnnounceError> {
        let workload = Arc::new(self.workload(workload)?);
        self.change(|announced| {
            if let Some(known) = announced.workloads.get_mut(&workload.name) {
                let is_news = *known != workload;
                *known = workload;
                return Ok(is_news);
            }
            if announced.workloads.len() >= MAX_ANNOUNCED {
                return Err(AnnounceError::TooMany);
            }
            announced.workloads.insert(workload.name.clone(), workload);
            Ok(true)
        })
    }

    /// Says that a workload is gone.
    pub fn remove(&self, name: &WorkloadName) {
        let _always =
            self.change::<AnnounceError>(|announced| Ok(announced.workloads.remove(name).is_some()));
    }

    /// Says whether a workload may get new requests. Says nothing about one that is not announced.
    pub fn ready(&self, name: &WorkloadName, ready: bool) {
        let _always = self.change::<AnnounceError>(|announced| {
            let known = announced.workloads.get_mut(name).filter(|known| known.ready != ready);
            Ok(known.map(|known| Arc::make_mut(known).ready = ready).is_some())
        });
    }

    /// Announces a service, or describes it anew. `wants_vip`: a virtual address is to be chosen for it, which stays
    /// the same for as long as there is a service of this host.
    pub fn set_service(&self, service: Service, wants_vip: bool) {
        let new = Announcement { service: Arc::new(service), wants_vip };
        let _always = self.change::<AnnounceError>(|announced| {
            let host = new.service.host.clone();
            let is_news = announced.services.get(&host) != Some(&new);
            announced.services.insert(host, new);
            Ok(is_news)
        });
    }

    /// Says that a service is gone.
    pub fn remove_service(&self, host: &Host) {
        let _always = self.change::<AnnounceError>(|announced| Ok(announced.services.remove(host).is_some()));
    }

    /// Announces a gateway, or describes it anew.
    ///
    /// # Errors
    /// When it makes no identity.
    pub fn set_gateway(&self, gateway: LocalGateway) -> Result<(), AnnounceError> {
        self.identity(&gateway.namespace, &gateway.service_account)?;
        self.change(|announced| {
            let key = (gateway.namespace.clone(), gateway.name.clone());
            let is_news = announced.gateways.get(&key) != Some(&gateway);
            announced.gateways.insert(key, gateway);
            Ok(is_news)
        })
    }

    /// Everything that is announced now.
    #[must_use]
    pub fn announced(&self) -> Announced {
        self.lock().clone()
    }

    /// Counts one more that was told of and has been carried out, whether or not that changed anything.
    pub fn told_one(&self) {
        self.told.fetch_add(1, Ordering::Release);
        self.changed.send_modify(|count| *count += 1);
    }

    /// How many were counted. What is announced afterwards has them all.
    #[must_use]
    pub fn told(&self) -> u64 {
        self.told.load(Ordering::Acquire)
    }

    /// A counter that goes up with every change.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// The trust domain of the identities.
    #[must_use]
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    fn workload(&self, from: LocalWorkload) -> Result<Workload, AnnounceError> {
        let identity = self.identity(&from.namespace, &from.service_account)?;
        let name = WorkloadName { namespace: from.namespace, name: from.name };
        if from.addresses.is_empty() {
            return Err(AnnounceError::NoAddress(name));
        }
        Ok(Workload {
            origin: announced_origin("Workload", &name.namespace, &name.name),
            name,
            identity,
            service_account: from.service_account,
            labels: from.labels,
            owner: from.owner,
            addresses: from.addresses,
            named_ports: from.named_ports,
            transport: from.transport,
            weight: 1,
            locality: Locality::default(),
            network: "".into(),
            cluster: Arc::clone(&self.cluster),
            ready: from.ready,
        })
    }

    fn identity(&self, namespace: &Arc<str>, account: &Arc<str>) -> Result<SpiffeId, AnnounceError> {
        SpiffeId::for_service_account(&self.trust_domain, namespace, account).map_err(|source| {
            AnnounceError::Identity { namespace: namespace.clone(), service_account: account.clone(), source }
        })
    }

    fn change<E>(&self, f: impl FnOnce(&mut Announced) -> Result<bool, E>) -> Result<(), E> {
        if f(&mut self.lock())? {
            self.changed.send_modify(|count| *count += 1);
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Announced> {
        // Every change is made whole under the lock, so a panic elsewhere leaves nothing half done.
        self.announced.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LocalGateway {
    /// The gateway without a Gateway object of its name: it listens to nothing.
    #[must_use]
    pub fn bare(&self) -> Gateway {
        Gateway {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            service_account: self.service_account.clone(),
            labels: self.labels.clone(),
            listeners: Vec::new(),
            origin: announced_origin("Gateway", &self.namespace, &self.name),
        }
    }
}

/// Where something was declared that no file has.
#[must_use]
pub fn announced_origin(kind: &str, namespace: &Arc<str>, name: &Arc<str>) -> Origin {
    Origin {
        object: ObjectRef { kind: kind.into(), namespace: namespace.clone(), name: name.clone() },
        location: Location { file: "announced".into(), line: 0, column: 0 },
    }
}
