//! Reading a tree against a table: what a parser asks for and does not find right becomes a finding.
//!
//! Opening a mapping ([`Value::fields`]) compares it with its table at once: unknown fields, fields without effect
//! and deprecated ones are told, and only fields in effect are handed out. Closing it ([`Fields::finish`]) tells of
//! fields that the parser forgot, so that nothing is dropped in silence. `null` counts as absent, as in Kubernetes.

use std::cell::Cell;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use leno_model::labels::Labels;

use super::node::{Entry, Kind, Node, Scalar};
use super::scalar::{Resolved, parse_duration};
use crate::codes::{self, Code};
use crate::findings::{Findings, Position};
use crate::limits::{MAX_ITEMS, MAX_SHOWN};
use crate::table::{Field, Shape, State, nearest};

/// Where in an object a value is: `spec.http[0].match`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(String);

impl Path {
    /// The path of a field below.
    #[must_use]
    pub fn field(&self, name: &str) -> Self {
        if self.0.is_empty() { Self(name.to_owned()) } else { Self(format!("{}.{name}", self.0)) }
    }

    /// The path of a list's item.
    #[must_use]
    pub fn item(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// The path of a map's value.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        Self(format!("{}[{}]", self.0, shown(key)))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "the document" } else { &self.0 })
    }
}

/// A value that is being read. Each accessor gives `None` after telling what is wrong.
#[derive(Clone, Debug)]
pub struct Value<'a> {
    node: &'a Node,
    shape: &'static Shape,
    path: Path,
    findings: &'a Findings,
}

impl<'a> Value<'a> {
    /// A whole document, to be read against `shape`.
    #[must_use]
    pub fn new(node: &'a Node, shape: &'static Shape, findings: &'a Findings) -> Self {
        Self { node, shape, path: Path::default(), findings }
    }

