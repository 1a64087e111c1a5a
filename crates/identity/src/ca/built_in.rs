//! The authority that needs nobody else: a root and an intermediate of its own.
//!
//! The root signs intermediates alone, and the intermediate leaves alone. Nothing is signed beyond the life of its
//! signer. The intermediate is replaced at half its life, unasked; the root in three steps that the caller takes apart
//! in time, so that every workload has the new root before anything is signed under it:
//! [`BuiltIn::prepare_root`], [`BuiltIn::activate_root`], [`BuiltIn::retire_roots`].

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use leno_model::spiffe::TrustDomain;
use rcgen::Issuer;
use rustls::pki_types::CertificateDer;

use super::issue::{self, Validity};
use super::store::{self, Authorities};
use super::{Ca, Issued, Issuing, Order};
use crate::bundle::Bundle;
use crate::clock;
use crate::credential::Credential;
use crate::error::Error;
use crate::key::{CertificateSigner, KeyPair};
use crate::limits::{MAX_LEAF_LIFETIME, MIN_LEAF_LIFETIME};
use crate::state::StateDirectory;
use crate::svid;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// How long the built-in authority's certificates live.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Life of a root.
    pub root_lifetime: Duration,
    /// Life of an intermediate, which is replaced at half of it.
    pub intermediate_lifetime: Duration,
    /// Longest life of a leaf; at most [`MAX_LEAF_LIFETIME`]. What is ordered beyond it is cut.
    pub max_leaf_lifetime: Duration,
    /// How far in the past certificates begin, for peers whose clocks are slow. A leaf's is at most a tenth of its life.
    pub backdate: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            root_lifetime: DAY * 3652,
            intermediate_lifetime: DAY * 365,
            max_leaf_lifetime: DAY,
            backdate: Duration::from_secs(60),
        }
    }
}

/// The built-in authority of one trust domain.
pub struct BuiltIn {
    trust_domain: TrustDomain,
    settings: Settings,
    directory: Option<StateDirectory>,
    state: Mutex<State>,
}

struct State {
    authorities: Authorities,
    issuer: Issuer<'static, CertificateSigner>,
    /// Of the intermediate.
    validity: Validity,
    bundle: Arc<Bundle>,
}

impl BuiltIn {
    /// An authority that ends with the process.
    ///
    /// # Errors
    /// [`Error::Crypto`] or [`Error::Sign`].
    pub fn ephemeral(trust_domain: TrustDomain, settings: Settings, now: SystemTime) -> Result<Self, Error> {
        let authorities = found(&trust_domain, &settings, now)?;
        Self::assemble(trust_domain, settings, None, authorities)
    }

    /// The authority of a state directory, founded there the first time.
    ///
    /// # Errors
    /// What [`StateDirectory::open`] finds; [`Error::State`], [`Error::NotRoot`] and others for content that is not a
    /// whole authority of this trust domain.
    pub fn open(
        path: &Path,
        trust_domain: TrustDomain,
        settings: Settings,
        now: SystemTime,
    ) -> Result<Self, Error> {
        let directory = StateDirectory::open(path)?;
        let authorities = match store::load(&directory, clock::unix_seconds(now))? {
            Some(authorities) => authorities,
            None => {
                let authorities = found(&trust_domain, &settings, now)?;
                store::create(&directory, &authorities)?;
                authorities
            }
        };
        Self::assemble(trust_domain, settings, Some(directory), authorities)
    }

    fn assemble(
        trust_domain: TrustDomain,
        settings: Settings,
        directory: Option<StateDirectory>,
        authorities: Authorities,
    ) -> Result<Self, Error> {
        let state = Mutex::new(State::new(&trust_domain, authorities)?);
        Ok(Self { trust_domain, settings, directory, state })
    }

