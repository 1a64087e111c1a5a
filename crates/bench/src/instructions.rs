//! User instructions per request, counted by callgrind: the difference between 2N and N requests, divided by N.
//!
//! One proxy with plaintext on both legs, one connection, requests in turn, by HTTP/1.1 and by HTTP/2 where the
//! contestant passes that on. Start, first request and end cancel out. Machine and load hardly matter, so one run of
//! each is enough; what a proxy does on its own every few seconds stays in the difference.

use std::{path::Path, process::Command};

use anyhow::{Context as _, Result};
use leno_testkit::programs::VALGRIND;

use crate::{
    contestant::Name,
    limits,
    load::Load,
    options::Options,
    output,
    process::{Process, inside},
    report::Report,
    world::{CLIENT_PROXY, World, first_answer},
};

/// Adds the figure to every contestant that has a proxy.
pub(crate) fn count(world: &World, options: &Options, present: &[Name], report: &mut Report) {
    let valgrind = match VALGRIND.find() {
        Ok(path) => path,
        Err(missing) => {
            report.note(format!("instructions weren't counted: {missing}"));
            return;
        }
    };
    let requests = options.counted_requests();
    for name in present {
        let each = name.versions().iter().flat_map(|version| Setting::ALL.map(|setting| (*version, setting)));
        for (version, setting) in each {
            let figure = format!("instructions.{}.{}", version.text(), setting.figure());
            let difference = || -> Result<Option<f64>> {
                let Some(command) = setting.command(*name, world)? else { return Ok(None) };
                output::line(&format!("{}: {figure}", name.text()));
                let counted =
                    |requests| one(world, *name, &command, &valgrind, Load::Count { requests, version });
                let more = counted(requests * 2)?.saturating_sub(counted(requests)?);
                Ok(Some(more as f64 / f64::from(requests)))
            };
            match difference() {
                Ok(Some(per_request)) => report.of(*name).add(figure, per_request),
                Ok(None) => {}
                Err(failure) => report.failed(*name, &failure.context("counting instructions")),
            }
        }
    }
}

/// What the proxy is told to do.
#[derive(Clone, Copy)]
enum Setting {
    /// [`Contestant::single`](crate::contestant::Contestant::single).
    Single,
    /// [`Contestant::full`](crate::contestant::Contestant::full).
    Full,
}

impl Setting {
    const ALL: [Self; 2] = [Self::Single, Self::Full];

    /// `None` for a contestant without a proxy, or for which this setting isn't known.
    fn command(self, name: Name, world: &World) -> Result<Option<Command>> {
        let contestant = name.contestant();
        match self {
            Self::Single => contestant.single(world),
            Self::Full => contestant.full(world),
        }
    }

    fn figure(self) -> &'static str {
        match self {
            Self::Single => "user_per_request",
            Self::Full => "user_per_request_with_all",
        }
    }
}

/// Instructions of a whole life with so many requests.
fn one(world: &World, name: Name, command: &Command, valgrind: &Path, load: Load) -> Result<u64> {
    let out = world.file(&format!("callgrind-{}.out", name.text()));
    let command = emulated(command, &out, inside(&world.network.client, valgrind)?);
    let mut process = Process::start(&format!("callgrind-{}", name.text()), &world.folder, command)?;
    let client = &world.network.client;
    first_answer(client, CLIENT_PROXY, std::slice::from_mut(&mut process), limits::START_EMULATED)?;
    load.run(world, CLIENT_PROXY)?;
    process.stop()?;
    let text = std::fs::read_to_string(&out).with_context(|| format!("can't read {}", out.display()))?;
    total(&text).context("callgrind's file has no total")
}

fn emulated(single: &Command, out: &Path, mut command: Command) -> Command {
    command.arg("--tool=callgrind").arg(format!("--callgrind-out-file={}", out.display())).arg("--");
    command.arg(single.get_program()).args(single.get_args());
    command
}

/// The sum that callgrind writes at the end.
fn total(file: &str) -> Option<u64> {
    let line = file
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("totals:").or_else(|| line.strip_prefix("summary:")))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_read() {
        assert_eq!(total("events: Ir\nsummary: 12\nfn=(1)\ntotals: 34\n\n"), Some(34));
        assert_eq!(total("events: Ir\nsummary: 12\n"), Some(12));
        assert_eq!(total("events: Ir\n"), None);
    }
}
