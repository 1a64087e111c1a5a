//! The language in which a kind's fields are written down: one table per kind, as data.
//!
//! The reader checks a document against the table before any parser sees it, so a parser can only see fields that
//! the table says are in effect; the reference page is generated from the same table.

/// One field of a kind or of a part of it.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub shape: Shape,
    /// Whether Leno acts on it.
    pub state: State,
    /// For one without effect: the value that asks for nothing, and so needs no warning; empty for none.
    pub harmless: &'static str,
}

/// Whether Leno acts on a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It does.
    InEffect,
    /// It does not; the text says what that means, as the end of the sentence "`field` has no effect: ...".
    NotInEffect(&'static str),
    /// It does not, and what the field asks for can't be left out silently: the object is refused. Parsers are told that
    /// the field is there, so that they needn't ask for another one.
    Refused {
        /// What that means, as the end of the sentence "`field`: ...".
        why: &'static str,
        /// What to do about it.
        help: &'static str,
    },
    /// It does, and there is a newer way to say it, named here.
    Deprecated(&'static str),
    /// It says nothing to a mesh (bookkeeping, status, other programs' settings), so nothing is said about it.
    Irrelevant,
}

/// What a field holds.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Text.
    Text,
    /// A text that must not be shown.
    Secret,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A duration, as Go writes it (`1h30m`, `500ms`).
    Duration,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A number or a text.
    IntOrText,
    /// Anything; not looked into.
    Any,
    /// A mapping with these fields.
    Object(&'static [Field]),
    /// A list of these.
    List(&'static Self),
    /// A mapping from names of the user's choice to these.
    Map(&'static Self),
}

impl Field {
    /// A field that is in effect.
    #[must_use]
    pub const fn new(name: &'static str, shape: Shape) -> Self {
        Self { name, shape, state: State::InEffect, harmless: "" }
    }

    /// A text.
    #[must_use]
    pub const fn text(name: &'static str) -> Self {
        Self::new(name, Shape::Text)
    }

    /// A whole number.
    #[must_use]
    pub const fn integer(name: &'static str) -> Self {
        Self::new(name, Shape::Integer)
    }

    /// `true` or `false`.
    #[must_use]
    pub const fn boolean(name: &'static str) -> Self {
        Self::new(name, Shape::Boolean)
    }

    /// A duration.
    #[must_use]
    pub const fn duration(name: &'static str) -> Self {
        Self::new(name, Shape::Duration)
    }

    /// One of some words.
    #[must_use]
    pub const fn choice(name: &'static str, words: &'static [&'static str]) -> Self {
        Self::new(name, Shape::Choice(words))
    }

    /// A mapping with fields of its own.
    #[must_use]
    pub const fn object(name: &'static str, fields: &'static [Self]) -> Self {
        Self::new(name, Shape::Object(fields))
    }

    /// A list.
    #[must_use]
    pub const fn list(name: &'static str, of: &'static Shape) -> Self {
        Self::new(name, Shape::List(of))
    }

    /// A list of texts.
    #[must_use]
    pub const fn texts(name: &'static str) -> Self {
        Self::list(name, &Shape::Text)
    }

    /// A mapping with keys of the user's choice.
    #[must_use]
    pub const fn map(name: &'static str, of: &'static Shape) -> Self {
        Self::new(name, Shape::Map(of))
    }

    /// A mapping of texts.
    #[must_use]
    pub const fn labels(name: &'static str) -> Self {
        Self::map(name, &Shape::Text)
    }

    /// Something not looked into.
    #[must_use]
    pub const fn any(name: &'static str) -> Self {
        Self::new(name, Shape::Any)
    }

    /// The same field, without effect; see [`State::NotInEffect`].
    #[must_use]
    pub const fn not_in_effect(mut self, why: &'static str) -> Self {
        self.state = State::NotInEffect(why);
        self
    }

    /// The same field, for which an object is refused; see [`State::Refused`].
    #[must_use]
    pub const fn refused(mut self, why: &'static str, help: &'static str) -> Self {
        self.state = State::Refused { why, help };
        self
    }

    /// The same field, whose value `value` asks for nothing.
    #[must_use]
    pub const fn unless(mut self, value: &'static str) -> Self {
        self.harmless = value;
        self
    }

    /// The same field, in effect, with a newer way to say it.
    #[must_use]
    pub const fn deprecated(mut self, instead: &'static str) -> Self {
        self.state = State::Deprecated(instead);
        self
    }

    /// The same field, saying nothing to a mesh.
    #[must_use]
    pub const fn irrelevant(mut self) -> Self {
        self.state = State::Irrelevant;
        self
    }
}

impl Shape {
    /// The word for it in messages and on the reference page.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Text | Self::Secret => "text",
            Self::Integer => "whole number",
            Self::Number => "number",
            Self::Boolean => "true or false",
            Self::Duration => "duration",
            Self::Choice(_) => "one of some words",
            Self::IntOrText => "number or text",
            Self::Any => "anything",
            Self::Object(_) => "mapping",
            Self::List(_) => "list",
            Self::Map(_) => "mapping of names",
        }
    }
}

/// Of `names`, the one that `given` is most likely a misspelling of; `None` when none is near.
#[must_use]
pub fn nearest<'n>(given: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let given = given.to_ascii_lowercase();
    if given.len() > 64 {
        return None;
    }
    names
        .into_iter()
        .map(|name| {
            let lower = name.to_ascii_lowercase();
            let (given, lower) = differing(&given, &lower);
            // Singular for plural and the like.
            let longer = given.len() > 3 && (lower.starts_with(given) || given.starts_with(lower));
            let distance = distance(given, lower);
            let near = longer || distance <= 1.max(lower.len().min(given.len()) / 3);
            (near, if longer { 1 } else { distance }, distance, name)
        })
        .filter(|(near, ..)| *near)
        .min()
        .map(|(.., name)| name)
}

/// What is left of two names without the namespace (`default/`) or domain (`.svc.cluster.local`) that they share, which
/// says nothing about whether one is a misspelling of the other.
fn differing<'n>(mut a: &'n str, mut b: &'n str) -> (&'n str, &'n str) {
    while let (Some((first, rest)), Some((other, others))) = (a.split_once('/'), b.split_once('/'))
        && first == other
    {
        (a, b) = (rest, others);
    }
    while let (Some((rest, last)), Some((others, other))) = (a.rsplit_once('.'), b.rsplit_once('.'))
        && last == other
    {
        (a, b) = (rest, others);
    }
    (a, b)
}

