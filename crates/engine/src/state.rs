//! What is learnt about endpoints while they serve: latency, failures, requests under way.
//!
//! Cells are atomics, shared by all cores, and belong to the proxy: they are keyed by host, port and endpoint uid, so
//! that they outlive the configuration they were first made for. A cell lives as long as a cluster or a request under
//! way holds it. The table's lock is taken when clusters are compiled, never by a request.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use leno_model::destination::Warmup;
use leno_model::name::Host;

use crate::breaker::Breaker;
use crate::limits::{MAX_BREAKERS, MAX_BUDGETS, MAX_STATES};
use crate::outlier::{Detector, Ejections, Health};
use crate::retry::Settled;
use crate::retry::budget::Budget;
use crate::rng::mix;
use crate::time::nanoseconds;
use average::Average;
use kept::Kept;

mod average;
mod kept;

/// How much weight a failure has: the cost of an endpoint that always fails is doubled so often. Others may have a
/// thousand requests under way each, and one that fails at once has none.
const FAILURE_DOUBLINGS: f64 = 20.0;

/// Share of one outcome in the failure rate.
const FAILURE_STEP: f32 = 1.0 / 16.0;

/// Below this rate, failures are forgotten: an endpoint without known latency is tried again.
const FAILURES_FORGOTTEN: f64 = 0.01;

/// Latency assumed of an endpoint that has not answered yet, when it has requests under way or has failed.
const UNKNOWN_LATENCY: Duration = Duration::from_secs(1);

/// All cells of a proxy.
#[derive(Debug)]
pub struct StateTable {
    epoch: Instant,
    seed: u64,
    endpoints: Kept<(Host, u16, Arc<str>), EndpointState>,
    budgets: Kept<(Host, u16), Budget>,
    breakers: Kept<(Host, u16, Option<Arc<str>>), Breaker>,
    ejections: Kept<(Host, u16), Ejections>,
    ejected: Arc<AtomicU64>,
    settled: Settled,
}

impl StateTable {
    /// An empty table. `seed` spreads where proxies begin to take turns.
    #[must_use]
    pub fn new(epoch: Instant, seed: u64) -> Self {
        let settled = Settled::new(mix(seed));
        Self {
            epoch,
            seed,
            endpoints: Kept::new(MAX_STATES),
            budgets: Kept::new(MAX_BUDGETS),
            breakers: Kept::new(MAX_BREAKERS),
            ejections: Kept::new(MAX_BREAKERS),
            ejected: Arc::default(),
            settled,
        }
    }

    /// Requests whose failure was retried in vain.
    #[must_use]
    pub const fn settled(&self) -> &Settled {
        &self.settled
    }

    /// The retry budget of a service port. At most [`MAX_BUDGETS`] are shared and survive; the rest are new.
    #[must_use]
    pub fn budget(&self, host: &Host, port: u16) -> Arc<Budget> {
        self.budgets.of((host.clone(), port), || Budget::new(self.epoch))
    }

    /// The limits' counts of a service port and subset. At most [`MAX_BREAKERS`] are shared and survive; the rest are
    /// new.
    #[must_use]
    pub fn breaker(&self, host: &Host, port: u16, subset: Option<&Arc<str>>) -> Arc<Breaker> {
        self.breakers.of((host.clone(), port, subset.cloned()), Breaker::default)
    }

    /// What the endpoints of a service port share about ejections.
    pub(crate) fn ejections(&self, host: &Host, port: u16) -> Arc<Ejections> {
        self.ejections.of((host.clone(), port), || Ejections::new(Arc::clone(&self.ejected)))
    }

    /// Counts every ejection, of all endpoints.
    #[must_use]
    pub const fn ejected(&self) -> &Arc<AtomicU64> {
        &self.ejected
    }

    /// When times begin.
    pub(crate) const fn epoch(&self) -> Instant {
        self.epoch
    }

    /// The cell of an endpoint of a service port. At most [`MAX_STATES`] are shared and survive; the rest are new.
    #[must_use]
    pub fn endpoint(&self, host: &Host, port: u16, uid: &Arc<str>) -> Arc<EndpointState> {
        let key = (host.clone(), port, Arc::clone(uid));
        self.endpoints.of(key, || EndpointState::new(self.epoch))
    }

