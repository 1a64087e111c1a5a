//! `cargo xtask bench` and `cargo xtask soak`: builds what is measured, then hands over to `leno-bench`.

use std::{
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, bail};

use crate::command::{cargo, succeed, target};

/// See the module. Returns only when something went wrong.
pub(crate) fn run(options: &[&str]) -> Result<ExitCode> {
    let asks_for_help = options.iter().any(|option| ["--help", "-h"].contains(option));
    if !asks_for_help {
        // Said before minutes of building.
        require_root("the benchmark makes network namespaces", "sudo -E cargo xtask bench")?;
    }
    // `--quick` only shows that the harness works; figures need the optimized build.
    let is_optimized = !asks_for_help && !options.contains(&"--quick");
    hand_over(if is_optimized { "release" } else { "dev" }, "run", options)
}

/// The same for `soak`, which needs no root.
pub(crate) fn soak(options: &[&str]) -> Result<ExitCode> {
    hand_over("release", "soak", options)
}

/// Where `cargo xtask release` leaves what it has built, which `--dist` measures.
pub(crate) fn dist() -> PathBuf {
    target().join("dist")
}

/// Says so where the caller isn't root, and what to type instead.
pub(crate) fn require_root(why: &str, instead: &str) -> Result<()> {
    if std::fs::metadata("/proc/self").context("can't read /proc")?.uid() != 0 {
        bail!("{why}, which needs root: `{instead}`");
    }
    Ok(())
}

/// Builds everything that takes part; says where it is.
pub(crate) fn build(profile: &str) -> Result<PathBuf> {
    let packages = ["--package", "leno", "--package", "leno-sample", "--package", "leno-bench"];
    succeed(cargo(&["build", "--bins", "--profile", profile]).args(packages))?;
    Ok(target().join(if profile == "dev" { "debug" } else { profile }))
}

/// The benchmark in a folder, with the binaries beside it.
pub(crate) fn command(folder: &Path) -> Command {
    let mut bench = Command::new(folder.join("leno-bench"));
    bench.env("LENO_BUILT", "1");
    bench
}

fn hand_over(profile: &str, command: &str, options: &[&str]) -> Result<ExitCode> {
    let (ours, theirs): (Vec<&str>, Vec<&str>) = options.iter().partition(|option| **option == "--dist");
    let folder = if ours.is_empty() { build(profile)? } else { dist() };
    let mut bench = self::command(&folder);
    if !folder.join("leno-bench").exists() {
        bail!("nothing is in {}: `sudo -E cargo xtask release` comes first", folder.display());
    }
    let failure = bench.arg(command).args(theirs).exec();
    Err(failure).context("can't run leno-bench")
}
