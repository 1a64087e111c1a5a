//! What a run counted.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::histogram::Histogram;
use super::pace::Turn;
use crate::limits;

/// A complete answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Only for gRPC.
    pub(crate) grpc_status: Option<u32>,
    pub(crate) version: Option<Box<str>>,
    pub(crate) body_bytes: u64,
    /// Messages that came back in a bidirectional gRPC stream.
    pub(crate) messages: u64,
}

/// How a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// No connection.
    Connect,
    /// The connection or stream ended before the answer began.
    Reset,
    /// The connection or stream, or the time, ended between the answer's head and its end.
    Cut,
    /// No answer in time.
    Timeout,
    /// An answer that isn't HTTP.
    Protocol,
    /// A status of 400 or more.
    Status,
    /// A gRPC status other than OK.
    Grpc,
}

impl Kind {
    pub(crate) const ALL: [Self; 7] =
        [Self::Connect, Self::Reset, Self::Cut, Self::Timeout, Self::Protocol, Self::Status, Self::Grpc];
}

/// A request without a complete answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    pub(crate) detail: String,
}

impl Failure {
    pub(crate) fn new(kind: Kind, detail: impl ToString) -> Self {
        Self { kind, detail: detail.to_string() }
    }
}

/// When and how often something was seen; milliseconds since the start of the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Seen {
    pub(crate) count: u64,
    pub(crate) first_ms: f64,
    pub(crate) last_ms: f64,
}

impl Seen {
    fn add(&mut self, at: f64) {
        if self.count == 0 {
            self.first_ms = at;
        }
        self.count += 1;
        self.last_ms = at;
    }
}

/// One failure in detail.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Sample {
    pub(crate) at_ms: f64,
    pub(crate) kind: Kind,
    pub(crate) detail: String,
}

/// All counts of a run.
#[derive(Debug)]
pub(crate) struct Tally {
    start: Instant,
    pub(crate) sent: u64,
    /// When the first and the last request were sent.
    span: Option<(Instant, Instant)>,
    pub(crate) ok: u64,
    pub(crate) failed: BTreeMap<Kind, Seen>,
    pub(crate) statuses: BTreeMap<u16, u64>,
    pub(crate) grpc_statuses: BTreeMap<u32, u64>,
    pub(crate) versions: BTreeMap<Box<str>, Seen>,
    pub(crate) samples: Vec<Sample>,
    pub(crate) body_bytes: u64,
    /// Messages that came back in bidirectional gRPC streams.
    pub(crate) messages: u64,
    /// From the due time to the end of the answer.
    pub(crate) latency: Histogram,
    /// From the sending to the end of the answer.
    pub(crate) service: Histogram,
    /// How late this process was by itself.
    pub(crate) lag: Histogram,
    /// Requests that waited for a free worker.
    pub(crate) waited: u64,
    /// Due, never sent.
    pub(crate) unsent: u64,
    /// Connections opened.
    pub(crate) connections: u64,
    /// Sent again because the server said that it hadn't begun (HTTP/2 only).
    pub(crate) repeated: u64,
}

impl Tally {
    pub(crate) fn new(start: Instant) -> Self {
        Self {
            start,
            sent: 0,
            span: None,
            ok: 0,
            failed: Kind::ALL.map(|kind| (kind, Seen::default())).into(),
            statuses: BTreeMap::new(),
            grpc_statuses: BTreeMap::new(),
            versions: BTreeMap::new(),
            samples: Vec::new(),
            body_bytes: 0,
            messages: 0,
            latency: Histogram::new(),
            service: Histogram::new(),
            lag: Histogram::new(),
            waited: 0,
            unsent: 0,
            connections: 0,
            repeated: 0,
        }
    }

    /// Counts a request that was sent at `sent` and ended at `end`.
    pub(crate) fn record(
        &mut self,
        turn: Turn,
        sent: Instant,
        end: Instant,
        outcome: Result<Answer, Failure>,
    ) {
        self.sent += 1;
        let (first, last) = self.span.unwrap_or((sent, sent));
        self.span = Some((first.min(sent), last.max(sent)));
        self.lag.record(turn.lag);
        self.waited += u64::from(turn.waited >= limits::LATE);
        let at = end.saturating_duration_since(self.start).as_secs_f64() * 1e3;
        match outcome {
            Ok(answer) => {
                self.time(turn.due, sent, end);
                self.answer(answer, at);
            }
            Err(failure) => {
                // A timeout is a latency of at least that; resets and refusals are none, and often short.
                if failure.kind == Kind::Timeout {
                    self.time(turn.due, sent, end);
                }
                self.fail(failure, at);
            }
        }
    }

    /// Counts a request that was due but never sent: its latency is at least what it has waited.
    pub(crate) fn miss(&mut self, due: Instant, end: Instant) {
        self.unsent += 1;
        self.latency.record(end.saturating_duration_since(due));
    }

