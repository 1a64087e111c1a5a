//! From texts to objects: what a source of configuration calls.
//!
//! Each object stands for itself: [`load`] reads every document, and one that is wrong is refused alone.
//! [`Loaded::keep_last_good`] then lets a refused object's last good version count, and [`Loaded::snapshot`] joins
//! what counts. The order of files never matters.

mod join;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use leno_model::snapshot::{ObjectReport, Snapshot};
use leno_model::span::{Diagnostic, Location, ObjectRef, Origin, Verdict};
use leno_model::spiffe::TrustDomain;

use crate::codes;
use crate::envelope;
use crate::findings::{Findings, Position};
use crate::link::{self, Surroundings};
use crate::object::Object;
use crate::yaml;

/// A text to read.
#[derive(Clone, Debug)]
pub struct Document<'t> {
    /// The name shown in findings: a path, or another name of the source.
    pub file: Arc<str>,
    /// One or more YAML or JSON documents.
    pub text: &'t str,
}

/// What the meaning of texts depends on.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// The mesh's trust domain.
    pub trust_domain: TrustDomain,
    /// The domain of service names.
    pub cluster_domain: Arc<str>,
    /// The namespace whose policies hold for the whole mesh.
    pub root_namespace: Arc<str>,
    /// The namespace of objects that name none.
    pub default_namespace: Arc<str>,
    /// The cluster that workloads belong to.
    pub cluster: Arc<str>,
    /// The classes of gateways that Leno serves.
    pub gateway_classes: Vec<Arc<str>>,
}

impl LoadOptions {
    /// Istio's defaults.
    #[must_use]
    pub fn new(trust_domain: TrustDomain) -> Self {
        Self {
            trust_domain,
            cluster_domain: "cluster.local".into(),
            root_namespace: "istio-system".into(),
            default_namespace: "default".into(),
            cluster: "".into(),
            gateway_classes: vec!["leno".into(), "istio".into()],
        }
    }
}

/// What became of one document or object.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// The object, as far as its name could be read (for a text that is not well-formed it is a guess).
    pub object: Option<ObjectRef>,
    /// The object that it is probably a version of, where its kind is a misspelt one.
    pub meant: Option<ObjectKey>,
    /// The API group of its kind; empty for core Kubernetes.
    pub group: Arc<str>,
    /// Where it begins.
    pub location: Location,
    /// Its position among the objects of its file.
    pub index: u32,
    /// `metadata.creationTimestamp`, which orders as text.
    pub created: Option<Arc<str>>,
    /// A hash of everything it was made of, places included: equal content means an equal result.
    pub content: u64,
    /// The result.
    pub outcome: Outcome,
    /// Everything there is to say about it, by place.
    pub diagnostics: Vec<Diagnostic>,
}

/// The result of reading one object.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It counts as its own system has it.
    Exact(Object),
    /// It counts; a diagnostic says what differs.
    Approximated(Object),
    /// It does not count.
    Refused {
        /// What counts in its place. At first this is, for kinds that protect, the strictest sense that the text
        /// may have, since a policy that is not understood must not leave a door open; see
        /// [`Loaded::keep_last_good`].
        instead: Option<Object>,
    },
    /// It is nothing for a mesh, or for another reader.
    Skipped,
}

/// What names an object among all others: API group, kind, namespace and name.
pub type ObjectKey = (Arc<str>, ObjectRef);

impl Parsed {
    /// Which object it is a version of; `None` if no name could be read.
    #[must_use]
    pub fn key(&self) -> Option<ObjectKey> {
        Some((self.group.clone(), self.object.clone()?))
    }

    /// Whether the object counts as it is written.
    #[must_use]
    pub const fn is_accepted(&self) -> bool {
        matches!(self.outcome, Outcome::Exact(_) | Outcome::Approximated(_))
    }

    /// The object that counts, if there is one: as written, or in its place.
    #[must_use]
    pub const fn effective(&self) -> Option<&Object> {
        match &self.outcome {
            Outcome::Exact(object) | Outcome::Approximated(object) => Some(object),
            Outcome::Refused { instead } => instead.as_ref(),
            Outcome::Skipped => None,
        }
    }

    /// The object's report; `None` for what was skipped or has no name.
    #[must_use]
    pub fn report(&self) -> Option<ObjectReport> {
        let verdict = match self.outcome {
            Outcome::Exact(_) => Verdict::Exact,
            Outcome::Approximated(_) => Verdict::Approximated,
            Outcome::Refused { .. } => Verdict::Refused,
            Outcome::Skipped => return None,
        };
        Some(ObjectReport {
            origin: Origin { object: self.object.clone()?, location: self.location.clone() },
            verdict,
            diagnostics: self.diagnostics.clone(),
            content: self.content,
        })
    }

