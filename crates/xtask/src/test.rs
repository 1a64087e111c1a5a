//! `cargo xtask test`: every check and every test, each step with its time, and one line at the end.
//!
//! A failed step doesn't keep the next ones from running: one run shows everything that is wrong.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, ExitCode, Stdio},
    str::FromStr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    command::{cargo, root, shown, succeed},
    counts::Counts,
    deps, output, tidy,
};

/// One part of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Fmt,
    Deps,
    Tidy,
    Clippy,
    Doc,
    Test,
}

impl Step {
    /// Quick ones first.
    const ALL: [Self; 6] = [Self::Fmt, Self::Deps, Self::Tidy, Self::Clippy, Self::Doc, Self::Test];

    fn name(self) -> &'static str {
        match self {
            Self::Fmt => "fmt",
            Self::Deps => "deps",
            Self::Tidy => "tidy",
            Self::Clippy => "clippy",
            Self::Doc => "doc",
            Self::Test => "test",
        }
    }

    /// Runs it, and adds what its tests counted.
    fn run(self, counts: &mut Counts) -> Result<()> {
        match self {
            Self::Fmt => checked(cargo(&["fmt", "--all", "--check"])),
            Self::Deps => empty(&deps::check()?),
            Self::Tidy => empty(&tidy::check()?),
            Self::Clippy => {
                checked(cargo(&["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]))
            }
            Self::Doc => {
                let mut doc = cargo(&["doc", "--workspace", "--no-deps"]);
                doc.env("RUSTDOCFLAGS", "--deny warnings");
                checked(doc)
            }
            Self::Test => tests(counts),
        }
    }
}

impl FromStr for Step {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        let names = Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|step| step.name() == name)
            .with_context(|| format!("no step {name:?}; there are {names}"))
    }
}

/// Runs all steps, or one, and ends with a line like a test binary's.
pub(crate) fn run(only: Option<Step>) -> Result<ExitCode> {
    let begun = Instant::now();
    let steps = Step::ALL.into_iter().filter(|step| only.is_none_or(|only| only == *step));
    let (mut counts, mut results) = (Counts::default(), Vec::new());
    for step in steps {
        output::line(&format!("\n== {} ==", step.name()));
        let begun = Instant::now();
        let outcome = step.run(&mut counts);
        let took = begun.elapsed();
        if let Err(failure) = &outcome {
            output::error(&format!("{} failed: {failure:#}", step.name()));
        }
        results.push((step, outcome.is_ok(), took));
    }
    output::line("\n== summary ==");
    for (step, is_good, took) in &results {
        output::line(&row(*step, *is_good, *took));
    }
    // A step counts as one test, so that a run without tests says what it did.
    let good = results.iter().filter(|(step, is_good, _)| *step != Step::Test && *is_good).count() as u64;
    let bad = results.iter().filter(|(step, is_good, _)| *step != Step::Test && !is_good).count() as u64;
    counts += Counts { passed: good, failed: bad, ..Counts::default() };
    let is_good = results.iter().all(|(_, is_good, _)| *is_good);
    if !is_good && counts.failed == 0 {
        // Tests that didn't compile have no counts of their own.
        counts.failed = 1;
    }
    output::line("");
    output::line(&counts.line(is_good, begun.elapsed()));
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn row(step: Step, is_good: bool, took: Duration) -> String {
    let verdict = if is_good { "ok" } else { "FAILED" };
    format!("{:<8} {verdict:<7} {:>7.1} s", step.name(), took.as_secs_f64())
}

fn checked(mut command: Command) -> Result<()> {
    output::line(&format!("$ {}", shown(&command)));
    succeed(&mut command)
}

fn empty(problems: &[String]) -> Result<()> {
    if problems.is_empty() {
        return Ok(());
    }
    bail!("{} problems\n  {}", problems.len(), problems.join("\n  "));
}

/// Builds everything that tests run, then runs all tests and adds their counts up.
fn tests(counts: &mut Counts) -> Result<()> {
    // With test targets, so that features are those of the tests and nothing is built twice.
    checked(cargo(&["build", "--workspace", "--bins", "--tests"]))?;
    let mut test = cargo(&["test", "--workspace", "--no-fail-fast"]);
    // Tests of other crates take our binaries as they are now.
    test.env("LENO_BUILT", "1").env("RUST_BACKTRACE", "1").stdout(Stdio::piped()).stdin(Stdio::null());
    output::line(&format!("$ {}", shown(&test)));
    let mut child = test.spawn().with_context(|| format!("can't run cargo in {}", root().display()))?;
    let stdout = child.stdout.take().context("no pipe to cargo test")?;
    for line in BufReader::new(stdout).split(b'\n') {
        let line = line.context("can't read what cargo test prints")?;
        let line = String::from_utf8_lossy(&line);
        output::line(&line);
        if let Some(of_binary) = Counts::parse(&line) {
            *counts += of_binary;
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("cargo test ended with {status}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_have_names() {
        for step in Step::ALL {
            assert_eq!(step.name().parse::<Step>().unwrap(), step);
        }
        let wrong = "tests".parse::<Step>().unwrap_err().to_string();
        assert!(wrong.contains("\"tests\"") && wrong.contains("clippy"), "{wrong}");
    }
}
