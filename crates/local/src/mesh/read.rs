//! Reads the mesh file from YAML, so that each problem names its line and a remedy.

mod tree;

use std::sync::Arc;

use leno_dialects::{
    codes::{self, Code},
    findings::{Findings, Position},
    table::nearest,
    yaml::{self, Kind, Node},
};
use leno_model::span::{Diagnostic, ObjectRef};
use serde::Deserialize;

use super::{LocalMesh, Problem, check};
use crate::user;

/// A text that may hold documents.
#[derive(Debug, Clone)]
pub struct File {
    /// Its name in diagnostics.
    pub name: Arc<str>,
    /// Its contents.
    pub text: String,
}

/// A sound mesh, and where it is written.
#[derive(Debug, Clone)]
pub struct Found {
    /// The mesh.
    pub mesh: LocalMesh,
    /// Which of the files it is in, by its place in the list.
    pub file: usize,
    /// The line on which each service begins, in their order.
    pub service_lines: Vec<u32>,
}

/// Finds the one `LocalMesh` document among these files, reads and checks it. `root` says whether it is to
/// be run by root. Other documents are none of its business.
///
/// # Errors
/// Everything that is wrong, with places and remedies.
pub fn read(files: &[File], root: bool) -> Result<Found, Vec<Diagnostic>> {
    let mut found: Option<(usize, Node)> = None;
    let mut broken = Vec::new();
    for (index, file) in files.iter().enumerate() {
        for document in yaml::documents(&file.name, &file.text) {
            let Some(node) = document.root else {
                broken.extend(document.diagnostics);
                continue;
            };
            if !is_mesh(&node) {
                continue;
            }
            if !document.diagnostics.is_empty() {
                return Err(document.diagnostics);
            }
            if let Some((first, _)) = &found {
                let first = files.get(*first).map_or("", |file| &file.name);
                let message = format!("a second LocalMesh; the first is in {first}");
                return Err(one(file, None, codes::DUPLICATE_OBJECT, node.at, &message, "leave one of them"));
            }
            found = Some((index, node));
        }
    }
    let Some((index, node)) = found else {
        // The mesh may well be in a document that can't be read.
        return Err(if broken.is_empty() { nowhere(files) } else { broken });
    };
    let Some(file) = files.get(index) else { return Err(Vec::new()) };
    let mesh = parse(file, &node)?;
    let mut problems = check(&mesh, root);
    if root {
        problems.extend(unknown_users(&mesh));
    }
    if problems.is_empty() {
        return Ok(Found { mesh, file: index, service_lines: service_lines(&node) });
    }
    let findings = Findings::new(file.name.clone(), object(&node));
    for Problem { field, message, remedy } in problems {
        let at = locate(&node, &field);
        findings.report_with(codes::INVALID_VALUE, at, format_args!("{field}: {message}"), remedy);
    }
    Err(findings.into_diagnostics())
}

/// Whether a text has a `LocalMesh` document.
pub fn is_mesh_file(file: &File) -> bool {
    let documents = yaml::documents(&file.name, &file.text);
    documents.into_iter().any(|document| document.root.as_ref().is_some_and(is_mesh))
}

fn is_mesh(root: &Node) -> bool {
    root.value("kind").and_then(Node::text) == Some("LocalMesh")
}

fn nowhere(files: &[File]) -> Vec<Diagnostic> {
    let Some(file) = files.first() else { return Vec::new() };
    let others = if files.len() > 1 { " or the other files" } else { "" };
    let message = format!("no document of kind LocalMesh in this file{others}");
    let hint = "name the file that has `apiVersion: leno.dev/v1alpha1` and `kind: LocalMesh`";
    one(file, None, codes::REQUIRED, Position::default(), &message, hint)
}

fn one(
    file: &File,
    object: Option<ObjectRef>,
    code: &Code,
    at: Position,
    message: &str,
    hint: &str,
) -> Vec<Diagnostic> {
    let findings = Findings::new(file.name.clone(), object);
    findings.report_with(code, at, message, hint);
    findings.into_diagnostics()
}

fn object(node: &Node) -> Option<ObjectRef> {
    let name = node.value("metadata")?.value("name")?.text()?;
    Some(ObjectRef { kind: "LocalMesh".into(), namespace: "".into(), name: name.into() })
}

