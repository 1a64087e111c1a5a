//! Keeps the workload's certificate fresh: carries the rotation machine, asks the control plane, keeps the result.
//!
//! A key is made for every certificate and never leaves the process, except into the supervisor's memory.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use leno_identity::request::SigningRequest;
use leno_identity::rotation::{Action, Attempt, Event, Rotation, Settings, Validity};
use leno_identity::{Bundle, KeyPair, Svid};
use leno_model::spiffe::TrustDomain;
use leno_runtime::clock::Clock;
use leno_wire::certificate::{self, CertificateError};
use leno_wire::client::Discovery;
use leno_wire::transport::Remote;

use crate::trust::Trust;
use crate::vault::{Blobs, Vault};

/// The blob that holds certificate chain and key.
const SVID_BLOB: &str = "svid";

/// The blob that holds the root which the chain leads to.
const ROOT_BLOB: &str = "root";

/// Why there is no new certificate.
#[derive(Debug, thiserror::Error)]
enum RenewError {
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error("the certificate that was issued cannot be used")]
    Identity(#[from] leno_identity::Error),
}

/// Everything that renewing needs.
pub(crate) struct Renewal {
    pub(crate) remote: Remote,
    pub(crate) settings: Settings,
    pub(crate) trust_domain: TrustDomain,
    pub(crate) trust: Arc<Trust>,
    pub(crate) discovery: Discovery,
    pub(crate) vault: Option<Arc<Vault>>,
    pub(crate) clock: Clock,
}

/// A certificate that was issued and is not in use yet.
struct Issued {
    svid: Svid,
    root: Bundle,
    /// Chain and key, as they are kept.
    blob: Vec<u8>,
}

impl Issued {
    /// Reads the control plane's answer: the leaf first, the root last, each in PEM.
    fn read(chain: &[String], key: &KeyPair, trust_domain: &TrustDomain) -> Result<Self, RenewError> {
        let (root, own) = chain.split_last().ok_or_else(|| {
            CertificateError::Refused("the control plane's answer has no certificate in it".to_owned())
        })?;
        let root = Bundle::from_pem(trust_domain.clone(), root.as_bytes(), 0, "the issued chain")?;
        let key = key.to_pem();
        let chain = own.concat();
        let svid = Svid::from_pem(chain.as_bytes(), key.as_bytes(), "the issued certificate")?;
        let blob = format!("{chain}{}", &*key).into_bytes();
        Ok(Self { svid, root, blob })
    }

    /// The root goes first: without one no certificate is of use.
    fn kept(&self) -> [(&'static str, Vec<u8>); 2] {
        [(ROOT_BLOB, self.root.to_pem().into_bytes()), (SVID_BLOB, self.blob.clone())]
    }
}

impl Renewal {
    /// Renews for ever.
    pub(crate) async fn run(self, held: Option<Validity>) {
        let mut rotation =
            Rotation::new(self.settings.clone(), held, self.clock.wall(), fastrand::Rng::new());
        let mut connection = self.discovery.connection();
        let mut event = Event::Tick;
        let mut issued: Option<Issued> = None;
        let mut failures = Failures::default();
        loop {
            let mut next = None;
            for action in rotation.handle(event, self.clock.wall()) {
                match action {
                    Action::Request { attempt, lifetime } => {
                        next = Some(self.attempt(attempt, lifetime, &mut issued, &mut failures).await);
                    }
                    Action::Install(_) => {
                        if let Some(issued) = issued.take() {
                            self.install(issued).await;
                        }
                    }
                    Action::Expired => {
                        tracing::error!(
                            "the workload's certificate has expired; new connections fail until it is renewed"
                        );
                    }
                }
            }
            event = match next {
                Some(event) => event,
                None => tokio::select! {
                    () = leno_runtime::time::sleep(rotation.nap(self.clock.wall())) => Event::Tick,
                    Ok(()) = connection.changed() => {
                        if connection.borrow_and_update().connected { Event::Reachable } else { Event::Tick }
                    }
                },
            };
        }
    }

    async fn attempt(
        &self,
        attempt: Attempt,
        lifetime: Duration,
        issued: &mut Option<Issued>,
        failures: &mut Failures,
    ) -> Event {
        let asked = leno_runtime::time::timeout(self.settings.request_timeout, self.ask(lifetime)).await;
        match asked {
            Ok(Ok(fresh)) => {
                let validity = Validity::from(&fresh.svid);
                *issued = Some(fresh);
                *failures = Failures::default();
                Event::Issued(attempt, validity)
            }
            Ok(Err(error)) => {
                if let Some(attempts) = failures.worth_telling() {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, attempts, "no new certificate");
                }
                Event::Failed(attempt)
            }
            Err(_elapsed) => {
                if let Some(attempts) = failures.worth_telling() {
                    tracing::warn!(attempts, "the control plane did not issue a certificate in time");
                }
                Event::Failed(attempt)
            }
        }
    }

