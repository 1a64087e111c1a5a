//! Matching of text: header values, methods, principals, paths.
//!
//! These are the *rules*; the engine compiles them. A [`Pattern`] is known to compile within its size limit.

use std::fmt;
use std::sync::Arc;

/// Longest regular expression accepted, in bytes.
pub const MAX_PATTERN_BYTES: usize = 4096;

/// Largest compiled program of a regular expression, in bytes: a rule must not cost more than its service.
pub const MAX_PROGRAM_BYTES: usize = 256 * 1024;

/// Why a regular expression is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Longer than [`MAX_PATTERN_BYTES`].
    #[error("a regular expression is at most {MAX_PATTERN_BYTES} bytes long")]
    TooLong,
    /// Not a regular expression of RE2's syntax, or too large when compiled.
    #[error("the regular expression does not compile: {0}")]
    Syntax(String),
}

/// A regular expression that must match the *whole* text (RE2 syntax, linear time).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pattern(Arc<str>);

impl Pattern {
    /// Checks a pattern.
    ///
    /// # Errors
    /// When it is too long, malformed, or too large when compiled.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        if text.len() > MAX_PATTERN_BYTES {
            return Err(PatternError::TooLong);
        }
        let pattern = Self(text.into());
        pattern.compile().map(|_regex| pattern)
    }

    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The pattern as a program that matches whole texts of bytes.
    ///
    /// # Errors
    /// Never for a pattern made by [`Pattern::new`].
    pub fn compile(&self) -> Result<regex::bytes::Regex, PatternError> {
        regex::bytes::RegexBuilder::new(&format!("^(?:{})$", self.0))
            .size_limit(MAX_PROGRAM_BYTES)
            .dfa_size_limit(MAX_PROGRAM_BYTES)
            .build()
            .map_err(|error| PatternError::Syntax(error.to_string()))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a text is compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TextMatch {
    /// The whole text.
    Exact(Arc<str>),
    /// It begins with this.
    Prefix(Arc<str>),
    /// It ends with this.
    Suffix(Arc<str>),
    /// The whole text matches.
    Regex(Pattern),
    /// There is a text at all, even an empty one where the source can tell (a header).
    Present,
}

impl TextMatch {
    /// Istio's notation in policies: `*` present, `abc*` prefix, `*abc` suffix, else exact.
    #[must_use]
    pub fn from_stars(text: &str) -> Self {
        match (text.strip_prefix('*'), text.strip_suffix('*')) {
            (Some(""), _) => Self::Present,
            (Some(suffix), _) => Self::Suffix(suffix.into()),
            (None, Some(prefix)) => Self::Prefix(prefix.into()),
            (None, None) => Self::Exact(text.into()),
        }
    }
}

impl fmt::Display for TextMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(text) => write!(f, "= {text}"),
            Self::Prefix(text) => write!(f, "starts with {text}"),
            Self::Suffix(text) => write!(f, "ends with {text}"),
            Self::Regex(pattern) => write!(f, "matches {pattern}"),
            Self::Present => f.write_str("is present"),
        }
    }
}

/// How a path is compared. Paths are compared without the query.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PathMatch {
    /// The whole path.
    Exact(Arc<str>),
    /// It begins with these characters (Istio's `prefix`).
    Prefix(Arc<str>),
    /// It begins with these whole segments (Gateway API's `PathPrefix`); stored without a trailing slash, so the
    /// prefix `/` is stored empty.
    Segments(Arc<str>),
    /// It ends with these characters.
    Suffix(Arc<str>),
    /// The whole path matches.
    Regex(Pattern),
    /// A template of segments: literal, `{*}` for exactly one, `{**}` for zero or more (Istio's policy paths).
    Template(Arc<str>),
    /// Any path.
    Any,
}

impl fmt::Display for PathMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(text) => write!(f, "= {text}"),
            Self::Prefix(text) => write!(f, "starts with {text}"),
            Self::Segments(text) => write!(f, "under {text}/"),
            Self::Suffix(text) => write!(f, "ends with {text}"),
            Self::Regex(pattern) => write!(f, "matches {pattern}"),
            Self::Template(text) => write!(f, "fits {text}"),
            Self::Any => f.write_str("any"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_mean_prefix_suffix_and_presence() {
        for (text, expected) in [
            ("*", TextMatch::Present),
            ("/a*", TextMatch::Prefix("/a".into())),
            ("*/z", TextMatch::Suffix("/z".into())),
            ("GET", TextMatch::Exact("GET".into())),
            ("", TextMatch::Exact("".into())),
        ] {
            assert_eq!(TextMatch::from_stars(text), expected, "{text}");
        }
    }

    #[test]
    fn patterns_are_bounded_and_match_whole_texts() {
        let pattern = Pattern::new("v[0-9]+|canary").unwrap().compile().unwrap();
        assert!(pattern.is_match(b"v12") && pattern.is_match(b"canary"));
        assert!(!pattern.is_match(b"v12x") && !pattern.is_match(b"xcanary"));
        assert!(matches!(Pattern::new("("), Err(PatternError::Syntax(_))));
        assert!(matches!(Pattern::new("(a{1000}){1000}"), Err(PatternError::Syntax(_))));
        assert_eq!(Pattern::new(&"a".repeat(5000)), Err(PatternError::TooLong));
    }
}