    /// A number that differs between proxies and between `salt`s.
    pub(crate) const fn spread(&self, salt: u64) -> u64 {
        mix(self.seed ^ salt)
    }

    /// How many endpoints there are, unused ones that were not swept yet included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.endpoints.len()
    }

    /// Whether there is no endpoint.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The state of one endpoint.
#[derive(Debug)]
pub struct EndpointState {
    epoch: Instant,
    /// Nanoseconds until an answer began.
    latency: Average,
    /// Share of requests that failed, 0 to 1.
    failures: Average,
    in_flight: AtomicU32,
    /// Those of them that nothing was heard of yet.
    unanswered: AtomicU32,
    /// When it was first considered, in nanoseconds since the epoch; 0 before that, and while it isn't ready.
    born: AtomicU64,
    pub(crate) health: Health,
}

/// A reading of an endpoint's state, for display and for `explain`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// Moving average of the time until an answer began; `None` before the first answer.
    pub latency: Option<Duration>,
    /// Moving average of the share of requests that failed, 0 to 1.
    pub failures: f32,
    /// Requests under way.
    pub in_flight: u32,
    /// How long it is left out from now on, if it is ejected.
    pub ejected: Option<Duration>,
}

/// How a request to an endpoint ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered, and the answer began after this time.
    Answered(Duration),
    /// It was answered in HTTP.
    Status {
        /// The status; that of a gRPC answer as [`leno_model::failure::grpc`] translates it.
        status: u16,
        /// After what time the answer began.
        latency: Duration,
    },
    /// It failed: there was no connection, or no answer.
    Failed,
}

impl Outcome {
    /// Whether the balancer avoids who does this.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        match self {
            Self::Answered(_) | Self::Status { status: ..500, .. } => false,
            Self::Failed | Self::Status { .. } => true,
        }
    }
}

impl EndpointState {
    fn new(epoch: Instant) -> Self {
        Self {
            epoch,
            latency: Average::default(),
            failures: Average::default(),
            in_flight: AtomicU32::new(0),
            unanswered: AtomicU32::new(0),
            born: AtomicU64::new(0),
            health: Health::default(),
        }
    }

    /// Counts a request in, until the result is finished or dropped.
    pub fn start(self: &Arc<Self>) -> InFlight {
        self.start_watched(None)
    }

    /// The same, with outlier detection that learns from it.
    pub(crate) fn start_watched(self: &Arc<Self>, detector: Option<Arc<Detector>>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.unanswered.fetch_add(1, Ordering::Relaxed);
        InFlight { state: Arc::clone(self), detector, unanswered: Cell::new(true) }
    }

    /// The state as it is now.
    #[must_use]
    pub fn read(&self, now: Instant) -> Reading {
        let elapsed = now.saturating_duration_since(self.epoch);
        Reading {
            latency: self.latency.read(elapsed).map(duration),
            failures: self.failures.read(elapsed).unwrap_or_default(),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            ejected: self.health.ejected(elapsed),
        }
    }

    /// How long it is left out from now on; `None` when it isn't.
    #[must_use]
    pub fn ejected(&self, now: Instant) -> Option<Duration> {
        self.health.ejected(now.saturating_duration_since(self.epoch))
    }

    /// Takes over a reading, so that `explain` decides with the state that a proxy exported.
    pub(crate) fn restore(&self, reading: &Reading, now: Instant, ejections: &Ejections) {
        let elapsed = now.saturating_duration_since(self.epoch);
        match reading.latency {
            Some(latency) => self.latency.set(latency.as_secs_f32() * 1e9, elapsed),
            None => self.latency.clear(),
        }
        self.failures.set(reading.failures, elapsed);
        self.in_flight.store(reading.in_flight, Ordering::Relaxed);
        self.health.restore(elapsed, reading.ejected, ejections);
    }

