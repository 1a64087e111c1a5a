//! What a proxy keeps over a restart: its units, answers and their versions, as one blob.
//!
//! The blob is `LENO`, a byte with the format's version, protobuf, and a SHA-256 of all that. It is read as strictly as
//! what comes from the control plane, so a proxy never starts from something it would have refused.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use bytes::Bytes;
use prost::Message;

use crate::convert::Interner;
use crate::key::{Key, Kind};
use crate::malformed::Malformed;
use crate::proto;
use crate::unit::Unit;
use crate::version::Version;

const MAGIC: &[u8] = b"LENO";

/// The format written and read here.
const FORMAT: u8 = 1;

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
    Content(#[source] Malformed),
}

impl State {
    /// The blob. It is secret where the state is.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let resources = self.units.iter().map(|(version, unit)| proto::state::Held {
            type_url: unit.key().kind().type_url(),
            name: unit.key().name(),
            version: version.to_string(),
            content: unit.encode(),
        });
        let state = proto::state::State { snapshot: self.snapshot, resources: resources.collect() };
        let mut blob = Vec::with_capacity(MAGIC.len() + 1 + state.encoded_len() + SHA256_OUTPUT_LEN);
        blob.extend_from_slice(MAGIC);
        blob.push(FORMAT);
        blob.extend_from_slice(&state.encode_to_vec());
        let checksum = digest(&SHA256, &blob);
        blob.extend_from_slice(checksum.as_ref());
        blob
    }

    /// Reads a blob.
    ///
    /// # Errors
    /// When it is damaged, of an unknown format, or has anything in it that would be refused from the control plane.
    pub fn decode(blob: &[u8]) -> Result<Self, StateError> {
        let Some((format, rest)) = blob.strip_prefix(MAGIC).and_then(<[u8]>::split_first) else {
            return Err(StateError::Format);
        };
        if *format != FORMAT {
            return Err(StateError::Version(*format));
        }
        let Some((content, checksum)) = rest.split_last_chunk::<SHA256_OUTPUT_LEN>() else {
            return Err(StateError::Checksum);
        };
        let covered = blob.get(..MAGIC.len() + 1 + content.len()).unwrap_or_default();
        verify_slices_are_equal(digest(&SHA256, covered).as_ref(), checksum)
            .map_err(|_different| StateError::Checksum)?;
        Self::read(Bytes::copy_from_slice(content)).map_err(StateError::Content)
    }

    fn read(content: Bytes) -> Result<Self, Malformed> {
        let state = proto::state::State::decode(content).map_err(Malformed::new)?;
        let mut texts = Interner::default();
        let mut units = Vec::with_capacity(state.resources.len());
        for (index, held) in state.resources.into_iter().enumerate() {
            let unit = read_held(&held, &mut texts).map_err(|e| e.in_element("resources", index))?;
            units.push(unit);
        }
        Ok(Self { snapshot: state.snapshot, units })
    }
}

fn read_held(held: &proto::state::Held, texts: &mut Interner) -> Result<(Version, Unit), Malformed> {
    let kind = Kind::from_type_url(&held.type_url).ok_or_else(|| Malformed::missing("type_url"))?;
    let key = Key::parse(kind, &held.name).map_err(|error| error.in_field("name"))?;
    let version = held.version.parse().map_err(|error| Malformed::new(error).in_field("version"))?;
    let unit = Unit::decode_sharing(&key, &held.content, texts).map_err(|error| error.in_field("content"))?;
    Ok((version, unit))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::convert::values;

    fn state() -> impl Strategy<Value = State> {
        (any::<u64>(), prop::collection::vec(values::unit(), 0..6)).prop_map(|(snapshot, units)| State {
            snapshot,
            units: units.into_iter().map(|unit| (Version::of(&unit.encode()), unit)).collect(),
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

        #[test]
        fn a_state_survives(state in state()) {
            prop_assert_eq!(State::decode(&state.encode()), Ok(state));
        }

        #[test]
        fn any_damage_is_noticed(
            state in state(), at in any::<prop::sample::Index>(), bit in 0..8u8, cut in any::<bool>(),
        ) {
            let mut blob = state.encode();
            let at = at.index(blob.len());
            if cut { blob.truncate(at) } else { blob[at] ^= 1 << bit }
            prop_assert!(State::decode(&blob).is_err());
        }
    }

    #[test]
    fn other_blobs_are_told_apart() {
        let blob = State::default().encode();
        let mut newer = blob.clone();
        newer[4] = 9;
        for (blob, error) in [
            (&b""[..], StateError::Format),
            (b"{}", StateError::Format),
            (b"LENO", StateError::Format),
            (&newer, StateError::Version(9)),
            (&blob[..blob.len() - 1], StateError::Checksum),
            (&blob[..5], StateError::Checksum),
        ] {
            assert_eq!(State::decode(blob), Err(error));
        }
    }

    #[test]
    fn content_that_the_control_plane_could_not_send_is_refused() {
        let held = proto::state::Held { type_url: "x".into(), ..Default::default() };
        let state = proto::state::State { snapshot: 1, resources: vec![held] };
        let mut blob = [MAGIC, &[FORMAT], &state.encode_to_vec()].concat();
        blob.extend_from_slice(digest(&SHA256, &blob).as_ref());
        let Err(StateError::Content(error)) = State::decode(&blob) else { panic!("accepted") };
        assert_eq!(error.to_string(), "resources[0].type_url: missing, or of a kind unknown here");
    }
}
