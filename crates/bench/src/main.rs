//! `leno-bench`: Leno beside bare relays, Envoy, nginx and HAProxy, over TCP between two network namespaces.
//!
//! `run` is the harness, and `soak` one mesh for a long time; the other commands are its tools, each a process of its
//! own. Invariants: every contestant has the same client, server, cable and work; every process that is started ends
//! with this one; every run is bounded in time; what is reported is a ratio to a peer of the same run, with its spread.

mod certificates;
mod contestant;
mod http;
mod instructions;
mod limits;
mod load;
mod network;
mod options;
mod output;
mod peer;
mod process;
mod report;
mod rounds;
mod soak;
mod statistics;
mod tool;
mod usage;
mod world;

use std::process::ExitCode;

use clap::Parser;

use options::{Arguments, Command};

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Run(options) => rounds::run(&options),
        Command::Soak(options) => soak::run(&options),
        Command::Relay(arguments) => tool::relay::run(arguments),
        Command::Enter(arguments) => tool::enter::run(arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&format!("leno-bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
