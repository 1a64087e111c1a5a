//! Certificate authorities: who signs SVIDs.
//!
//! [`Ca`] is the seam between those who decide that a caller is somebody and those who sign that it is. The built-in one
//! keeps its keys in the state directory ([`BuiltIn`]).

mod built_in;
mod issue;
mod store;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use leno_model::spiffe::SpiffeId;
use rustls::pki_types::CertificateDer;

pub use built_in::{BuiltIn, Settings};

use crate::bundle::Bundle;
use crate::error::Error;
use crate::request::SigningRequest;

/// An order to certify a key. The identity is the authenticated caller's; nothing that the caller wrote.
#[derive(Clone, Debug)]
pub struct Order {
    /// For whom.
    pub id: SpiffeId,
    /// Which key, its possession proved.
    pub request: SigningRequest,
    /// How long the certificate should be valid from now; authorities cut what they find too long.
    pub lifetime: Duration,
}

/// A certificate that was signed.
#[derive(Clone, Debug)]
pub struct Issued {
    /// Leaf first, then intermediates, without the root.
    pub chain: Vec<CertificateDer<'static>>,
    /// First instant of the leaf's validity, a little in the past.
    pub not_before: SystemTime,
    /// Last second of the leaf's validity.
    pub not_after: SystemTime,
}

/// The answer to an order, which an authority elsewhere takes time for.
pub type Issuing<'a> = Pin<Box<dyn Future<Output = Result<Issued, Error>> + Send + 'a>>;

/// Someone who signs SVIDs.
pub trait Ca: Send + Sync {
    /// Signs an SVID, valid from `now` on. Dropping the future gives up the order.
    fn issue<'a>(&'a self, order: &'a Order, now: SystemTime) -> Issuing<'a>;

    /// The roots that the chains of [`Ca::issue`] lead to, and those that they will and did lead to.
    ///
    /// # Errors
    /// When the authority is elsewhere and has not told its roots yet.
    fn bundle(&self) -> Result<Arc<Bundle>, Error>;
}
