//! Outlier ejection: endpoints that do badly get nothing for a while.
//!
//! What counts is what requests learn (see [`crate::state`]); nothing runs in the background. An ejection is a moment
//! until which an endpoint is left out, so it ends by itself, and how often an endpoint was ejected is forgotten by
//! the time that has passed. Success rates and latencies are judged by the first outcome after an interval.
//!
//! An endpoint's counts and its ejection belong to its service port: they outlive snapshots, and all subsets see them.
//! A cluster without outlier detection neither ejects nor leaves anything out.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use leno_model::outlier::OutlierDetection;

use crate::limits::{
    LATENCY_ANSWERS, LATENCY_DIFFERENCE, LATENCY_ENDPOINTS, LONGEST_EJECTION, RATED_ENDPOINTS, RATED_REQUESTS,
};
use crate::state::{EndpointState, Outcome};
use crate::time::nanoseconds;

/// What is known of one endpoint. Times are nanoseconds since the table's epoch.
#[derive(Debug, Default)]
pub(crate) struct Health {
    server_errors: AtomicU32,
    gateway_errors: AtomicU32,
    local_failures: AtomicU32,
    /// Until when it is left out; 0 before its first ejection.
    until: AtomicU64,
    /// Ejections that were not forgotten when it was ejected last, that one included.
    ejections: AtomicU32,
    /// Since the interval began.
    requests: AtomicU32,
    successes: AtomicU32,
    answers: AtomicU32,
    waited: AtomicU64,
}

/// What the endpoints of one service port share: how many were ever ejected, and until when any is.
#[derive(Debug, Default)]
pub(crate) struct Ejections {
    until: AtomicU64,
    count: AtomicU64,
    /// Of all service ports.
    total: Arc<AtomicU64>,
}

impl Ejections {
    /// None yet. `total` counts those of all service ports.
    pub(crate) fn new(total: Arc<AtomicU64>) -> Self {
        Self { total, ..Self::default() }
    }

    /// Ejections so far.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

/// Outlier detection of one cluster.
#[derive(Debug)]
pub(crate) struct Detector {
    settings: OutlierDetection,
    epoch: Instant,
    /// The ready ones.
    endpoints: Vec<Arc<EndpointState>>,
    shared: Arc<Ejections>,
    /// When the interval began.
    round: AtomicU64,
    /// Held while endpoints are ejected, so that two at once don't exceed the share.
    ejecting: Mutex<()>,
}

/// What an outcome says about an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    Good,
    Error {
        gateway: bool,
    },
    /// There was no answer.
    Silent,
}

impl Detector {
    pub(crate) const fn new(
        settings: OutlierDetection,
        epoch: Instant,
        endpoints: Vec<Arc<EndpointState>>,
        shared: Arc<Ejections>,
    ) -> Self {
        Self { settings, epoch, endpoints, shared, round: AtomicU64::new(0), ejecting: Mutex::new(()) }
    }

    /// Takes an outcome in, and ejects whom it shows to be an outlier.
    pub(crate) fn observe(&self, state: &EndpointState, now: Instant, outcome: Outcome) {
        let sign = self.sign(outcome);
        if self.counts(&state.health, sign) {
            self.eject(state, self.nanoseconds(now));
        }
        if self.settings.success_rate.is_some() || self.settings.latency.is_some() {
            self.rate(&state.health, sign, outcome);
            self.judge(self.nanoseconds(now));
        }
    }

    /// Whether any endpoint has to be left out: one is ejected, and enough others are left.
    pub(crate) fn is_active(&self, now: Instant) -> bool {
        let until = self.shared.until.load(Ordering::Relaxed);
        // Zero where none ever was.
        if until == 0 {
            return false;
        }
        let now = self.nanoseconds(now);
        if until <= now {
            return false;
        }
        if self.settings.least_healthy_percent == 0 {
            return true;
        }
        let healthy = self.endpoints.len().saturating_sub(self.ejected(now));
        !is_below(healthy, self.endpoints.len(), self.settings.least_healthy_percent)
    }

    fn nanoseconds(&self, now: Instant) -> u64 {
        nanoseconds(now.saturating_duration_since(self.epoch))
    }

    fn sign(&self, outcome: Outcome) -> Sign {
        match outcome {
            Outcome::Answered(_) => Sign::Good,
            Outcome::Failed => Sign::Silent,
            Outcome::Status { status, .. } => {
                let statuses = &self.settings.statuses;
                let is_error = if statuses.is_empty() { status >= 500 } else { statuses.contains(&status) };
                if is_error { Sign::Error { gateway: matches!(status, 502..=504) } } else { Sign::Good }
            }
        }
    }

