//! `leno logs`: what workloads and their sidecars print.

use std::io::{self, Write};
use std::process::ExitCode;

use leno_local::client;
use leno_local::protocol::Line;

use crate::mesh::{Also, Named};
use crate::output::Format;
use crate::words;

/// Show what workloads and their sidecars print
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Workloads, replicas, `control` or `gateway`; all workloads by default
    workloads: Vec<String>,
    /// Go on with what comes
    #[arg(long, short)]
    follow: bool,
    /// At most so many past lines
    #[arg(long, short = 'n', value_name = "COUNT", value_parser = words::count::<usize>)]
    lines: Option<usize>,
    #[command(flatten)]
    named: Named,
}

pub(crate) fn run(arguments: Arguments, format: Format) -> anyhow::Result<ExitCode> {
    let mesh = arguments.named.running()?;
    for name in &arguments.workloads {
        mesh.require(name, Also::Programs)?;
    }
    let mut out = io::stdout();
    client::logs(&mesh.name, arguments.workloads, arguments.follow, arguments.lines, |line| {
        // The reader of a closed pipe wants no more.
        print(&mut out, format, line).is_ok()
    })?;
    Ok(ExitCode::SUCCESS)
}

fn print(out: &mut io::Stdout, format: Format, line: Result<Line, u64>) -> io::Result<()> {
    let mut out = out.lock();
    match (line, format) {
        (Ok(line), Format::Text) => writeln!(out, "{} | {}", line.source, line.text),
        (Ok(line), Format::Json) => {
            serde_json::to_writer(&mut out, &line)?;
            writeln!(out)
        }
        (Err(count), Format::Text) => writeln!(out, "({count} lines were left out)"),
        (Err(count), Format::Json) => writeln!(out, "{{\"skipped\":{count}}}"),
    }
}
