//! `cargo xtask bench` and `cargo xtask soak`: builds what is measured, then hands over to `leno-bench`.

use std::{
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, bail};

use crate::command::{cargo, succeed, target};

/// See the module. Returns only when something went wrong.
pub(crate) fn run(options: &[&str]) -> Result<ExitCode> {
    let asks_for_help = options.iter().any(|option| ["--help", "-h"].contains(option));
    if !asks_for_help && std::fs::metadata("/proc/self").context("can't read /proc")?.uid() != 0 {
        // Said before minutes of building.
        bail!("the benchmark makes network namespaces, which needs root: `sudo -E cargo xtask bench`");
    }
    // `--quick` only shows that the harness works; figures need the optimized build.
    let is_optimized = !asks_for_help && !options.contains(&"--quick");
    let (profile, folder) = if is_optimized { ("release", "release") } else { ("dev", "debug") };
    hand_over(profile, folder, "run", options)
}

/// The same for `soak`, which needs no root.
pub(crate) fn soak(options: &[&str]) -> Result<ExitCode> {
    hand_over("release", "release", "soak", options)
}

fn hand_over(profile: &str, folder: &str, command: &str, options: &[&str]) -> Result<ExitCode> {
    let packages = ["--package", "leno", "--package", "leno-sample", "--package", "leno-bench"];
    succeed(cargo(&["build", "--bins", "--profile", profile]).args(packages))?;
    let mut bench = Command::new(target().join(folder).join("leno-bench"));
    // The binaries beside it are those that were just built.
    let failure = bench.env("LENO_BUILT", "1").arg(command).args(options).exec();
    Err(failure).context("can't run leno-bench")
}
