//! The result of a load run, as JSON for programs and as text for people, with an honest word about the generator itself.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::histogram::Histogram;
use super::tally::{Kind, Sample, Seen, Tally};
use crate::limits;

/// The generator used more of its core than this: what it measured may be itself.
const BUSY_PERCENT: f64 = 90.0;
/// More late starts than this share: the schedule wasn't kept.
const LATE_SHARE: f64 = 0.01;

/// A whole report. Times are milliseconds from the start of the run or microseconds, as their names say.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) url: String,
    /// Where it dialled.
    pub(crate) address: String,
    /// `open` or `closed`.
    pub(crate) mode: &'static str,
    pub(crate) seed: u64,
    pub(crate) workers: usize,
    /// When the run began, in milliseconds since 1970.
    pub(crate) started_unix_ms: u128,
    pub(crate) seconds: f64,
    /// Requests per second asked for; none in the closed loop.
    pub(crate) intended_rate: Option<f64>,
    /// Requests per second between the first and the last one sent.
    pub(crate) achieved_rate: f64,
    pub(crate) sent: u64,
    pub(crate) ok: u64,
    pub(crate) failed: u64,
    /// Due, never sent.
    pub(crate) unsent: u64,
    pub(crate) failures: BTreeMap<Kind, Seen>,
    pub(crate) failure_samples: Vec<Sample>,
    pub(crate) statuses: BTreeMap<u16, u64>,
    pub(crate) grpc_statuses: BTreeMap<u32, u64>,
    /// By the version that answered.
    pub(crate) versions: BTreeMap<Box<str>, Seen>,
    /// From when a request was due to the end of its answer.
    pub(crate) latency_us: Percentiles,
    /// From when a request was sent to the end of its answer.
    pub(crate) service_us: Percentiles,
    pub(crate) body_bytes: u64,
    /// Messages that came back in bidirectional gRPC streams.
    pub(crate) messages: u64,
    pub(crate) generator: Generator,
}

/// How the generator itself fared.
#[derive(Debug, Serialize)]
pub(crate) struct Generator {
    /// Whether requests were sent when they were due.
    pub(crate) kept_up: bool,
    /// What is to be known before the figures are believed.
    pub(crate) notes: Vec<String>,
    /// Share of one core.
    pub(crate) cpu_percent: f64,
    /// How late requests started because this process was slow.
    pub(crate) lag_us: Percentiles,
    /// Requests that started late because every connection was busy.
    pub(crate) waited_for_connection: u64,
    pub(crate) connections_opened: u64,
    /// Sent again because the server hadn't begun them (HTTP/2 only).
    pub(crate) repeated: u64,
    pub(crate) interrupted: bool,
}

/// A distribution in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) count: u64,
    pub(crate) min: f64,
    pub(crate) mean: f64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p99_9: f64,
    pub(crate) max: f64,
}

impl From<&Histogram> for Percentiles {
    fn from(histogram: &Histogram) -> Self {
        let at = |share| micros(histogram.percentile(share));
        Self {
            count: histogram.count(),
            min: micros(histogram.min()),
            mean: micros(histogram.mean()),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            max: micros(histogram.max()),
        }
    }
}

/// Microseconds with one decimal.
fn micros(value: Duration) -> f64 {
    (value.as_secs_f64() * 1e7).round() / 10.0
}

/// What the report needs to know besides the tally.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) url: String,
    pub(crate) address: String,
    pub(crate) rate: Option<f64>,
    pub(crate) seed: u64,
    pub(crate) workers: usize,
    pub(crate) started_unix_ms: u128,
    /// From the start to the last answer.
    pub(crate) took: Duration,
    /// Processor time that the run took.
    pub(crate) cpu: Duration,
    pub(crate) interrupted: bool,
}

