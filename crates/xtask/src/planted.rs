//! `cargo xtask fuzz --planted`: puts bugs into a copy of the sources, one at a time, and lets the fuzz targets find them.
//!
//! A target that finds nothing proves nothing. The bugs are small and of the kind that people make; several are those
//! that the targets once found. The sources themselves are never touched, and the product's build knows nothing of it.

mod bugs;

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use self::bugs::{BUGS, Bug};
use crate::{
    command::{cargo, output, root, target},
    limits::{PLANTED_POLL, PLANTED_RUN},
    output as print,
};

/// Where the results are kept.
const PAGE: &str = "fuzz/PLANTED.md";

/// Plants every bug, or those of one name or target.
pub(crate) fn run(only: Option<&str>) -> Result<ExitCode> {
    let wanted = |bug: &&Bug| only.is_none_or(|only| [bug.name, bug.target].contains(&only));
    let bugs: Vec<&Bug> = BUGS.iter().filter(wanted).collect();
    if bugs.is_empty() {
        bail!(
            "no bug and no target is called {:?}; see crates/xtask/src/planted/bugs.rs",
            only.unwrap_or_default()
        );
    }
    let copy = copy()?;
    print::line("without any bug");
    let program = build(&copy)?;
    for bug in &bugs {
        if let Found::By(what) = hunt(&copy, &program, bug)? {
            bail!("{} fails without any bug, on {what}", bug.target);
        }
    }
    let mut rows = Vec::new();
    let mut missed = 0;
    for bug in bugs {
        let begun = Instant::now();
        let (found, took) = plant(&copy, bug)?;
        let row = match found {
            Found::By(what) => {
                format!("| `{}` | {} | {what} | {:.1} |", bug.target, bug.what, took.as_secs_f64())
            }
            Found::Nothing => {
                missed += 1;
                format!("| `{}` | {} | NOT FOUND | {:.0} |", bug.target, bug.what, took.as_secs_f64())
            }
        };
        print::line(&format!("{row} ({} s with the build)", begun.elapsed().as_secs()));
        rows.push(row);
    }
    if only.is_none() && missed == 0 {
        fs::write(root().join(PAGE), page(&rows)).with_context(|| format!("can't write {PAGE}"))?;
    }
    print::line(&format!("planted: {} of {} found", rows.len() - missed, rows.len()));
    Ok(if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn page(rows: &[String]) -> String {
    let mut page = "# Bugs put back on purpose\n\nWritten by `cargo xtask fuzz --planted`, which plants each bug in a copy of the sources, \
                    builds it, and runs the target as the ordinary test does. Seconds are without the build, and of one \
                    machine.\n\n| target | bug | found by | seconds |\n|---|---|---|---|\n"
        .to_owned();
    for row in rows {
        let _infallible = writeln!(page, "{row}");
    }
    page
}

/// A copy of the files that git tracks or would track.
fn copy() -> Result<PathBuf> {
    let (from, to) = (root(), target().join("planted"));
    let mut list = Command::new("git");
    list.current_dir(&from).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    for name in output(&mut list)?.split('\0').filter(|name| !name.is_empty()) {
        let Ok(bytes) = fs::read(from.join(name)) else { continue };
        let file = to.join(name);
        // Untouched files keep their time, so that nothing is built for nothing.
        if fs::read(&file).is_ok_and(|own| own == bytes) {
            continue;
        }
        fs::create_dir_all(file.parent().context("a file in no folder")?)?;
        fs::write(&file, bytes).with_context(|| format!("can't write {}", file.display()))?;
    }
    Ok(to)
}

/// Builds the tests of the copy, and says where they are.
fn build(copy: &Path) -> Result<PathBuf> {
    let mut build =
        cargo(&["test", "--package", "leno-fuzz", "--test", "it", "--no-run", "--message-format=json"]);
    build.current_dir(copy).env("CARGO_TARGET_DIR", target()).stderr(Stdio::null());
    let messages = output(&mut build)?;
    let values = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    // The package's programs are built for the test as well, and may come behind it.
    let mut tests = values.filter(|value| value.pointer("/target/kind/0").is_some_and(|kind| kind == "test"));
    let program = tests.find_map(|value| value.get("executable")?.as_str().map(PathBuf::from));
    program.context("cargo built no test")
}

fn plant(copy: &Path, bug: &Bug) -> Result<(Found, Duration)> {
    let file = copy.join(bug.file);
    let text = fs::read_to_string(&file).with_context(|| format!("can't read {}", bug.file))?;
    fs::write(&file, text.replacen(bug.right, bug.wrong, 1))?;
    let hunted = build(copy).and_then(|program| {
        let begun = Instant::now();
        Ok((hunt(copy, &program, bug)?, begun.elapsed()))
    });
    fs::write(&file, text)?;
    hunted.with_context(|| format!("{} can't be hunted", bug.name))
}

enum Found {
    Nothing,
    By(String),
}

/// Runs the bug's target as its test does.
fn hunt(copy: &Path, program: &Path, bug: &Bug) -> Result<Found> {
    let log = target().join("planted.log");
    let file = fs::File::create(&log).with_context(|| format!("can't write {}", log.display()))?;
    let mut child = Command::new(program)
        .current_dir(copy.join("fuzz"))
        .args([&format!("corpus::{}", bug.target), "--exact", "--nocapture"])
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .spawn()
        .with_context(|| format!("can't run {}", program.display()))?;
    let deadline = Instant::now() + PLANTED_RUN;
    let status = loop {
        match child.try_wait()? {
            Some(status) => break Some(status),
            None if Instant::now() > deadline => {
                child.kill()?;
                child.wait()?;
                break None;
            }
            None => pause(),
        }
    };
    let said = fs::read(&log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())?;
    Ok(match status {
        Some(status) if status.success() => Found::Nothing,
        Some(_) => Found::By(what(&said).unwrap_or_else(|| "an abort".to_owned())),
        None => Found::By("never coming back".to_owned()),
    })
}

#[expect(clippy::disallowed_methods, reason = "a child that may hang is asked at intervals")]
fn pause() {
    std::thread::sleep(PLANTED_POLL);
}

/// The input that failed.
fn what(said: &str) -> Option<String> {
    let mutation = said.lines().find_map(|line| line.split_once(" fails on ")?.1.strip_suffix(':'));
    let seed = said.lines().find_map(|line| line.strip_prefix("assertion `left == right` failed: "));
    let input = mutation.or(seed)?;
    Some(input.split(" of LENO_FUZZ_SEED").next().unwrap_or(input).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bugs_can_still_be_planted() {
        for bug in BUGS {
            let text = fs::read_to_string(root().join(bug.file)).unwrap();
            let count = text.matches(bug.right).count();
            assert_eq!(count, 1, "{}: {:?} is there {count} times in {}", bug.name, bug.right, bug.file);
            assert_ne!(bug.right, bug.wrong);
        }
    }

    #[test]
    fn the_targets_that_must_show_it_have_bugs() {
        for target in [
            "http1_request",
            "http1_response",
            "http1_body",
            "yaml",
            "kubernetes",
            "gateway_api",
            "istio",
            "mesh_file",
            "open",
            "discovery_client",
            "discovery_server",
            "differential",
        ] {
            assert!(BUGS.iter().any(|bug| bug.target == target), "{target}");
        }
    }

    #[test]
    fn what_failed_is_read() {
        let mutation = "yaml fails on mutation 7 of LENO_FUZZ_SEED=7855:\nx";
        assert_eq!(what(mutation).as_deref(), Some("mutation 7"));
        let seed = "thread panicked at x:\nassertion `left == right` failed: open/ok-small\n left: x";
        assert_eq!(what(seed).as_deref(), Some("open/ok-small"));
    }
}
