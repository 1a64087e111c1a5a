//! Units as they travel: a closed set of types, their bytes, and what they refer to.

use std::sync::Arc;

use bytes::Bytes;
use leno_model::name::Host;
use leno_model::unit::{
    Answer, BundleUnit, EndpointUnit, GatewayUnit, HostUnit, MeshSettings, Question, WorkloadUnit,
};

use crate::convert::{self, Interner};
use crate::key::Key;
use crate::limits;
use crate::malformed::Malformed;
use crate::version::Version;

/// Any unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unit {
    /// The mesh's settings.
    Mesh(Arc<MeshSettings>),
    /// The roots of a trust domain.
    Bundle(Arc<BundleUnit>),
    /// The endpoints of a service host.
    Endpoints(Arc<EndpointUnit>),
    /// A service host.
    Host(Arc<HostUnit>),
    /// A workload's own configuration.
    Workload(Arc<WorkloadUnit>),
    /// A gateway's own configuration.
    Gateway(Arc<GatewayUnit>),
    /// The answer to a question.
    Answer(Question, Answer),
}

impl Unit {
    /// Its name.
    #[must_use]
    pub fn key(&self) -> Key {
        match self {
            Self::Mesh(_) => Key::Mesh,
            Self::Bundle(unit) => Key::Bundle(unit.trust_domain.clone()),
            Self::Endpoints(unit) => Key::Endpoints(unit.host.clone()),
            Self::Host(unit) => Key::Host(unit.host.clone()),
            Self::Workload(unit) => Key::Workload(unit.name.clone()),
            Self::Gateway(unit) => {
                Key::Gateway { namespace: unit.namespace.clone(), name: unit.name.clone() }
            }
            Self::Answer(question, _) => Key::Answer(question.clone()),
        }
    }

    /// What must be held with it, each once: a host's endpoints, the hosts that routes and answers lead to.
    #[must_use]
    pub fn references(&self) -> Vec<Key> {
        let mut keys: Vec<Key> = match self {
            Self::Mesh(_) | Self::Bundle(_) | Self::Endpoints(_) | Self::Workload(_) => Vec::new(),
            Self::Host(unit) => {
                let hosts = unit.referenced_hosts().cloned().map(Key::Host);
                hosts.chain([Key::Endpoints(unit.host.clone())]).collect()
            }
            Self::Gateway(unit) => unit.referenced_hosts().cloned().map(Key::Host).collect(),
            Self::Answer(_, answer) => answered_host(answer).cloned().map(Key::Host).into_iter().collect(),
        };
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Its canonical bytes: equal units have equal bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        convert::encode(self)
    }

    /// Reads the bytes of the unit that has this name.
    ///
    /// # Errors
    /// When anything in it is malformed, unknown or out of range, or it is another unit than its name says.
    pub fn decode(key: &Key, bytes: &[u8]) -> Result<Self, Malformed> {
        Self::decode_sharing(key, bytes, &mut Interner::default())
    }

    /// The same; texts are shared with every unit read with this interner.
    pub(crate) fn decode_sharing(key: &Key, bytes: &[u8], texts: &mut Interner) -> Result<Self, Malformed> {
        let unit = convert::decode(key, bytes, texts)?;
        if unit.key() == *key {
            Ok(unit)
        } else {
            Err(Malformed::new(format_args!("the content is that of {}", unit.key())))
        }
    }
}

/// The service host that an answer names.
fn answered_host(answer: &Answer) -> Option<&Host> {
    match answer {
        Answer::Service(host) | Answer::Endpoint { host: Some(host), .. } => Some(host),
        Answer::Endpoint { host: None, .. } | Answer::Workload { .. } | Answer::Absent { .. } => None,
    }
}

/// A unit that no proxy would take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsendable {
    /// Its bytes are more than a proxy accepts in one resource.
    #[error("{key} is {bytes} bytes long; the most is {}", limits::MAX_RESOURCE_BYTES)]
    TooLarge {
        /// The unit.
        key: Key,
        /// Its size.
        bytes: usize,
    },
    /// It breaks a rule that every proxy holds it to.
    #[error("{key} is not well-formed")]
    Malformed {
        /// The unit.
        key: Key,
        /// The field and the rule.
        #[source]
        source: Malformed,
    },
}

/// A unit made ready for sending: encoded once, shared by every session that sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    version: Version,
    content: Bytes,
    references: Box<[Key]>,
}

impl Encoded {
    /// Encodes a unit, and reads it back as a proxy would: a mistake is found here, once, and not by every proxy.
    ///
    /// # Errors
    /// When no proxy would take it.
    pub fn new(unit: &Unit) -> Result<Self, Unsendable> {
        let content = unit.encode();
        if content.len() > limits::MAX_RESOURCE_BYTES {
            return Err(Unsendable::TooLarge { key: unit.key(), bytes: content.len() });
        }
        let key = unit.key();
        let read = Key::parse(key.kind(), &key.name()).and_then(|key| Unit::decode(&key, &content));
        if let Err(source) = read {
            return Err(Unsendable::Malformed { key, source });
        }
        Ok(Self { version: Version::of(&content), content, references: unit.references().into_boxed_slice() })
    }

    /// The content's version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The content.
    #[must_use]
    pub fn content(&self) -> &Bytes {
        &self.content
    }

    /// What must be held with it.
    #[must_use]
    pub fn references(&self) -> &[Key] {
        &self.references
    }
}
