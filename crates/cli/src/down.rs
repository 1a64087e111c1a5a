//! `leno down`: ends a running mesh and leaves nothing behind.

use std::process::ExitCode;

use leno_local::client;

/// End a running mesh and leave nothing behind
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The mesh's name; may be left out while only one is running
    mesh: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mesh = client::choose(arguments.mesh.as_deref())?;
    client::down(&mesh)?;
    Ok(ExitCode::SUCCESS)
}
