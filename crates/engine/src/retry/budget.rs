//! How many tries after the first a destination bears: a share of recent requests, and a minimum.
//!
//! A budget belongs to a service port and to all cores. Requests add to it with one atomic step; only a try that has
//! failed takes the lock. It outlives the configuration, so a change doesn't refill it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use leno_model::destination::TrafficPolicy;

use crate::limits::{RETRIES_PER_SECOND, RETRY_INTERVAL, RETRY_SHARE};

/// The tries after the first to one service port.
#[derive(Debug)]
pub struct Budget {
    requests: AtomicU64,
    active: AtomicU32,
    account: Mutex<Account>,
}

/// What was saved, at the last withdrawal.
#[derive(Debug)]
struct Account {
    /// From requests.
    share: f64,
    /// From time.
    minimum: f64,
    at: Instant,
    /// Requests counted by then.
    requests: u64,
}

/// What a budget is given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Retries per recent request.
    share: f64,
    /// Retries per second besides.
    per_second: f64,
    /// As many may be under way whatever their share.
    free: u32,
    /// As many may be under way at all.
    most: u32,
    interval: Duration,
}

impl Limits {
    /// The limits of a destination.
    #[must_use]
    pub fn of(policy: &TrafficPolicy) -> Self {
        let (share, free, per_second) = match policy.retry_budget {
            Some(budget) => (budget.share, budget.minimum, 0),
            None => (RETRY_SHARE, 0, RETRIES_PER_SECOND),
        };
        Self {
            share: f64::from(share) / 1e6,
            per_second: f64::from(per_second),
            free,
            most: policy.max_retries.unwrap_or(u32::MAX),
            interval: policy.retry_budget.and_then(|budget| budget.interval).unwrap_or(RETRY_INTERVAL),
        }
    }
}

impl Budget {
    /// A budget with what the minimum gives in one interval.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        let account = Account { share: 0.0, minimum: f64::from(RETRIES_PER_SECOND), at: now, requests: 0 };
        Self { requests: AtomicU64::new(0), active: AtomicU32::new(0), account: Mutex::new(account) }
    }

    /// Counts a request, at its first try.
    pub fn request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Tries after the first that are under way.
    #[must_use]
    pub fn active(&self) -> u32 {
        self.active.load(Ordering::Relaxed)
    }

    /// Pays for one more try; `None` where nothing is left.
    #[must_use]
    pub fn withdraw(this: &Arc<Self>, limits: Limits, now: Instant) -> Option<Permit> {
        let mut account = this.account.lock().unwrap_or_else(PoisonError::into_inner);
        let active = this.active.load(Ordering::Relaxed);
        if active >= limits.most {
            return None;
        }
        account.deposit(this.requests.load(Ordering::Relaxed), limits, now);
        let paid = active < limits.free || account.pay();
        // Under the lock, so that the limits hold exactly.
        paid.then(|| {
            this.active.fetch_add(1, Ordering::Relaxed);
            Permit { budget: Arc::clone(this) }
        })
    }
}

impl Account {
    fn deposit(&mut self, requests: u64, limits: Limits, now: Instant) {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        let interval = limits.interval.as_secs_f64().max(f64::EPSILON);
        #[allow(clippy::cast_precision_loss, reason = "a count of requests between two failures")]
        let since = requests.wrapping_sub(self.requests) as f64;
        // Of what came within a longer time, the part that falls into one interval.
        let recent = if elapsed > interval { since * interval / elapsed } else { since };
        let kept = (1.0 - elapsed / interval).max(0.0);
        self.share = limits.share.mul_add(recent, self.share * kept);
        self.minimum = limits.per_second.mul_add(elapsed, self.minimum).min(limits.per_second);
        self.at = self.at.max(now);
        self.requests = requests;
    }

    fn pay(&mut self) -> bool {
        for purse in [&mut self.share, &mut self.minimum] {
            if *purse >= 1.0 {
                *purse -= 1.0;
                return true;
            }
        }
        false
    }
}

/// A try after the first that is under way.
#[derive(Debug)]
#[must_use = "dropping it ends the try's count"]
pub struct Permit {
    budget: Arc<Budget>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.active.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use leno_model::retry::RetryBudget;

    use super::*;

    /// Retries of a destination that fails every try, at a steady rate for some seconds.
    fn storm(limits: Limits, per_second: u32, quiet: Duration, seconds: u32) -> u32 {
        let begin = Instant::now();
        let budget = Arc::new(Budget::new(begin));
        for _ in 0..(per_second * u32::try_from(quiet.as_secs()).unwrap()) {
            budget.request();
        }
        let mut retries = 0;
        for request in 0..per_second * seconds {
            let now = begin + quiet + Duration::from_secs(1) / per_second * request;
            budget.request();
            // Each try fails at once, and each retry asks for another.
            for _ in 0..2 {
                if Budget::withdraw(&budget, limits, now).is_none() {
                    break;
                }
                retries += 1;
            }
        }
        retries
    }

    #[test]
    fn a_storm_costs_a_fifth_more_and_the_minimum() {
        let limits = Limits::of(&TrafficPolicy::default());
        for quiet in [0, 1, 3600] {
            let retries = storm(limits, 500, Duration::from_secs(quiet), 20);
            // 20 % of 10,000, 10 per second, and what one quiet interval saves.
            assert!((2000..=2000 + 200 + 10 + 100).contains(&retries), "{retries} after {quiet} s");
        }
    }

    #[test]
    fn few_requests_have_the_minimum() {
        let limits = Limits::of(&TrafficPolicy::default());
        assert_eq!(storm(limits, 5, Duration::ZERO, 20), 5 * 20 * 2, "all are retried twice");
    }

    #[test]
    fn what_is_configured_counts() {
        let now = Instant::now();
        let budget = RetryBudget { share: 0, minimum: 2, interval: None };
        let limits = Limits::of(&TrafficPolicy { retry_budget: Some(budget), ..TrafficPolicy::default() });
        let account = Arc::new(Budget::new(now));
        let later = now + Duration::from_secs(1);
        let first = Budget::withdraw(&account, limits, later).unwrap();
        let second = Budget::withdraw(&account, limits, later).unwrap();
        assert!(Budget::withdraw(&account, limits, later).is_none(), "two are under way");
        drop(first);
        assert_eq!(account.active(), 1);
        let third = Budget::withdraw(&account, limits, later).unwrap();
        drop((second, third));

        let capped = Limits::of(&TrafficPolicy { max_retries: Some(1), ..TrafficPolicy::default() });
        let saved = later + Duration::from_secs(1);
        let only = Budget::withdraw(&account, capped, saved).unwrap();
        assert!(Budget::withdraw(&account, capped, saved).is_none(), "one at a time");
        drop(only);
        assert!(Budget::withdraw(&account, capped, saved).is_some());
    }
}
