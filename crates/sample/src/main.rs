//! `leno-sample`: an online bookshop in one binary, and the tools to exercise it.
//!
//! `serve NAME` plays one service of the shop; `load`, `call`, `ws` and `grpc-check` are its clients. Nothing
//! here knows of a mesh: whatever a mesh adds must work for programs like this one, unchanged.
//! The whole process runs on one thread.

mod books;
mod call;
mod client;
mod grpc;
mod grpc_check;
mod limits;
mod load;
mod output;
mod proto;
mod serve;
mod stock;
mod target;
mod tasks;
mod trail;
mod units;
mod websocket;
mod ws;

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A sample bookshop of small services, with its clients and a load generator.
#[derive(Debug, Parser)]
#[command(name = "leno-sample", version, max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Play one service of the bookshop until SIGTERM
    Serve(serve::Args),
    /// Send requests at a constant rate (or in a closed loop) and report what came back
    Load(load::Args),
    /// Make one request and print the answer
    Call(call::Args),
    /// Check a WebSocket echo: text, binary, fragments, ping and close
    Ws(ws::Args),
    /// Check gRPC: the four kinds of call, a failure and a deadline
    GrpcCheck(grpc_check::Args),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(run(arguments.command)),
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            output::note(&output::in_full(error.as_ref()));
            ExitCode::from(2)
        }
    }
}

/// Exit codes: 0 it worked, 1 the other side said no or a check failed, 2 it couldn't be done.
async fn run(command: Command) -> Result<ExitCode, Box<dyn Error>> {
    match command {
        Command::Serve(args) => serve::run(args).await,
        Command::Load(args) => load::run(args).await,
        Command::Call(args) => call::run(args).await,
        Command::Ws(args) => ws::run(args).await,
        Command::GrpcCheck(args) => grpc_check::run(args).await,
    }
}
