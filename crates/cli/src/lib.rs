//! The command line: one file per command.
//!
//! Commands print to standard output, everything else to standard error. `--output json` gives every answer as JSON.
//! An error names what was being done, what is wrong, and what to do about it. Exit codes: 0 done, 1 failed, 2 wrong
//! usage; `exec` returns its command's own.

mod access_log;
mod admin;
mod config;
mod down;
mod exec;
mod explain;
mod logs;
mod mesh_file;
mod output;
mod parts;
mod proxy;
mod restart;
mod status;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::filter::LevelFilter;

/// A service mesh that is light, safe and explainable.
#[derive(Debug, Parser)]
#[command(name = "leno", version, propagate_version = true, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up(up::Arguments),
    Down(down::Arguments),
    Status(status::Arguments),
    Config(config::Arguments),
    Explain(explain::Arguments),
    Logs(logs::Arguments),
    Restart(restart::Arguments),
    Exec(exec::Arguments),
    Proxy(proxy::Arguments),
    #[command(flatten)]
    Part(parts::Part),
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are no errors to clap's printing; a closed pipe is none to us.
            let _closed = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    start_log();
    let result = match arguments.command {
        Command::Up(arguments) => up::run(arguments),
        Command::Down(arguments) => down::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Config(arguments) => config::run(&arguments),
        Command::Explain(arguments) => explain::run(arguments),
        Command::Logs(arguments) => logs::run(arguments),
        Command::Restart(arguments) => restart::run(&arguments),
        Command::Exec(arguments) => exec::run(arguments),
        Command::Proxy(arguments) => proxy::run(arguments),
        Command::Part(part) => part.run(),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            output::error(&error);
            ExitCode::FAILURE
        }
    }
}

/// Leno's own log goes to standard error. `LENO_LOG` names the level: error, warn, info, debug or trace.
fn start_log() {
    let level = std::env::var("LENO_LOG").ok().and_then(|level| level.parse::<LevelFilter>().ok());
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level.unwrap_or(LevelFilter::INFO))
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .finish();
    // Only fails when there is one already, which a test may have set.
    let _set = tracing::subscriber::set_global_default(subscriber);
}
