//! What all objects have in common: API version, kind and metadata; and to whom an object is handed.

use std::sync::Arc;

use leno_model::labels::Labels;
use leno_model::span::{ObjectRef, Origin};

use crate::codes;
use crate::content;
use crate::findings::{Findings, Position};
use crate::kinds::{self, Kind, Known};
use crate::load::{LoadOptions, Outcome, Parsed};
use crate::object::Object;
use crate::table::{Field, State, nearest};
use crate::yaml::{self, Entry, Fields, Kind as NodeKind, Node, Value};

mod salvage;

/// The fields of `metadata`, the same for every kind.
pub(crate) const METADATA: &[Field] = &[
    Field::text("name"),
    Field::text("namespace"),
    Field::labels("labels"),
    Field::labels("annotations"),
    Field::text("creationTimestamp"),
    Field::any("generateName").irrelevant(),
    Field::any("uid").irrelevant(),
    Field::any("resourceVersion").irrelevant(),
    Field::any("generation").irrelevant(),
    Field::any("managedFields").irrelevant(),
    Field::any("ownerReferences").irrelevant(),
    Field::any("finalizers").irrelevant(),
    Field::any("selfLink").irrelevant(),
    Field::any("deletionTimestamp").irrelevant(),
    Field::any("deletionGracePeriodSeconds").irrelevant(),
];

/// `apiVersion`.
pub(crate) const API_VERSION: Field = Field::text("apiVersion");
/// `kind`.
pub(crate) const KIND: Field = Field::text("kind");
/// `metadata`.
pub(crate) const META: Field = Field::object("metadata", METADATA);
/// `status`, which controllers write.
pub(crate) const STATUS: Field = Field::any("status").irrelevant();

/// What a kind's reader knows of the object besides its own fields.
pub(crate) struct Context<'a> {
    /// What the meaning of texts depends on.
    pub(crate) options: &'a LoadOptions,
    /// Where findings go.
    pub(crate) findings: &'a Findings,
    /// The object's name.
    pub(crate) object: &'a ObjectRef,
    /// Its labels.
    pub(crate) labels: Labels,
    /// Its annotations.
    pub(crate) annotations: Vec<(&'a Entry, Value<'a>)>,
    /// Where it begins.
    pub(crate) at: Position,
    /// Whether the text has errors that may have lost a part of it.
    pub(crate) damaged: bool,
}

impl<'a> Context<'a> {
    /// The object's namespace.
    pub(crate) const fn namespace(&self) -> &'a Arc<str> {
        &self.object.namespace
    }

    /// The object's name.
    pub(crate) const fn name(&self) -> &'a Arc<str> {
        &self.object.name
    }

    /// The origin of a part of the object.
    pub(crate) fn origin(&self, at: Position) -> Origin {
        Origin { object: self.object.clone(), location: at.in_file(self.findings.file()) }
    }

    /// An annotation's value.
    pub(crate) fn annotation(&self, key: &str) -> Option<&Value<'a>> {
        self.annotations.iter().find(|(entry, _)| &*entry.key == key).map(|(_, value)| value)
    }
}

/// Reads one document, which is an object or a `List` of objects. `index` counts the file's objects.
pub(crate) fn read(
    file: &Arc<str>,
    document: &yaml::Document<'_>,
    options: &LoadOptions,
    index: &mut u32,
    parsed: &mut Vec<Parsed>,
) {
    let Some(root) = &document.root else {
        return parsed.push(salvage::broken(file, document, options, next(index)));
    };
    let is_list = root.value("apiVersion").and_then(Node::text) == Some("v1")
        && root.value("kind").and_then(Node::text) == Some("List");
    match root.value("items").map(|items| &items.kind) {
        Some(NodeKind::List(items)) if is_list => {
            for item in items {
                parsed.push(read_object(file, item, document, options, next(index)));
            }
        }
        _ => parsed.push(read_object(file, root, document, options, next(index))),
    }
}

fn next(index: &mut u32) -> u32 {
    let this = *index;
    *index = index.saturating_add(1);
    this
}

