//! `leno down`: ends a running mesh and leaves nothing behind.

use std::process::ExitCode;

use leno_local::client;
use serde_json::json;

use crate::error::Problem;
use crate::mesh;
use crate::output::{self, Format};

/// End a running mesh and leave nothing behind
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The mesh's name; may be left out while only one is running
    mesh: Option<String>,
}

pub(crate) fn run(arguments: &Arguments, format: Format) -> anyhow::Result<ExitCode> {
    let running = client::running();
    let mesh = match &arguments.mesh {
        // One that was killed may have left something to clear away.
        Some(name) => name.clone(),
        None => mesh::choose(None, running.clone())?,
    };
    match client::down(&mesh) {
        Err(client::Error::NotRunning(name)) => return Err(Problem::NotRunning { name, running }.into()),
        ended => ended?,
    }
    if format == Format::Json {
        output::json(&json!({"mesh": mesh, "ended": true}))?;
    }
    Ok(ExitCode::SUCCESS)
}
