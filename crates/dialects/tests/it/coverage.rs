//! The golden pairs together use every field that the tables call in effect, so that none is in effect on paper only.
//! A part that a kind has in several places (a destination, a matcher) need be used in one of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use leno_dialects::kinds::{Kind, SUPPORTED};
use leno_dialects::table::{Field, Shape, State};
use leno_dialects::yaml::{self, Kind as NodeKind, Node};

use crate::properties::CORPUS;

#[test]
fn every_field_in_effect_has_a_golden_pair() {
    let file: Arc<str> = "x".into();
    let mut used = BTreeSet::new();
    for text in CORPUS.iter() {
        for document in yaml::documents(&file, text) {
            if let Some((root, kind)) = document.root.as_ref().and_then(|root| Some((root, kind_of(root)?))) {
                walk(root, kind, &kind.shape, &mut used);
            }
        }
    }
    let mut wanted = BTreeMap::new();
    for kind in SUPPORTED {
        in_effect(kind, kind.name, &kind.shape, &mut wanted);
    }
    wanted.retain(|key, _path| !used.contains(key));
    let missing: Vec<String> = wanted.into_values().collect();
    assert!(missing.is_empty(), "no golden pair has\n{}", missing.join("\n"));
}

fn kind_of(root: &Node) -> Option<&'static Kind> {
    let group = root.value("apiVersion")?.text()?;
    let group = group.split_once('/').map_or("", |(group, _)| group);
    let name = root.value("kind")?.text()?;
    SUPPORTED.iter().find(|kind| kind.group == group && kind.name == name).copied()
}

/// Names a field of a part of a kind, wherever the part stands: by kind, the part's fields, and the field.
fn key(kind: &Kind, part: &[Field], field: &Field) -> String {
    let names: Vec<&str> = part.iter().map(|field| field.name).collect();
    format!("{} ({}) {}", kind.name, names.join(" "), field.name)
}

fn walk(node: &Node, kind: &Kind, shape: &Shape, used: &mut BTreeSet<String>) {
    match (shape, &node.kind) {
        (Shape::Object(fields), NodeKind::Mapping(entries)) => {
            for entry in entries {
                if let Some(field) = fields.iter().find(|field| field.name == &*entry.key) {
                    used.insert(key(kind, fields, field));
                    walk(&entry.value, kind, &field.shape, used);
                }
            }
        }
        (Shape::List(item), NodeKind::List(items)) => {
            items.iter().for_each(|node| walk(node, kind, item, used))
        }
        (Shape::Map(value), NodeKind::Mapping(entries)) => {
            entries.iter().for_each(|entry| walk(&entry.value, kind, value, used));
        }
        _ => {}
    }
}

fn in_effect(kind: &Kind, path: &str, shape: &Shape, wanted: &mut BTreeMap<String, String>) {
    match shape {
        Shape::Object(fields) => {
            for field in fields.iter().filter(|field| field.name != "metadata") {
                if matches!(field.state, State::InEffect | State::Deprecated(_)) {
                    let path = format!("{path}.{}", field.name);
                    in_effect(kind, &path, &field.shape, wanted);
                    wanted.insert(key(kind, fields, field), path);
                }
            }
        }
        Shape::List(item) => in_effect(kind, &format!("{path}[]"), item, wanted),
        Shape::Map(value) => in_effect(kind, &format!("{path}{{}}"), value, wanted),
        _ => {}
    }
}
