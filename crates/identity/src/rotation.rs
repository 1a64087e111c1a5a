//! When a workload asks for its next SVID: a state machine without I/O.
//!
//! The owner calls [`Rotation::handle`] with what happened and does what it answers; between events it sleeps for
//! [`Rotation::nap`] and then sends [`Event::Tick`]. At most one request is under way. A sixth of an SVID's life is used
//! before the next one is asked for, so most of it remains to survive an outage of whoever signs.
//!
//! The wall clock may jump. Expiry is judged by it, because peers do so; delays are kept when it steps back, and naps
//! are short enough to notice when it steps forward. The machine draws no keys and opens no connections.

#[cfg(test)]
mod tests;

use std::time::{Duration, SystemTime};

use crate::limits::{LONGEST_NAP, LONGEST_RETRY, SHORTEST_RENEWAL, URGENT_RETRY};
use crate::svid::Svid;

const FIRST_RETRY: Duration = Duration::from_secs(1);

/// How SVIDs are renewed.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The validity to ask for; zero leaves it to whoever signs.
    pub lifetime: Duration,
    /// The share of an SVID's life after which the next one is asked for; taken as between 0.05 and 0.9.
    pub renew_after: f64,
    /// How far a renewal is moved at random, as a share of the time until it: workloads that started together must not
    /// ask together for ever. Taken as between 0 and 0.5.
    pub jitter: f64,
    /// How long a request may take before it counts as failed.
    pub request_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lifetime: Duration::ZERO,
            renew_after: 1.0 / 6.0,
            jitter: 0.1,
            request_timeout: Duration::from_secs(5),
        }
    }
}

/// From when to when an SVID is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// First instant.
    pub not_before: SystemTime,
    /// Last second.
    pub not_after: SystemTime,
}

impl From<&Svid> for Validity {
    fn from(svid: &Svid) -> Self {
        Self { not_before: svid.not_before(), not_after: svid.not_after() }
    }
}

/// The number of a request; answers to any but the last one are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Attempt(u64);

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Time has passed.
    Tick,
    /// A request was answered with an SVID.
    Issued(Attempt, Validity),
    /// A request failed.
    Failed(Attempt),
    /// The signer can be reached again; ends the wait after failures.
    Reachable,
    /// The SVID must be replaced soon whatever its age, such as after a change of roots.
    Renew,
}

/// What the owner does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make a key and ask for an SVID of this validity. Give up older requests.
    Request {
        /// To be named in the answer's event.
        attempt: Attempt,
        /// The validity to ask for, as in [`Settings`].
        lifetime: Duration,
    },
    /// Use the SVID that this request was answered with.
    Install(Attempt),
    /// The SVID in use has ended: new connections fail until the next [`Action::Install`]. Said once per SVID.
    Expired,
}

/// The state machine.
#[derive(Debug)]
pub struct Rotation {
    settings: Settings,
    random: fastrand::Rng,
    held: Option<Validity>,
    phase: Phase,
    last_attempt: u64,
    failures: u32,
    told_expired: bool,
    latest: SystemTime,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Nothing is under way; the next request is due then.
    Waiting(SystemTime),
    /// A request is under way and given up then.
    Asking(SystemTime),
}

impl Rotation {
    /// Begins with the SVID held from an earlier run, or with none. `random` should differ between workloads.
    #[must_use]
    pub fn new(settings: Settings, held: Option<Validity>, now: SystemTime, random: fastrand::Rng) -> Self {
        let mut rotation = Self {
            settings,
            random,
            held,
            phase: Phase::Waiting(now),
            last_attempt: 0,
            failures: 0,
            told_expired: false,
            latest: now,
        };
        if let Some(validity) = held {
            let wait = rotation.renewal_wait(validity, now);
            rotation.phase = Phase::Waiting(now + wait);
        }
        rotation
    }

    /// Takes an event. Do the actions in order.
    pub fn handle(&mut self, event: Event, now: SystemTime) -> Vec<Action> {
        let mut actions = Vec::new();
        self.follow_clock(now);
        match event {
            Event::Tick => {}
            Event::Issued(attempt, validity) if self.awaits(attempt) => {
                if validity.not_after > now {
                    self.held = Some(validity);
                    self.told_expired = false;
                    self.failures = 0;
                    self.plan_renewal(validity, now);
                    actions.push(Action::Install(attempt));
                } else {
                    // By this clock it has ended already: no better than no answer.
                    self.plan_retry(now);
                }
            }
            Event::Failed(attempt) if self.awaits(attempt) => self.plan_retry(now),
            Event::Issued(..) | Event::Failed(_) => {}
            Event::Reachable => {
                if let (Phase::Waiting(at), 1..) = (self.phase, self.failures) {
                    self.failures = 0;
                    self.phase = Phase::Waiting(at.min(now + self.spread(FIRST_RETRY)));
                }
            }
            Event::Renew => {
                let soon = now + self.spread(FIRST_RETRY);
                self.phase = match self.phase {
                    Phase::Waiting(at) => Phase::Waiting(at.min(soon)),
                    // What is under way may be answered as things were before.
                    Phase::Asking(_) => Phase::Waiting(soon),
                };
            }
        }
        self.advance(now, &mut actions);
        actions
    }

