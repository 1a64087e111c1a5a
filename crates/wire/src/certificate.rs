//! Getting a certificate from the control plane.

use std::time::Duration;

use tonic::Code;

use crate::limits;
use crate::proto::istio::v1::auth::IstioCertificateRequest;
use crate::proto::istio::v1::auth::istio_certificate_service_client::IstioCertificateServiceClient;
use crate::transport::{DialError, Remote, dial, origin, request as with_token};

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The control plane cannot be reached; worth trying again.
    #[error("the control plane cannot be reached")]
    Unreachable(#[source] DialError),
    /// The control plane did not answer well; worth trying again.
    #[error("the control plane gives no certificate now: {0}")]
    Failed(String),
    /// The control plane refuses the credentials or the request; the same will be refused again.
    #[error("the control plane refuses the request: {0}")]
    Refused(String),
}

/// Asks for a certificate on a connection of its own, with the certificate or token that `remote` has.
/// `validity` of zero is the control plane's default. The PEM chain, leaf first, root last; it is for the caller to
/// check that the leaf is for its key.
///
/// # Errors
/// When the control plane is not reached in time or refuses.
pub async fn request(
    remote: &Remote,
    csr_pem: &str,
    validity: Duration,
) -> Result<Vec<String>, CertificateError> {
    let mut channel = dial(remote).await.map_err(CertificateError::Unreachable)?;
    let message = IstioCertificateRequest {
        csr: csr_pem.to_owned(),
        validity_duration: i64::try_from(validity.as_secs()).unwrap_or(i64::MAX),
        metadata: None,
    };
    let request = with_token(message, remote.token.as_ref()).map_err(CertificateError::Unreachable)?;
    let mut client = IstioCertificateServiceClient::with_origin(&mut channel, origin())
        .max_decoding_message_size(limits::MAX_CERTIFICATE_RESPONSE_BYTES);
    let answer = leno_runtime::time::timeout(limits::CERTIFICATE_TIMEOUT, client.create_certificate(request));
    match answer.await {
        Ok(Ok(answer)) => Ok(answer.into_inner().cert_chain),
        Ok(Err(status)) => {
            let message = format!("{} ({:?})", status.message(), status.code());
            match status.code() {
                Code::Unauthenticated
                | Code::PermissionDenied
                | Code::InvalidArgument
                | Code::Unimplemented => Err(CertificateError::Refused(message)),
                _ => Err(CertificateError::Failed(message)),
            }
        }
        Err(_elapsed) => Err(CertificateError::Failed("no answer in time".to_owned())),
    }
}
