//! A snapshot as discovery serves it: units are compiled when somebody asks for them, and remembered.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use leno_model::name::{Host, WorkloadName};
use leno_model::snapshot::{Key as ObjectKey, Snapshot};
use leno_model::span::ObjectRef;
use leno_model::spiffe::TrustDomain;
use leno_model::unit::{Answer, BundleUnit, Question};
use leno_wire::server::{self, Client};
use leno_wire::{Encoded, Key, Unit, limits};

use crate::compile::Inputs;
use crate::compile::answer::answer;
use crate::compile::endpoints::EndpointInputs;
use crate::compile::gateway::GatewayInputs;
use crate::compile::host::HostInputs;
use crate::compile::index::Index;
use crate::compile::memo::{Compiled, Counts, Memo};
use crate::compile::mesh::{MeshInputs, wildcard_hosts};
use crate::compile::workload::WorkloadInputs;
use crate::limits::MEMO_AGE;

/// Compiled units of all kinds, which outlive the catalog that they were compiled for.
#[derive(Debug)]
pub struct Memos {
    mesh: Memo<(), MeshInputs>,
    bundles: Memo<TrustDomain, Arc<BundleUnit>>,
    hosts: Memo<Host, HostInputs>,
    endpoints: Memo<Host, EndpointInputs>,
    workloads: Memo<WorkloadName, WorkloadInputs>,
    gateways: Memo<ObjectKey, GatewayInputs>,
}

impl Memos {
    /// Nothing yet. All kinds count together.
    #[must_use]
    pub fn new(counts: &Counts) -> Self {
        Self {
            mesh: Memo::new(counts.clone()),
            bundles: Memo::new(counts.clone()),
            hosts: Memo::new(counts.clone()),
            endpoints: Memo::new(counts.clone()),
            workloads: Memo::new(counts.clone()),
            gateways: Memo::new(counts.clone()),
        }
    }

    fn forget(&self, before: u64) {
        self.mesh.forget(before);
        self.bundles.forget(before);
        self.hosts.forget(before);
        self.endpoints.forget(before);
        self.workloads.forget(before);
        self.gateways.forget(before);
    }
}

/// A unit of one catalog: its key, and the client's namespace where it depends on that.
type Asked = (Key, Option<Arc<str>>);

/// One snapshot, ready to be served.
#[derive(Debug)]
pub struct Catalog {
    number: u64,
    heard_at: Instant,
    index: Index,
    bundles: Vec<Arc<BundleUnit>>,
    wildcards: Vec<Host>,
    memos: Arc<Memos>,
    /// What was asked for already.
    asked: Mutex<HashMap<Asked, Option<Arc<Compiled>>>>,
}

impl Catalog {
    /// The catalog of a snapshot and roots of trust. `number` counts up with every catalog.
    #[must_use]
    pub fn new(
        number: u64,
        snapshot: Arc<Snapshot>,
        bundles: Vec<Arc<BundleUnit>>,
        memos: Arc<Memos>,
    ) -> Self {
        memos.forget(number.saturating_sub(MEMO_AGE));
        Self {
            number,
            heard_at: Instant::now(),
            wildcards: wildcard_hosts(&snapshot),
            index: Index::new(snapshot),
            bundles,
            memos,
            asked: Mutex::default(),
        }
    }

    /// The snapshot.
    #[must_use]
    pub fn configuration(&self) -> &Arc<Snapshot> {
        self.index.snapshot()
    }

    /// The roots of trust.
    #[must_use]
    pub fn bundles(&self) -> &[Arc<BundleUnit>] {
        &self.bundles
    }

    /// The same, as what a change led to that was first heard of then; without it, when the catalog was made.
    #[must_use]
    pub fn heard_at(self, heard_at: Instant) -> Self {
        Self { heard_at, ..self }
    }

    /// When the change was first heard of that led to it.
    #[must_use]
    pub fn since(&self) -> Instant {
        self.heard_at
    }

