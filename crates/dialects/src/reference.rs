//! The reference pages, written from the tables that the readers use.

use std::fmt::Write as _;

use crate::codes::{self, Code, Effect};
use crate::kinds::{Kind, SUPPORTED};
use crate::table::{Field, Shape, State};

/// `docs/reference/fields.md`: every field of every kind, and whether it is in effect.
#[must_use]
pub fn fields_page() -> String {
    let mut page = String::from(
        "# Fields\n\nEvery field of every kind that Leno reads, and whether it is in effect. A field that is not \
         listed is an error.\n`[]` is each item of a list, `{}` each value of a mapping. Durations are written as \
         in Go: `500ms`, `1h30m`.\n\nThis page is generated from the tables that the readers use.\n",
    );
    for kind in SUPPORTED {
        write_kind(&mut page, kind);
    }
    page
}

fn write_kind(page: &mut String, kind: &Kind) {
    push(page, format_args!("\n## {}\n\n", kind.name));
    let versions: Vec<String> = kind.versions.iter().map(|version| api_version(kind, version)).collect();
    push(page, format_args!("`apiVersion`: {}\n\n", versions.join(", ")));
    let mut rows = String::new();
    let mut irrelevant = Vec::new();
    for field in
        kind.fields().iter().filter(|field| !matches!(field.name, "apiVersion" | "kind" | "metadata"))
    {
        write_field(&mut rows, "", field, None, &mut irrelevant);
    }
    push(page, format_args!("| field | holds | in effect |\n|---|---|---|\n{rows}"));
    for annotation in kind.annotations {
        let state = state(annotation, None);
        push(
            page,
            format_args!("| annotation `{}` | {} | {state} |\n", annotation.name, holds(&annotation.shape)),
        );
    }
    if !irrelevant.is_empty() {
        push(page, format_args!("\nWithout meaning to a mesh: {}.\n", irrelevant.join(", ")));
    }
}

fn api_version(kind: &Kind, version: &str) -> String {
    if kind.group.is_empty() { format!("`{version}`") } else { format!("`{}/{version}`", kind.group) }
}

fn write_field(
    page: &mut String,
    path: &str,
    field: &Field,
    outer: Option<&'static str>,
    irrelevant: &mut Vec<String>,
) {
    let path = if path.is_empty() { field.name.to_owned() } else { format!("{path}.{}", field.name) };
    if field.state == State::Irrelevant {
        irrelevant.push(format!("`{path}`"));
        return;
    }
    push(page, format_args!("| `{path}` | {} | {} |\n", holds(&field.shape), state(field, outer)));
    let why = match field.state {
        State::NotInEffect(why) | State::Refused { why, .. } => Some(why),
        State::InEffect | State::Deprecated(_) | State::Irrelevant => outer,
    };
    write_below(page, &path, &field.shape, why, irrelevant);
}

fn write_below(
    page: &mut String,
    path: &str,
    shape: &Shape,
    outer: Option<&'static str>,
    irrelevant: &mut Vec<String>,
) {
    match shape {
        Shape::Object(fields) => {
            fields.iter().for_each(|field| write_field(page, path, field, outer, irrelevant));
        }
        Shape::List(item) => write_below(page, &format!("{path}[]"), item, outer, irrelevant),
        Shape::Map(value) => write_below(page, &format!("{path}{{}}"), value, outer, irrelevant),
        _ => {}
    }
}

fn state(field: &Field, outer: Option<&'static str>) -> String {
    match (field.state, outer) {
        (State::NotInEffect(why), _) if field.harmless.is_empty() => format!("no: {why}"),
        (State::NotInEffect(why), _) => format!("no, except `{}`: {why}", field.harmless),
        (State::Refused { why, .. }, _) => format!("no, the object is refused: {why}"),
        (_, Some(_)) => "no, like what it belongs to".to_owned(),
        (State::Deprecated(instead), _) => format!("yes; deprecated, use {instead}"),
        (State::InEffect | State::Irrelevant, _) => "yes".to_owned(),
    }
}

fn holds(shape: &Shape) -> String {
    match shape {
        Shape::Choice(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        Shape::List(item) => match item {
            Shape::Object(_) => "list of mappings".to_owned(),
            item => format!("list: {}", holds(item)),
        },
        Shape::Map(value) => match value {
            Shape::Object(_) => "mappings by name".to_owned(),
            value => format!("by name: {}", holds(value)),
        },
        shape => shape.word().to_owned(),
    }
}

/// `docs/reference/diagnostics.md`: every code.
#[must_use]
pub fn diagnostics_page() -> String {
    let mut page = String::from(
        "# Diagnostics\n\nEvery finding about configuration has a stable code. `IST` codes are those of Istio's \
         analyzer, where the finding\nis the same. A *refused* object is not in effect; its last good version goes \
         on counting. An *approximated* one is in\neffect with a difference that the finding names.\n\nThis page is \
         generated from the table of codes.\n\n| code | level | meaning | what to do |\n|---|---|---|---|\n",
    );
    let mut sorted: Vec<&&Code> = codes::ALL.iter().collect();
    // LENO before IST, each by number.
    sorted.sort_by_key(|code| (code.code.starts_with("IST"), code.code));
    for code in sorted {
        let level = match code.effect {
            Effect::Refuses => "error: refused",
            Effect::Approximates => "warning: approximated",
            Effect::Warns => "warning",
            Effect::Informs => "info",
        };
        let help = if code.help.is_empty() { "see the message" } else { code.help };
        push(&mut page, format_args!("| `{}` | {level} | {} | {help} |\n", code.code, code.meaning));
    }
    page
}

fn push(page: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a `String` cannot fail.
    let _infallible = page.write_fmt(text);
}