fn read_object(
    file: &Arc<str>,
    root: &Node,
    document: &yaml::Document<'_>,
    options: &LoadOptions,
    index: u32,
) -> Parsed {
    let mut parsed = Parsed {
        object: None,
        group: "".into(),
        location: root.at.in_file(file),
        index,
        meant: None,
        created: None,
        content: content::of_node(root, word(root, "kind") == Some("Secret")),
        outcome: Outcome::Refused { instead: None },
        diagnostics: document.diagnostics.clone(),
    };
    let nameless = Findings::new(file.clone(), None);
    let (Some(api_version), Some(kind)) = (word(root, "apiVersion"), word(root, "kind")) else {
        nameless.report(codes::ENVELOPE, root.at, "the document has no apiVersion and kind");
        parsed.diagnostics.extend(nameless.into_diagnostics());
        return parsed;
    };
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    parsed.group = group.into();
    let known = kinds::find(group, kind);
    let namespaced = !matches!(known, Known::Supported(kind) if !kind.namespaced);
    parsed.object = name(root, kind, namespaced.then_some(options));
    let findings = Findings::new(file.clone(), parsed.object.clone());
    match known {
        Known::LocalMesh => parsed.outcome = Outcome::Skipped,
        Known::Foreign => {
            findings.report(
                codes::NOT_FOR_THE_MESH,
                root.at,
                format_args!("a {kind} says nothing to a mesh"),
            );
            parsed.outcome = Outcome::Skipped;
        }
        Known::Unsupported(why) => {
            let message = format_args!("Leno does not act on {kind} of {api_version} yet");
            findings.report_with(codes::UNSUPPORTED_KIND, root.at, message, why);
        }
        Known::Unknown { near, hint } => {
            parsed.meant = near.and_then(|near| {
                let object = name(root, near.name, near.namespaced.then_some(options))?;
                Some((near.group.into(), object))
            });
            let message = format_args!("no API known here has a kind {kind} in {api_version}");
            findings.report_with(codes::UNKNOWN_KIND, root.at, message, hint);
        }
        Known::Supported(supported) if !supported.versions.contains(&version) => {
            let message = format_args!("{kind} has no version {api_version}");
            let hint = format!("use {}", supported.api_version());
            findings.report_with(codes::UNKNOWN_VERSION, root.at, message, hint);
        }
        Known::Supported(supported) => {
            parsed.read_supported(supported, root, options, &findings);
        }
    }
    if let Outcome::Refused { instead: Some(_) } = parsed.outcome {
        let message =
            "the object is refused; where it has no last good version it counts in its strictest sense";
        findings.report(codes::STRICTEST, root.at, message);
    }
    parsed.diagnostics.extend(findings.into_diagnostics());
    parsed.diagnostics.sort_by_key(|diagnostic| (diagnostic.location.line, diagnostic.location.column));
    for diagnostic in &mut parsed.diagnostics {
        diagnostic.object = parsed.object.clone();
    }
    parsed
}

/// A field's text, if it has one worth showing.
fn word<'n>(root: &'n Node, key: &str) -> Option<&'n str> {
    root.value(key)?.text().filter(|text| !text.is_empty() && text.len() <= 253)
}

/// The name that the object goes by, well-formed or not.
fn name(root: &Node, kind: &str, namespaced: Option<&LoadOptions>) -> Option<ObjectRef> {
    let metadata = root.value("metadata")?;
    let namespace = match namespaced {
        Some(options) => word(metadata, "namespace").unwrap_or(&options.default_namespace),
        None => "",
    };
    Some(ObjectRef { kind: kind.into(), namespace: namespace.into(), name: word(metadata, "name")?.into() })
}

impl Parsed {
    fn read_supported(
        &mut self,
        kind: &'static Kind,
        root: &Node,
        options: &LoadOptions,
        findings: &Findings,
    ) {
        let damaged = !self.diagnostics.is_empty();
        let shape = Value::new(root, &kind.shape, findings);
        let Some(fields) = shape.fields() else { return };
        let _read_before = (fields.text("apiVersion"), fields.text("kind"));
        let metadata = fields.required("metadata").and_then(|metadata| metadata.fields());
        let Some(object) = &self.object else {
            let given = metadata.and_then(|metadata| metadata.value("name"));
            match given.filter(|name| name.text().is_some_and(|text| !text.is_empty())) {
                Some(name) => name.report(codes::NAME, "is longer than the 253 bytes that a name may have"),
                None => findings.report(codes::ENVELOPE, root.at, "the object has no metadata.name"),
            }
            return;
        };
        let Some(metadata) = metadata else { return };
        let context = read_metadata(metadata, kind, object, root.at, damaged, options, findings);
        self.created = context.1;
        let object = (kind.read)(&context.0, &fields);
        fields.finish();
        self.outcome = match object {
            Some(Object::Foreign) => Outcome::Skipped,
            Some(object) if !damaged && findings.errors() == 0 && findings.approximated() => {
                Outcome::Approximated(object)
            }
            Some(object) if !damaged && findings.errors() == 0 => Outcome::Exact(object),
            object => Outcome::Refused { instead: object.filter(|_| kind.protects) },
        };
    }
}

