//! What holds for the tries of one request: its route's settings, its method, and what a trusted caller wishes.

use std::sync::Arc;
use std::time::Duration;

use leno_model::retry::{Condition, Conditions, RepeatRule, RetryPolicy};

use crate::deadline::{self, EXPECTED_TIMEOUT};
use crate::explain::{Event, Explain, Tries};

/// Whether a request may be sent again though it may have taken effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Repeatable {
    /// It may not.
    No,
    /// Its method changes nothing (RFC 9110 §9.2.1).
    ByMethod,
    /// The user declares it.
    Declared,
    /// The mesh repeats everything, as Istio does.
    Mesh,
}

/// What a route says about tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings<'r> {
    /// The policy; `None` is Istio's implicit one.
    pub policy: Option<&'r RetryPolicy>,
    /// Whether requests are declared repeatable.
    pub repeatable: bool,
    /// When a second try starts beside the first.
    pub hedge_after: Option<Duration>,
    /// Time for the whole exchange.
    pub timeout: Option<Duration>,
    /// Time for one try.
    pub per_try: Option<Duration>,
}

impl Settings<'_> {
    /// What holds where nothing is said.
    pub const IMPLICIT: Settings<'static> =
        Settings { policy: None, repeatable: false, hedge_after: None, timeout: None, per_try: None };
}

static IMPLICIT: RetryPolicy = RetryPolicy::IMPLICIT;

/// What holds for the tries of one request.
#[derive(Clone, Debug)]
pub struct Terms<'r> {
    /// Tries after the first.
    pub attempts: u32,
    /// What has to have gone wrong.
    pub on: Conditions,
    /// The first pause's bound.
    pub backoff: Duration,
    /// Whether other endpoints come first; `None` unless the request's key leads to its endpoint.
    pub skip_previous: Option<bool>,
    /// Whether it may be sent again though it may have taken effect.
    pub repeatable: Repeatable,
    /// Time for the whole exchange.
    pub timeout: Option<Duration>,
    /// Time for one try.
    pub per_try: Option<Duration>,
    /// When a second try starts beside the first; only where the request may be repeated.
    pub hedge_after: Option<Duration>,
    policy: &'r RetryPolicy,
    wishes: Option<&'r Wishes>,
}

impl<'r> Terms<'r> {
    /// The terms of a request. `wishes` are those of its caller, where that is trusted.
    #[must_use]
    pub fn new(settings: &Settings<'r>, method: &str, rule: RepeatRule, wishes: Option<&'r Wishes>) -> Self {
        let policy = settings.policy.unwrap_or(&IMPLICIT);
        let repeatable = match rule {
            _ if settings.repeatable => Repeatable::Declared,
            _ if matches!(method, "GET" | "HEAD" | "OPTIONS") => Repeatable::ByMethod,
            RepeatRule::Any => Repeatable::Mesh,
            RepeatRule::Safe => Repeatable::No,
        };
        let mut terms = Self {
            attempts: policy.attempts,
            on: policy.on,
            backoff: policy.backoff,
            skip_previous: policy.skip_previous,
            repeatable,
            timeout: settings.timeout,
            per_try: settings.per_try,
            hedge_after: settings.hedge_after,
            policy,
            wishes,
        };
        if let Some(wishes) = wishes {
            terms.heed(wishes);
        }
        // A try that may take as long as all has no time of its own.
        terms.per_try = terms.per_try.filter(|per_try| terms.timeout.is_none_or(|all| *per_try < all));
        terms.hedge_after = terms.hedge_after.filter(|_| terms.repeatable != Repeatable::No);
        terms
    }

    fn heed(&mut self, wishes: &Wishes) {
        if !wishes.on.is_empty() {
            // Without a policy one more try is meant, as with Envoy.
            let own = if self.attempts == 0 { Conditions::NONE } else { self.on };
            self.on = own.union(wishes.on);
            self.attempts = self.attempts.max(1);
        }
        if let Some(attempts) = wishes.attempts.filter(|_| self.attempts > 0) {
            self.attempts = attempts;
        }
        if let Some(timeout) = wishes.timeout {
            self.timeout = Some(timeout).filter(|timeout| !timeout.is_zero());
        }
        if let Some(per_try) = wishes.per_try {
            self.per_try = Some(per_try).filter(|per_try| !per_try.is_zero());
        }
        if wishes.hedge_on_per_try == Some(true) && self.repeatable != Repeatable::No {
            self.hedge_after = self.per_try.take().or(self.hedge_after);
        }
        if wishes.hedge_on_per_try == Some(false) {
            self.hedge_after = None;
        }
        self.timeout = deadline::nearest([self.timeout, wishes.expected]);
    }