    fn time(&mut self, due: Instant, sent: Instant, end: Instant) {
        self.latency.record(end.saturating_duration_since(due));
        self.service.record(end.saturating_duration_since(sent));
    }

    fn answer(&mut self, answer: Answer, at: f64) {
        let Answer { status, grpc_status, version, body_bytes, messages } = answer;
        self.body_bytes += body_bytes;
        self.messages += messages;
        *self.statuses.entry(status).or_default() += 1;
        if let Some(code) = grpc_status {
            *self.grpc_statuses.entry(code).or_default() += 1;
        }
        if let Some(version) = version {
            self.version(version).add(at);
        }
        match grpc_status {
            _ if status >= 400 => self.fail(Failure::new(Kind::Status, format!("status {status}")), at),
            Some(code) if code != 0 => self.fail(Failure::new(Kind::Grpc, format!("grpc-status {code}")), at),
            _ => self.ok += 1,
        }
    }

    fn version(&mut self, version: Box<str>) -> &mut Seen {
        let is_new = !self.versions.contains_key(&version);
        let key = if is_new && self.versions.len() >= limits::VERSIONS { "other".into() } else { version };
        self.versions.entry(key).or_default()
    }

    fn fail(&mut self, failure: Failure, at: f64) {
        self.failed.entry(failure.kind).or_default().add(at);
        if self.samples.len() < limits::FAILURE_SAMPLES {
            self.samples.push(Sample { at_ms: at, kind: failure.kind, detail: failure.detail });
        }
    }

    /// All failures.
    pub(crate) fn failures(&self) -> u64 {
        self.failed.values().map(|seen| seen.count).sum()
    }

    /// Requests per second between the first and the last one sent; zero for fewer than two.
    pub(crate) fn rate(&self) -> f64 {
        let seconds = self.span.map_or(0.0, |(first, last)| (last - first).as_secs_f64());
        if seconds > 0.0 { self.sent.saturating_sub(1) as f64 / seconds } else { 0.0 }
    }

    /// Time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(outcomes: Vec<Result<Answer, Failure>>) -> Tally {
        let start = Instant::now();
        let mut tally = Tally::new(start);
        let turn = Turn { due: start, waited: Duration::ZERO, lag: Duration::ZERO };
        for outcome in outcomes {
            tally.record(turn, start + Duration::from_millis(30), start + Duration::from_millis(50), outcome);
        }
        tally
    }

    fn answer(status: u16, grpc_status: Option<u32>, version: &str) -> Result<Answer, Failure> {
        Ok(Answer { status, grpc_status, version: Some(version.into()), body_bytes: 10, messages: 3 })
    }

    #[test]
    fn counts_by_kind_status_and_version() {
        let tally = tally(vec![
            answer(200, None, "v1"),
            answer(503, None, "v2"),
            answer(200, Some(0), "v1"),
            answer(200, Some(14), "v1"),
            Err(Failure::new(Kind::Reset, "cut")),
            Err(Failure::new(Kind::Timeout, "late")),
        ]);
        assert_eq!((tally.sent, tally.ok, tally.failures(), tally.body_bytes), (6, 2, 4, 40));
        assert_eq!(tally.messages, 12);
        let failed: Vec<_> = tally
            .failed
            .iter()
            .map(|(kind, seen)| (*kind, seen.count))
            .filter(|(_, count)| *count > 0)
            .collect();
        assert_eq!(failed, [(Kind::Reset, 1), (Kind::Timeout, 1), (Kind::Status, 1), (Kind::Grpc, 1)]);
        assert_eq!(tally.versions.get("v1").map(|seen| (seen.count, seen.first_ms)), Some((3, 50.0)));
        assert_eq!(tally.samples.len(), 4);
        assert_eq!((tally.latency.count(), tally.latency.max()), (5, Duration::from_millis(50)));
        assert_eq!(tally.service.max(), Duration::from_millis(20));
    }

    #[test]
    fn the_rate_counts_from_the_first_to_the_last_sending() {
        let start = Instant::now();
        let mut tally = Tally::new(start);
        assert_eq!(tally.rate(), 0.0);
        // The answers to the last ones come late, and out of order; that doesn't slow the rate down.
        for n in [0, 2, 1, 4, 3] {
            let sent = start + Duration::from_millis(250 * n);
            let turn = Turn { due: sent, waited: Duration::ZERO, lag: Duration::ZERO };
            tally.record(turn, sent, start + Duration::from_secs(60), answer(200, None, "v1"));
        }
        assert_eq!(tally.rate(), 4.0);
    }

    #[test]
    fn versions_are_bounded() {
        let tally = tally((0..200).map(|n| answer(200, None, &format!("v{n}"))).collect());
        assert_eq!(tally.versions.len(), limits::VERSIONS + 1);
        assert_eq!(tally.versions.get("other").map(|seen| seen.count), Some(136));
    }
}