fn parse(file: &File, node: &Node) -> Result<LocalMesh, Vec<Diagnostic>> {
    LocalMesh::deserialize(tree::Tree(node)).map_err(|error| {
        let at = error.at.unwrap_or(node.at);
        let (text, remedy) = remedied(&error.message);
        let (code, hint) = classify(&text);
        let hint = remedy.or(hint);
        // What was expected is the hint's to say. YAML has other words than serde.
        let text = text.replace("sequence", "a list").replace("unknown variant", "unknown value");
        let text = text.replace("invalid type: map", "invalid type: a mapping");
        let text = text.split_once(", expected ").filter(|_| hint.is_some()).map_or(&*text, |(text, _)| text);
        let message = match error.path.as_str() {
            "" => text.to_owned(),
            path => format!("{path}: {text}"),
        };
        let findings = Findings::new(file.name.clone(), object(node));
        match hint {
            Some(hint) => findings.report_with(code, at, message, hint),
            None => findings.report(code, at, message),
        }
        findings.into_diagnostics()
    })
}

/// A message and the remedy that it has: that of values with a form of their own.
fn remedied(message: &str) -> (String, Option<String>) {
    let expected = message.strip_prefix("expected ").and_then(|rest| rest.rsplit_once(", found "));
    match (expected, message.split_once("; ")) {
        (Some((expected, found)), _) => (format!("invalid value {found}"), Some(format!("write {expected}"))),
        (None, Some((message, remedy))) => (message.to_owned(), Some(remedy.to_owned())),
        (None, None) => (message.to_owned(), None),
    }
}

/// What kind of problem a message of serde's is, and what to do about it.
fn classify(message: &str) -> (&'static Code, Option<String>) {
    let mut quoted = message.split('`').skip(1).step_by(2);
    if message.starts_with("unknown field") || message.starts_with("unknown variant") {
        let given = quoted.next().unwrap_or_default();
        let known: Vec<&str> = quoted.collect();
        let hint = match nearest(given, known.iter().copied()) {
            Some(name) => format!("did you mean {name}?"),
            None if known.is_empty() => "remove it".to_owned(),
            None => format!("choose one of {}", known.join(", ")),
        };
        let field = message.starts_with("unknown field");
        return (if field { codes::UNKNOWN_FIELD } else { codes::INVALID_VALUE }, Some(hint));
    }
    if message.starts_with("missing field") {
        return (codes::REQUIRED, None);
    }
    if let Some((given, expected)) = message.rsplit_once(", expected ")
        && given.starts_with("invalid")
    {
        return (codes::WRONG_TYPE, Some(format!("write {}", plain(expected))));
    }
    (codes::INVALID_VALUE, None)
}

/// What serde expects, in the words of other messages.
fn plain(expected: &str) -> &str {
    match expected {
        "u16" => "a whole number up to 65535",
        "a string" => "a text",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "a mapping",
        "path string" => "a path",
        structure if structure.starts_with("struct ") => "a mapping",
        other => other,
    }
}

/// Users that this machine doesn't know.
fn unknown_users(mesh: &LocalMesh) -> Vec<Problem> {
    let workloads = mesh.spec.workloads.iter().enumerate();
    let unknown = workloads.filter_map(|(index, workload)| {
        let error = user::find(workload.user.as_deref()?).err()?.to_string();
        Some(Problem::told(format!("spec.workloads[{index}].user"), &error, "give `user: UID:GID`"))
    });
    unknown.collect()
}

/// The place of a path such as `spec.workloads[2].user`, or of the deepest part of it that is written.
fn locate(root: &Node, path: &str) -> Position {
    let mut node = root;
    let mut at = root.at;
    for part in path.split(['.', '[']).filter(|part| !part.is_empty()) {
        let next = match (&node.kind, part.strip_suffix(']')) {
            (Kind::List(items), Some(index)) => {
                index.parse().ok().and_then(|index: usize| items.get(index)).map(|item| (item.at, item))
            }
            (Kind::Mapping(entries), None) => {
                entries.iter().find(|entry| &*entry.key == part).map(|entry| (entry.at, &entry.value))
            }
            _ => None,
        };
        let Some((place, value)) = next else { break };
        (at, node) = (place, value);
    }
    at
}

fn service_lines(root: &Node) -> Vec<u32> {
    let services = root.value("spec").and_then(|spec| spec.value("services"));
    match services.map(|services| &services.kind) {
        Some(Kind::List(items)) => items.iter().map(|item| item.at.line).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
