//! The crate over real transports.