    /// Counts what comes in a row; whether that is enough.
    fn counts(&self, health: &Health, sign: Sign) -> bool {
        let Health { server_errors, gateway_errors, local_failures, .. } = health;
        let settings = &self.settings;
        match (sign, settings.local_failures) {
            (Sign::Silent, Some(most)) => reaches(local_failures, most),
            // What did not answer counts as 503.
            (Sign::Silent, None) | (Sign::Error { gateway: true }, _) => {
                ends(local_failures);
                let enough = reaches(gateway_errors, settings.gateway_errors);
                reaches(server_errors, settings.server_errors) || enough
            }
            (Sign::Error { gateway: false }, _) => {
                ends(local_failures);
                ends(gateway_errors);
                reaches(server_errors, settings.server_errors)
            }
            (Sign::Good, _) => {
                ends(local_failures);
                ends(gateway_errors);
                ends(server_errors);
                false
            }
        }
    }

    fn rate(&self, health: &Health, sign: Sign, outcome: Outcome) {
        health.requests.fetch_add(1, Ordering::Relaxed);
        if sign == Sign::Good {
            health.successes.fetch_add(1, Ordering::Relaxed);
        }
        if let Outcome::Answered(latency) | Outcome::Status { latency, .. } = outcome {
            health.answers.fetch_add(1, Ordering::Relaxed);
            health.waited.fetch_add(nanoseconds(latency), Ordering::Relaxed);
        }
    }

    /// Leaves an endpoint out from now on, if it isn't yet and may be.
    fn eject(&self, state: &EndpointState, now: u64) {
        let _turn = self.ejecting.lock().unwrap_or_else(PoisonError::into_inner);
        let health = &state.health;
        let until = health.until.load(Ordering::Relaxed);
        let ejected = self.ejected(now);
        // As Envoy does it: one always may be, or small services would have no ejection at all.
        let may = ejected == 0 || !is_above(ejected + 1, self.endpoints.len(), self.settings.most_percent);
        if until > now || !may {
            return;
        }
        let ejections = self.remembered(health, now).saturating_add(1);
        let base = nanoseconds(self.settings.base);
        let longest = nanoseconds(LONGEST_EJECTION).max(base);
        let until = now.saturating_add(base.saturating_mul(u64::from(ejections)).min(longest));
        health.ejections.store(ejections, Ordering::Relaxed);
        health.until.store(until, Ordering::Relaxed);
        self.shared.until.fetch_max(until, Ordering::Relaxed);
        self.shared.count.fetch_add(1, Ordering::Relaxed);
        self.shared.total.fetch_add(1, Ordering::Relaxed);
    }

    /// Ejections of an endpoint that aren't forgotten: one is with every interval since it came back.
    fn remembered(&self, health: &Health, now: u64) -> u32 {
        let back = now.saturating_sub(health.until.load(Ordering::Relaxed));
        let forgotten = back / nanoseconds(self.settings.interval).max(1);
        let ejections = health.ejections.load(Ordering::Relaxed);
        ejections.saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX))
    }

    fn ejected(&self, now: u64) -> usize {
        self.endpoints.iter().filter(|state| state.health.until.load(Ordering::Relaxed) > now).count()
    }

    /// Judges what was observed since the interval began, if it is over. One outcome does it for all.
    fn judge(&self, now: u64) {
        let round = self.round.load(Ordering::Relaxed);
        let begun = round == 0;
        if !begun && now.saturating_sub(round) < nanoseconds(self.settings.interval) {
            return;
        }
        let claim = self.round.compare_exchange(round, now.max(1), Ordering::Relaxed, Ordering::Relaxed);
        if claim.is_err() || begun {
            return;
        }
        let observed: Vec<Observed> =
            self.endpoints.iter().map(|state| Observed::take(&state.health)).collect();
        let slow = self.settings.latency.map(|factor| too_slow(&observed, factor));
        let failing = self.settings.success_rate.map(|factor| too_unsuccessful(&observed, factor));
        for (index, state) in self.endpoints.iter().enumerate() {
            let is_in = |list: &Option<Vec<usize>>| list.as_ref().is_some_and(|list| list.contains(&index));
            if is_in(&slow) || is_in(&failing) {
                self.eject(state, now);
            }
        }
    }
}

