//! The harness's own small programs, each run as a process of its own.

pub(crate) mod enter;
pub(crate) mod relay;
