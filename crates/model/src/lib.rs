//! The mesh's nouns, as pure data.
//!
//! Everything here is validated when it is made and immutable afterwards: a value of these types is right by
//! construction, so decisions never have to doubt it. The crate does no I/O, knows no dialect's syntax and no
//! wire format, and cannot panic on any input.

pub mod failure;
pub mod request;
pub mod span;
pub mod spiffe;