/// Edits (insert, delete, replace, swap of neighbours) that turn one word into the other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let width = b.len() + 1;
    let mut rows = vec![0_usize; width * (a.len() + 1)];
    let at = |rows: &[usize], i: usize, j: usize| rows.get(i * width + j).copied().unwrap_or_default();
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            let edits = if i == 0 || j == 0 {
                i + j
            } else {
                let same = usize::from(a.get(i - 1) != b.get(j - 1));
                let swapped = i > 1 && j > 1 && a.get(i - 1) == b.get(j - 2) && a.get(i - 2) == b.get(j - 1);
                let edits = (at(&rows, i - 1, j) + 1)
                    .min(at(&rows, i, j - 1) + 1)
                    .min(at(&rows, i - 1, j - 1) + same);
                if swapped { edits.min(at(&rows, i - 2, j - 2) + 1) } else { edits }
            };
            if let Some(cell) = rows.get_mut(i * width + j) {
                *cell = edits;
            }
        }
    }
    at(&rows, a.len(), b.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found() {
        let names = ["hosts", "gateways", "http", "exportTo"];
        for (given, expected) in [
            ("host", Some("hosts")),
            ("htpp", Some("http")),
            ("HTTP", Some("http")),
            ("exporTo", Some("exportTo")),
            ("gatewasy", Some("gateways")),
            ("gate", Some("gateways")),
            ("htt", Some("http")),
            ("ports", None),
            ("retries", None),
            ("", None),
        ] {
            assert_eq!(nearest(given, names), expected, "{given}");
        }
        assert_eq!(nearest("ServiceAcount", ["Service", "ServiceAccount"]), Some("ServiceAccount"));
        let names = ["beside.default.svc.cluster.local", "default/web"];
        assert_eq!(nearest("nobody.default.svc.cluster.local", names), None);
        assert_eq!(nearest("besides.default.svc.cluster.local", names), Some(names[0]));
        assert_eq!(nearest("default/wep", names), Some(names[1]));
        assert_eq!(nearest("default/dbs", names), None);
    }
}
