//! `soak`: a mesh under mixed load and faults for a long time, watched by its proxies' own counters.
//!
//! Memory must be flat once the proxies are warm, and when everything is quiet again nothing may be left: descriptors,
//! tasks and connections are those of before. What no fault touches (the service `calm`) must not lose a request.

mod events;
mod samples;
mod traffic;
mod verdict;
mod world;

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use leno_testkit::{mesh::Mesh, programs};

use crate::{limits, output};
use events::Events;
use samples::Samples;
use traffic::Traffic;

/// How long, and where the samples go.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Minutes under load; two more follow until everything is quiet
    #[arg(long, default_value_t = 30.0, value_parser = minutes)]
    minutes: f64,
    /// Where the samples go as CSV [default: target/bench/soak.csv]
    #[arg(long)]
    output: Option<PathBuf>,
}

fn minutes(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(minutes) if (0.5..=1440.0).contains(&minutes) => Ok(minutes),
        _ => Err("write minutes from 0.5 to 1440".to_owned()),
    }
}

/// Runs it and prints the report; an error when something grew, leaked or failed.
pub(crate) fn run(options: &Options) -> Result<()> {
    let duration = Duration::from_secs_f64(options.minutes * 60.0);
    let mesh = world::start()?;
    output::line(&format!("the mesh is ready; {:.1} minutes of load begin", options.minutes));
    let mut samples = Samples::begin(&mesh);
    let traffic = Traffic::start(&mesh, duration)?;
    let happened = under_load(&mesh, duration, &mut samples);
    let reports = traffic.end()?;
    output::line("the load is over; waiting until everything is quiet");
    let left = quiet(&mesh, &mut samples);
    let path = options.output.clone().unwrap_or_else(|| programs::target().join("bench/soak.csv"));
    fs::create_dir_all(path.parent().context("a file without a folder")?)?;
    fs::write(&path, samples.csv()).with_context(|| format!("can't write {}", path.display()))?;
    let verdict = verdict::of(&samples, &left, &reports);
    output::line(&format!("{}\n{}\n{}", verdict.text, happened, path.display()));
    if !verdict.problems.is_empty() {
        bail!("{}", verdict.problems.join("\n"));
    }
    Ok(())
}

/// Lets things happen and takes samples until the time is over. What happened how often.
fn under_load(mesh: &Mesh, duration: Duration, samples: &mut Samples) -> String {
    let begun = Instant::now();
    let mut events = Events::default();
    let (mut sample_at, mut event_at) = (Duration::ZERO, limits::SOAK_EVENTS);
    while begun.elapsed() < duration {
        if begun.elapsed() >= sample_at {
            samples.take(mesh);
            sample_at = begun.elapsed() + limits::SOAK_SAMPLES;
        }
        // The last one is over before the load is.
        if begun.elapsed() >= event_at && begun.elapsed() + limits::SOAK_EVENTS < duration {
            events.next(mesh);
            event_at = begun.elapsed() + limits::SOAK_EVENTS;
        }
        pause(limits::SOAK_POLL);
    }
    events.text()
}

/// Waits until nothing is left of the load, or for as long as it may take; what is left then.
fn quiet(mesh: &Mesh, samples: &mut Samples) -> Vec<String> {
    let begun = Instant::now();
    loop {
        samples.take(mesh);
        let left = samples.left();
        if left.is_empty() || begun.elapsed() > limits::SOAK_QUIET {
            return left;
        }
        pause(limits::SOAK_SAMPLES);
    }
}

#[expect(clippy::disallowed_methods, reason = "nothing to wait for: others are asked at intervals")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}
