//! `cargo xtask demo`.

use std::process::ExitCode;

use anyhow::Result;

pub(crate) const WATCH: &str = "--watch";
pub(crate) fn run() -> Result<ExitCode> {
    anyhow::bail!("nothing to show yet")
}
pub(crate) fn watch(_since: u64) -> Result<ExitCode> {
    run()
}
