//! What a command could not do: one shape for every command, for people and for programs.
//!
//! An error has a stable code, says what is wrong and why, and where it can, what to do about it.
//! `docs/reference/commands.md` has the codes and the form.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;

use leno_dialects::table::nearest;
use leno_local::{client, directory, up};
use leno_model::span::Diagnostic;
use serde::Serialize;

use crate::control::Silence;
use crate::finding::Finding;
use crate::output::Format;
use crate::remedy;

/// What commands have in common to complain of.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    /// There is no mesh to ask.
    #[error("no mesh is running")]
    NothingRunning,
    /// There are several, and none was named.
    #[error("several meshes are running: {}", .0.join(", "))]
    SeveralMeshes(Vec<String>),
    /// The one that was named is none of those that run.
    #[error("mesh {name:?} is not running")]
    NotRunning {
        /// What was named.
        name: String,
        /// What runs.
        running: Vec<String>,
    },
    /// The mesh has nothing of that name.
    #[error("mesh {mesh:?} has no workload {name:?}")]
    UnknownWorkload {
        /// The mesh.
        mesh: String,
        /// What was named.
        name: String,
        /// What there is.
        known: Vec<String>,
        /// What else may be meant: services.
        services: Vec<String>,
    },
    /// A proxy that should answer does not.
    #[error("the proxy of {name} does not answer")]
    NoAnswer {
        /// Whose.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A proxy does not take the question.
    #[error("the proxy of {name} says: {message}")]
    Refused {
        /// Whose.
        name: String,
        /// Its words.
        message: String,
    },
    /// The control plane that should answer does not.
    #[error("the control plane of mesh {mesh:?} does not answer")]
    NoControlPlane {
        /// The mesh.
        mesh: String,
        /// Why.
        #[source]
        source: Silence,
    },
    /// A file or directory that was named.
    #[error("{} cannot be read", .path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Nothing of that name is in the configuration.
    #[error("the configuration in {} has no {kind} {name}", listed(.paths))]
    NotConfigured {
        /// A word for it.
        kind: &'static str,
        /// What was named.
        name: String,
        /// What there is.
        known: Vec<String>,
        /// Where was looked.
        paths: Vec<PathBuf>,
    },
    /// A published port that somebody else has.
    #[error("{address}, where service {service:?} is published, is taken by {holder}")]
    PortTaken {
        /// The port.
        address: SocketAddr,
        /// Whose it is to be.
        service: String,
        /// Whose it is.
        holder: String,
    },
    /// A published port that can't be opened.
    #[error("{address}, where service {service:?} is published, cannot be opened")]
    PortRefused {
        /// The port.
        address: SocketAddr,
        /// Whose it is to be.
        service: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The mesh file.
    #[error("the mesh cannot run as it is written")]
    MeshFile(Vec<Diagnostic>),
}

impl Problem {
    fn code(&self) -> &'static str {
        match self {
            Self::NothingRunning => "nothing-running",
            Self::SeveralMeshes(_) => "several-meshes",
            Self::NotRunning { .. } => "not-running",
            Self::UnknownWorkload { .. } => "unknown-workload",
            Self::NoAnswer { .. } | Self::NoControlPlane { .. } => "no-answer",
            Self::Refused { .. } => "refused",
            Self::Unreadable { .. } => "unreadable",
            Self::NotConfigured { .. } => "not-configured",
            Self::PortTaken { .. } | Self::PortRefused { .. } => "port",
            Self::MeshFile(_) => "mesh-file",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NothingRunning => Some("start one with `leno up FILE`".to_owned()),
            Self::SeveralMeshes(names) => {
                Some(format!("name one: --mesh {}", names.first().map_or("NAME", String::as_str)))
            }
            Self::NotRunning { name, running } => Some(match nearest(name, names(running)) {
                Some(near) => format!("did you mean {near}?"),
                None if running.is_empty() => "no mesh is running; start it with `leno up FILE`".to_owned(),
                None => format!("running: {}", running.join(", ")),
            }),
            Self::UnknownWorkload { name, known, services, .. } => {
                let near = nearest(name, names(known)).or_else(|| nearest(name, names(services)));
                Some(match near {
                    Some(near) => format!("did you mean {near}?"),
                    None => format!("there are: {}", known.join(", ")),
                })
            }
            Self::PortTaken { .. } => {
                Some("choose another port for `publish`, or end what has this one".to_owned())
            }
            Self::PortRefused { .. } => Some("choose another address or port for `publish`".to_owned()),
            Self::NoAnswer { .. } => Some("see `leno status`".to_owned()),
            Self::NoControlPlane { .. } => Some("see `leno status` and `leno logs control`".to_owned()),
            Self::NotConfigured { kind, name, known, .. } => Some(match nearest(name, names(known)) {
                Some(near) => format!("did you mean {near}?"),
                None if known.is_empty() => format!("add it: there is no {kind} at all that could be read"),
                None => format!("there are: {}", known.join(", ")),
            }),
            Self::Unreadable { path, source } => remedy::unreadable(path, source),
            Self::Refused { .. } | Self::MeshFile(_) => None,
        }
    }
}

fn names(names: &[String]) -> impl Iterator<Item = &str> {
    names.iter().map(String::as_str)
}

fn listed(paths: &[PathBuf]) -> String {
    let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    paths.join(", ")
}

/// The form of every error under `--output json`.
#[derive(Debug, Serialize)]
struct Document<'s> {
    error: &'s Shown,
}

#[derive(Debug, Serialize)]
struct Shown {
    code: &'static str,
    message: String,
    causes: Vec<String>,
    hint: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    findings: Vec<Finding>,
}

