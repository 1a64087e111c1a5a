//! Where the findings about one object are gathered while it is read.
//!
//! Readers keep going after a finding, so that one run tells everything there is to mend. The number kept is bounded.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use leno_model::span::{Diagnostic, Location, ObjectRef, Origin};

use crate::codes::{self, Code, Effect};
use crate::limits::MAX_FINDINGS;

/// A place in a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// Line, counted from 1.
    pub line: u32,
    /// Column in characters, counted from 1.
    pub column: u32,
}

impl Position {
    /// The position in a file.
    #[must_use]
    pub fn in_file(self, file: &Arc<str>) -> Location {
        Location { file: file.clone(), line: self.line, column: self.column }
    }
}

/// The findings about one object.
#[derive(Debug)]
pub struct Findings {
    file: Arc<str>,
    object: Option<ObjectRef>,
    /// Shared by the readers of an object's parts; borrowed only for the length of a push.
    found: RefCell<Found>,
}

#[derive(Debug, Default)]
struct Found {
    kept: Vec<Diagnostic>,
    errors: usize,
    approximated: bool,
    dropped: usize,
}

impl Findings {
    /// No findings yet about `object`, which is being read from `file`.
    #[must_use]
    pub fn new(file: Arc<str>, object: Option<ObjectRef>) -> Self {
        Self { file, object, found: RefCell::default() }
    }

    /// The file that is being read.
    #[must_use]
    pub fn file(&self) -> &Arc<str> {
        &self.file
    }

    /// The object that is being read, once its name is known.
    #[must_use]
    pub fn object(&self) -> Option<&ObjectRef> {
        self.object.as_ref()
    }

    /// Adds a finding with the code's own help as hint.
    pub fn report(&self, code: &Code, at: Position, message: impl fmt::Display) {
        self.push(code, at, message.to_string(), (!code.help.is_empty()).then(|| code.help.to_owned()));
    }

    /// Adds a finding with a hint.
    pub fn report_with(
        &self,
        code: &Code,
        at: Position,
        message: impl fmt::Display,
        hint: impl Into<String>,
    ) {
        self.push(code, at, message.to_string(), Some(hint.into()));
    }

    /// How many errors were found so far.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.found.borrow().errors
    }

    /// Whether as many findings are kept as may be, so that further ones need no care.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.found.borrow().kept.len() >= MAX_FINDINGS
    }

    /// Whether anything found makes the object act differently from what its own system would do.
    #[must_use]
    pub fn approximated(&self) -> bool {
        self.found.borrow().approximated
    }

    /// The origin of something at `at` in the object; `None` while the object has no name.
    #[must_use]
    pub fn origin(&self, at: Position) -> Option<Origin> {
        Some(Origin { object: self.object.clone()?, location: at.in_file(&self.file) })
    }

    /// The findings by place.
    #[must_use]
    pub fn into_diagnostics(self) -> Vec<Diagnostic> {
        let Found { mut kept, dropped, .. } = self.found.into_inner();
        kept.sort_by_key(|diagnostic| (diagnostic.location.line, diagnostic.location.column));
        kept.dedup();
        if dropped > 0 {
            kept.push(Diagnostic {
                code: codes::MORE_FINDINGS.code,
                severity: codes::MORE_FINDINGS.severity(),
                object: self.object,
                location: Position::default().in_file(&self.file),
                message: format!("{dropped} more findings about this object are not shown"),
                hint: Some(codes::MORE_FINDINGS.help.to_owned()),
            });
        }
        kept
    }

    fn push(&self, code: &Code, at: Position, message: String, hint: Option<String>) {
        let mut found = self.found.borrow_mut();
        match code.effect {
            Effect::Refuses => found.errors += 1,
            Effect::Approximates => found.approximated = true,
            Effect::Warns | Effect::Informs => {}
        }
        if found.kept.len() >= MAX_FINDINGS {
            found.dropped += 1;
            return;
        }
        found.kept.push(Diagnostic {
            code: code.code,
            severity: code.severity(),
            object: self.object.clone(),
            location: at.in_file(&self.file),
            message,
            hint,
        });
    }
}