    async fn ask(&self, lifetime: Duration) -> Result<Issued, RenewError> {
        let key = KeyPair::generate()?;
        let request = SigningRequest::make_pem(&key)?;
        let chain = certificate::request(&self.remote, &request, lifetime).await?;
        Issued::read(&chain, &key, &self.trust_domain)
    }

    async fn install(&self, issued: Issued) {
        let (until, kept) = (issued.svid.not_after(), issued.kept());
        if let Err(error) = self.trust.certificate(issued.svid, Some(issued.root)) {
            tracing::error!(%error, "the new certificate cannot be used");
            return;
        }
        tracing::info!(seconds = seconds_until(until, self.clock.wall()), "a new certificate is in use");
        let Some(vault) = &self.vault else { return };
        for (name, blob) in kept {
            if let Err(error) = vault.put(name, &blob).await {
                tracing::warn!(%error, name, "the supervisor did not take the certificate into its keeping");
            }
        }
    }
}

/// Attempts that failed one after the other. Each doubling of their number is told, so a long outage fills no log.
#[derive(Debug, Default)]
struct Failures(u32);

impl Failures {
    /// Counts one more; how many there are, if that is worth a line.
    fn worth_telling(&mut self) -> Option<u32> {
        self.0 = self.0.saturating_add(1);
        self.0.is_power_of_two().then_some(self.0)
    }
}

fn seconds_until(time: SystemTime, now: SystemTime) -> u64 {
    time.duration_since(now).unwrap_or_default().as_secs()
}

/// Takes up what an earlier process left, if it is still good for anything.
pub(crate) fn restore(
    blobs: &Blobs,
    trust_domain: &TrustDomain,
    trust: &Trust,
    now: SystemTime,
) -> Option<Validity> {
    let (svid, root) = (blobs.get(SVID_BLOB)?, blobs.get(ROOT_BLOB)?);
    take_up(svid, root, trust_domain, trust, now).unwrap_or_else(|error| {
        tracing::warn!(%error, "the certificate in the supervisor's keeping cannot be used");
        None
    })
}

fn take_up(
    svid: &[u8],
    root: &[u8],
    trust_domain: &TrustDomain,
    trust: &Trust,
    now: SystemTime,
) -> Result<Option<Validity>, leno_identity::Error> {
    const SOURCE: &str = "the supervisor's keeping";
    let svid = Svid::from_pem(svid, svid, SOURCE)?;
    if svid.expired(now) {
        return Ok(None);
    }
    let root = Bundle::from_pem(trust_domain.clone(), root, 0, SOURCE)?;
    let validity = Validity::from(&svid);
    trust.certificate(svid, Some(root))?;
    Ok(Some(validity))
}

#[cfg(test)]
mod tests {
    use leno_identity::Identities;
    use leno_identity::ca::{self, BuiltIn, Order};
    use leno_identity::tls::Options;
    use leno_runtime::readiness::Readiness;

    use super::*;

    #[test]
    fn a_long_outage_is_told_ever_more_seldom() {
        let mut failures = Failures::default();
        let told: Vec<u32> = (0..1000).filter_map(|_| failures.worth_telling()).collect();
        assert_eq!(told, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]);
    }

    /// Of a process that starts while the control plane is away, before it has any configuration.
    #[test]
    fn what_is_kept_is_an_identity_by_itself() {
        let domain: TrustDomain = "mesh.test".parse().unwrap();
        let now = SystemTime::now();
        let authority = BuiltIn::ephemeral(domain.clone(), ca::Settings::default(), now).unwrap();
        let key = KeyPair::generate().unwrap();
        let request = SigningRequest::verify(&SigningRequest::make(&key).unwrap()).unwrap();
        let id = "spiffe://mesh.test/ns/default/sa/web".parse().unwrap();
        let signed = authority.sign(&Order { id, request, lifetime: Duration::from_secs(60) }, now).unwrap();
        let own = Svid::new(signed.chain, key.clone()).unwrap().credential().chain_pem();
        let issued = Issued::read(&[own, authority.trusted().to_pem()], &key, &domain).unwrap();
        let blobs: Blobs = issued.kept().map(|(name, blob)| (name.to_owned(), blob)).into();
        let restored = |now| {
            let identities = Arc::new(Identities::new(Options::default()));
            let trust = Trust::new(Arc::clone(&identities), Readiness::new("certificate").1);
            let validity = restore(&blobs, &domain, &trust, now);
            (validity, identities.current().is_some())
        };
        assert_eq!(restored(now), (Some(Validity::from(&issued.svid)), true));
        assert_eq!(restored(now + Duration::from_secs(120)), (None, false), "it has ended");
    }
}
