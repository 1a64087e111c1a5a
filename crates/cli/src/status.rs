//! `leno status`: whether everything runs, and what is in effect where.

use std::process::ExitCode;

use leno_local::client;
use leno_local::protocol::Status;

use crate::output::{self, Common, Format, Table};

/// Show whether everything runs, and what is in effect where
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    common: Common,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mesh = client::choose(arguments.common.mesh.as_deref())?;
    let status = client::status(&mesh)?;
    match arguments.common.output {
        Format::Json => output::json(&status)?,
        Format::Text => text(&status)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn text(status: &Status) -> anyhow::Result<()> {
    let mut table = Table::new(&["NAME", "SERVICE", "STATE", "ADDRESS", "RESTARTS"]);
    for program in &status.programs {
        let state = if program.ready { "ready" } else { "starting" };
        table.row([
            program.name.clone(),
            String::new(),
            state.to_owned(),
            String::new(),
            program.restarts.to_string(),
        ]);
    }
    for replica in &status.replicas {
        table.row([
            replica.name.clone(),
            replica.service.clone().unwrap_or_default(),
            replica.phase.as_str().to_owned(),
            replica.addresses.first().map(ToString::to_string).unwrap_or_default(),
            replica.restarts.to_string(),
        ]);
    }
    table.print()?;
    Ok(())
}
