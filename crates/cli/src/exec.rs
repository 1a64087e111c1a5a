//! `leno exec`: runs a command inside a workload's world: its network, its files, its user.

use std::path::PathBuf;
use std::process::ExitCode;

use leno_local::client;

use crate::mesh::{Also, Named};
use crate::words;

/// Run a command inside a workload's world
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The workload or replica
    workload: String,
    #[command(flatten)]
    named: Named,
    /// Where to run it; the workload's working directory by default
    #[arg(long, short = 'w', value_name = "DIR")]
    workdir: Option<PathBuf>,
    /// A variable of its environment, NAME=VALUE; may be given several times
    #[arg(long = "env", short, value_name = "NAME=VALUE", value_parser = words::variable)]
    variables: Vec<(String, String)>,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    words: Vec<String>,
}

pub(crate) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let mesh = arguments.named.running()?;
    mesh.require(&arguments.workload, Also::Nothing)?;
    let exec =
        client::Exec { words: arguments.words, workdir: arguments.workdir, variables: arguments.variables };
    let code = client::exec(&mesh.name, &arguments.workload, exec)?;
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}
