//! Who a peer has proved to be, and whether that proof still holds.
//!
//! A handshake verifies the peer's chain once. Roots that are trusted no more take their word back: a proof is checked
//! again whenever the bundles have changed, and not in between.

use std::cell::Cell;

use leno_identity::Error;
use leno_identity::holder::Current;
use leno_identity::tls::peer::{self, Peer, Side};
use leno_model::failure::Failure;
use rustls::CommonState;
use rustls::pki_types::CertificateDer;

use crate::local::Local;

/// A verified peer with what it showed.
pub(crate) struct Proof {
    pub(crate) peer: Peer,
    chain: Vec<CertificateDer<'static>>,
    side: Side,
    /// The trust epoch by which the chain was last found good.
    judged: Cell<u64>,
}

impl Proof {
    /// That of a session whose handshake was done with `current`. `side` is the peer's.
    pub(crate) fn of(session: &CommonState, current: &Current, side: Side) -> Result<Self, Error> {
        let shown = session.peer_certificates();
        let chain = shown.unwrap_or_default().iter().map(|one| one.clone().into_owned()).collect();
        Ok(Self { peer: Peer::of(shown)?, chain, side, judged: Cell::new(current.trust_epoch()) })
    }

    /// Whether the chain leads to a root that is trusted now. A certificate that has expired since the handshake was
    /// good when it counted, so it is judged as of its last moment.
    pub(crate) fn check(&self, local: &Local) -> Result<(), Failure> {
        let Some(current) = local.identities.current() else { return Err(Failure::NoPeerIdentity) };
        if self.judged.get() == current.trust_epoch() {
            return Ok(());
        }
        let at = local.wall().min(self.peer.not_after);
        peer::still_trusted(current.bundles(), Some(&self.chain), self.side, at)
            .map_err(|_untrusted| Failure::NoPeerIdentity)?;
        self.judged.set(current.trust_epoch());
        Ok(())
    }
}
