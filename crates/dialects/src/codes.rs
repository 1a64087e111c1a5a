//! The codes of all findings: stable, each with a name, a meaning and a sentence of help.
//!
//! A code is never given a second meaning and never reused. Where Istio's analyzer has the same finding its code is
//! used. `docs/reference/diagnostics.md` is generated from this table.

use leno_model::span::Severity;

/// One kind of finding.
#[derive(Debug, PartialEq, Eq)]
pub struct Code {
    /// The stable code, such as `LENO0023`.
    pub code: &'static str,
    /// A short name.
    pub name: &'static str,
    /// What it does to the object that it is about.
    pub effect: Effect,
    /// What it means.
    pub meaning: &'static str,
    /// What to do about it; the hint of findings that have no better one. Empty where the message says it all.
    pub help: &'static str,
}

/// What a finding does to the object that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// An error: the object is refused.
    Refuses,
    /// A warning: the object is in effect, but differently from what its own system would do.
    Approximates,
    /// A warning that changes nothing.
    Warns,
    /// Worth knowing.
    Informs,
}

impl Code {
    /// How much the finding matters.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        match self.effect {
            Effect::Refuses => Severity::Error,
            Effect::Approximates | Effect::Warns => Severity::Warning,
            Effect::Informs => Severity::Info,
        }
    }
}

macro_rules! codes {
    ($($name:ident = $code:literal, $effect:ident, $meaning:literal, $help:literal;)*) => {
        $(#[doc = $meaning] pub const $name: &Code = &Code {
            code: $code,
            name: stringify!($name),
            effect: Effect::$effect,
            meaning: $meaning,
            help: $help,
        };)*

        /// Every code, in the table's order.
        pub const ALL: &[&Code] = &[$($name,)*];
    };
}

codes! {
    SYNTAX = "LENO0001", Refuses, "The text is not well-formed YAML.",
        "see the place named; indentation and quotes are the usual causes";
    DUPLICATE_KEY = "LENO0002", Refuses, "A mapping has the same key twice.",
        "remove one of the two";
    LIMIT = "LENO0003", Refuses, "A limit of size, depth or number is exceeded.",
        "divide the document";
    TAG = "LENO0004", Refuses, "A YAML tag outside the core schema is used.",
        "remove the tag";
    KEY = "LENO0005", Refuses, "A mapping's key is not a text.",
        "write the key as a plain or quoted text";
    AMBIGUOUS = "LENO0006", Warns, "An unquoted word means different things to different YAML readers.",
        "quote it, or write true or false";
    WRONG_TYPE = "LENO0020", Refuses, "A value is not of the type that its field has.", "";
    REQUIRED = "LENO0021", Refuses, "A required field is missing.", "add it";
    INVALID_VALUE = "LENO0022", Refuses, "A value is not valid for its field.", "";
    UNKNOWN_FIELD = "LENO0023", Refuses, "The kind has no field of this name.", "remove it";
    NOT_IN_EFFECT = "LENO0024", Approximates, "The field is known and has no effect in Leno yet.", "";
    UNREAD_FIELD = "LENO0025", Refuses, "The field is known here but was not looked at: a bug in Leno.",
        "please report it";
    ENVELOPE = "LENO0030", Refuses, "A document is not a Kubernetes-style object.",
        "an object has apiVersion, kind and metadata.name";
    UNKNOWN_KIND = "LENO0031", Refuses, "No API known here has this kind.", "";
    UNKNOWN_VERSION = "LENO0032", Refuses, "The kind has no such API version.", "";
    UNSUPPORTED_KIND = "LENO0033", Refuses, "The kind is known, but Leno does not act on it yet.", "";
    NOT_FOR_THE_MESH = "LENO0034", Informs, "The kind says nothing to a mesh; the object is left to others.", "";
    NAME = "LENO0035", Refuses, "An object's name or namespace is not valid.",
        "use lower-case letters, digits, '-' and '.', beginning and ending with a letter or digit";
    DUPLICATE_OBJECT = "LENO0036", Refuses, "The same object is written down twice.",
        "remove or rename one of the two";
    DEPRECATED = "IST0002", Warns, "The field is deprecated.", "";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_unique_and_well_formed() {
        let mut seen = BTreeSet::new();
        for code in ALL {
            let digits = code.code.strip_prefix("LENO").or_else(|| code.code.strip_prefix("IST")).unwrap();
            assert!(digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit()), "{}", code.code);
            assert!(seen.insert(code.code), "{} is used twice", code.code);
            assert!(code.meaning.ends_with('.') && !code.help.ends_with('.'), "{}", code.code);
        }
    }
}
