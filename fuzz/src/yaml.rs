//! YAML: trees within their limits, documents that don't disturb each other, and texts that mean what they say.

use std::sync::Arc;

use leno_dialects::limits::{MAX_DEPTH, MAX_NODES};
use leno_dialects::yaml::{Document, Kind, Node, Resolved, documents};

use crate::Outcome;

/// Checks one input.
pub fn run(data: &[u8]) -> Outcome {
    let Ok(text) = std::str::from_utf8(data) else { return Outcome::Refused };
    leno_dialects::fuzz::yaml(text);
    // So that something can be put behind it.
    let text = format!("{text}\n");
    let file: Arc<str> = "a.yaml".into();
    let read = documents(&file, &text);
    for document in &read {
        is_in_bounds(document, &text);
        if document.diagnostics.is_empty() {
            let root = document.root.as_ref().expect("a document that is right has a tree");
            survives_being_written(root);
        }
    }
    let followed = format!("{text}---\nlast: 1\n");
    let followed = documents(&file, &followed);
    assert_eq!(
        shown(&followed[..followed.len().saturating_sub(1)]),
        shown(&read),
        "a document disturbs others"
    );
    let last = followed.last().and_then(|last| last.root.as_ref()).map(show);
    assert_eq!(last.as_deref(), Some("{last: Integer(1)}"), "a document is disturbed by those before it");
    Outcome::accepted_if(!read.is_empty() && read.iter().all(|document| document.diagnostics.is_empty()))
}

/// Places are in the text, and the tree is no larger than allowed.
fn is_in_bounds(document: &Document<'_>, text: &str) {
    let lines = text.split('\n').count();
    let in_text = |line: u32| (1..=lines).contains(&(line as usize));
    assert!(document.diagnostics.iter().all(|found| in_text(found.location.line)), "a finding is nowhere");
    let mut count = 0;
    let mut rest: Vec<(&Node, usize)> = document.root.iter().map(|root| (root, 0)).collect();
    while let Some((node, depth)) = rest.pop() {
        count += 1;
        assert!(in_text(node.at.line), "a value is nowhere");
        assert!(depth <= MAX_DEPTH, "the tree is too deep");
        match &node.kind {
            Kind::Null | Kind::Scalar(_) => {}
            Kind::List(items) => rest.extend(items.iter().map(|item| (item, depth + 1))),
            Kind::Mapping(entries) => {
                let mut keys: Vec<&str> = entries.iter().map(|entry| &*entry.key).collect();
                keys.sort_unstable();
                assert!(keys.is_sorted_by(|a, b| a < b), "a key is there twice");
                rest.extend(entries.iter().map(|entry| (&entry.value, depth + 1)));
            }
        }
    }
    assert!(count <= MAX_NODES, "the tree is too large");
}

/// Written as JSON and read again, a tree means the same.
fn survives_being_written(root: &Node) {
    let mut json = String::new();
    write(root, &mut json);
    let read = documents(&"b.yaml".into(), &json);
    match read.as_slice() {
        [again] => {
            assert!(again.diagnostics.is_empty(), "{json}: {:?}", again.diagnostics);
            assert_eq!(again.root.as_ref().map(show), Some(show(root)), "{json}");
        }
        read => panic!("{json} is {} documents", read.len()),
    }
}

fn write(node: &Node, json: &mut String) {
    match &node.kind {
        Kind::Null => json.push_str("null"),
        Kind::Scalar(scalar) => match scalar.resolve() {
            Resolved::Text(text) => quote(text, json),
            // JSON has no words for infinity and the like, and YAML takes its own anywhere.
            Resolved::Number(_) | Resolved::LeadingZero(_) => json.push_str(&scalar.text),
            Resolved::Integer(number) => json.push_str(&number.to_string()),
            Resolved::Boolean(yes) => json.push_str(if yes { "true" } else { "false" }),
        },
        Kind::List(items) => {
            json.push('[');
            for (index, item) in items.iter().enumerate() {
                json.push_str(if index == 0 { "" } else { ", " });
                write(item, json);
            }
            json.push(']');
        }
        Kind::Mapping(entries) => {
            json.push('{');
            for (index, entry) in entries.iter().enumerate() {
                json.push_str(if index == 0 { "" } else { ", " });
                quote(&entry.key, json);
                json.push_str(": ");
                write(&entry.value, json);
            }
            json.push('}');
        }
    }
}

fn quote(text: &str, json: &mut String) {
    json.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => json.extend(['\\', character]),
            ' '..='~' => json.push(character),
            _ => json.push_str(&format!("\\U{:08x}", u32::from(character))),
        }
    }
    json.push('"');
}

/// What documents say, without their places.
fn shown(documents: &[Document<'_>]) -> Vec<(Option<String>, Vec<String>)> {
    let findings = |document: &Document<'_>| document.diagnostics.iter().map(ToString::to_string).collect();
    documents.iter().map(|document| (document.root.as_ref().map(show), findings(document))).collect()
}

fn show(node: &Node) -> String {
    match &node.kind {
        Kind::Null => "null".to_owned(),
        Kind::Scalar(scalar) => format!("{:?}", scalar.resolve()),
        Kind::List(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", ")),
        Kind::Mapping(entries) => {
            let pairs: Vec<_> = entries.iter().map(|e| format!("{}: {}", e.key, show(&e.value))).collect();
            format!("{{{}}}", pairs.join(", "))
        }
    }
}
