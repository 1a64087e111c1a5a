//! Automation for the workspace: `cargo xtask test`, `deps`, `tidy`, `demo`, `fuzz`, `bench`, `soak`
//! and `release`.
//!
//! Depends on little, so that it is compiled within seconds before anything else.

mod bench;
mod command;
mod counts;
mod demo;
mod deps;
mod differential;
mod limits;
mod output;
mod planted;
mod release;
mod test;
mod tidy;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
Usage: cargo xtask COMMAND

  test [--only STEP]  run every check and every test; STEP is one of fmt, clippy, doc, deps, tidy, test
  deps                check the dependency policy (licences, who may use what, which way crates depend)
  tidy                check the house rules that no lint knows
  demo                build the sample mesh, start it and open its gateway on 127.0.0.1
  fuzz --planted [BUG]
                      put bugs back, one at a time, into a copy, and let the fuzz targets find them; BUG is a bug or target
  fuzz --differential [OPTIONS]
                      let hyper, and Envoy if asked to, read what we read (--help for the options)
  bench [OPTIONS]     measure Leno against bare relays and Envoy (--help for the options)
  soak [--minutes N]  keep a mesh under mixed load and faults for 30 minutes, and see whether anything grows or leaks
  release             build leno by a profile of itself; bench and soak measure it with --dist
";

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            output::error(&format!("xtask: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["test"] => test::run(None),
        ["test", "--only", step] => test::run(Some(step.parse()?)),
        ["deps"] => Ok(report("deps", &deps::check()?)),
        ["tidy"] => Ok(report("tidy", &tidy::check()?)),
        ["demo"] => demo::run(),
        ["demo", demo::WATCH, since] => demo::watch(since.parse()?),
        ["fuzz", "--planted"] => planted::run(None),
        ["fuzz", "--planted", bug] => planted::run(Some(bug)),
        ["fuzz", "--differential", options @ ..] => differential::run(options),
        ["bench", options @ ..] => bench::run(options),
        ["soak", options @ ..] => bench::soak(options),
        ["release"] => release::run(),
        ["help" | "--help" | "-h"] => {
            output::line(USAGE.trim_end());
            Ok(ExitCode::SUCCESS)
        }
        [] => bail!("which command?\n\n{USAGE}"),
        other => bail!("can't understand `{}`\n\n{USAGE}", other.join(" ")),
    }
}

/// Prints what was found wrong, or that nothing was.
fn report(check: &str, problems: &[String]) -> ExitCode {
    for problem in problems {
        output::error(&format!("{check}: {problem}"));
    }
    if problems.is_empty() {
        output::line(&format!("{check}: nothing to object to"));
        ExitCode::SUCCESS
    } else {
        output::error(&format!("{check}: {} problems", problems.len()));
        ExitCode::FAILURE
    }
}
