//! Reads the mesh file: the one `LocalMesh` document among the files that were named.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use leno_dialects::yaml::{self, Kind, Node, Resolved};
use leno_local::mesh::LocalMesh;
use serde_json::Value;

/// A mesh and where it is written.
pub(crate) struct MeshFile {
    pub(crate) mesh: LocalMesh,
    pub(crate) path: PathBuf,
}

/// Reads the mesh from the files; exactly one of them has it.
pub(crate) fn read(files: &[PathBuf]) -> anyhow::Result<MeshFile> {
    let mut found: Option<MeshFile> = None;
    for path in files {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let name: Arc<str> = path.display().to_string().into();
        for document in yaml::documents(&name, &text) {
            let Some(root) = document.root.as_ref().filter(|root| is_mesh(root)) else { continue };
            if let Some(problem) = document.diagnostics.first() {
                bail!("{problem}");
            }
            if let Some(first) = &found {
                bail!(
                    "{}:{}: a second LocalMesh; the first is in {}. A mesh is one document",
                    path.display(),
                    root.at.line,
                    first.path.display()
                );
            }
            found = Some(MeshFile { mesh: parse(root, path)?, path: path.clone() });
        }
    }
    found.with_context(|| {
        let names: Vec<_> = files.iter().map(|path| path.display().to_string()).collect();
        format!("there is no document of `kind: LocalMesh` in {}", names.join(", "))
    })
}

fn is_mesh(root: &Node) -> bool {
    root.value("kind").and_then(Node::text) == Some("LocalMesh")
}

fn parse(root: &Node, path: &Path) -> anyhow::Result<LocalMesh> {
    let value = json(root);
    serde_path_to_error::deserialize(value).map_err(|error| {
        let line = line_of(root, error.path());
        anyhow::anyhow!("{}:{line}: {}: {}", path.display(), error.path(), error.inner())
    })
}

/// The line of the deepest node on a path that exists.
fn line_of(root: &Node, path: &serde_path_to_error::Path) -> u32 {
    use serde_path_to_error::Segment;
    let mut node = root;
    let mut line = root.at.line;
    for segment in path {
        let next = match (segment, &node.kind) {
            (Segment::Map { key }, Kind::Mapping(entries)) => {
                let entry = entries.iter().find(|entry| &*entry.key == key.as_str());
                line = entry.map_or(line, |entry| entry.at.line);
                entry.map(|entry| &entry.value)
            }
            (Segment::Seq { index }, Kind::List(items)) => {
                let item = items.get(*index);
                line = item.map_or(line, |item| item.at.line);
                item
            }
            _ => None,
        };
        match next {
            Some(next) => node = next,
            None => break,
        }
    }
    line
}

fn json(node: &Node) -> Value {
    match &node.kind {
        Kind::Null => Value::Null,
        Kind::Scalar(scalar) => match scalar.resolve() {
            Resolved::Integer(number) => number.into(),
            Resolved::Number(number) => {
                serde_json::Number::from_f64(number).map_or(Value::Null, Value::Number)
            }
            Resolved::Boolean(value) => value.into(),
            Resolved::Text(text) | Resolved::LeadingZero(text) => text.into(),
        },
        Kind::List(items) => items.iter().map(json).collect(),
        Kind::Mapping(entries) => entries
            .iter()
            .map(|entry| (entry.key.to_string(), json(&entry.value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}
