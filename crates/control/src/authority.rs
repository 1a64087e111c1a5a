//! Who may ask the control plane for what, and how certificates are signed.
//!
//! A caller is known by its verified certificate, or by a join token as long as it has none. It gets the configuration of
//! workloads and gateways that have its own identity, and certificates for that identity alone, whatever it asks for.
//! What is not known is refused.

pub mod given;
mod pem;
pub mod tls;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use leno_identity::Bundle;
use leno_identity::ca::{BuiltIn, Ca, Order};
use leno_identity::request::SigningRequest;
use leno_identity::state::StateDirectory;
use leno_identity::token::{JoinToken, Tokens, Uses};
use leno_model::spiffe::{SpiffeId, TrustDomain};
use leno_model::unit::BundleUnit;
use leno_wire::Subject;
use leno_wire::server::authority::Signed;
use leno_wire::server::{self, Caller, Credentials, Denied, SignError};
use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject;
use tokio::sync::watch;

use self::given::Given;
use crate::catalog::Catalog;
use crate::metrics::Metrics;

/// Who signs, and whose roots proxies trust.
#[derive(Clone)]
pub enum Signing {
    /// The built-in authority.
    BuiltIn(Arc<BuiltIn>),
    /// Another one.
    Other(Arc<dyn Ca>),
    /// Nobody. These are the roots.
    Nobody(Vec<Arc<Bundle>>),
}

/// A step of the replacement of the built-in authority's root. Between steps there must be time: see [`BuiltIn`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootStep {
    /// The next root is made and trusted.
    Prepare,
    /// It signs.
    Activate,
    /// Those before it are trusted no more.
    Retire,
}

/// The authority of one mesh.
pub struct Authority {
    trust_domain: TrustDomain,
    signing: Signing,
    lifetime: Duration,
    given: Given,
    issued: Mutex<Tokens>,
    directory: Option<Arc<StateDirectory>>,
    catalogs: watch::Receiver<Arc<Catalog>>,
    bundles: watch::Sender<Vec<Arc<BundleUnit>>>,
    metrics: Metrics,
}

/// What an authority is made of.
pub struct Parts {
    /// The mesh's trust domain.
    pub trust_domain: TrustDomain,
    /// Who signs.
    pub signing: Signing,
    /// How long certificates are valid at most, and unless asked otherwise.
    pub lifetime: Duration,
    /// Where issued tokens are kept.
    pub directory: Option<Arc<StateDirectory>>,
    /// Where it is written who has which identity.
    pub catalogs: watch::Receiver<Arc<Catalog>>,
    /// Where certificates are counted.
    pub metrics: Metrics,
}

impl Authority {
    /// Reads the tokens that were issued, and the roots.
    ///
    /// # Errors
    /// When the record of tokens is damaged, or the roots are not known yet.
    pub fn new(parts: Parts) -> Result<Self, leno_identity::Error> {
        let Parts { trust_domain, signing, lifetime, directory, catalogs, metrics } = parts;
        let issued = directory.as_deref().map_or_else(|| Ok(Tokens::default()), Tokens::load)?;
        let bundles = watch::Sender::new(roots(&signing)?);
        let (given, issued) = (Given::default(), Mutex::new(issued));
        Ok(Self { trust_domain, signing, lifetime, given, issued, directory, catalogs, bundles, metrics })
    }

    /// The tokens that are given from outside.
    #[must_use]
    pub fn given(&self) -> &Given {
        &self.given
    }

    /// Issues a token for an identity, good until `life` is over.
    ///
    /// # Errors
    /// When there are too many, or the record can't be kept.
    pub fn issue_token(&self, id: SpiffeId, life: Duration) -> Result<JoinToken, leno_identity::Error> {
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        let token = issued.issue(id, life, Uses::Many, SystemTime::now())?;
        self.directory.as_deref().map_or(Ok(()), |directory| issued.save(directory))?;
        Ok(token)
    }

    /// The roots of trust, to watch.
    #[must_use]
    pub fn bundles(&self) -> watch::Receiver<Vec<Arc<BundleUnit>>> {
        self.bundles.subscribe()
    }

    /// Looks at the roots again: an authority elsewhere changes them without saying so.
    ///
    /// # Errors
    /// When they are not known now; those known before stay.
    pub fn refresh(&self) -> Result<(), leno_identity::Error> {
        let now = roots(&self.signing)?;
        self.bundles.send_if_modified(|known| {
            let is_news = *known != now;
            *known = now;
            is_news
        });
        Ok(())
    }

    /// Takes a step in the replacement of the root. Does nothing where the authority is not the built-in one.
    ///
    /// # Errors
    /// When the keys can't be made or kept.
    pub fn step(&self, step: RootStep) -> Result<(), leno_identity::Error> {
        if let Signing::BuiltIn(ca) = &self.signing {
            match step {
                RootStep::Prepare => ca.prepare_root(SystemTime::now())?,
                RootStep::Activate => ca.activate_root(SystemTime::now())?,
                RootStep::Retire => ca.retire_roots()?,
            }
        }
        self.refresh()
    }

    /// The trust domain.
    #[must_use]
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    fn ca(&self) -> Option<&dyn Ca> {
        match &self.signing {
            Signing::BuiltIn(ca) => Some(&**ca),
            Signing::Other(ca) => Some(&**ca),
            Signing::Nobody(_) => None,
        }
    }

