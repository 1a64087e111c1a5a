//! A mapping that is read against its table.
//!
//! Opening it ([`Value::fields`]) compares it with the table at once: unknown fields, fields without effect and
//! deprecated ones are told, and only fields in effect are handed out. Closing it ([`Fields::finish`]) tells of
//! fields that the parser forgot, so that nothing is dropped in silence. `null` counts as absent, as in Kubernetes.

use std::cell::Cell;
use std::fmt;
use std::time::Duration;

use leno_model::labels::Labels;

use super::node::{Entry, Kind, Node};
use super::path::{Path, shown};
use super::value::Value;
use crate::codes::{self, Code};
use crate::findings::{Findings, Position};
use crate::table::{Field, Shape, State, nearest};

/// An opened mapping, of which a parser takes field by field.
#[derive(Debug)]
pub struct Fields<'a> {
    given: Vec<Given<'a>>,
    at: Position,
    path: Path,
    findings: &'a Findings,
}

#[derive(Debug)]
struct Given<'a> {
    entry: &'a Entry,
    field: &'static Field,
    taken: Cell<bool>,
}

impl<'a> Fields<'a> {
    pub(super) fn open(value: &Value<'a>, table: &'static [Field], entries: &'a [Entry]) -> Self {
        let mut given = Vec::new();
        check(value.findings, &value.path, table, entries, &mut |entry, field| {
            given.push(Given { entry, field, taken: Cell::new(false) });
        });
        Self { given, at: value.node.at, path: value.path.clone(), findings: value.findings }
    }

    /// Where the mapping begins.
    #[must_use]
    pub const fn at(&self) -> Position {
        self.at
    }

    /// Its path in the object.
    #[must_use]
    pub const fn path(&self) -> &Path {
        &self.path
    }

    /// The findings that it reports to.
    #[must_use]
    pub const fn findings(&self) -> &'a Findings {
        self.findings
    }

    /// A field's value; `None` if it is absent or null.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<Value<'a>> {
        let given = self.given.iter().find(|given| &*given.entry.key == name)?;
        given.taken.set(true);
        let value = Value {
            node: &given.entry.value,
            shape: &given.field.shape,
            path: self.path.field(name),
            findings: self.findings,
        };
        (!value.node.is_null()).then_some(value)
    }

    /// Whether a field is given, without reading it.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.given.iter().any(|given| &*given.entry.key == name && !given.entry.value.is_null())
    }

    /// A field's value; its absence is told.
    #[must_use]
    pub fn required(&self, name: &str) -> Option<Value<'a>> {
        let value = self.value(name);
        if value.is_none() {
            let message = format_args!("{} is missing", self.path.field(name));
            self.findings.report(codes::REQUIRED, self.at, message);
        }
        value
    }

    /// A field's text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.value(name)?.text()
    }

    /// A field's port.
    #[must_use]
    pub fn port(&self, name: &str) -> Option<u16> {
        self.value(name)?.port()
    }

    /// A field's truth value.
    #[must_use]
    pub fn boolean(&self, name: &str) -> Option<bool> {
        self.value(name)?.boolean()
    }

    /// A field's duration.
    #[must_use]
    pub fn duration(&self, name: &str) -> Option<Duration> {
        self.value(name)?.duration()
    }

    /// A field's word.
    #[must_use]
    pub fn choice(&self, name: &str) -> Option<&'static str> {
        self.value(name)?.choice()
    }

    /// A field's items; none if it is absent.
    #[must_use]
    pub fn items(&self, name: &str) -> Vec<Value<'a>> {
        self.value(name).map(|value| value.items()).unwrap_or_default()
    }

    /// A field's texts; none if it is absent.
    #[must_use]
    pub fn texts(&self, name: &str) -> Vec<&'a str> {
        self.value(name).map(|value| value.texts()).unwrap_or_default()
    }

    /// A field's labels; none if it is absent.
    #[must_use]
    pub fn labels(&self, name: &str) -> Labels {
        self.value(name).map(|value| value.labels()).unwrap_or_default()
    }

    /// A field's own fields.
    #[must_use]
    pub fn object(&self, name: &str) -> Option<Self> {
        self.value(name)?.fields()
    }

    /// Tells something about the whole.
    pub fn report_with(&self, code: &Code, message: impl fmt::Display, hint: impl Into<String>) {
        self.findings.report_with(code, self.at, message, hint);
    }

    /// Tells that at most one of these fields may be given, if more are.
    pub fn at_most_one(&self, names: &[&str]) {
        let given: Vec<&str> = names.iter().copied().filter(|name| self.has(name)).collect();
        if given.len() > 1 {
            let message = format_args!("{}: only one of {} may be given", self.path, given.join(", "));
            self.findings.report_with(codes::INVALID_VALUE, self.at, message, "keep one of them");
        }
    }

    /// Tells of fields in effect that were not taken. A parser may stop at an error, so nothing is told after one.
    pub fn finish(self) {
        if self.findings.errors() > 0 {
            return;
        }
        for given in &self.given {
            if !given.taken.get() {
                let path = self.path.field(&given.entry.key);
                self.findings.report(
                    codes::UNREAD_FIELD,
                    given.entry.at,
                    format_args!("{path} was not read"),
                );
            }
        }
    }
}

