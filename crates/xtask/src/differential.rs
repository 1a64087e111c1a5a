//! `cargo xtask fuzz --differential`: builds the program that lets others read what we read, and hands over to it.

use std::{
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result};

use crate::command::{cargo, root, succeed, target};

/// See the module. Returns only when something went wrong.
pub(crate) fn run(options: &[&str]) -> Result<ExitCode> {
    succeed(&mut cargo(&["build", "--package", "leno-fuzz", "--bin", "differential"]))?;
    let program = target().join("debug/differential");
    let failure = Command::new(program).current_dir(root()).args(options).exec();
    Err(failure).context("can't run the comparison")
}
