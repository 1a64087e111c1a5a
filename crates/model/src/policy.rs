//! Who may talk to whom: mutual TLS modes and authorization.
//!
//! The sense of every type is that a rule which is not understood can only make the result stricter.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::labels::Labels;
use crate::span::Origin;
use crate::text::{PathMatch, TextMatch};

/// What an inbound port demands of its peers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MtlsMode {
    /// Plaintext and mutual TLS are both served.
    #[default]
    Permissive,
    /// Only mutual TLS is served.
    Strict,
    /// Plaintext; TLS is passed through to the application.
    Disable,
}

impl MtlsMode {
    /// The word used in configuration and output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Permissive => "PERMISSIVE",
            Self::Strict => "STRICT",
            Self::Disable => "DISABLE",
        }
    }
}

/// The mutual TLS modes of one workload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mtls {
    /// For ports that are not named below.
    pub mode: MtlsMode,
    /// By workload port.
    pub ports: Vec<(u16, MtlsMode)>,
    /// The object that decided [`Mtls::mode`]; `None` for the mesh's default.
    pub origin: Option<Origin>,
}

impl Mtls {
    /// The mode of a workload port.
    #[must_use]
    pub fn port(&self, port: u16) -> MtlsMode {
        self.ports.iter().find(|(number, _)| *number == port).map_or(self.mode, |(_, mode)| *mode)
    }
}

/// What a policy does with the requests that it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PolicyAction {
    /// They are allowed; with any allow policy in force, all others are not.
    Allow,
    /// They are denied, whatever else allows them.
    Deny,
}

/// An authorization policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The object.
    pub origin: Origin,
    /// What it does.
    pub action: PolicyAction,
    /// Whether it is only a shadow: its verdict is told and has no effect.
    pub dry_run: bool,
    /// Any of these. An empty list never matches: an allow policy without rules denies everything.
    pub rules: Vec<PolicyRule>,
}

/// One rule of a policy: sources and operations and conditions must all match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyRule {
    /// The text it comes from.
    pub origin: Origin,
    /// Any of these; empty is every source.
    pub sources: Vec<Source>,
    /// Any of these; empty is every operation.
    pub operations: Vec<Operation>,
    /// All of these.
    pub conditions: Vec<Condition>,
    /// Whether the rule has a part that is not understood. Then an allow rule never matches, and a deny rule
    /// matches by its other parts.
    pub incomplete: bool,
}

/// Values of which one must match, and values of which none may; an empty `any` is satisfied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clause<T> {
    /// At least one of these.
    pub any: Vec<T>,
    /// None of these.
    pub none: Vec<T>,
}

impl<T> Default for Clause<T> {
    fn default() -> Self {
        Self { any: Vec::new(), none: Vec::new() }
    }
}

impl<T> Clause<T> {
    /// Whether nothing is demanded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.any.is_empty() && self.none.is_empty()
    }

    /// Whether the clause is satisfied, given what it means that one value matches.
    pub fn holds(&self, mut matches: impl FnMut(&T) -> bool) -> bool {
        (self.any.is_empty() || self.any.iter().any(&mut matches)) && !self.none.iter().any(&mut matches)
    }
}

/// Who sends a request. All clauses must hold. A clause about identity with any positive value fails for a peer
/// without identity; negative ones hold for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// Identities without `spiffe://`: `cluster.local/ns/default/sa/web`.
    pub principals: Clause<TextMatch>,
    /// Namespaces of the identity.
    pub namespaces: Clause<TextMatch>,
    /// Service accounts: namespace and name.
    pub service_accounts: Clause<(Arc<str>, Arc<str>)>,
    /// Trust domains of the identity.
    pub trust_domains: Clause<TextMatch>,
    /// The address of the peer.
    pub ips: Clause<IpNet>,
    /// The address of the original client, as far as trusted hops tell it.
    pub remote_ips: Clause<IpNet>,
}

/// What a request does. All clauses must hold. Clauses about HTTP never hold for opaque traffic in an allow rule,
/// and are left out of a deny rule (Istio's AZ-8: each is the stricter reading).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Operation {
    /// Hosts, without regard to case; an exact one without a port covers every port.
    pub hosts: Clause<TextMatch>,
    /// Workload ports.
    pub ports: Clause<u16>,
    /// Methods.
    pub methods: Clause<TextMatch>,
    /// Paths.
    pub paths: Clause<PathMatch>,
}

/// A further condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// What it is about.
    pub key: ConditionKey,
    /// Values that must and must not match.
    pub values: Clause<ConditionValue>,
}

/// What a condition is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ConditionKey {
    /// A request header, by lower-case name.
    Header(Arc<str>),
    /// The peer's address.
    SourceIp,
    /// The original client's address.
    RemoteIp,
    /// The identity's namespace.
    SourceNamespace,
    /// The identity, without `spiffe://`.
    SourcePrincipal,
    /// The identity's service account, as `namespace/name`.
    SourceServiceAccount,
    /// The identity's trust domain.
    SourceTrustDomain,
    /// The workload's address that was dialled.
    DestinationIp,
    /// The workload's port.
    DestinationPort,
    /// The SNI of the connection.
    ConnectionSni,
}

/// A value of a condition, parsed for its key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ConditionValue {
    /// For keys that are text.
    Text(TextMatch),
    /// For addresses.
    Net(IpNet),
    /// For ports.
    Port(u16),
}

/// Which workloads an object in a namespace is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The namespace; `None` is every one (objects of the root namespace).
    pub namespace: Option<Arc<str>>,
    /// Labels the workload must carry.
    pub labels: Labels,
    /// Gateways or services named instead of labels.
    pub targets: Vec<PolicyTarget>,
}

/// An object that a policy is attached to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PolicyTarget {
    /// A Gateway API gateway, in the policy's namespace.
    Gateway(Arc<str>),
    /// A service, in the policy's namespace: enforced where requests for it arrive, which is at its waypoint, or
    /// where it has none at the sidecars of its workloads.
    Service(Arc<str>),
}

/// A policy with the workloads it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopedPolicy {
    /// The workloads.
    pub selection: Selection,
    /// The policy.
    pub policy: Arc<Policy>,
}

/// A mutual TLS setting with the workloads it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopedMtls {
    /// The workloads.
    pub selection: Selection,
    /// The mode; `None` inherits.
    pub mode: Option<MtlsMode>,
    /// Modes by workload port; `None` inherits.
    pub ports: Vec<(u16, Option<MtlsMode>)>,
    /// The object.
    pub origin: Origin,
    /// Position among objects by age; of several at one level the oldest (lowest) counts.
    pub age: u32,
}

/// What policies may read of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The peer's address; unspecified for a Unix socket.
    pub ip: IpAddr,
    /// The peer's verified identity.
    pub identity: Option<crate::spiffe::SpiffeId>,
    /// The original client's address, as far as trusted hops tell it; else the peer's.
    pub remote_ip: IpAddr,
    /// The address that was dialled.
    pub destination_ip: IpAddr,
    /// The workload port that was dialled.
    pub destination_port: u16,
    /// The SNI of the connection.
    pub sni: Option<Arc<str>>,
}
