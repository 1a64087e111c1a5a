//! Getting a certificate from the control plane.

use std::time::Duration;

use crate::transport::Remote;

/// Why there is no certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The control plane could not be reached; worth trying again.
    #[error("the control plane cannot be reached: {0}")]
    Unreachable(String),
    /// The control plane refuses: the credentials or the request.
    #[error("the control plane refuses the request: {0}")]
    Refused(String),
}

/// Asks for a certificate on a connection of its own, with the certificate or token that `remote` has.
/// `validity` of zero is the control plane's default. The PEM chain, leaf first, root last.
///
/// # Errors
/// When the control plane is not reached in time or refuses.
pub async fn request(
    remote: &Remote,
    csr_pem: &str,
    validity: Duration,
) -> Result<Vec<String>, CertificateError> {
    let _ = (remote, csr_pem, validity);
    Err(CertificateError::Unreachable("not yet".to_owned()))
}