fn read_metadata<'a>(
    metadata: Fields<'a>,
    kind: &Kind,
    object: &'a ObjectRef,
    at: Position,
    damaged: bool,
    options: &'a LoadOptions,
    findings: &'a Findings,
) -> (Context<'a>, Option<Arc<str>>) {
    for (field, valid) in [("name", is_name as fn(&str) -> bool), ("namespace", is_label)] {
        if let Some(value) = metadata.value(field)
            && let Some(text) = value.text()
        {
            if !valid(text) {
                value.report(codes::NAME, format_args!("{} is not a valid {field}", value.shown()));
            } else if field == "namespace" && !kind.namespaced {
                value.invalid(format_args!("is given, but a {} has no namespace", kind.name), "remove it");
            }
        }
    }
    let created = metadata.value("creationTimestamp").and_then(|value| {
        let text = value.text()?;
        if !is_timestamp(text) {
            value.invalid("is not a time", "write it as 2026-01-31T12:00:00Z, or remove it");
            return None;
        }
        Some(text.into())
    });
    let labels = metadata.labels("labels");
    let annotations = metadata.value("annotations").map(|value| value.entries()).unwrap_or_default();
    check_annotations(&annotations, kind);
    metadata.finish();
    (Context { options, findings, object, labels, annotations, at, damaged }, created)
}

/// Tells of annotations that would mean something to a mesh and do not to Leno, and of misspelt ones of its own.
/// All others are other programs' business.
fn check_annotations(annotations: &[(&Entry, Value<'_>)], kind: &Kind) {
    for (entry, value) in annotations {
        let _told_if_no_text = value.text();
        let known = kind.annotations.iter().find(|known| known.name == &*entry.key);
        match known.map(|known| known.state) {
            Some(State::NotInEffect(why)) => {
                value.report(codes::NOT_IN_EFFECT, format_args!("the annotation has no effect: {why}"));
            }
            Some(State::Refused { why, help }) => value.report_with(codes::UNSUPPORTED, why, help),
            Some(State::Deprecated(instead)) => {
                value.report_with(
                    codes::DEPRECATED,
                    "the annotation is deprecated",
                    format!("use {instead}"),
                );
            }
            None if entry.key.starts_with("leno.dev/") => {
                let names = kind.annotations.iter().map(|known| known.name);
                let hint = nearest(&entry.key, names).map(|name| format!("did you mean {name}?"));
                let hint = hint.unwrap_or_else(|| codes::ANNOTATION.help.to_owned());
                value.report_with(
                    codes::ANNOTATION,
                    format_args!("a {} has no such annotation", kind.name),
                    hint,
                );
            }
            Some(State::InEffect | State::Irrelevant) | None => {}
        }
    }
}

/// A DNS sub-domain of lower-case labels (RFC 1123), what Kubernetes demands of most names.
fn is_name(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(|label| !label.is_empty() && is_edged(label))
}

/// A DNS label in lower case, what Kubernetes demands of namespaces.
pub(crate) fn is_label(text: &str) -> bool {
    text.len() <= 63 && !text.is_empty() && is_edged(text)
}

fn is_edged(label: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
}

/// Kubernetes writes times in one form only, and that form orders as text.
fn is_timestamp(text: &str) -> bool {
    let form = "0000-00-00T00:00:00Z";
    text.len() == form.len()
        && text.bytes().zip(form.bytes()).all(|(b, f)| if f == b'0' { b.is_ascii_digit() } else { b == f })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_kubernetes() {
        for (text, name, label) in [
            ("web", true, true),
            ("web-1", true, true),
            ("a.b", true, false),
            ("", false, false),
            ("-a", false, false),
            ("a-", false, false),
            ("a..b", false, false),
            ("A", false, false),
            ("a_b", false, false),
            ("a/b", false, false),
        ] {
            assert_eq!((is_name(text), is_label(text)), (name, label), "{text}");
        }
    }

    #[test]
    fn times_have_one_form() {
        assert!(is_timestamp("2026-01-31T12:00:00Z"));
        for text in ["2026-01-31", "2026-01-31T12:00:00+01", "2026-01-31T12:00:00.1Z", ""] {
            assert!(!is_timestamp(text), "{text}");
        }
    }
}
