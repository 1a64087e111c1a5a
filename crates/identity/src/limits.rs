//! Every limit of this crate, with its reason.

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

/// Longest validity that the built-in authority signs for a leaf, whatever is asked for.
pub const MAX_LEAF_LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);

/// Shortest validity that is signed: below, a leaf would expire while it is being delivered.
pub const MIN_LEAF_LIFETIME: Duration = Duration::from_secs(5);

/// Longest a join token may live: it is a bearer secret.
pub const MAX_TOKEN_LIFE: Duration = Duration::from_secs(24 * 3600);

/// Join tokens outstanding at a time; each takes about 200 bytes, and issuing beyond it is refused.
pub const MAX_TOKENS: usize = 16_384;

/// Certificates that a gateway holds for one server name: one per key type is enough.
pub const MAX_CERTIFICATES_PER_NAME: usize = 4;