    /// Tells what holds.
    pub fn tell(&self, explain: &mut impl Explain) {
        explain.tell(|| {
            Event::Tries(Tries {
                attempts: self.attempts,
                on: self.on,
                repeatable: self.repeatable,
                timeout: self.timeout,
                per_try: self.per_try,
                hedge_after: self.hedge_after,
            })
        });
    }

    /// Whether the status is one of the policy's.
    pub(super) fn has_status(&self, status: u16) -> bool {
        self.policy.statuses.contains(&status)
            || self.wishes.is_some_and(|wishes| wishes.statuses.contains(&status))
    }

    /// The policy's headers.
    pub(super) fn headers(&self) -> impl Iterator<Item = &Arc<str>> {
        self.policy.headers.iter().chain(self.wishes.into_iter().flat_map(|wishes| &wishes.headers))
    }
}

/// What a trusted caller wishes for one request, in Envoy's headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    on: Conditions,
    attempts: Option<u32>,
    statuses: Vec<u16>,
    headers: Vec<Arc<str>>,
    timeout: Option<Duration>,
    per_try: Option<Duration>,
    hedge_on_per_try: Option<bool>,
    expected: Option<Duration>,
}

/// The fields that wish for something. They end here: only proxies read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// More conditions.
    On,
    /// Tries after the first.
    Attempts,
    /// Statuses, for the condition that asks for them.
    Statuses,
    /// Headers, for the condition that asks for them.
    Headers,
    /// Time for the whole exchange.
    Timeout,
    /// Time for one try.
    PerTry,
    /// A second try instead of an end when a try's time is over.
    Hedge,
    /// How long the caller waits.
    Expected,
}

impl Wish {
    /// Each with its field, in lower case.
    pub const FIELDS: [(&'static str, Self); 9] = [
        ("x-envoy-retry-on", Self::On),
        ("x-envoy-retry-grpc-on", Self::On),
        ("x-envoy-max-retries", Self::Attempts),
        ("x-envoy-retriable-status-codes", Self::Statuses),
        ("x-envoy-retriable-header-names", Self::Headers),
        ("x-envoy-upstream-rq-timeout-ms", Self::Timeout),
        ("x-envoy-upstream-rq-per-try-timeout-ms", Self::PerTry),
        ("x-envoy-hedge-on-per-try-timeout", Self::Hedge),
        (EXPECTED_TIMEOUT, Self::Expected),
    ];
}

impl Wishes {
    /// Takes note of a field. What isn't well-formed wishes for nothing, as with Envoy.
    pub fn note(&mut self, wish: Wish, value: &[u8]) {
        let text = || std::str::from_utf8(value).unwrap_or_default();
        let words = || text().split(',').map(str::trim).filter(|word| !word.is_empty());
        match wish {
            Wish::On => self.on = self.on.union(words().filter_map(Condition::from_name).collect()),
            Wish::Attempts => self.attempts = text().parse().ok(),
            Wish::Statuses => self.statuses.extend(words().filter_map(|word| word.parse::<u16>().ok())),
            Wish::Headers => self.headers.extend(words().map(|word| Arc::from(word.to_ascii_lowercase()))),
            Wish::Timeout => self.timeout = deadline::read_milliseconds(value),
            Wish::PerTry => self.per_try = deadline::read_milliseconds(value),
            Wish::Hedge => self.hedge_on_per_try = text().parse().ok(),
            Wish::Expected => {
                self.expected = deadline::read_milliseconds(value).filter(|left| !left.is_zero());
            }
        }
    }

    /// The caller has waited for so long already.
    pub fn wait(&mut self, waited: Duration) {
        self.expected = self.expected.map(|left| left.saturating_sub(waited));
    }
}