    /// The trust domain whose identities it signs.
    #[must_use]
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// Signs an SVID. Replaces the intermediate first when its time has come.
    ///
    /// # Errors
    /// [`Error::NotOurs`] for another trust domain's identity or the trust domain itself; [`Error::Sign`];
    /// [`Error::RootExpired`]; [`Error::File`] when a new intermediate can't be kept.
    pub fn sign(&self, order: &Order, now: SystemTime) -> Result<Issued, Error> {
        if order.id.trust_domain() != self.trust_domain.as_str() || order.id.path().is_empty() {
            let trust_domain = self.trust_domain.to_string();
            return Err(Error::NotOurs { trust_domain, id: order.id.clone() });
        }
        let mut state = self.lock();
        if state.intermediate_due(now) {
            let mut authorities = state.authorities.clone();
            authorities.intermediate =
                new_intermediate(&self.trust_domain, &self.settings, &authorities.root, now)?;
            self.adopt(&mut state, authorities, store::save_active)?;
        }
        let longest = self.settings.max_leaf_lifetime.min(MAX_LEAF_LIFETIME);
        let lifetime = order.lifetime.min(longest).max(MIN_LEAF_LIFETIME);
        let validity = Validity {
            not_before: clock::whole_seconds(earlier(now, self.settings.backdate.min(lifetime / 10))),
            not_after: clock::whole_seconds(later(now, lifetime)).min(state.validity.not_after),
        };
        let leaf = issue::leaf(&order.id, order.request.public(), validity, &state.issuer)?;
        let chain = std::iter::once(leaf).chain(state.authorities.intermediate.chain().iter().cloned());
        Ok(Issued { chain: chain.collect(), not_before: validity.not_before, not_after: validity.not_after })
    }

    /// The roots to trust.
    #[must_use]
    pub fn trusted(&self) -> Arc<Bundle> {
        Arc::clone(&self.lock().bundle)
    }

    /// Begins a root's replacement: makes the next root and adds it to the bundle. Does nothing when there is one.
    ///
    /// # Errors
    /// [`Error::Crypto`], [`Error::Sign`], or [`Error::File`] when it can't be kept.
    pub fn prepare_root(&self, now: SystemTime) -> Result<(), Error> {
        let mut state = self.lock();
        if state.authorities.next.is_some() {
            return Ok(());
        }
        let mut authorities = state.authorities.clone();
        authorities.next = Some(new_root(&self.trust_domain, &self.settings, now)?);
        authorities.sequence += 1;
        self.adopt(&mut state, authorities, store::save_next)
    }

    /// Signs under the next root from now on. Wait after [`BuiltIn::prepare_root`] until every workload has the bundle.
    /// Does nothing when no root was prepared.
    ///
    /// # Errors
    /// As [`BuiltIn::prepare_root`].
    pub fn activate_root(&self, now: SystemTime) -> Result<(), Error> {
        let mut state = self.lock();
        let mut authorities = state.authorities.clone();
        let Some(next) = authorities.next.take() else { return Ok(()) };
        authorities.retired.extend(authorities.root.chain().iter().cloned());
        authorities.intermediate = new_intermediate(&self.trust_domain, &self.settings, &next, now)?;
        authorities.root = next;
        self.adopt(&mut state, authorities, store::save_activation)
    }

    /// Ends a root's replacement: roots that are no longer active leave the bundle. Wait after
    /// [`BuiltIn::activate_root`] until no SVID signed before it is valid.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn retire_roots(&self) -> Result<(), Error> {
        let mut state = self.lock();
        if state.authorities.retired.is_empty() {
            return Ok(());
        }
        let mut authorities = state.authorities.clone();
        authorities.retired.clear();
        authorities.sequence += 1;
        self.adopt(&mut state, authorities, store::save_retirement)
    }

    /// Keeps new authorities first, uses them then.
    fn adopt(
        &self,
        state: &mut State,
        authorities: Authorities,
        save: fn(&StateDirectory, &Authorities) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let new = State::new(&self.trust_domain, authorities)?;
        if let Some(directory) = &self.directory {
            save(directory, &new.authorities)?;
        }
        *state = new;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is replaced whole, so a panic elsewhere can't have left half of it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ca for BuiltIn {
    fn issue<'a>(&'a self, order: &'a Order, now: SystemTime) -> Issuing<'a> {
        Box::pin(std::future::ready(self.sign(order, now)))
    }

    fn bundle(&self) -> Result<Arc<Bundle>, Error> {
        Ok(self.trusted())
    }
}

