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
use crate::vault::Vault;

/// The blob that holds certificate chain and key.
pub(crate) const SVID_BLOB: &str = "svid";

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
    blob: Vec<u8>,
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
                    () = tokio::time::sleep(rotation.nap(self.clock.wall())) => Event::Tick,
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
        let asked = tokio::time::timeout(self.settings.request_timeout, self.ask(lifetime)).await;
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
        let (root, own) = chain.split_last().ok_or_else(|| {
            CertificateError::Refused("the control plane's answer has no certificate in it".to_owned())
        })?;
        let root = Bundle::from_pem(self.trust_domain.clone(), root.as_bytes(), 0, "the issued chain")?;
        let key = key.to_pem();
        let chain = own.concat();
        let svid = Svid::from_pem(chain.as_bytes(), key.as_bytes(), "the issued certificate")?;
        let blob = format!("{chain}{}{}", &*key, root.to_pem()).into_bytes();
        Ok(Issued { svid, root, blob })
    }

    async fn install(&self, issued: Issued) {
        let until = issued.svid.not_after();
        if let Err(error) = self.trust.certificate(issued.svid, Some(issued.root)) {
            tracing::error!(%error, "the new certificate cannot be used");
            return;
        }
        tracing::info!(seconds = seconds_until(until, self.clock.wall()), "a new certificate is in use");
        if let Some(vault) = &self.vault
            && let Err(error) = vault.put(SVID_BLOB, &issued.blob).await
        {
            tracing::warn!(%error, "the supervisor did not take the certificate into its keeping");
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

/// Reads what an earlier process left, if it is still good for anything.
pub(crate) fn restore(
    blob: &[u8],
    trust_domain: &TrustDomain,
    trust: &Trust,
    now: SystemTime,
) -> Option<Validity> {
    let svid = Svid::from_pem(blob, blob, "the certificate kept by the supervisor").ok()?;
    if svid.expired(now) {
        return None;
    }
    let root = Bundle::from_pem(trust_domain.clone(), blob, 0, "the certificate kept by the supervisor").ok();
    let validity = Validity::from(&svid);
    trust.certificate(svid, root).ok()?;
    Some(validity)
}

#[cfg(test)]
mod tests {
    use super::Failures;

    #[test]
    fn a_long_outage_is_told_ever_more_seldom() {
        let mut failures = Failures::default();
        let told: Vec<u32> = (0..1000).filter_map(|_| failures.worth_telling()).collect();
        assert_eq!(told, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]);
    }
}
