//! Authorities outside the mesh: the system's, or those of a file.

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;

use crate::error::Error;
use crate::pem;

/// Where Linux distributions keep their bundle: Debian and Arch, Fedora, older Fedora, SUSE, Alpine.
const SYSTEM: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// A set of authorities. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Roots(Arc<RootCertStore>);

impl Roots {
    /// The system's authorities; those that cannot be parsed are left out.
    ///
    /// # Errors
    /// [`Error::File`] or [`Error::Pem`] when there is no usable bundle at any of the usual places.
    pub fn system() -> Result<Self, Error> {
        let found = SYSTEM.iter().map(Path::new).find(|path| path.exists());
        let path = found.or_else(|| SYSTEM.first().map(Path::new)).unwrap_or_else(|| Path::new(""));
        let subject = path.display().to_string();
        let mut store = RootCertStore::empty();
        let (added, _ignored) =
            store.add_parsable_certificates(pem::certificates(&pem::read(path)?, &subject)?);
        if added == 0 {
            return Err(Error::Pem { subject, problem: "no usable authority in it" });
        }
        Ok(Self(Arc::new(store)))
    }

    /// The authorities of a PEM text, all of which must be usable.
    ///
    /// # Errors
    /// [`Error::Pem`] or [`Error::MalformedCertificate`]; `subject` says in them where the text came from.
    pub fn from_pem(pem: &[u8], subject: &str) -> Result<Self, Error> {
        let mut store = RootCertStore::empty();
        for certificate in pem::certificates(pem, subject)? {
            let malformed = |_detail| Error::MalformedCertificate { subject: subject.to_owned() };
            store.add(certificate).map_err(malformed)?;
        }
        Ok(Self(Arc::new(store)))
    }

    /// The authorities of a PEM file, all of which must be usable.
    ///
    /// # Errors
    /// As [`Roots::from_pem`], and [`Error::File`].
    pub fn load(path: &Path) -> Result<Self, Error> {
        Self::from_pem(&pem::read(path)?, &path.display().to_string())
    }

    /// The form that rustls takes.
    pub(crate) fn store(&self) -> &Arc<RootCertStore> {
        &self.0
    }
}
