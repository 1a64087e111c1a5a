//! Findings about configuration, as commands show them: sorted by place, one form in every output.

use std::fmt;
use std::path::Path;

use leno_model::span::{Diagnostic, Severity};
use leno_wire::status;
use serde::{Serialize, Serializer};

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Finding {
    /// The file, as Leno was told of it.
    pub(crate) file: String,
    /// The line, from 1; 0 where there is none.
    pub(crate) line: u32,
    /// The column, from 1; 0 where there is none.
    pub(crate) column: u32,
    /// The stable code.
    pub(crate) code: String,
    /// How much it matters.
    #[serde(serialize_with = "word")]
    pub(crate) severity: Severity,
    /// The object that it is about, if one could be named.
    pub(crate) object: Option<Object>,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
}

/// The name of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Object {
    /// Its kind.
    pub(crate) kind: String,
    /// Its namespace; empty for kinds that have none.
    pub(crate) namespace: String,
    /// Its name.
    pub(crate) name: String,
}

fn word<S: Serializer>(severity: &Severity, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(severity.as_str())
}

impl From<&Diagnostic> for Finding {
    fn from(found: &Diagnostic) -> Self {
        let object = found.object.as_ref().map(|object| Object {
            kind: object.kind.to_string(),
            namespace: object.namespace.to_string(),
            name: object.name.to_string(),
        });
        Self {
            file: found.location.file.to_string(),
            line: found.location.line,
            column: found.location.column,
            code: found.code.to_owned(),
            severity: found.severity,
            object,
            message: found.message.clone(),
            hint: found.hint.clone(),
        }
    }
}

impl Finding {
    /// What a control plane tells of an object.
    pub(crate) fn of(object: &status::Object) -> Vec<Self> {
        object.diagnostics.iter().map(|found| Self::told(object, found)).collect()
    }

    fn told(object: &status::Object, found: &status::Diagnostic) -> Self {
        let severity = match found.severity.as_str() {
            "info" => Severity::Info,
            "warning" => Severity::Warning,
            // Also what another version may call it: better too loud than unheard.
            _ => Severity::Error,
        };
        let object = Object {
            kind: object.kind.clone(),
            namespace: object.namespace.clone(),
            name: object.name.clone(),
        };
        Self {
            file: found.file.clone(),
            line: found.line,
            column: found.column,
            code: found.code.clone(),
            severity,
            object: Some(object),
            message: found.message.clone(),
            hint: found.hint.clone(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = place(&self.file, self.line, self.column);
        write!(f, "{place}: {}[{}]: {}", self.severity.as_str(), self.code, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  help: {hint}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{} {}", self.kind, self.name)
        } else {
            write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
        }
    }
}

/// A place for people: the file from where they are, and as much of the position as is known.
pub(crate) fn place(file: &str, line: u32, column: u32) -> String {
    let here = std::env::current_dir().ok();
    let file = here.and_then(|here| Path::new(file).strip_prefix(here).ok()?.to_str()).unwrap_or(file);
    let file = file.strip_prefix("./").unwrap_or(file);
    match (line, column) {
        (0, _) => file.to_owned(),
        (line, 0) => format!("{file}:{line}"),
        (line, column) => format!("{file}:{line}:{column}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_names_its_place_and_remedy() {
        let here = std::env::current_dir().unwrap().join("config/a.yaml").display().to_string();
        let mut finding = Finding {
            file: here,
            line: 3,
            column: 7,
            code: "LENO0023".into(),
            severity: Severity::Error,
            object: None,
            message: "there is no field timeuot".into(),
            hint: Some("did you mean timeout?".into()),
        };
        let text =
            "config/a.yaml:3:7: error[LENO0023]: there is no field timeuot\n  help: did you mean timeout?";
        assert_eq!(finding.to_string(), text);
        (finding.file, finding.line, finding.hint) = ("/elsewhere/b.yaml".into(), 0, None);
        assert_eq!(finding.to_string(), "/elsewhere/b.yaml: error[LENO0023]: there is no field timeuot");
    }
}
