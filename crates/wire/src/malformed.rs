//! What is wrong with something received.

use std::fmt;

use crate::key::Key;

/// Content that is not what its type says, with the field at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{reason}", Field(.path))]
pub struct Malformed {
    /// Fields from the innermost out.
    path: Vec<Step>,
    reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    field: &'static str,
    index: Option<usize>,
}

impl Malformed {
    /// Wrong for this reason; fields are added by [`Malformed::in_field`].
    #[must_use]
    pub fn new(reason: impl fmt::Display) -> Self {
        Self { path: Vec::new(), reason: reason.to_string() }
    }

    /// A field that must be there is not.
    #[must_use]
    pub fn missing(field: &'static str) -> Self {
        Self::new("missing, or of a kind unknown here").in_field(field)
    }

    /// The same, inside this field.
    #[must_use]
    pub fn in_field(mut self, field: &'static str) -> Self {
        self.path.push(Step { field, index: None });
        self
    }

    /// The same, inside this element of this field.
    #[must_use]
    pub fn in_element(mut self, field: &'static str, index: usize) -> Self {
        self.path.push(Step { field, index: Some(index) });
        self
    }
}

struct Field<'a>(&'a [Step]);

impl fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().rev().enumerate() {
            let dot = if position == 0 { "" } else { "." };
            write!(f, "{dot}{}", step.field)?;
            if let Some(index) = step.index {
                write!(f, "[{index}]")?;
            }
        }
        if self.0.is_empty() { Ok(()) } else { f.write_str(": ") }
    }
}

/// A unit that a proxy does not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The unit, or what was said to be removed.
    pub key: Key,
    /// Why: a sentence that names the field.
    pub reason: String,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_is_named_from_the_outside_in() {
        let error = Malformed::new("must be below 65536").in_field("port").in_element("ports", 3);
        assert_eq!(error.to_string(), "ports[3].port: must be below 65536");
        assert_eq!(Malformed::new("not protobuf").to_string(), "not protobuf");
    }
}
