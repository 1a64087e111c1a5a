//! The mesh file's reference, written from its types: a JSON schema for editors and a page for people.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::LocalMesh;

/// `docs/reference/local-mesh.schema.json`.
pub fn schema() -> String {
    let mut schema = schemars::schema_for!(LocalMesh);
    schema.insert("title".to_owned(), "Leno's mesh file".into());
    // The schema is made of strings, numbers and lists: there is nothing that JSON couldn't say.
    serde_json::to_string_pretty(&schema).unwrap_or_default() + "\n"
}

/// `docs/reference/mesh-file.md`.
pub fn page() -> String {
    let schema = schemars::schema_for!(LocalMesh).to_value();
    let mut page = "# The mesh file\n\nWritten from the code; don't edit.\n\n\
        What `leno up` runs: `apiVersion: leno.dev/v1alpha1`, `kind: LocalMesh`. Unknown fields are refused. Editors \
        check it with [the JSON schema](local-mesh.schema.json): begin the file with\n\
        `# yaml-language-server: $schema=PATH/local-mesh.schema.json`.\n"
        .to_owned();
    for (title, name) in SECTIONS {
        let definition = schema.pointer(&format!("/$defs/{name}"));
        let Some(definition) = definition.and_then(Value::as_object) else { continue };
        section(&mut page, title, definition);
    }
    page
}

/// Headings and the types below them.
const SECTIONS: [(&str, &str); 8] = [
    ("metadata", "Metadata"),
    ("spec", "Spec"),
    ("spec.services[]", "Service"),
    ("spec.services[].ports[]", "Port"),
    ("spec.workloads[]", "Workload"),
    ("spec.workloads[].health", "Health"),
    ("spec.workloads[].health.http", "HttpCheck"),
    ("spec.tracing", "Tracing"),
];

fn section(page: &mut String, title: &str, definition: &Map<String, Value>) {
    let text = definition.get("description").and_then(Value::as_str).unwrap_or_default();
    let _infallible =
        write!(page, "\n## `{title}`\n\n{}\n\n| field | type | meaning |\n|---|---|---|\n", line(text));
    let required: Vec<_> = strings(definition.get("required")).collect();
    for (field, property) in definition.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let text = property.get("description").and_then(Value::as_str).unwrap_or_default();
        let mark = if required.contains(&field.as_str()) { " (required)" } else { "" };
        let _infallible = writeln!(page, "| `{field}`{mark} | {} | {} |", kind(property), line(text));
    }
}

/// A property's type in a word or two.
fn kind(property: &Value) -> String {
    if let Some(reference) = property.get("$ref").and_then(Value::as_str) {
        return word(reference.rsplit('/').next().unwrap_or_default()).to_owned();
    }
    let choice = property.get("anyOf").and_then(Value::as_array).and_then(|any| any.first());
    if let Some(some) = choice {
        return kind(some);
    }
    let named = match property.get("type") {
        Some(Value::String(name)) => name.as_str(),
        // Optional: the other one is null.
        several => strings(several).next().unwrap_or("any"),
    };
    match (named, property.get("items"), property.get("additionalProperties")) {
        ("array", Some(items), _) => format!("list of {}", kind(items)),
        ("object", _, Some(values)) => format!("map to {}", kind(values)),
        (named, _, _) => named.to_owned(),
    }
}

/// How people call a type.
fn word(name: &str) -> &str {
    match name {
        "Duration" => "time span (`250ms`, `2s`, `1m30s`)",
        "Program" => "list of words, or one line for `/bin/sh -c`",
        "Publish" => "port, or `ADDRESS:PORT`",
        "Mode" => "`isolated` or `loopback`",
        "Protocol" => "`http`, `http2`, `grpc`, `tls` or `tcp`",
        "Health" | "HttpCheck" | "Tracing" => "object, see below",
        "Percent" => "number from 0 to 100",
        "TraceProtocol" => "`grpc` or `http/protobuf`",
        "TraceFormat" => "`w3c`, `b3` or `b3multi`",
        "Port" | "Service" | "Workload" => "objects, see below",
        other => other,
    }
}

fn strings(list: Option<&Value>) -> impl Iterator<Item = &str> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// A description as a table's cell holds it.
fn line(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    /// `UPDATE_DOCS=1` rewrites them.
    #[test]
    fn the_reference_is_current() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference");
        for (name, text) in [("local-mesh.schema.json", super::schema()), ("mesh-file.md", super::page())] {
            let path = folder.join(name);
            if std::env::var_os("UPDATE_DOCS").is_some() {
                fs::write(&path, &text).unwrap();
            }
            let written = fs::read_to_string(&path).unwrap_or_default();
            assert!(written == text, "{} is not current; run with UPDATE_DOCS=1", path.display());
        }
    }
}
