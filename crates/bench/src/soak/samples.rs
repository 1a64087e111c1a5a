//! What the proxies say of themselves, over time.

use std::{fmt::Write as _, time::Instant};

use leno_testkit::mesh::{Mesh, Metrics};

use super::{pause, world::WATCHED};
use crate::limits;

/// What is read of each.
pub(super) const FIGURES: [&str; 6] = [
    "leno_process_anonymous_memory_bytes",
    "process_resident_memory_bytes",
    "process_open_fds",
    "leno_tasks_running",
    "leno_connections",
    "leno_upstream_connections",
];

/// Which of them count things that must be gone at the end, and how many may have come besides.
pub(super) const COUNTS: [(usize, f64, &str); 4] = [
    (2, 4.0, "descriptors"),
    (3, 4.0, "tasks"),
    (4, 2.0, "connections"),
    (5, 2.0, "connections to endpoints"),
];

/// One reading.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) seconds: f64,
    pub(super) figures: [f64; FIGURES.len()],
}

/// All readings of each that is watched.
pub(super) struct Samples {
    begun: Instant,
    /// When everything had begun and nothing was asked of it.
    pub(super) before: Vec<Sample>,
    pub(super) all: Vec<Vec<Sample>>,
    /// When they were started, in seconds since 1970: a process that is another one by now says nothing.
    started: Vec<f64>,
    pub(super) replaced: Vec<&'static str>,
}

impl Samples {
    /// Waits until those who have begun are at rest, and reads them.
    pub(super) fn begin(mesh: &Mesh) -> Self {
        pause(limits::SOAK_REST);
        let begun = Instant::now();
        let metrics: Vec<Metrics> = WATCHED.iter().map(|name| mesh.counted(name)).collect();
        Self {
            begun,
            before: metrics.iter().map(|metrics| sample(metrics, 0.0)).collect(),
            all: WATCHED.iter().map(|_| Vec::new()).collect(),
            started: metrics.iter().map(started).collect(),
            replaced: Vec::new(),
        }
    }

    /// Reads all of them.
    pub(super) fn take(&mut self, mesh: &Mesh) {
        let seconds = self.begun.elapsed().as_secs_f64();
        for ((name, all), was) in WATCHED.iter().zip(&mut self.all).zip(&self.started) {
            let metrics = mesh.counted(name);
            if started(&metrics) != *was && !self.replaced.contains(name) {
                self.replaced.push(name);
            }
            all.push(sample(&metrics, seconds));
        }
    }

    /// What there is more of than before the load.
    pub(super) fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        for ((name, all), before) in WATCHED.iter().zip(&self.all).zip(&self.before) {
            let Some(now) = all.last() else { continue };
            for (figure, slack, what) in COUNTS {
                let [was, is] =
                    [before, now].map(|sample| sample.figures.get(figure).copied().unwrap_or(0.0));
                if is > was + slack {
                    left.push(format!("{name} has {is} {what}, and had {was} before the load"));
                }
            }
        }
        left
    }

    /// Every reading, a line each.
    pub(super) fn csv(&self) -> String {
        let mut text = format!("proxy,seconds,{}\n", FIGURES.join(","));
        for (name, all) in WATCHED.iter().zip(&self.all) {
            for sample in all {
                let figures: Vec<String> = sample.figures.iter().map(ToString::to_string).collect();
                let _ = writeln!(text, "{name},{:.1},{}", sample.seconds, figures.join(","));
            }
        }
        text
    }
}

fn sample(metrics: &Metrics, seconds: f64) -> Sample {
    Sample { seconds, figures: FIGURES.map(|name| metrics.sum(name, &[])) }
}

fn started(metrics: &Metrics) -> f64 {
    metrics.sum("process_start_time_seconds", &[])
}