    /// A unit with what it was compiled from; `None` where there is none.
    #[must_use]
    pub fn compiled(&self, key: &Key, client: &Client) -> Option<Arc<Compiled>> {
        if let Key::Answer(question) = key {
            // Not kept: there are as many as proxies can think of.
            let answer = answer(&self.index, question, client.subject.namespace());
            return Some(Arc::new(Compiled::new(&AnswerInputs(question.clone(), answer))));
        }
        let namespace = matches!(key, Key::Host(_)).then(|| client.subject.namespace().clone());
        let asked = (key.clone(), namespace);
        if let Some(known) = self.asked().get(&asked) {
            return known.clone();
        }
        let compiled = self.compile(key, client);
        if let Some(Err(error)) = compiled.as_ref().map(|compiled| &compiled.encoded) {
            tracing::error!(error = error as &dyn std::error::Error, "a unit is served to nobody");
        }
        self.asked().entry(asked).or_insert(compiled).clone()
    }

    fn compile(&self, key: &Key, client: &Client) -> Option<Arc<Compiled>> {
        let (memos, index, number) = (&self.memos, &self.index, self.number);
        Some(match key {
            Key::Mesh => memos.mesh.compiled(&(), MeshInputs::select(index.snapshot()), number),
            Key::Bundle(domain) => {
                let bundle = self.bundles.iter().find(|bundle| bundle.trust_domain == *domain)?;
                memos.bundles.compiled(domain, Arc::clone(bundle), number)
            }
            Key::Host(host) => {
                let inputs = HostInputs::select(index, host, client.subject.namespace())?;
                memos.hosts.compiled(host, inputs, number)
            }
            Key::Endpoints(host) => {
                memos.endpoints.compiled(host, EndpointInputs::select(index, host)?, number)
            }
            Key::Workload(name) => {
                memos.workloads.compiled(name, WorkloadInputs::select(index, name)?, number)
            }
            Key::Gateway { namespace, name } => {
                let key = (namespace.clone(), name.clone());
                memos.gateways.compiled(&key, GatewayInputs::select(index, namespace, name)?, number)
            }
            Key::Answer(_) => return None,
        })
    }

    /// Everything that a proxy which asks these questions should have, with what there is of it.
    #[must_use]
    pub fn closure(
        &self,
        client: &Client,
        questions: impl IntoIterator<Item = Question>,
    ) -> BTreeMap<Key, Arc<Compiled>> {
        let answers = questions.into_iter().map(Key::Answer);
        let mut open: Vec<Key> = server::Catalog::resident(self, client).into_iter().chain(answers).collect();
        let mut seen = BTreeSet::new();
        let mut closure = BTreeMap::new();
        while let Some(key) = open.pop() {
            if closure.len() >= limits::MAX_HELD || !seen.insert(key.clone()) {
                continue;
            }
            let Some(compiled) = self.compiled(&key, client) else { continue };
            open.extend(compiled.unit.references());
            closure.insert(key, compiled);
        }
        closure
    }

    fn asked(&self) -> std::sync::MutexGuard<'_, HashMap<Asked, Option<Arc<Compiled>>>> {
        // Entries are added whole.
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl server::Catalog for Catalog {
    fn snapshot(&self) -> u64 {
        self.number
    }

    fn resident(&self, client: &Client) -> Vec<Key> {
        let bundles = self.bundles.iter().map(|bundle| Key::Bundle(bundle.trust_domain.clone()));
        let wildcards = self.wildcards.iter().cloned().map(Key::Host);
        [Key::Mesh, client.subject.key()].into_iter().chain(bundles).chain(wildcards).collect()
    }

    fn answer(&self, question: &Question, client: &Client) -> Answer {
        answer(&self.index, question, client.subject.namespace())
    }

    fn unit(&self, key: &Key, client: &Client) -> Option<Arc<Encoded>> {
        self.compiled(key, client)?.encoded.as_ref().ok().cloned()
    }
}

impl Inputs for Arc<BundleUnit> {
    fn compile(&self) -> Unit {
        Unit::Bundle(Self::clone(self))
    }

    fn objects(&self) -> Vec<ObjectRef> {
        Vec::new()
    }
}

/// An answer, which is made of the question and the snapshot as a whole and not remembered.
#[derive(PartialEq)]
struct AnswerInputs(Question, Answer);

impl Inputs for AnswerInputs {
    fn compile(&self) -> Unit {
        Unit::Answer(self.0.clone(), self.1.clone())
    }

    fn objects(&self) -> Vec<ObjectRef> {
        Vec::new()
    }
}
