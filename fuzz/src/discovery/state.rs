//! A proxy's saved state: read only when it is whole, and as strictly as what comes from the control plane.
//!
//! The input is taken as a blob, and as the content of a blob whose checksum is right.

use aws_lc_rs::digest::{SHA256, digest};
use leno_wire::state::State;

use super::unit;
use crate::Outcome;

const BEGINNING: &[u8] = b"LENO\x01";

/// Checks one input.
pub fn run(data: &[u8]) -> Outcome {
    let mut sealed = [BEGINNING, data].concat();
    let checksum = digest(&SHA256, &sealed);
    sealed.extend_from_slice(checksum.as_ref());
    let mut outcome = Outcome::Refused;
    for blob in [data, &sealed] {
        if let Ok(state) = State::decode(blob) {
            outcome = Outcome::Accepted;
            for (_, unit) in &state.units {
                unit::check(&unit.key(), unit);
            }
            assert_eq!(State::decode(&state.encode()), Ok(state), "it doesn't survive");
            damage_is_noticed(blob);
        }
    }
    outcome
}

/// One bit is enough, and so is one byte too few or too many.
fn damage_is_noticed(blob: &[u8]) {
    let at = blob.iter().fold(1_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    for damage in [at, at / 7, 5] {
        let mut damaged = blob.to_vec();
        damaged[damage % blob.len()] ^= 1 << (damage % 8);
        assert!(State::decode(&damaged).is_err(), "a changed bit at {}", damage % blob.len());
    }
    assert!(State::decode(&blob[..blob.len() - 1]).is_err(), "a byte too few");
    assert!(State::decode(&[blob, b"x"].concat()).is_err(), "a byte too many");
}
