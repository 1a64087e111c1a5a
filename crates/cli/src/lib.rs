//! The command line: one file per command.
//!
//! Commands print to standard output, everything else to standard error. `--output json` gives every answer as JSON.
//! An error names what was being done, what is wrong, and what to do about it. Exit codes: 0 done, 1 failed, 2 wrong
//! usage; `exec` returns its command's own, and `analyze` 79 for findings.

mod access_log;
mod admin;
mod analyze;
mod announce;
mod config;
mod control;
mod down;
mod error;
mod exec;
mod explain;
mod finding;
mod logs;
mod mesh;
mod mesh_file;
mod output;
mod parts;
mod proxy;
mod remedy;
mod restart;
mod status;
mod traces;
mod up;
mod words;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ErrorKind};
use clap::{Parser, Subcommand};
use leno_identity::tls;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;

use crate::output::Format;

/// A service mesh that is light, safe and explainable.
#[derive(Debug, Parser)]
#[command(name = "leno", version, propagate_version = true, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// How to print answers and errors
    #[arg(long, short, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up(up::Arguments),
    Down(down::Arguments),
    Status(status::Arguments),
    Config(config::Arguments),
    Explain(explain::Arguments),
    Analyze(analyze::Arguments),
    Logs(logs::Arguments),
    Restart(restart::Arguments),
    Exec(exec::Arguments),
    Proxy(Box<proxy::Arguments>),
    #[command(flatten)]
    Part(parts::Part),
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    main_with(tls::Options::default())
}

/// Runs the program with these surroundings for the TLS of sidecars and gateways.
#[must_use]
pub fn main_with(tls: tls::Options) -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let arguments = match Arguments::try_parse_from(&words) {
        Ok(arguments) => arguments,
        Err(error) => return refuse(error, &words),
    };
    start_log();
    let format = arguments.output;
    match run(arguments.command, format, tls) {
        Ok(code) => code,
        Err(error) => {
            error::print(&error, format);
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command, format: Format, tls: tls::Options) -> anyhow::Result<ExitCode> {
    match command {
        Command::Up(arguments) => up::run(arguments, format),
        Command::Down(arguments) => down::run(&arguments, format),
        Command::Status(arguments) => status::run(&arguments, format),
        Command::Config(arguments) => config::run(&arguments, format),
        Command::Explain(arguments) => explain::run(&arguments, format),
        Command::Analyze(arguments) => analyze::run(&arguments, format),
        Command::Logs(arguments) => logs::run(arguments, format),
        Command::Restart(arguments) => restart::run(&arguments, format),
        Command::Exec(arguments) => exec::run(arguments),
        Command::Proxy(arguments) => proxy::run(*arguments),
        Command::Part(part) => part.run(tls),
    }
}

/// Tells what is wrong with the words, or the help that was asked for.
fn refuse(mut error: clap::Error, words: &[OsString]) -> ExitCode {
    // Nobody has a workload or file whose name begins with a dash; how to write one hides how the command is written.
    let suggested = |error: &clap::Error| error.render().to_string().contains("tip: to pass '");
    if error.kind() == ErrorKind::UnknownArgument && suggested(&error) {
        error.remove(ContextKind::Suggested);
    }
    if error.use_stderr() && wants_json(words) {
        let (message, hint) = told(&error.render().to_string());
        error::usage(message, hint);
    } else {
        // Help and version are no errors to clap's printing; a closed pipe is none to us.
        let _closed = error.print();
    }
    ExitCode::from(if error.use_stderr() { 2 } else { 0 })
}

/// Whether the words ask for JSON, as far as that can be told of words that are wrong.
fn wants_json(words: &[OsString]) -> bool {
    let own: Vec<&str> = words.iter().map_while(|word| word.to_str().filter(|word| *word != "--")).collect();
    let is_json = |value: &str| value == "json";
    own.iter().any(|word| {
        let joined = word.strip_prefix("--output=").or_else(|| word.strip_prefix("-o"));
        joined.is_some_and(|value| is_json(value.trim_start_matches('=')))
    }) || own.windows(2).any(|pair| matches!(pair, ["--output" | "-o", value] if is_json(value)))
}

/// What clap says, as a message and what to do about it.
fn told(text: &str) -> (String, Option<String>) {
    let mut paragraphs = text.split("\n\n").map(|paragraph| {
        let words: Vec<&str> = paragraph.split_whitespace().collect();
        words.join(" ")
    });
    let message = paragraphs.next().unwrap_or_default();
    let message = message.strip_prefix("error: ").unwrap_or(&message).to_owned();
    let hints: Vec<String> = paragraphs.map(|hint| hint.trim_start_matches("tip: ").to_owned()).collect();
    // The first is a suggestion where there is one, else how the command is written.
    (message, hints.into_iter().find(|hint| !hint.is_empty()))
}

/// Leno's own log goes to standard error. `LENO_LOG` names the level: error, warn, info, debug or trace. What `h2` warns
/// of is what peers do, as often as they like, so it isn't shown.
fn start_log() {
    let level = std::env::var("LENO_LOG").ok().and_then(|level| level.parse::<LevelFilter>().ok());
    let level = level.unwrap_or(LevelFilter::INFO);
    let peers = level.min(LevelFilter::ERROR);
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .finish()
        .with(Targets::new().with_default(level).with_target("h2", peers));
    // Only fails when there is one already, which a test may have set.
    let _set = tracing::subscriber::set_global_default(subscriber);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn json_is_wanted_wherever_it_is_said() {
        for yes in [
            "leno status -o json",
            "leno -o=json x",
            "leno x --output=json",
            "leno --output json",
            "leno -ojson",
        ] {
            assert!(wants_json(&words(yes)), "{yes}");
        }
        for no in ["leno status", "leno exec a -- x -o json", "leno -o text", "leno json -o"] {
            assert!(!wants_json(&words(no)), "{no}");
        }
    }

    #[test]
    fn wrong_words_are_told_with_a_remedy() {
        let error = Arguments::try_parse_from(words("leno logs --folow")).unwrap_err();
        let (message, hint) = told(&error.render().to_string());
        assert_eq!(message, "unexpected argument '--folow' found");
        assert!(hint.as_deref().is_some_and(|hint| hint.contains("--follow")), "{hint:?}");
        let error = Arguments::try_parse_from(words("leno up")).unwrap_err();
        let (message, hint) = told(&error.render().to_string());
        assert!(message.contains("<FILE>") && hint.is_some(), "{message}, {hint:?}");
    }

    #[test]
    fn commands_are_well_formed() {
        use clap::CommandFactory as _;
        Arguments::command().debug_assert();
    }
}
