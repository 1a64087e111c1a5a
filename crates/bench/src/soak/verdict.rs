//! Whether memory was flat, nothing was left, and nothing was lost.

use std::fmt::Write as _;

use super::{
    samples::{COUNTS, FIGURES, Sample, Samples},
    traffic::Report,
    world::WATCHED,
};
use crate::{limits, statistics::Summary};

/// What is printed, and what is wrong.
pub(super) struct Verdict {
    pub(super) text: String,
    pub(super) problems: Vec<String>,
}

const MIB: f64 = 1024.0 * 1024.0;

/// Judges a run.
pub(super) fn of(samples: &Samples, left: &[String], reports: &[Report]) -> Verdict {
    let mut problems = left.to_vec();
    let mut text = String::from(
        "\n| process | anonymous memory, MiB: warm, at the end, growth | resident, MiB: the same | descriptors: before, most, after | tasks | connections | to endpoints |\n|---|---|---|---|---|---|---|\n",
    );
    for ((name, all), before) in WATCHED.iter().zip(&samples.all).zip(&samples.before) {
        let mut cells = Vec::new();
        for (figure, what) in [(0, "anonymous memory"), (1, "resident memory")] {
            let Some(trend) = Trend::of(all, figure) else { continue };
            cells.push(format!(
                "{:.1}, {:.1}, {:+.2}",
                trend.first / MIB,
                trend.last / MIB,
                trend.growth / MIB
            ));
            if trend.growth > limits::SOAK_GROWTH_BYTES.max(limits::SOAK_GROWTH * trend.first) {
                problems.push(format!("{name}: {what} grows: {:+.2} MiB while warm", trend.growth / MIB));
            }
        }
        for (figure, ..) in COUNTS {
            let of = |sample: &Sample| sample.figures.get(figure).copied().unwrap_or_default();
            let most = all.iter().map(of).fold(0.0, f64::max);
            cells.push(format!("{}, {most}, {}", of(before), all.last().map(of).unwrap_or_default()));
        }
        let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
    }
    for name in &samples.replaced {
        problems.push(format!("{name} was started anew"));
    }
    text.push_str("\n| load | requests | failed |\n|---|---|---|\n");
    for Report { name, is_calm, done, failed, details } in reports {
        let done = if *done == 0 { "–".to_owned() } else { done.to_string() };
        let note = if *is_calm { "" } else { " (faults are its endpoints')" };
        let _ = writeln!(text, "| {name} | {done} | {failed}{note} |");
        if *is_calm && *failed > 0 {
            problems.push(format!("{name}: {failed} failed: {details}"));
        }
    }
    Verdict { text, problems }
}

/// How a figure went once it was warm.
struct Trend {
    first: f64,
    last: f64,
    /// By the slope, over all of the warm time.
    growth: f64,
}

impl Trend {
    /// Of the samples after the first quarter: medians of their first and last quarter, and the median of all slopes
    /// (Theil and Sen), which single peaks don't move.
    fn of(all: &[Sample], figure: usize) -> Option<Self> {
        debug_assert!(figure < FIGURES.len(), "a figure that is read");
        let warm: Vec<(f64, f64)> = all
            .iter()
            .skip(all.len() / 4)
            .filter_map(|sample| Some((sample.seconds, *sample.figures.get(figure)?)))
            .collect();
        let quarter = (warm.len() / 4).max(1);
        let median = |part: &[(f64, f64)]| {
            Summary::of(&part.iter().map(|(_, value)| *value).collect::<Vec<_>>()).map(|all| all.median)
        };
        let slopes: Vec<f64> = warm
            .iter()
            .enumerate()
            .flat_map(|(index, (at, value))| {
                warm.iter().skip(index + 1).map(move |(later, other)| (other - value) / (later - at))
            })
            .collect();
        let seconds = warm.last()?.0 - warm.first()?.0;
        Some(Self {
            first: median(warm.get(..quarter)?)?,
            last: median(warm.get(warm.len() - quarter..)?)?,
            growth: Summary::of(&slopes)?.median * seconds,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(slope: f64) -> Vec<Sample> {
        let figures = |at: f64| [1000.0 + slope * at, 0.0, 0.0, 0.0, 0.0, 0.0];
        let peak = |at: f64| if at == 50.0 { 1e6 } else { 0.0 };
        let at = |at: f64| Sample { seconds: at, figures: figures(at).map(|figure| figure + peak(at)) };
        (0..100).map(f64::from).map(at).collect()
    }

    #[test]
    fn growth_is_seen_and_peaks_are_not() {
        for (slope, growth) in [(0.0, 0.0), (2.0, 148.0), (-1.0, -74.0)] {
            let trend = Trend::of(&line(slope), 0).unwrap();
            assert!((trend.growth - growth).abs() < 5.0, "{slope}: {}", trend.growth);
        }
    }
}
