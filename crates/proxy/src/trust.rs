//! The workload's certificate and its peers' roots, brought together: whenever either changes, new connections use it.

use std::sync::{Arc, Mutex, PoisonError};

use leno_identity::rustls::pki_types::CertificateDer;
use leno_identity::{Bundle, Bundles, Error, Identities, Svid};
use leno_model::unit::BundleUnit;
use leno_runtime::readiness::Pending;

/// Installs what is known into the workload's [`Identities`].
pub(crate) struct Trust {
    identities: Arc<Identities>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    svid: Option<Svid>,
    bundles: Option<Arc<Bundles>>,
    /// Whether the roots came from the control plane's bundles, which then count alone.
    settled: bool,
    /// Held until there is an identity: a proxy without one serves nobody.
    waiting: Option<Pending>,
}

impl Trust {
    /// Nobody yet; `waiting` is released with the first identity.
    pub(crate) fn new(identities: Arc<Identities>, waiting: Pending) -> Self {
        Self { identities, known: Mutex::new(Known { waiting: Some(waiting), ..Known::default() }) }
    }

    /// Takes a new certificate. `root` is used until the control plane's bundles are known.
    pub(crate) fn certificate(&self, svid: Svid, root: Option<Bundle>) -> Result<(), Error> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let (false, Some(root)) = (known.settled, root) {
            known.bundles = Some(Arc::new(Bundles::new([Arc::new(root)])?));
        }
        known.svid = Some(svid);
        self.install(&mut known)
    }

    /// Takes the bundles that the control plane sends.
    pub(crate) fn bundles<'u>(&self, units: impl Iterator<Item = &'u Arc<BundleUnit>>) -> Result<(), Error> {
        let bundles = units.map(|unit| bundle(unit).map(Arc::new)).collect::<Result<Vec<_>, _>>()?;
        let bundles = Arc::new(Bundles::new(bundles)?);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.settled && known.bundles.as_ref() == Some(&bundles) {
            return Ok(());
        }
        known.settled = true;
        known.bundles = Some(bundles);
        self.install(&mut known)
    }

    fn install(&self, known: &mut Known) -> Result<(), Error> {
        let (Some(svid), Some(bundles)) = (&known.svid, &known.bundles) else { return Ok(()) };
        self.identities.install(svid.clone(), Arc::clone(bundles))?;
        known.waiting = None;
        Ok(())
    }
}

fn bundle(unit: &BundleUnit) -> Result<Bundle, Error> {
    let roots = unit.roots.iter().map(|der| CertificateDer::from(der.to_vec()));
    Bundle::new(unit.trust_domain.clone(), roots, unit.sequence)
}
