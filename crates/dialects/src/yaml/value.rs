//! One value: each accessor tells what is wrong with it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use leno_model::labels::Labels;

use super::fields::{Fields, some_names};
use super::node::{Entry, Kind, Node, Scalar};
use super::path::{Path, shown};
use super::scalar::{Resolved, parse_duration};
use crate::codes::{self, Code};
use crate::findings::{Findings, Position};
use crate::limits::MAX_ITEMS;
use crate::table::{Shape, nearest};

/// A value that is being read. Each accessor gives `None` after telling what is wrong.
#[derive(Clone, Debug)]
pub struct Value<'a> {
    pub(super) node: &'a Node,
    pub(super) shape: &'static Shape,
    pub(super) path: Path,
    pub(super) findings: &'a Findings,
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

    /// Tells that the value is not valid: path, value and why, with what to do about it.
    pub fn invalid(&self, why: impl fmt::Display, hint: impl Into<String>) {
        if self.node.text().is_some() {
            self.report_with(codes::INVALID_VALUE, format_args!("{} {why}", self.shown()), hint);
        } else {
            self.report_with(codes::INVALID_VALUE, why, hint);
        }
    }

    /// Tells something about the value: path and message, with the code's own help.
    pub fn report(&self, code: &Code, message: impl fmt::Display) {
        self.findings.report(code, self.at(), format_args!("{}: {message}", self.path));
    }

    /// Tells something about the value: path and message, with what to do about it.
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
