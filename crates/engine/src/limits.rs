//! The engine's limits, each with its reason.

/// Endpoints with state of their own, at most. State is some 200 bytes each, its key included; a proxy with more endpoints than this
/// balances the rest without memory of earlier configurations.
pub const MAX_STATES: usize = 65_536;

/// Largest compiled program of a path rewrite, in bytes. A pattern is checked against
/// [`leno_model::text::MAX_PROGRAM_BYTES`] in its anchored form; the unanchored one may be a little larger.
pub const MAX_REWRITE_PROGRAM_BYTES: usize = 2 * leno_model::text::MAX_PROGRAM_BYTES;

/// Longest path that a rewrite may make, in bytes: as long as the longest request head that is taken in. A pattern
/// that matches everywhere would otherwise multiply a long path by the length of its substitution.
pub const MAX_REWRITTEN_PATH_BYTES: usize = 64 * 1024;
