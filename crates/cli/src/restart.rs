//! `leno restart`: ends a workload and starts it again.

use std::process::ExitCode;

use leno_local::client;

/// Restart a workload, or one replica of it
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The workload or replica
    workload: String,
    /// The mesh's name; may be left out while only one is running
    #[arg(long, short, value_name = "NAME")]
    mesh: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mesh = client::choose(arguments.mesh.as_deref())?;
    client::restart(&mesh, &arguments.workload)?;
    Ok(ExitCode::SUCCESS)
}
