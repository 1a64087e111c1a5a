//! What is learnt about endpoints while they serve: latency, failures, requests under way.
//!
//! Cells are atomics, shared by all cores, and belong to the proxy: they are keyed by host, port and endpoint uid, so
//! that they outlive the configuration they were first made for. A cell lives as long as a cluster or a request under
//! way holds it. The table's lock is taken when clusters are compiled, never by a request.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use leno_model::name::Host;

use crate::limits::{MAX_BUDGETS, MAX_STATES};
use crate::retry::Settled;
use crate::retry::budget::Budget;
use crate::rng::mix;
use average::Average;

mod average;

/// How much weight a failure has: an endpoint that always fails counts as this many times slower than it is.
const FAILURE_BIAS: f64 = 30.0;

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
    cells: Mutex<Cells>,
    budgets: Mutex<HashMap<(Host, u16), Weak<Budget>>>,
    settled: Settled,
}

#[derive(Debug, Default)]
struct Cells {
    map: HashMap<Key, Weak<EndpointState>>,
    /// Entries that were in use when unused ones were last removed, and cells made since.
    used: usize,
    made: usize,
}

type Key = (Host, u16, Arc<str>);

impl StateTable {
    /// An empty table. `seed` spreads where proxies begin to take turns.
    #[must_use]
    pub fn new(epoch: Instant, seed: u64) -> Self {
        let settled = Settled::new(mix(seed));
        Self { epoch, seed, cells: Mutex::default(), budgets: Mutex::default(), settled }
    }

    /// Requests whose failure was retried in vain.
    #[must_use]
    pub const fn settled(&self) -> &Settled {
        &self.settled
    }

    /// The retry budget of a service port. At most [`MAX_BUDGETS`] are shared and survive; the rest are new.
    #[must_use]
    pub fn budget(&self, host: &Host, port: u16) -> Arc<Budget> {
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (host.clone(), port);
        if let Some(budget) = budgets.get(&key).and_then(Weak::upgrade) {
            return budget;
        }
        if budgets.len() >= MAX_BUDGETS {
            budgets.retain(|_, budget| budget.strong_count() > 0);
        }
        let budget = Arc::new(Budget::new(self.epoch));
        if budgets.len() < MAX_BUDGETS {
            budgets.insert(key, Arc::downgrade(&budget));
        }
        budget
    }

    /// The cell of an endpoint of a service port. At most [`MAX_STATES`] are shared and survive; the rest are new.
    #[must_use]
    pub fn endpoint(&self, host: &Host, port: u16, uid: &Arc<str>) -> Arc<EndpointState> {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (host.clone(), port, Arc::clone(uid));
        if let Some(cell) = cells.map.get(&key).and_then(Weak::upgrade) {
            return cell;
        }
        // A sweep costs as much as there are entries, so it waits until they have doubled.
        cells.made += 1;
        if cells.made > cells.used.max(64) {
            cells.map.retain(|_, cell| cell.strong_count() > 0);
            cells.used = cells.map.len();
            cells.made = 0;
        }
        let cell = Arc::new(EndpointState::new(self.epoch));
        if cells.map.len() < MAX_STATES {
            cells.map.insert(key, Arc::downgrade(&cell));
        }
        cell
    }

    /// A number that differs between proxies and between `salt`s.
    pub(crate) const fn spread(&self, salt: u64) -> u64 {
        mix(self.seed ^ salt)
    }

    /// How many entries there are, unused ones that were not swept yet included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner).map.len()
    }

    /// Whether there is no entry.
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
}

/// How a request to an endpoint ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered, and the answer began after this time.
    Answered(Duration),
    /// It failed: no connection, no answer, or an answer that tells of a failing server.
    Failed,
}

impl EndpointState {
    fn new(epoch: Instant) -> Self {
        Self {
            epoch,
            latency: Average::default(),
            failures: Average::default(),
            in_flight: AtomicU32::new(0),
        }
    }

    /// Counts a request in, until the result is finished or dropped.
    pub fn start(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight { state: Arc::clone(self) }
    }

    /// The state as it is now.
    #[must_use]
    pub fn read(&self, now: Instant) -> Reading {
        let elapsed = now.saturating_duration_since(self.epoch);
        Reading {
            latency: self.latency.read(elapsed).map(duration),
            failures: self.failures.read(elapsed).unwrap_or_default(),
            in_flight: self.in_flight.load(Ordering::Relaxed),
        }
    }

    /// Takes over a reading, so that `explain` decides with the state that a proxy exported.
    pub fn restore(&self, reading: &Reading, now: Instant) {
        let elapsed = now.saturating_duration_since(self.epoch);
        match reading.latency {
            Some(latency) => self.latency.set(latency.as_secs_f32() * 1e9, elapsed),
            None => self.latency.clear(),
        }
        self.failures.set(reading.failures, elapsed);
        self.in_flight.store(reading.in_flight, Ordering::Relaxed);
    }

    /// What one more request is expected to cost, in nanoseconds of waiting.
    pub(crate) fn cost(&self, now: Instant) -> f64 {
        let elapsed = now.saturating_duration_since(self.epoch);
        let in_flight = self.in_flight.load(Ordering::Relaxed);
        let failures = f64::from(self.failures.read(elapsed).unwrap_or_default());
        let latency = match self.latency.read(elapsed) {
            Some(latency) => f64::from(latency),
            // One request finds out, and the others wait for what it finds.
            None if in_flight == 0 && failures < FAILURES_FORGOTTEN => 0.0,
            None => UNKNOWN_LATENCY.as_secs_f64() * 1e9,
        };
        latency * (f64::from(in_flight) + 1.0) * FAILURE_BIAS.mul_add(failures, 1.0)
    }

    fn finish(&self, now: Instant, outcome: Outcome) {
        let elapsed = now.saturating_duration_since(self.epoch);
        match outcome {
            Outcome::Answered(latency) => {
                self.latency.observe_peak(latency.as_secs_f32() * 1e9, elapsed);
                self.failures.step(0.0, FAILURE_STEP, elapsed);
            }
            Outcome::Failed => {
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
}

impl InFlight {
    /// Ends the request and learns from its outcome.
    pub fn finish(self, now: Instant, outcome: Outcome) {
        self.state.finish(now, outcome);
    }

    /// Learns from an outcome while the request goes on: an answer has begun, and its body follows.
    pub fn learn(&self, now: Instant, outcome: Outcome) {
        self.state.finish(now, outcome);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.state.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