impl std::fmt::Debug for BuiltIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BuiltIn").field("trust_domain", &self.trust_domain).finish_non_exhaustive()
    }
}

impl State {
    fn new(trust_domain: &TrustDomain, authorities: Authorities) -> Result<Self, Error> {
        let next = authorities.next.iter().flat_map(|next| next.chain());
        let roots = authorities.root.chain().iter().chain(next).chain(&authorities.retired);
        let bundle = Bundle::new(trust_domain.clone(), roots.cloned(), authorities.sequence)?;
        let (not_before, not_after) = signer_validity(trust_domain, &authorities.intermediate)?;
        let issuer = issuer(trust_domain, &authorities.intermediate)?;
        let validity = Validity { not_before, not_after };
        Ok(Self { authorities, issuer, validity, bundle: Arc::new(bundle) })
    }

    fn intermediate_due(&self, now: SystemTime) -> bool {
        let Validity { not_before, not_after } = self.validity;
        let life = not_after.duration_since(not_before).unwrap_or_default();
        !(not_before..later(not_before, life / 2)).contains(&now)
    }
}

fn found(trust_domain: &TrustDomain, settings: &Settings, now: SystemTime) -> Result<Authorities, Error> {
    let root = new_root(trust_domain, settings, now)?;
    let intermediate = new_intermediate(trust_domain, settings, &root, now)?;
    Ok(Authorities { root, intermediate, next: None, retired: Vec::new(), sequence: 1 })
}

fn new_root(trust_domain: &TrustDomain, settings: &Settings, now: SystemTime) -> Result<Credential, Error> {
    let key = KeyPair::generate()?;
    let validity = Validity {
        not_before: clock::whole_seconds(earlier(now, settings.backdate)),
        not_after: clock::whole_seconds(later(now, settings.root_lifetime)),
    };
    let certificate = issue::root(trust_domain, &key, validity)?;
    Credential::new(vec![certificate], key, &format!("the root of {trust_domain}"))
}

fn new_intermediate(
    trust_domain: &TrustDomain,
    settings: &Settings,
    root: &Credential,
    now: SystemTime,
) -> Result<Credential, Error> {
    let (_, root_end) = signer_validity(trust_domain, root)?;
    if root_end <= now {
        return Err(Error::RootExpired { trust_domain: trust_domain.to_string() });
    }
    let key = KeyPair::generate()?;
    let validity = Validity {
        not_before: clock::whole_seconds(earlier(now, settings.backdate)),
        not_after: clock::whole_seconds(later(now, settings.intermediate_lifetime)).min(root_end),
    };
    let certificate = issue::intermediate(trust_domain, &key, validity, &issuer(trust_domain, root)?)?;
    Credential::new(vec![certificate], key, &format!("the intermediate of {trust_domain}"))
}

fn issuer(
    trust_domain: &TrustDomain,
    credential: &Credential,
) -> Result<Issuer<'static, CertificateSigner>, Error> {
    let subject = format!("the authority of {trust_domain}");
    let signer = CertificateSigner::new(credential.key(), &subject)?;
    Issuer::from_ca_cert_der(certificate(credential, &subject)?, signer)
        .map_err(|source| Error::Sign { subject, source })
}

fn signer_validity(
    trust_domain: &TrustDomain,
    credential: &Credential,
) -> Result<(SystemTime, SystemTime), Error> {
    let subject = format!("the authority of {trust_domain}");
    svid::signer(certificate(credential, &subject)?, trust_domain.as_str())
        .map_err(|source| Error::NotRoot { subject, source })
}

fn certificate<'a>(credential: &'a Credential, subject: &str) -> Result<&'a CertificateDer<'static>, Error> {
    credential.chain().first().ok_or_else(|| Error::MalformedCertificate { subject: subject.to_owned() })
}

fn earlier(time: SystemTime, by: Duration) -> SystemTime {
    time.checked_sub(by).unwrap_or(time)
}

fn later(time: SystemTime, by: Duration) -> SystemTime {
    time.checked_add(by).unwrap_or(time)
}