    /// Whom a token stands for.
    fn redeem(&self, token: &[u8]) -> Result<Caller, Denied> {
        if let Some(binding) = self.given.find(token) {
            let workload = match binding.subject {
                Subject::Workload(name) => Some(name),
                Subject::Gateway { .. } => None,
            };
            return Ok(Caller { identity: binding.identity, workload });
        }
        let text = std::str::from_utf8(token).ok();
        let token: JoinToken =
            text.and_then(|text| text.parse().ok()).ok_or_else(|| denied("the join token is unknown"))?;
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        let identity =
            issued.redeem(&token, SystemTime::now()).map_err(|refused| denied(refused.to_string()))?;
        Ok(Caller { identity, workload: None })
    }

    fn known(&self, credentials: &Credentials<'_>) -> Result<Caller, Denied> {
        let by_token = credentials.token.as_ref().map(|token| self.redeem(token.expose()));
        match (&credentials.peer.identity, by_token) {
            (None, None) => Err(denied("neither a certificate nor a token was shown")),
            (None, Some(by_token)) => by_token,
            (Some(id), _) if id.trust_domain() != self.trust_domain.as_str() => {
                Err(denied(format!("{id} is of another trust domain")))
            }
            (Some(id), Some(Ok(caller))) if caller.identity != *id => {
                Err(denied(format!("the certificate is {id}'s and the token another's")))
            }
            (Some(_), Some(Ok(caller))) => Ok(caller),
            // A token is for the time without certificate: one that is over takes nothing from a certificate.
            (Some(id), None | Some(Err(_))) => Ok(Caller { identity: id.clone(), workload: None }),
        }
    }

    /// The identity of a workload or gateway.
    fn owner(&self, subject: &Subject) -> Option<SpiffeId> {
        let catalog = self.catalogs.borrow();
        let snapshot = catalog.configuration();
        match subject {
            Subject::Workload(name) => snapshot.workloads.get(name).map(|workload| workload.identity.clone()),
            Subject::Gateway { namespace, name } => {
                let gateway = snapshot.gateways.get(&(namespace.clone(), name.clone()))?;
                SpiffeId::for_service_account(&self.trust_domain, namespace, &gateway.service_account).ok()
            }
        }
    }

    async fn signed(&self, caller: &Caller, csr: &str, validity: Duration) -> Result<Vec<String>, SignError> {
        let ca = self.ca().ok_or_else(|| SignError::Authority("nobody signs here".to_owned()))?;
        let der = CertificateSigningRequestDer::from_pem_slice(csr.as_bytes())
            .map_err(|_detail| SignError::Request("it is not PEM".to_owned()))?;
        let request =
            SigningRequest::verify(&der).map_err(|refusal| SignError::Request(refusal.to_string()))?;
        let lifetime = if validity.is_zero() { self.lifetime } else { validity.min(self.lifetime) };
        let order = Order { id: caller.identity.clone(), request, lifetime };
        let failed = |error: leno_identity::Error| SignError::Authority(error_chain(&error));
        let issued = ca.issue(&order, SystemTime::now()).await.map_err(failed)?;
        let bundle = ca.bundle().map_err(failed)?;
        // The root that signs now is the first of its bundle.
        Ok(issued
            .chain
            .iter()
            .chain(bundle.roots().take(1))
            .map(|certificate| pem::certificate(certificate))
            .collect())
    }
}

impl server::Authority for Authority {
    fn authenticate(&self, credentials: &Credentials<'_>) -> Result<Caller, Denied> {
        self.known(credentials).inspect_err(|denied| {
            self.metrics.refused.inc();
            tracing::warn!(reason = denied.reason, address = ?credentials.peer.address, "a caller is refused");
        })
    }

    fn admit(&self, caller: &Caller, subject: &Subject) -> Result<(), Denied> {
        let own = caller.workload.as_ref().map(|name| Subject::Workload(name.clone()));
        let verdict = match self.owner(subject) {
            _ if own.as_ref().is_some_and(|own| own != subject) => Err(denied("its token is another's")),
            None => Err(denied("nobody of that name is known")),
            Some(owner) if owner != caller.identity => Err(denied("it has another identity")),
            Some(_) => Ok(()),
        };
        verdict.inspect_err(|denied| {
            self.metrics.refused.inc();
            let (identity, reason) = (&caller.identity, &denied.reason);
            tracing::warn!(%identity, %subject, reason, "a proxy is refused its configuration");
        })
    }

    fn sign<'a>(&'a self, caller: &'a Caller, csr: &'a str, validity: Duration) -> Signed<'a> {
        Box::pin(async move {
            let signed = self.signed(caller, csr, validity).await;
            let identity = &caller.identity;
            match &signed {
                Ok(_) => {
                    self.metrics.certificates.inc();
                    tracing::debug!(%identity, "a certificate is signed");
                }
                Err(error) => {
                    self.metrics.certificate_failures.inc();
                    tracing::warn!(%identity, %error, "a certificate is not signed");
                }
            }
            signed
        })
    }
}

fn denied(reason: impl Into<String>) -> Denied {
    Denied { reason: reason.into() }
}

/// An error with what caused it.
pub(crate) fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// The roots that proxies trust.
pub(crate) fn roots(signing: &Signing) -> Result<Vec<Arc<BundleUnit>>, leno_identity::Error> {
    let bundles = match signing {
        Signing::BuiltIn(ca) => vec![ca.trusted()],
        Signing::Other(ca) => vec![ca.bundle()?],
        Signing::Nobody(bundles) => bundles.clone(),
    };
    let unit = |bundle: &Arc<Bundle>| {
        Arc::new(BundleUnit {
            trust_domain: bundle.trust_domain().clone(),
            roots: bundle.roots().map(|root| Arc::from(&**root)).collect(),
            sequence: bundle.sequence(),
        })
    };
    Ok(bundles.iter().map(unit).collect())
}