impl Health {
    /// How long it is left out from now on; `None` when it isn't.
    pub(crate) fn ejected(&self, elapsed: Duration) -> Option<Duration> {
        let left = self.until.load(Ordering::Relaxed).saturating_sub(nanoseconds(elapsed));
        (left > 0).then(|| Duration::from_nanos(left))
    }

    /// Leaves it out for a time, as another proxy did.
    pub(crate) fn restore(&self, elapsed: Duration, left: Option<Duration>, shared: &Ejections) {
        let until = left.map_or(0, |left| nanoseconds(elapsed.saturating_add(left)));
        self.until.store(until, Ordering::Relaxed);
        shared.until.fetch_max(until, Ordering::Relaxed);
    }
}

/// What was observed of an endpoint in one interval.
#[derive(Clone, Copy, Debug, Default)]
struct Observed {
    requests: u32,
    successes: u32,
    answers: u32,
    waited: u64,
}

impl Observed {
    fn take(health: &Health) -> Self {
        Self {
            requests: health.requests.swap(0, Ordering::Relaxed),
            successes: health.successes.swap(0, Ordering::Relaxed),
            answers: health.answers.swap(0, Ordering::Relaxed),
            waited: health.waited.swap(0, Ordering::Relaxed),
        }
    }

    /// Share of successes, where there were enough requests to tell.
    fn success_rate(self) -> Option<f64> {
        (self.requests >= RATED_REQUESTS).then(|| f64::from(self.successes) / f64::from(self.requests))
    }

    /// Average time until an answer began, in nanoseconds, where there were enough to tell.
    fn latency(self) -> Option<u64> {
        (self.answers >= LATENCY_ANSWERS).then(|| self.waited / u64::from(self.answers.max(1)))
    }
}

/// Those whose success rate is further below the average than so many thousandths of the standard deviation.
fn too_unsuccessful(observed: &[Observed], factor: u32) -> Vec<usize> {
    let rates: Vec<(usize, f64)> =
        (0..).zip(observed).filter_map(|(at, one)| Some((at, one.success_rate()?))).collect();
    if rates.len() < RATED_ENDPOINTS {
        return Vec::new();
    }
    #[allow(clippy::cast_precision_loss, reason = "far fewer endpoints than 2^52")]
    let count = rates.len() as f64;
    let mean = rates.iter().map(|(_, rate)| rate).sum::<f64>() / count;
    let variance = rates.iter().map(|(_, rate)| (rate - mean).powi(2)).sum::<f64>() / count;
    let least = (f64::from(factor) / 1000.0).mul_add(-variance.sqrt(), mean);
    rates.into_iter().filter(|(_, rate)| *rate < least).map(|(at, _)| at).collect()
}

/// Those whose average latency is above so many thousandths of the median, by a difference that matters.
fn too_slow(observed: &[Observed], factor: u32) -> Vec<usize> {
    let latencies: Vec<(usize, u64)> =
        (0..).zip(observed).filter_map(|(at, one)| Some((at, one.latency()?))).collect();
    if latencies.len() < LATENCY_ENDPOINTS {
        return Vec::new();
    }
    let mut sorted: Vec<u64> = latencies.iter().map(|(_, latency)| *latency).collect();
    sorted.sort_unstable();
    let median = sorted.get((sorted.len() - 1) / 2).copied().unwrap_or_default();
    let most = u64::try_from(u128::from(median) * u128::from(factor) / 1000).unwrap_or(u64::MAX);
    let most = most.max(median.saturating_add(nanoseconds(LATENCY_DIFFERENCE)));
    latencies.into_iter().filter(|(_, latency)| *latency > most).map(|(at, _)| at).collect()
}

/// Counts one more in a row; whether there are enough, which begins a new row.
fn reaches(count: &AtomicU32, most: u32) -> bool {
    let reached = count.fetch_add(1, Ordering::Relaxed).saturating_add(1) >= most && most > 0;
    if reached {
        count.store(0, Ordering::Relaxed);
    }
    reached
}

/// Ends a row. Most often there is none, and nothing is written that other cores would have to read anew.
fn ends(count: &AtomicU32) {
    if count.load(Ordering::Relaxed) != 0 {
        count.store(0, Ordering::Relaxed);
    }
}

/// Whether `part` of `whole` is less than so many of a hundred.
fn is_below(part: usize, whole: usize, percent: u32) -> bool {
    (part as u128) * 100 < (whole as u128) * u128::from(percent)
}

fn is_above(part: usize, whole: usize, percent: u32) -> bool {
    (part as u128) * 100 > (whole as u128) * u128::from(percent)
}

#[cfg(test)]
mod tests;