impl Report {
    pub(crate) fn new(run: Run, tally: Tally) -> Self {
        let generator = Generator::judge(&run, &tally);
        Self {
            url: run.url,
            address: run.address,
            mode: if run.rate.is_some() { "open" } else { "closed" },
            seed: run.seed,
            workers: run.workers,
            started_unix_ms: run.started_unix_ms,
            seconds: run.took.as_secs_f64(),
            intended_rate: run.rate,
            achieved_rate: tally.rate(),
            sent: tally.sent,
            ok: tally.ok,
            failed: tally.failures(),
            unsent: tally.unsent,
            latency_us: (&tally.latency).into(),
            service_us: (&tally.service).into(),
            failures: tally.failed,
            failure_samples: tally.samples,
            statuses: tally.statuses,
            grpc_statuses: tally.grpc_statuses,
            versions: tally.versions,
            body_bytes: tally.body_bytes,
            messages: tally.messages,
            generator,
        }
    }

    /// Whether every request was sent and answered well.
    pub(crate) fn is_good(&self) -> bool {
        self.sent > 0 && self.failed == 0 && self.unsent == 0
    }

    /// The report for a terminal.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        writeln!(
            text,
            "{} loop to {} ({}), {} workers, {:.2} s",
            self.mode, self.url, self.address, self.workers, self.seconds
        )?;
        let intended = self.intended_rate.map(|rate| format!(" of {rate:.0}")).unwrap_or_default();
        writeln!(
            text,
            "sent      {} ({:.1}{intended} per second), {} bytes of answers",
            self.sent, self.achieved_rate, self.body_bytes
        )?;
        writeln!(text, "ok        {}", self.ok)?;
        writeln!(text, "failed    {}", self.failed)?;
        for (kind, seen) in self.failures.iter().filter(|(_, seen)| seen.count > 0) {
            writeln!(
                text,
                "  {kind:?}: {} between {:.1} and {:.1} ms",
                seen.count, seen.first_ms, seen.last_ms
            )?;
        }
        for sample in &self.failure_samples {
            writeln!(text, "    at {:.1} ms: {}", sample.at_ms, sample.detail)?;
        }
        writeln!(text, "statuses  {}", list(&self.statuses))?;
        if !self.grpc_statuses.is_empty() {
            writeln!(text, "grpc      {}", list(&self.grpc_statuses))?;
        }
        if self.messages > 0 {
            let rate = self.messages as f64 / self.seconds;
            writeln!(text, "messages  {} ({rate:.1} per second)", self.messages)?;
        }
        for (version, seen) in &self.versions {
            let share = 100.0 * seen.count as f64 / self.sent.max(1) as f64;
            writeln!(
                text,
                "version   {version}: {} ({share:.2} %), first after {:.1} ms, last after {:.1} ms",
                seen.count, seen.first_ms, seen.last_ms
            )?;
        }
        row(text, "latency", &self.latency_us)?;
        row(text, "service", &self.service_us)?;
        row(text, "own lag", &self.generator.lag_us)?;
        writeln!(
            text,
            "generator {:.0} % of a core, {} connections opened",
            self.generator.cpu_percent, self.generator.connections_opened
        )?;
        for note in &self.generator.notes {
            writeln!(text, "note: {note}")?;
        }
        Ok(())
    }
}

fn row(text: &mut String, name: &str, p: &Percentiles) -> std::fmt::Result {
    writeln!(
        text,
        "{name:<9} p50 {:.1}  p90 {:.1}  p99 {:.1}  p99.9 {:.1}  max {:.1} us",
        p.p50, p.p90, p.p99, p.p99_9, p.max
    )
}

fn list<K: std::fmt::Display>(counts: &BTreeMap<K, u64>) -> String {
    counts.iter().map(|(key, count)| format!("{key}: {count}")).collect::<Vec<_>>().join(", ")
}

