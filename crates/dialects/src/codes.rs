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
    /// How much it matters.
    pub severity: Severity,
    /// What it means.
    pub meaning: &'static str,
    /// What to do about it; the hint of findings that have no better one. Empty where the message says it all.
    pub help: &'static str,
}

macro_rules! codes {
    ($($name:ident = $code:literal, $severity:ident, $meaning:literal, $help:literal;)*) => {
        $(#[doc = $meaning] pub const $name: &Code = &Code {
            code: $code,
            name: stringify!($name),
            severity: Severity::$severity,
            meaning: $meaning,
            help: $help,
        };)*

        /// Every code, in the table's order.
        pub const ALL: &[&Code] = &[$($name,)*];
    };
}

codes! {
    SYNTAX = "LENO0001", Error, "The text is not well-formed YAML.",
        "see the place named; indentation and quotes are the usual causes";
    DUPLICATE_KEY = "LENO0002", Error, "A mapping has the same key twice.",
        "remove one of the two";
    LIMIT = "LENO0003", Error, "A limit of size, depth or number is exceeded.",
        "divide the document";
    TAG = "LENO0004", Error, "A YAML tag outside the core schema is used.",
        "remove the tag";
    KEY = "LENO0005", Error, "A mapping's key is not a text.",
        "write the key as a plain or quoted text";
    AMBIGUOUS = "LENO0006", Warning, "An unquoted word means different things to different YAML readers.",
        "quote it, or write true or false";
    WRONG_TYPE = "LENO0020", Error, "A value is not of the type that its field has.", "";
    REQUIRED = "LENO0021", Error, "A required field is missing.", "add it";
    INVALID_VALUE = "LENO0022", Error, "A value is not valid for its field.", "";
    UNKNOWN_FIELD = "LENO0023", Error, "The kind has no field of this name.", "remove it";
    NOT_IN_EFFECT = "LENO0024", Warning, "The field is known and has no effect in Leno yet.", "";
    UNREAD_FIELD = "LENO0025", Error, "The field is known here but was not looked at: a bug in Leno.",
        "please report it";
    DEPRECATED = "IST0002", Warning, "The field is deprecated.", "";
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
