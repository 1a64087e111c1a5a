//! `leno restart`: ends a workload, or a program of the mesh's own, and starts it again.

use std::process::ExitCode;

use leno_local::client;
use serde_json::json;

use crate::mesh::{Also, Named};
use crate::output::{self, Format};

/// Restart a workload, one replica of it, the control plane (`control`), or the gateway (`gateway`)
///
/// A new gateway takes over the listening sockets of the running one; no request is lost.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The workload or replica, `control` or `gateway`
    workload: String,
    #[command(flatten)]
    named: Named,
}

pub(crate) fn run(arguments: &Arguments, format: Format) -> anyhow::Result<ExitCode> {
    let mesh = arguments.named.running()?;
    mesh.require(&arguments.workload, Also::Programs)?;
    client::restart(&mesh.name, &arguments.workload)?;
    if format == Format::Json {
        output::json(&json!({"mesh": mesh.name, "restarted": arguments.workload}))?;
    }
    Ok(ExitCode::SUCCESS)
}