impl Generator {
    fn judge(run: &Run, tally: &Tally) -> Self {
        let lag_us = Percentiles::from(&tally.lag);
        let cpu_percent =
            if run.took.is_zero() { 0.0 } else { 100.0 * run.cpu.as_secs_f64() / run.took.as_secs_f64() };
        let mut notes = Vec::new();
        let late = micros(limits::LATE);
        if cpu_percent > BUSY_PERCENT && run.rate.is_some() {
            notes
                .push(format!("the generator used {cpu_percent:.0} % of its core and may be the bottleneck"));
        }
        if lag_us.p99 > late {
            notes.push(format!("the generator was slow: 1 % of the requests started more than {:.0} us late by its own fault", lag_us.p99));
        }
        if tally.waited as f64 > tally.sent as f64 * LATE_SHARE {
            notes.push(format!(
                "{} of {} requests started late because all {} workers waited for answers; their latency counts from when they \
                 were due (more --connections or --streams would send them in time)",
                tally.waited, tally.sent, run.workers
            ));
        }
        if tally.unsent > 0 {
            notes.push(format!(
                "{} requests that were due were never sent; each counts with the time that it waited",
                tally.unsent
            ));
        }
        let kept_up = notes.is_empty();
        if run.rate.is_none() {
            notes.push("closed loop: a slow server is asked less often, so its latency looks better than users would find it".to_owned());
        }
        if run.interrupted {
            notes.push("interrupted before its end".to_owned());
        }
        Self {
            kept_up,
            notes,
            cpu_percent,
            lag_us,
            waited_for_connection: tally.waited,
            connections_opened: tally.connections,
            repeated: tally.repeated,
            interrupted: run.interrupted,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::load::pace::Turn;
    use crate::load::tally::{Answer, Failure};

    fn run(rate: Option<f64>, cpu: u64) -> Run {
        Run {
            url: "http://x".to_owned(),
            address: "x:80".to_owned(),
            rate,
            seed: 1,
            workers: 2,
            started_unix_ms: 0,
            took: Duration::from_secs(10),
            cpu: Duration::from_secs(cpu),
            interrupted: false,
        }
    }

    fn tally(waited: Duration, lag: Duration) -> Tally {
        let start = Instant::now();
        let mut tally = Tally::new(start);
        for _ in 0..100 {
            let answer = Answer { status: 200, ..Answer::default() };
            tally.record(
                Turn { due: start, waited, lag },
                start,
                start + Duration::from_millis(2),
                Ok(answer),
            );
        }
        tally
    }

    #[test]
    fn says_when_it_did_not_keep_up() {
        let (zero, long) = (Duration::ZERO, Duration::from_millis(5));
        for (waited, lag, cpu, expected) in
            [(zero, zero, 1, true), (long, zero, 1, false), (zero, long, 1, false), (zero, zero, 10, false)]
        {
            let report = Report::new(run(Some(10.0), cpu), tally(waited, lag));
            assert_eq!(report.generator.kept_up, expected, "{:?}", report.generator);
            assert_eq!(report.generator.notes.is_empty(), expected);
        }
        let closed = Report::new(run(None, 10), tally(zero, zero));
        assert!(closed.generator.kept_up && closed.generator.notes.len() == 1);
    }

    #[test]
    fn the_text_names_failures_and_versions() {
        let mut tally = tally(Duration::ZERO, Duration::ZERO);
        let turn = Turn { due: Instant::now(), waited: Duration::ZERO, lag: Duration::ZERO };
        tally.record(turn, turn.due, turn.due, Err(Failure::new(Kind::Connect, "refused")));
        let answer = Answer { status: 200, version: Some("v7".into()), ..Answer::default() };
        tally.record(turn, turn.due, turn.due, Ok(answer));
        let report = Report::new(run(Some(10.0), 1), tally);
        let text = report.text();
        for expected in [
            "failed    1",
            "Connect: 1",
            "refused",
            "version   v7: 1 (0.98 %)",
            "p99.9 2000.0",
            " of 10 per second)",
        ] {
            assert!(text.contains(expected), "{expected:?} isn't in {text}");
        }
        assert!(!report.is_good());
    }
}
