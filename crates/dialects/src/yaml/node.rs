//! The tree that a document is read into.

use std::fmt;
use std::sync::Arc;

use crate::findings::Position;

/// A value with its place.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it begins.
    pub at: Position,
    /// What it is.
    pub kind: Kind,
}

/// What a value is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Nothing: `null`, `~` or left empty.
    Null,
    /// Text, number or truth value.
    Scalar(Scalar),
    /// A list.
    List(Vec<Node>),
    /// A mapping; its keys are unique and in written order.
    Mapping(Vec<Entry>),
}

/// A scalar as written. Its `Debug` form does not show the text, which may be a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Scalar {
    /// The text, escapes and folding undone.
    pub text: Arc<str>,
    /// How it was written.
    pub style: Style,
}

/// How a scalar was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Style {
    /// Without quotes: may be a number or truth value.
    Plain,
    /// With quotes (or tagged `!!str`): text.
    Quoted,
    /// As a block (`|` or `>`): text.
    Block,
}

/// One key of a mapping with its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: Arc<str>,
    /// Where the key is.
    pub at: Position,
    /// The value.
    pub value: Node,
}

impl fmt::Debug for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scalar({:?}, {} bytes)", self.style, self.text.len())
    }
}

impl Node {
    /// The value of a key; `None` for a missing key or another kind of node.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|entry| &*entry.key == key).map(|entry| &entry.value)
    }

    /// The entries of a mapping; none for another kind of node.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Mapping(entries) => entries,
            Kind::Null | Kind::Scalar(_) | Kind::List(_) => &[],
        }
    }

    /// The text of a scalar of any style.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(scalar) => Some(&scalar.text),
            Kind::Null | Kind::List(_) | Kind::Mapping(_) => None,
        }
    }

    /// Whether it is nothing.
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Null)
    }
}
