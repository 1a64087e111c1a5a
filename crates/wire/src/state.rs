//! What a proxy keeps over a restart: its units, answers and their versions, as one blob.

use crate::unit::Unit;
use crate::version::Version;

/// Everything that a proxy holds. It has a gateway's private keys in it where there are any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The snapshot that it is of.
    pub snapshot: u64,
    /// The units, answers among them, each with the version that the control plane gave it.
    pub units: Vec<(Version, Unit)>,
}

/// Why a blob is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// It does not begin as a state does.
    #[error("not a saved state")]
    Format,
    /// It is of another version of the format.
    #[error("a saved state of format {0}, which is unknown here")]
    Version(u8),
    /// It was cut short or changed.
    #[error("the saved state is damaged")]
    Checksum,
    /// Its content is not what this program expects.
    #[error("the saved state cannot be read")]
    Content(#[source] crate::malformed::Malformed),
}

impl State {
    /// The blob. It is secret where the state is.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        todo!()
    }

    /// Reads a blob.
    ///
    /// # Errors
    /// When it is damaged, of an unknown format, or has anything in it that would be refused from the control plane.
    pub fn decode(blob: &[u8]) -> Result<Self, StateError> {
        let _ = blob;
        todo!()
    }
}
