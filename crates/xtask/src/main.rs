//! Automation for the workspace: `cargo xtask test`, `cargo xtask demo`, `cargo xtask bench`.

use anyhow::Result;

fn main() -> Result<()> {
    anyhow::bail!("usage: cargo xtask test|demo|bench")
}
