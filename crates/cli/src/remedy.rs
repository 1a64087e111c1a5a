//! What to do about errors of the parts that commands are made of, which don't know for whom they work.

use std::io::{self, ErrorKind};
use std::path::Path;

use leno_dialects::table::nearest;
use leno_identity::Error as Identity;
use leno_proxy::roles::standalone::StandaloneError;
use leno_proxy::takeover::TakeOverError;

/// What to do about the first error of a chain that something is known about.
pub(crate) fn of(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(|error| {
        if let Some(error) = error.downcast_ref::<Identity>() {
            return identity(error);
        }
        if let Some(StandaloneError::Identity { .. } | StandaloneError::TrustDomain(_)) = error.downcast_ref()
        {
            return Some("give it a certificate whose only URI is such an identity".to_owned());
        }
        if let Some(StandaloneError::TakeOver(TakeOverError::Refused { .. })) = error.downcast_ref() {
            return Some("end the program that listens there, or choose another path".to_owned());
        }
        error.downcast_ref::<io::Error>().and_then(system)
    })
}

/// What to do about a file or directory that can't be read.
pub(crate) fn unreadable(path: &Path, error: &io::Error) -> Option<String> {
    if error.kind() == ErrorKind::NotFound
        && let Some(near) = neighbour(path)
    {
        return Some(format!("did you mean {near}?"));
    }
    system(error)
}

/// The file or directory beside whose name is nearest.
fn neighbour(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let parent = path.parent()?;
    let beside = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let names =
        std::fs::read_dir(beside).ok()?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.collect();
    names.sort();
    let near = nearest(name, names.iter().map(String::as_str))?;
    Some(parent.join(near).display().to_string())
}

fn system(error: &io::Error) -> Option<String> {
    let remedy = match error.kind() {
        ErrorKind::NotFound => "check the path; a relative one begins in the current directory",
        ErrorKind::PermissionDenied => "let the user that runs leno do so, or choose another place",
        ErrorKind::IsADirectory => "name a file in it",
        ErrorKind::NotADirectory => "check the path; a part of it is a file",
        ErrorKind::InvalidData => "save it as UTF-8",
        ErrorKind::AddrInUse => "choose another address or port, or end the program that listens there",
        ErrorKind::AddrNotAvailable => "choose an address of this machine, or 0.0.0.0 for all of them",
        _ => return None,
    };
    Some(remedy.to_owned())
}

fn identity(error: &Identity) -> Option<String> {
    let remedy = match error {
        Identity::File { path, source, .. } => return unreadable(path, source),
        Identity::Pem { .. } => {
            "name a PEM file: certificates are between BEGIN CERTIFICATE and END CERTIFICATE, a key is one block of \
             PRIVATE KEY"
        }
        Identity::UnusableKey { .. } => "convert the key with `openssl pkcs8 -topk8 -nocrypt`",
        Identity::KeyMismatch { .. } => "name the key that the certificate was made for with --key",
        Identity::MalformedCertificate { .. } => "name a file of X.509 certificates in PEM",
        Identity::NotSvid { .. } => {
            "name a certificate of the workload's own, with a URI such as spiffe://cluster.local/ns/default/sa/web"
        }
        Identity::NotRoot { .. } => "name the certificates of the authorities that sign for the trust domain",
        _ => return None,
    };
    Some(remedy.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_nearly_right_is_suggested() {
        let missing = io::Error::from(ErrorKind::NotFound);
        let hint = |path: &str| unreadable(Path::new(path), &missing).unwrap();
        assert_eq!(hint("src/remdy.rs"), "did you mean src/remedy.rs?");
        assert_eq!(hint("Crago.toml"), "did you mean Cargo.toml?");
        assert!(hint("src/quite-another").starts_with("check the path"));
    }

    #[test]
    fn the_deepest_known_cause_has_the_remedy() {
        let taken = anyhow::Error::from(io::Error::from(ErrorKind::AddrInUse)).context("cannot listen");
        assert!(of(&taken).is_some_and(|hint| hint.contains("another address")));
        assert_eq!(of(&anyhow::anyhow!("something")), None);
    }
}
