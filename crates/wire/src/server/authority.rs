//! Who may ask for what, and how certificates are signed.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use leno_model::name::WorkloadName;
use leno_model::secret::SecretBytes;
use leno_model::spiffe::SpiffeId;

use crate::key::Subject;

/// The connection that a call came on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The verified identity of its client certificate.
    pub identity: Option<SpiffeId>,
    /// The remote address of a TCP connection.
    pub address: Option<SocketAddr>,
}

/// What a caller shows.
#[derive(Clone, Debug)]
pub struct Credentials<'a> {
    /// The connection.
    pub peer: &'a Peer,
    /// The token of `authorization: Bearer`.
    pub token: Option<SecretBytes>,
}

/// A caller whose credentials hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Its identity.
    pub identity: SpiffeId,
    /// The one workload that it may speak for, where the credentials name it.
    pub workload: Option<WorkloadName>,
}

/// The call is refused. What is said to the caller gives nothing away; the reason is for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("refused: {reason}")]
pub struct Denied {
    /// Why, for the control plane's log.
    pub reason: String,
}

/// Why no certificate is signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The request is at fault: said to the caller.
    #[error("the signing request is refused: {0}")]
    Request(String),
    /// The authority is: not said to the caller.
    #[error("the certificate cannot be signed now: {0}")]
    Authority(String),
}

/// A certificate chain, or why there is none.
pub type Signed<'a> = Pin<Box<dyn Future<Output = Result<Vec<String>, SignError>> + Send + 'a>>;

/// Decides who a caller is and what it may do. When in doubt, it refuses.
pub trait Authority: Send + Sync + 'static {
    /// Who calls.
    ///
    /// # Errors
    /// When nothing that is shown proves an identity.
    fn authenticate(&self, credentials: &Credentials<'_>) -> Result<Caller, Denied>;

    /// Whether the caller may have the configuration of this subject.
    ///
    /// # Errors
    /// When it may not.
    fn admit(&self, caller: &Caller, subject: &Subject) -> Result<(), Denied>;

    /// Signs a PEM PKCS #10 request for the caller's identity, whatever names the request has in it. PEM certificates,
    /// leaf first, root last. A validity of zero is the authority's default; a longer one than allowed is shortened.
    fn sign<'a>(&'a self, caller: &'a Caller, csr: &'a str, validity: Duration) -> Signed<'a>;
}
