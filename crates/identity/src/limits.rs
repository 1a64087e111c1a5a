//! Every limit of this crate, with its reason.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Certificates in a chain that a peer may present, the leaf included. SPIFFE clients stop at 16; a mesh needs two or
/// three, and each one costs a signature check.
pub const MAX_CHAIN: usize = 16;

/// Roots in one trust domain's bundle: overlapping rotations need two or three, and each lengthens a failed path search.
pub const MAX_ROOTS: usize = 32;

/// Bytes of a PEM file that is read into memory: a system's bundle of roots has about 250 KiB.
pub const MAX_PEM_BYTES: u64 = 4 << 20;

/// Bytes of a certificate signing request; one for RSA 4096 has about 1.7 KiB.
pub const MAX_CSR_BYTES: usize = 8 << 10;

/// Sizes of RSA keys that are certified: smaller ones are weak, larger ones make every handshake slow.
pub const RSA_BITS: RangeInclusive<usize> = 2048..=4096;

/// Longest validity that the built-in authority signs for a leaf, whatever is asked for.
pub const MAX_LEAF_LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);

/// Shortest validity that is signed: below, a leaf would expire while it is being delivered.
pub const MIN_LEAF_LIFETIME: Duration = Duration::from_secs(5);

/// Longest a join token may live: it is a bearer secret, but machines that slept through their SVID's life need it again.
pub const MAX_TOKEN_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);

/// Join tokens outstanding at a time; each takes about 200 bytes, and issuing beyond it is refused.
pub const MAX_TOKENS: usize = 16_384;

/// Certificates that a gateway holds for one server name: one per key type is enough.
pub const MAX_CERTIFICATES_PER_NAME: usize = 4;

/// Shortest time from an SVID to the request for the next one, however short its life: it bounds the load on the signer.
pub const SHORTEST_RENEWAL: Duration = Duration::from_secs(1);

/// Longest wait between two requests that fail while the SVID's end is near or past: whoever signs again finds every
/// workload back within 5 s.
pub const URGENT_RETRY: Duration = Duration::from_secs(3);

/// Longest wait between two requests that fail while the SVID is good for long.
pub const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// Longest sleep of a rotation's owner: a wall clock that steps forward is noticed by then.
pub const LONGEST_NAP: Duration = Duration::from_secs(30);
