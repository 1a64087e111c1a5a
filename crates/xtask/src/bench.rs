//! `cargo xtask bench`: builds what is measured, then hands over to `leno-bench`.

use std::{os::unix::process::CommandExt as _, process::ExitCode};

use anyhow::{Context as _, Result};

use crate::command::{cargo, succeed};

/// See the module. Returns only when something went wrong.
pub(crate) fn run(options: &[&str]) -> Result<ExitCode> {
    // `--quick` only shows that the harness works; figures need the optimized build.
    let (profile, folder) =
        if options.contains(&"--quick") { ("dev", "debug") } else { ("release", "release") };
    let packages = ["--package", "leno", "--package", "leno-sample", "--package", "leno-bench"];
    succeed(cargo(&["build", "--bins", "--profile", profile]).args(packages))?;
    let target = crate::command::target();
    let failure = std::process::Command::new(target.join(folder).join("leno-bench")).args(options).exec();
    Err(failure).context("can't run leno-bench")
}