    /// The tree.
    #[must_use]
    pub const fn node(&self) -> &'a Node {
        self.node
    }

    /// Where the value begins.
    #[must_use]
    pub const fn at(&self) -> Position {
        self.node.at
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

    /// The value as messages show it: shortened, and never a secret's.
    #[must_use]
    pub fn shown(&self) -> String {
        match (&self.node.kind, self.shape) {
            (Kind::Null, _) => "nothing".to_owned(),
            (Kind::Scalar(_), Shape::Secret) => "the value".to_owned(),
            (Kind::Scalar(scalar), _) => format!("`{}`", shown(&scalar.text)),
            (Kind::List(_), _) => "a list".to_owned(),
            (Kind::Mapping(_), _) => "a mapping".to_owned(),
        }
    }

    /// Tells that the value is not valid: "`path`: `value` <why>", with what to do about it.
    pub fn invalid(&self, why: impl fmt::Display, hint: impl Into<String>) {
        if self.node.text().is_some() {
            self.report_with(codes::INVALID_VALUE, format_args!("{} {why}", self.shown()), hint);
        } else {
            self.report_with(codes::INVALID_VALUE, why, hint);
        }
    }

    /// Tells something about the value: "`path`: <message>", with the code's own help.
    pub fn report(&self, code: &Code, message: impl fmt::Display) {
        self.findings.report(code, self.at(), format_args!("{}: {message}", self.path));
    }

    /// Tells something about the value: "`path`: <message>", with what to do about it.
    pub fn report_with(&self, code: &Code, message: impl fmt::Display, hint: impl Into<String>) {
        self.findings.report_with(code, self.at(), format_args!("{}: {message}", self.path), hint);
    }

    fn wrong_type(&self, wanted: &str, hint: impl Into<String>) {
        self.report_with(codes::WRONG_TYPE, format_args!("{} is not {wanted}", self.shown()), hint);
    }

    fn scalar(&self, wanted: &str) -> Option<&'a Scalar> {
        if let Kind::Scalar(scalar) = &self.node.kind {
            return Some(scalar);
        }
        self.wrong_type(wanted, format!("write {wanted}"));
        None
    }

    /// A text. Unquoted numbers and truth values are refused, as Kubernetes refuses them.
    #[must_use]
    pub fn text(&self) -> Option<&'a str> {
        let scalar = self.scalar("a text")?;
        match scalar.resolve() {
            Resolved::Text(text) => {
                if scalar.is_old_boolean() {
                    let message = format_args!(
                        "the unquoted {} is a text here, but true or false to kubectl",
                        self.shown()
                    );
                    self.report_with(codes::AMBIGUOUS, message, format!("write \"{text}\""));
                }
                Some(text)
            }
            Resolved::Integer(_) | Resolved::Number(_) | Resolved::Boolean(_) | Resolved::LeadingZero(_) => {
                let hint = match self.shape {
                    Shape::Secret => "put it in quotes".to_owned(),
                    _ => format!("put it in quotes: \"{}\"", shown(&scalar.text)),
                };
                self.wrong_type("a text", hint);
                None
            }
        }
    }

    /// A text, where an unquoted number or truth value is as good (Leno's own kinds).
    #[must_use]
    pub fn any_text(&self) -> Option<&'a str> {
        Some(&self.scalar("a text")?.text)
    }

    /// A text that parses.
    #[must_use]
    pub fn parse<T: FromStr<Err: fmt::Display>>(&self) -> Option<T> {
        match self.text()?.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.report(codes::INVALID_VALUE, format_args!("{}: {error}", self.shown()));
                None
            }
        }
    }

    /// A whole number from `low` to `high`.
    #[must_use]
    pub fn integer(&self, low: i64, high: i64) -> Option<i64> {
        let scalar = self.scalar("a whole number")?;
        match scalar.resolve() {
            Resolved::Integer(number) if (low..=high).contains(&number) => Some(number),
            Resolved::Integer(_) => {
                self.invalid(
                    format_args!("is not between {low} and {high}"),
                    "choose a number within the range",
                );
                None
            }
            Resolved::LeadingZero(_) => {
                self.wrong_type(
                    "a whole number that all readers agree on",
                    "write it without the leading zero",
                );
                None
            }
            Resolved::Text(text) if text.parse::<i64>().is_ok() => {
                self.wrong_type("a whole number but a quoted text", "remove the quotes");
                None
            }
            Resolved::Text(_) | Resolved::Number(_) | Resolved::Boolean(_) => {
                self.wrong_type("a whole number", format!("write a number between {low} and {high}"));
                None
            }
        }
    }

    /// A whole number of 32 bits without sign.
    #[must_use]
    pub fn unsigned(&self) -> Option<u32> {
        self.integer(0, i64::from(u32::MAX)).and_then(|number| u32::try_from(number).ok())
    }

    /// A port, 1 to 65535.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.integer(1, 65_535).and_then(|number| u16::try_from(number).ok())
    }

    /// A number.
    #[must_use]
    pub fn number(&self) -> Option<f64> {
        match self.scalar("a number")?.resolve() {
            Resolved::Integer(number) => i32::try_from(number).ok().map(f64::from).or(Some(f64::MAX)),
            Resolved::Number(number) => Some(number),
            Resolved::Text(_) | Resolved::Boolean(_) | Resolved::LeadingZero(_) => {
                self.wrong_type("a number", "write a number without quotes");
                None
            }
        }
    }

    /// `true` or `false`.
    #[must_use]
    pub fn boolean(&self) -> Option<bool> {
        let scalar = self.scalar("true or false")?;
        match scalar.resolve() {
            Resolved::Boolean(value) => Some(value),
            Resolved::Text(_) | Resolved::Integer(_) | Resolved::Number(_) | Resolved::LeadingZero(_) => {
                self.wrong_type("true or false", "write true or false, without quotes");
                None
            }
        }
    }

    /// A duration in Go's notation.
    #[must_use]
    pub fn duration(&self) -> Option<Duration> {
        let scalar = self.scalar("a duration")?;
        let duration = parse_duration(&scalar.text);
        if duration.is_none() {
            self.invalid("is not a duration", "write numbers with their units, such as 500ms, 5s or 1h30m");
        }
        duration
    }

    /// One of the words that the table allows here, as the table spells it.
    #[must_use]
    pub fn choice(&self) -> Option<&'static str> {
        let Shape::Choice(words) = self.shape else {
            return None;
        };
        let text = self.text()?;
        let found = words.iter().find(|word| **word == text).copied();
        if found.is_none() {
            let hint = match nearest(text, words.iter().copied()) {
                Some(word) => format!("did you mean {word}?"),
                None => format!("choose one of {}", words.join(", ")),
            };
            self.invalid("is not among the words that may stand here", hint);
        }
        found
    }

    /// The items of a list.
    #[must_use]
    pub fn items(&self) -> Vec<Self> {
        let item = match self.shape {
            Shape::List(item) => item,
            _ => &Shape::Any,
        };
        match &self.node.kind {
            Kind::List(items) => self
                .limited(items)
                .iter()
                .enumerate()
                .map(|(index, node)| Self { node, shape: item, path: self.path.item(index), ..*self })
                .collect(),
            Kind::Null => Vec::new(),
            Kind::Scalar(_) | Kind::Mapping(_) => {
                self.wrong_type("a list", "write each item on a line of its own, after a dash");
                Vec::new()
            }
        }
    }

    /// As many as there may be; more are told.
    fn limited<T>(&self, list: &'a [T]) -> &'a [T] {
        let Some((allowed, _)) = list.split_at_checked(MAX_ITEMS).filter(|(_, rest)| !rest.is_empty()) else {
            return list;
        };
        let message = format_args!("has {} items, and {MAX_ITEMS} are allowed", list.len());
        self.report_with(codes::LIMIT, message, "divide the object");
        allowed
    }

    /// The texts of a list; those that are not texts are told and left out.
    #[must_use]
    pub fn texts(&self) -> Vec<&'a str> {
        self.items().iter().filter_map(Self::text).collect()
    }

    /// The keys and values of a mapping of the user's own names.
    #[must_use]
    pub fn entries(&self) -> Vec<(&'a Entry, Self)> {
        let value = match self.shape {
            Shape::Map(value) => value,
            _ => &Shape::Any,
        };
        match &self.node.kind {
            Kind::Mapping(entries) => self
                .limited(entries)
                .iter()
                .map(|entry| {
                    let path = self.path.key(&entry.key);
                    (entry, Self { node: &entry.value, shape: value, path, ..*self })
                })
                .collect(),
            Kind::Null => Vec::new(),
            Kind::Scalar(_) | Kind::List(_) => {
                self.wrong_type("a mapping", "write name: value pairs");
                Vec::new()
            }
        }
    }

    /// A mapping of texts; pairs that are wrong are told and left out.
    #[must_use]
    pub fn labels(&self) -> Labels {
        let pair = |(entry, value): (&'a Entry, Self)| -> Option<(Arc<str>, Arc<str>)> {
            Some((entry.key.clone(), value.text()?.into()))
        };
        Labels(self.entries().into_iter().filter_map(pair).collect())
    }

    /// Opens a mapping with the fields of its table.
    #[must_use]
    pub fn fields(&self) -> Option<Fields<'a>> {
        let Shape::Object(table) = self.shape else {
            return None;
        };
        match &self.node.kind {
            Kind::Mapping(entries) => Some(Fields::open(self, table, entries)),
            Kind::Null | Kind::Scalar(_) | Kind::List(_) => {
                self.wrong_type("a mapping", format!("write fields such as {}", some_names(table)));
                None
            }
        }
    }
}

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
    fn open(value: &Value<'a>, table: &'static [Field], entries: &'a [Entry]) -> Self {
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

fn some_names(table: &[Field]) -> String {
    const SHOWN: usize = 12;
    let known = table.iter().filter(|field| field.state != State::Irrelevant);
    let names: Vec<&str> = known.map(|field| field.name).take(SHOWN + 1).collect();
    match names.get(..SHOWN) {
        Some(first) if names.len() > SHOWN => format!("{}, ...", first.join(", ")),
        _ => names.join(", "),
    }
}

/// A text as messages show it: one line of bounded length, without control characters.
fn shown(text: &str) -> String {
    let mut result: String =
        text.chars().take(MAX_SHOWN).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(MAX_SHOWN).is_some() {
        result.push_str("...");
    }
    result
}