    /// What one more request is expected to cost, in nanoseconds of waiting.
    pub(crate) fn cost(&self, now: Instant) -> f64 {
        let elapsed = now.saturating_duration_since(self.epoch);
        let in_flight = self.in_flight.load(Ordering::Relaxed);
        let failures = f64::from(self.failures.read(elapsed).unwrap_or_default());
        // What is known doesn't fade while nothing is heard, or a frozen endpoint would attract more and more.
        let is_silent = self.unanswered.load(Ordering::Relaxed) > 0;
        let known = if is_silent { self.latency.last() } else { self.latency.read(elapsed) };
        let latency = match known {
            Some(latency) => f64::from(latency),
            // One request finds out, and the others wait for what it finds.
            None if in_flight == 0 && failures < FAILURES_FORGOTTEN => 0.0,
            None => UNKNOWN_LATENCY.as_secs_f64() * 1e9,
        };
        latency * (f64::from(in_flight) + 1.0) * (FAILURE_DOUBLINGS * failures).exp2()
    }

    /// The share of its full weight that it has by now, from 0 to 1.
    pub(crate) fn warmth(&self, warmup: &Warmup, now: Instant) -> f64 {
        let elapsed = now.saturating_duration_since(self.epoch);
        let elapsed = nanoseconds(elapsed).max(1);
        let born = self.born.compare_exchange(0, elapsed, Ordering::Relaxed, Ordering::Relaxed);
        let age = Duration::from_nanos(elapsed.saturating_sub(born.err().unwrap_or(elapsed)));
        if age >= warmup.duration {
            return 1.0;
        }
        let grown = age.as_secs_f64() / warmup.duration.as_secs_f64();
        let grown = grown.powf(1000.0 / f64::from(warmup.aggression.max(1)));
        grown.max(f64::from(warmup.minimum) / 1e6).min(1.0)
    }

    /// It isn't ready: once it is, it starts slowly again.
    pub(crate) fn cool(&self) {
        self.born.store(0, Ordering::Relaxed);
    }

    fn finish(&self, now: Instant, outcome: Outcome) {
        let elapsed = now.saturating_duration_since(self.epoch);
        match outcome {
            Outcome::Answered(latency) | Outcome::Status { status: ..500, latency } => {
                self.latency.observe_peak(latency.as_secs_f32() * 1e9, elapsed);
                self.failures.step(0.0, FAILURE_STEP, elapsed);
            }
            Outcome::Failed | Outcome::Status { .. } => {
                // A quick failure is not a quick answer. The latency known stays, and doesn't fade while failures go on.
                self.latency.touch(elapsed);
                self.failures.step(1.0, FAILURE_STEP, elapsed);
            }
        }
    }
}

fn duration(nanoseconds: f32) -> Duration {
    Duration::try_from_secs_f32(nanoseconds.max(0.0) / 1e9).unwrap_or(Duration::MAX)
}

/// A request under way. Dropping it without an outcome (the client went away) says nothing about the endpoint.
#[derive(Debug)]
#[must_use = "dropping it ends the request's count"]
pub struct InFlight {
    state: Arc<EndpointState>,
    detector: Option<Arc<Detector>>,
    unanswered: Cell<bool>,
}

impl InFlight {
    /// Ends the request and learns from its outcome.
    pub fn finish(self, now: Instant, outcome: Outcome) {
        self.learn(now, outcome);
    }

    /// An answer has begun.
    pub fn heard(&self) {
        if self.unanswered.replace(false) {
            self.state.unanswered.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The same after this time, and its body follows. How it ends is learnt when it does.
    pub fn begun(&self, now: Instant, latency: Duration) {
        self.heard();
        let elapsed = now.saturating_duration_since(self.state.epoch);
        self.state.latency.observe_peak(latency.as_secs_f32() * 1e9, elapsed);
    }

    /// Learns from an outcome while the request goes on.
    pub fn learn(&self, now: Instant, outcome: Outcome) {
        self.heard();
        self.state.finish(now, outcome);
        if let Some(detector) = &self.detector {
            detector.observe(&self.state, now, outcome);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.heard();
        self.state.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