/// Prints an error with its causes.
pub(crate) fn print(error: &anyhow::Error, format: Format) {
    let problem = error.chain().find_map(|error| error.downcast_ref::<Problem>());
    let findings = match problem {
        Some(Problem::MeshFile(findings)) => findings.iter().map(Finding::from).collect(),
        _ => Vec::new(),
    };
    let mut texts: Vec<String> = error.chain().map(ToString::to_string).collect();
    let hint =
        problem.and_then(Problem::hint).or_else(|| remedy::of(error)).or_else(|| own_remedy(&mut texts));
    let causes = texts.split_off(1.min(texts.len()));
    let message = texts.pop().unwrap_or_default();
    write(&Shown { code: code(error), message, causes, hint, findings }, format);
}

/// Takes the remedy out of the last text that has one, behind a semicolon: parts that know what to do say so there.
fn own_remedy(texts: &mut [String]) -> Option<String> {
    texts.iter_mut().rev().find_map(|text| {
        let (message, remedy) = text.split_once("; ").map(|(a, b)| (a.to_owned(), b.to_owned()))?;
        *text = message;
        Some(remedy)
    })
}

/// Prints what is wrong with the words of a command, in the same form.
pub(crate) fn usage(message: String, hint: Option<String>) {
    write(&Shown { code: "usage", message, causes: Vec::new(), hint, findings: Vec::new() }, Format::Json);
}

fn write(shown: &Shown, format: Format) {
    let text = match format {
        Format::Text => text(shown),
        Format::Json => json(shown),
    };
    // Nobody is left to tell when that fails.
    let _closed = writeln!(io::stderr(), "{text}");
}

fn text(shown: &Shown) -> String {
    let mut text = format!("error: {}", shown.message);
    for cause in &shown.causes {
        text.push_str(&format!("\n  because: {cause}"));
    }
    for finding in &shown.findings {
        text.push_str(&format!("\n{finding}"));
    }
    if let Some(hint) = &shown.hint {
        text.push_str(&format!("\n  help: {hint}"));
    }
    text
}

fn json(shown: &Shown) -> String {
    // A struct of texts is always JSON.
    serde_json::to_string(&Document { error: shown }).unwrap_or_default()
}

/// The stable code of an error.
fn code(error: &anyhow::Error) -> &'static str {
    error.chain().find_map(code_of).unwrap_or("failed")
}

fn code_of(error: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    if let Some(problem) = error.downcast_ref::<Problem>() {
        return Some(problem.code());
    }
    if let Some(error) = error.downcast_ref::<client::Error>() {
        return match error {
            client::Error::Refused(_) => Some("refused"),
            client::Error::NotRunning(_) => Some("not-running"),
            client::Error::Connection(_) => Some("no-answer"),
            client::Error::StillRunning(_) => Some("still-running"),
            client::Error::Directory(error) => code_of(error),
            _ => None,
        };
    }
    if let Some(error) = error.downcast_ref::<up::Error>() {
        return match error {
            up::Error::Mesh(_) | up::Error::User { .. } => Some("mesh-file"),
            up::Error::Forbidden(_) => Some("forbidden"),
            up::Error::Directory(error) => code_of(error),
            _ => None,
        };
    }
    match error.downcast_ref::<directory::Error>() {
        Some(directory::Error::Running(_)) => Some("already-running"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    fn shown(error: &anyhow::Error) -> (&'static str, Option<String>) {
        let problem = error.chain().find_map(|error| error.downcast_ref::<Problem>());
        (code(error), problem.and_then(Problem::hint))
    }

    #[test]
    fn the_nearest_name_is_suggested() {
        let known = ["reviews-v1", "ratings", "gateway"].map(str::to_owned).to_vec();
        let unknown = |name: &str| Problem::UnknownWorkload {
            mesh: "shop".into(),
            name: name.into(),
            known: known.clone(),
            services: vec!["reviews".into()],
        };
        let near = shown(&unknown("reviews-v3").into());
        assert_eq!(near, ("unknown-workload", Some("did you mean reviews-v1?".to_owned())));
        let service = shown(&unknown("reviws").into());
        assert_eq!(service.1.as_deref(), Some("did you mean reviews?"));
        let far = shown(&unknown("zzz").into());
        assert_eq!(far.1.as_deref(), Some("there are: reviews-v1, ratings, gateway"));
        let mesh = Problem::NotRunning { name: "bookshop".into(), running: vec!["bookshp".into()] };
        assert_eq!(shown(&mesh.into()), ("not-running", Some("did you mean bookshp?".to_owned())));
        let none = Problem::NotRunning { name: "bookshop".into(), running: Vec::new() };
        assert!(shown(&none.into()).1.is_some_and(|hint| hint.contains("leno up")));
    }

    #[test]
    fn the_code_is_found_below_what_was_being_done() {
        let running = directory::Error::Running("shop".into());
        let error = anyhow::Error::from(up::Error::Directory(running)).context("cannot start");
        assert_eq!(code(&error), "already-running");
        let error: anyhow::Result<()> = Err(Problem::NothingRunning).context("cannot look");
        assert_eq!(shown(&error.unwrap_err()).0, "nothing-running");
        assert_eq!(code(&anyhow::anyhow!("something")), "failed");
    }

    #[test]
    fn both_forms_say_the_same() {
        let shown = Shown {
            code: "failed",
            message: "cannot do it".into(),
            causes: vec!["it is broken".into()],
            hint: Some("mend it".into()),
            findings: Vec::new(),
        };
        assert_eq!(text(&shown), "error: cannot do it\n  because: it is broken\n  help: mend it");
        let expected = r#"{"error":{"code":"failed","message":"cannot do it","causes":["it is broken"],"hint":"mend it"}}"#;
        assert_eq!(json(&shown), expected);
    }
}
