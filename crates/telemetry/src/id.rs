//! Ids for requests, traces and spans.
//!
//! They tell things apart and are no secrets: the generator is fast, not cryptographic. Each thread has its own.

use std::fmt;
use std::str;

use fastrand::Rng;

/// Makes ids. Keep one per core.
///
/// Two generators side by side, since the 2^64 states of one would make ids of a large fleet repeat.
#[derive(Clone, Debug)]
pub struct Ids {
    high: Rng,
    low: Rng,
}

impl Default for Ids {
    fn default() -> Self {
        Self::new()
    }
}

impl Ids {
    /// Ids that differ from everybody's, seeded by the system.
    pub fn new() -> Self {
        Self { high: Rng::new(), low: Rng::new() }
    }

    /// The same ids every time, for tests.
    pub fn seeded(seed: u64) -> Self {
        Self { high: Rng::with_seed(seed), low: Rng::with_seed(!seed) }
    }

    /// A request id: a random UUID (RFC 9562 §5.4, version 4).
    pub fn request_id(&mut self) -> RequestId {
        let random = self.bits128();
        // Version 4 and variant 0b10 take six of the bits.
        let uuid = random & !(0xf << 76) & !(0b11 << 62) | 0x4 << 76 | 0b10 << 62;
        let bytes = uuid.to_be_bytes();
        let mut text = [b'-'; 36];
        let mut rest = (&mut text[..], &bytes[..]);
        for group in [4, 2, 2, 2, 6] {
            let (Some((out, out_rest)), Some((from, from_rest))) =
                (rest.0.split_at_mut_checked(group * 2), rest.1.split_at_checked(group))
            else {
                break;
            };
            hex(out, from);
            rest = (out_rest.get_mut(1..).unwrap_or_default(), from_rest);
        }
        RequestId(text)
    }

    /// A trace id, which is never zero.
    pub(crate) fn trace_id(&mut self) -> u128 {
        loop {
            let id = self.bits128();
            if id != 0 {
                return id;
            }
        }
    }

    /// A span id, which is never zero.
    pub(crate) fn span_id(&mut self) -> u64 {
        loop {
            let id = self.low.u64(..);
            if id != 0 {
                return id;
            }
        }
    }

    fn bits128(&mut self) -> u128 {
        (u128::from(self.high.u64(..)) << 64) | u128::from(self.low.u64(..))
    }
}

/// The two digits of each byte.
#[allow(clippy::indexing_slicing, reason = "in a constant, an index out of range doesn't compile")]
const PAIRS: [[u8; 2]; 256] = {
    let digits = b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [digits[byte >> 4], digits[byte & 0xf]];
        byte += 1;
    }
    pairs
};

/// Writes bytes in lower-case hex, two digits each.
pub(crate) fn hex(out: &mut [u8], bytes: &[u8]) {
    for (pair, byte) in out.as_chunks_mut().0.iter_mut().zip(bytes) {
        *pair = PAIRS.get(usize::from(*byte)).copied().unwrap_or_default();
    }
}

/// A value for `x-request-id`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId([u8; 36]);

impl RequestId {
    /// Its text.
    pub fn as_bytes(&self) -> &[u8; 36] {
        &self.0
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn request_ids_are_version_4() {
        let mut ids = Ids::seeded(7);
        for _ in 0..1_000 {
            let id = ids.request_id();
            let groups: Vec<_> = id.as_str().split('-').collect();
            assert_eq!(groups.iter().map(|group| group.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12], "{id}");
            assert!(groups.iter().all(|group| group.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))));
            assert!(groups[2].starts_with('4') && groups[3].starts_with(['8', '9', 'a', 'b']), "{id}");
        }
    }

    #[test]
    fn ids_differ() {
        let (mut one, mut other) = (Ids::new(), Ids::new());
        let seen: HashSet<_> = (0..1_000).flat_map(|_| [one.request_id(), other.request_id()]).collect();
        assert_eq!(seen.len(), 2_000);
        assert_eq!(Ids::seeded(1).request_id(), Ids::seeded(1).request_id());
    }

    #[test]
    fn every_random_bit_is_used() {
        let mut ids = Ids::seeded(3);
        let (mut ever, mut always) = (0, u128::MAX);
        for _ in 0..200 {
            let hex = ids.request_id().as_str().replace('-', "");
            let bits = u128::from_str_radix(&hex, 16).unwrap();
            ever |= bits;
            always &= bits;
        }
        let fixed = 0xf_u128 << 76 | 0b11 << 62;
        assert_eq!(ever | fixed, u128::MAX);
        assert_eq!(always, 0x4 << 76 | 0b10 << 62);
    }
}
