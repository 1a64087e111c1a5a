//! `enter`: joins a network namespace, ties its life to the harness, and becomes another program.
//!
//! The process number stays, so what the harness started is what it measures.

use std::{
    fs::File,
    os::{fd::AsFd as _, unix::process::CommandExt as _},
    process::Command,
};

use anyhow::{Context as _, Result, bail};
use rustix::{
    process::{Pid, Signal, getppid, set_parent_process_death_signal},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

use crate::options::Enter;

/// See the module. Returns only when something went wrong.
pub(crate) fn run(arguments: Enter) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("can't tie this process to its owner")?;
    // The owner may have ended before the line above.
    if getppid().map(Pid::as_raw_nonzero).map(|id| id.get()) != i32::try_from(arguments.owner).ok() {
        bail!("the benchmark has ended");
    }
    let path = arguments.namespace.display();
    let namespace = File::open(&arguments.namespace).with_context(|| format!("can't open {path}"))?;
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
        .with_context(|| format!("can't enter {path}"))?;
    drop(namespace);
    let (program, rest) = arguments.command.split_first().context("no command")?;
    let failure = Command::new(program).args(rest).exec();
    Err(failure).with_context(|| format!("can't run {}", program.display()))
}
