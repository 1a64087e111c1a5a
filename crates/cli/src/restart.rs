//! `leno restart`: ends a workload and starts it again.

use std::process::ExitCode;

use leno_local::client;
use serde_json::json;

use crate::mesh::{Also, Named};
use crate::output::{self, Format};

/// Restart a workload, or one replica of it
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The workload or replica
    workload: String,
    #[command(flatten)]
    named: Named,
}

pub(crate) fn run(arguments: &Arguments, format: Format) -> anyhow::Result<ExitCode> {
    let mesh = arguments.named.running()?;
    mesh.require(&arguments.workload, Also::Nothing)?;
    client::restart(&mesh.name, &arguments.workload)?;
    if format == Format::Json {
        output::json(&json!({"mesh": mesh.name, "restarted": arguments.workload}))?;
    }
    Ok(ExitCode::SUCCESS)
}