/// Compares a mapping with its table, and hands out the fields in effect.
fn check<'a>(
    findings: &Findings,
    path: &Path,
    table: &'static [Field],
    entries: &'a [Entry],
    in_effect: &mut dyn FnMut(&'a Entry, &'static Field),
) {
    for entry in entries {
        let path = path.field(&shown(&entry.key));
        let Some(field) = table.iter().find(|field| field.name == &*entry.key) else {
            unknown(findings, &path, table, entry);
            continue;
        };
        match field.state {
            State::Irrelevant => {}
            State::InEffect => in_effect(entry, field),
            State::Deprecated(instead) => {
                let message = format_args!("{path} is deprecated");
                findings.report_with(codes::DEPRECATED, entry.at, message, format!("use {instead}"));
                in_effect(entry, field);
            }
            State::Refused { why, help } => {
                if !entry.value.is_null() {
                    let message = format_args!("{path}: {why}");
                    findings.report_with(codes::UNSUPPORTED, entry.value.at, message, help);
                    check_below(findings, &path, &field.shape, &entry.value);
                }
                in_effect(entry, field);
            }
            State::NotInEffect(_) if entry.value.is_null() || is_harmless(field, &entry.value) => {}
            State::NotInEffect(why) => {
                findings.report(codes::NOT_IN_EFFECT, entry.at, format_args!("{path} has no effect: {why}"));
                check_below(findings, &path, &field.shape, &entry.value);
            }
        }
    }
}

fn is_harmless(field: &Field, value: &Node) -> bool {
    !field.harmless.is_empty() && value.text() == Some(field.harmless)
}

/// Tells of unknown fields inside of one that has no effect; nothing more is said about its parts.
fn check_below(findings: &Findings, path: &Path, shape: &'static Shape, node: &Node) {
    match (shape, &node.kind) {
        (Shape::Object(table), Kind::Mapping(entries)) => {
            for entry in entries {
                let path = path.field(&shown(&entry.key));
                match table.iter().find(|field| field.name == &*entry.key) {
                    Some(field) => check_below(findings, &path, &field.shape, &entry.value),
                    None => unknown(findings, &path, table, entry),
                }
            }
        }
        (Shape::List(item), Kind::List(nodes)) => {
            for (index, node) in nodes.iter().enumerate() {
                check_below(findings, &path.item(index), item, node);
            }
        }
        (Shape::Map(value), Kind::Mapping(entries)) => {
            for entry in entries {
                check_below(findings, &path.key(&entry.key), value, &entry.value);
            }
        }
        _ => {}
    }
}

fn unknown(findings: &Findings, path: &Path, table: &'static [Field], entry: &Entry) {
    let message = format!("{path} is not a known field");
    let names = table.iter().filter(|_| !findings.is_full()).map(|field| field.name);
    let hint = match nearest(&entry.key, names) {
        Some(name) => format!("did you mean {name}?"),
        None => format!("remove it; fields here are {}", some_names(table)),
    };
    findings.report_with(codes::UNKNOWN_FIELD, entry.at, message, hint);
}

/// The first names of a table, for hints.
pub(super) fn some_names(table: &[Field]) -> String {
    const SHOWN: usize = 12;
    let known = table.iter().filter(|field| field.state != State::Irrelevant);
    let names: Vec<&str> = known.map(|field| field.name).take(SHOWN + 1).collect();
    match names.get(..SHOWN) {
        Some(first) if names.len() > SHOWN => format!("{}, ...", first.join(", ")),
        _ => names.join(", "),
    }
}