    /// How long nothing needs to be done. Sleep no longer, then send [`Event::Tick`].
    #[must_use]
    pub fn nap(&self, now: SystemTime) -> Duration {
        let (Phase::Waiting(due) | Phase::Asking(due)) = self.phase;
        let until = |time: SystemTime| time.duration_since(now).unwrap_or_default();
        let expiry = self.held.filter(|_| !self.told_expired).map(|held| until(held.not_after));
        until(due).min(expiry.unwrap_or(LONGEST_NAP)).min(LONGEST_NAP)
    }

    /// The validity of the SVID in use, even when it has ended.
    #[must_use]
    pub fn held(&self) -> Option<Validity> {
        self.held
    }

    fn awaits(&self, attempt: Attempt) -> bool {
        matches!(self.phase, Phase::Asking(_)) && attempt.0 == self.last_attempt
    }

    fn advance(&mut self, now: SystemTime, actions: &mut Vec<Action>) {
        if let Phase::Asking(until) = self.phase
            && now >= until
        {
            self.plan_retry(now);
        }
        if let Phase::Waiting(at) = self.phase
            && now >= at
        {
            self.last_attempt += 1;
            self.phase = Phase::Asking(now + self.settings.request_timeout);
            let attempt = Attempt(self.last_attempt);
            actions.push(Action::Request { attempt, lifetime: self.settings.lifetime });
        }
        if !self.told_expired && self.held.is_some_and(|held| now > held.not_after) {
            self.told_expired = true;
            actions.push(Action::Expired);
        }
    }

    /// A clock that stepped back would stretch every wait by the step; shift them along.
    fn follow_clock(&mut self, now: SystemTime) {
        if let Ok(step) = self.latest.duration_since(now) {
            let (Phase::Waiting(due) | Phase::Asking(due)) = &mut self.phase;
            *due = due.checked_sub(step).unwrap_or(now);
        }
        self.latest = now;
    }

    /// Never so soon after an answer that a signer who backdates much, or whose clock is far behind, is asked in a loop.
    fn plan_renewal(&mut self, validity: Validity, now: SystemTime) {
        let remaining = validity.not_after.duration_since(now).unwrap_or_default();
        let shortest = remaining.mul_f64(self.share() / 2.0).max(SHORTEST_RENEWAL);
        self.phase = Phase::Waiting(now + self.renewal_wait(validity, now).max(shortest));
    }

    /// The time until the share of an SVID's life is over, counted from its own beginning; none when that is past.
    fn renewal_wait(&mut self, validity: Validity, now: SystemTime) -> Duration {
        let life = validity.not_after.duration_since(validity.not_before).unwrap_or_default();
        let at = validity.not_before.checked_add(life.mul_f64(self.share())).unwrap_or(now);
        let remaining = validity.not_after.duration_since(now).unwrap_or_default();
        let jitter = clamp(self.settings.jitter, 0.0, 0.5) * (2.0 * self.random.f64() - 1.0);
        at.duration_since(now).unwrap_or_default().min(remaining).mul_f64(1.0 + jitter)
    }

    fn share(&self) -> f64 {
        clamp(self.settings.renew_after, 0.05, 0.9)
    }

    /// Doubles the wait with every failure, as far as what remains of the SVID allows.
    fn plan_retry(&mut self, now: SystemTime) {
        let remaining =
            self.held.and_then(|held| held.not_after.duration_since(now).ok()).unwrap_or_default();
        let longest = (remaining / 20).clamp(URGENT_RETRY, LONGEST_RETRY);
        let wait = FIRST_RETRY.saturating_mul(1 << self.failures.min(16)).min(longest);
        self.failures = self.failures.saturating_add(1);
        self.phase = Phase::Waiting(now + self.spread(wait));
    }

    /// Between half of a wait and all of it.
    fn spread(&mut self, wait: Duration) -> Duration {
        wait.mul_f64(0.5 + self.random.f64() / 2.0)
    }
}

fn clamp(value: f64, low: f64, high: f64) -> f64 {
    // A NaN becomes the low bound.
    value.max(low).min(high)
}
