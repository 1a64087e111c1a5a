//! Where things come from: files, lines, objects, and what Leno has to say about them.
//!
//! Every rule that can decide a request carries an [`Origin`], so that `explain`, logs and the console can name
//! the file and line it came from. A [`Diagnostic`] has a stable code; its text is the same wherever it is shown.

use std::fmt;
use std::sync::Arc;

/// The name of a configuration object: API kind, namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectRef {
    /// The kind as its own API writes it, such as `VirtualService`.
    pub kind: Arc<str>,
    /// The namespace; empty for kinds that have none.
    pub namespace: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{} {}", self.kind, self.name)
        } else {
            write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
        }
    }
}

/// A position in a source document.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location {
    /// The file's path as it was given to Leno, or another name of the source (`cluster`, `api`).
    pub file: Arc<str>,
    /// Line, counted from 1; 0 where the source has no lines.
    pub line: u32,
    /// Column in characters, counted from 1; 0 where unknown.
    pub column: u32,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 { f.write_str(&self.file) } else { write!(f, "{}:{}", self.file, self.line) }
    }
}

/// The object and the place that a rule, policy or setting was read from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// The object that holds the rule.
    pub object: ObjectRef,
    /// Where in the object's text the rule begins.
    pub location: Location,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.object, self.location)
    }
}

/// How much a diagnostic matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; nothing is wrong.
    Info,
    /// In effect, but differently from what the text says, or probably not what was meant.
    Warning,
    /// The object, or the named part of it, is not in effect.
    Error,
}

impl Severity {
    /// The lower-case word used in every output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One finding about the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Stable code such as `LENO0103`; Istio's analyzer codes (`IST0101`) where the finding is the same.
    pub code: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// The object it is about, when the text got far enough to name one.
    pub object: Option<ObjectRef>,
    /// Where in the text.
    pub location: Location,
    /// One sentence that names the subject and the problem.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}[{}]: {}", self.location, self.severity.as_str(), self.code, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  help: {hint}"),
            None => Ok(()),
        }
    }
}

/// What became of one configuration object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    /// In effect exactly as its own system would do it.
    Exact,
    /// In effect; a diagnostic says what differs.
    Approximated,
    /// Not in effect; a diagnostic says why.
    Refused,
}

impl Verdict {
    /// The lower-case word used in every output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Approximated => "approximated",
            Self::Refused => "refused",
        }
    }
}
