//! Both sides over real transports.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod certificates;
mod discovery;
mod refusals;
mod status;
mod world;