    /// Oldest first: by creation time and name, then those without a creation time by file and position.
    #[must_use]
    pub fn age(&self) -> impl Ord + '_ {
        let name = self.object.as_ref().filter(|_| self.created.is_some());
        let name = name.map(|object| (&object.namespace, &object.name));
        (self.created.is_none(), &self.created, name, &self.location.file, self.index)
    }
}

/// Everything that texts said.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// One for each object and for each document that is not one, by file and position.
    pub parsed: Vec<Arc<Parsed>>,
    options: LoadOptions,
}

/// Reads texts. Files of one name are read as one file, in the given order.
#[must_use]
pub fn load(documents: &[Document<'_>], options: &LoadOptions) -> Loaded {
    let mut parsed = Vec::new();
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for document in documents {
        let index = counts.entry(&document.file).or_default();
        for part in yaml::documents(&document.file, document.text) {
            envelope::read(&document.file, &part, options, index, &mut parsed);
        }
    }
    parsed.sort_by(|a: &Parsed, b| (&a.location.file, a.index).cmp(&(&b.location.file, b.index)));
    refuse_duplicates(&mut parsed);
    Loaded { parsed: parsed.into_iter().map(Arc::new).collect(), options: options.clone() }
}

/// Of several objects of one name the first by file and position counts.
fn refuse_duplicates(parsed: &mut [Parsed]) {
    let mut seen: BTreeMap<ObjectKey, Location> = BTreeMap::new();
    for parsed in parsed {
        if matches!(parsed.outcome, Outcome::Skipped) {
            continue;
        }
        let Some(key) = parsed.key() else { continue };
        let Some(first) = seen.get(&key) else {
            seen.insert(key, parsed.location.clone());
            continue;
        };
        refuse_duplicate(parsed, &key.1, first);
    }
}

fn refuse_duplicate(parsed: &mut Parsed, name: &ObjectRef, first: &Location) {
    let findings = Findings::new(parsed.location.file.clone(), parsed.object.clone());
    let at = Position { line: parsed.location.line, column: parsed.location.column };
    findings.report(codes::DUPLICATE_OBJECT, at, format_args!("{name} is already written at {first}"));
    parsed.diagnostics.splice(0..0, findings.into_diagnostics());
    parsed.outcome = Outcome::Refused { instead: None };
}

impl Loaded {
    /// Lets things stay as they were where a change is refused: a refused object's last good version goes on
    /// counting; one that is new does not count at all; where a document cannot even be named, the objects that its
    /// file had before and has no more go on counting, and where a kind is misspelt, so does the object that is meant. `previous` is what was in effect before the change,
    /// after its own `keep_last_good`.
    pub fn keep_last_good(&mut self, previous: &Self) {
        let before: BTreeMap<ObjectKey, &Arc<Parsed>> =
            previous.parsed.iter().filter_map(|parsed| Some((parsed.key()?, parsed))).collect();
        for parsed in &mut self.parsed {
            if let Outcome::Refused { .. } = parsed.outcome {
                let last = parsed.key().and_then(|key| before.get(&key));
                let instead = last.and_then(|last| last.effective()).cloned();
                Arc::make_mut(parsed).outcome = Outcome::Refused { instead };
            }
        }
        let now: BTreeSet<ObjectKey> = self.parsed.iter().filter_map(|parsed| parsed.key()).collect();
        let meant: BTreeSet<&ObjectKey> =
            self.parsed.iter().filter_map(|parsed| parsed.meant.as_ref()).collect();
        let nameless: BTreeSet<Arc<str>> = self
            .parsed
            .iter()
            .filter(|parsed| parsed.object.is_none())
            .map(|parsed| parsed.location.file.clone())
            .collect();
        let kept = before
            .into_iter()
            .filter(|(key, last)| {
                !now.contains(key) && (nameless.contains(&last.location.file) || meant.contains(key))
            })
            .map(|(_, last)| last.clone());
        let kept: Vec<_> = kept.collect();
        self.parsed.extend(kept);
        self.parsed.sort_by(|a, b| (&a.location.file, a.index).cmp(&(&b.location.file, b.index)));
    }

    /// The reports about all objects, by file and position.
    pub fn reports(&self) -> impl Iterator<Item = ObjectReport> + '_ {
        self.parsed.iter().filter_map(|parsed| parsed.report())
    }

    /// All findings about texts, by file and position. Those made while objects are joined are in the reports of the
    /// snapshot.
    pub fn diagnostics(&self) -> impl Iterator<Item = &Diagnostic> {
        self.parsed.iter().flat_map(|parsed| &parsed.diagnostics)
    }

    /// A snapshot of what counts and what comes from elsewhere.
    #[must_use]
    pub fn snapshot(&self, version: u64, surroundings: Surroundings<'_>) -> Snapshot {
        link::snapshot(version, &self.parsed, &self.options, surroundings)
    }
}
