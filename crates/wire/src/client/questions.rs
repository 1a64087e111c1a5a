//! The questions that a proxy has open: who waits, and what the control plane has been told.
//!
//! Invariants: a question that is wanted is, on an open stream, either told or about to be; every waiter gets exactly
//! one reply; all counts are bounded.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use leno_model::unit::Question;

use crate::limits;

/// A caller, by a number that whoever carries the machine gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Waiter(pub u64);

/// All open questions.
#[derive(Debug, Default)]
pub(super) struct Questions {
    wanted: BTreeSet<Question>,
    /// Those without an answer.
    pending: BTreeMap<Question, Pending>,
    waiters: usize,
    /// Wanted and not told yet.
    untold: BTreeSet<Question>,
    /// Told and not wanted any more.
    dropped: BTreeSet<Question>,
    /// No later than the first moment at which something expires.
    next_expiry: Option<Instant>,
}

#[derive(Debug)]
struct Pending {
    waiters: Vec<(Waiter, Instant)>,
    /// When it is given up.
    keep_until: Instant,
}

/// There are too many questions or waiters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Questions {
    pub(super) fn is_wanted(&self, question: &Question) -> bool {
        self.wanted.contains(question)
    }

    /// Every wanted question.
    pub(super) fn wanted(&self) -> &BTreeSet<Question> {
        &self.wanted
    }

    /// Takes up a question that is answered already.
    pub(super) fn want(&mut self, question: &Question) {
        if self.wanted.insert(question.clone()) && !self.dropped.remove(question) {
            self.untold.insert(question.clone());
        }
    }

    /// A caller waits until `deadline` for a question that has no answer.
    pub(super) fn wait(
        &mut self,
        question: &Question,
        waiter: Waiter,
        deadline: Instant,
    ) -> Result<(), Full> {
        let new = !self.pending.contains_key(question);
        let full = self.waiters >= limits::MAX_WAITERS
            || (new && self.pending.len() >= limits::MAX_PENDING_QUESTIONS)
            || (!self.wanted.contains(question) && self.wanted.len() >= limits::MAX_QUESTIONS);
        if full {
            return Err(Full);
        }
        self.want(question);
        let keep_until = deadline + limits::PENDING_TTL;
        let pending = self
            .pending
            .entry(question.clone())
            .or_insert_with(|| Pending { waiters: Vec::new(), keep_until });
        pending.keep_until = pending.keep_until.max(keep_until);
        pending.waiters.push((waiter, deadline));
        self.waiters += 1;
        self.next_expiry = Some(self.next_expiry.map_or(deadline, |next| next.min(deadline)));
        Ok(())
    }

    /// The question is answered: who waited for it.
    pub(super) fn answered(&mut self, question: &Question) -> Vec<Waiter> {
        let waiters = self.pending.remove(question).map_or_else(Vec::new, |pending| pending.waiters);
        self.waiters -= waiters.len();
        waiters.into_iter().map(|(waiter, _)| waiter).collect()
    }

    /// The question lost its answer; it stays wanted, and is given up at `keep_until` unless asked again.
    pub(super) fn unanswered(&mut self, question: &Question, keep_until: Instant) {
        if self.wanted.contains(question) {
            self.pending
                .entry(question.clone())
                .or_insert_with(|| Pending { waiters: Vec::new(), keep_until });
            self.next_expiry = Some(self.next_expiry.map_or(keep_until, |next| next.min(keep_until)));
        }
    }

    /// Nobody is interested in the question any more, unless somebody waits for it.
    pub(super) fn forget(&mut self, question: &Question) {
        if self.pending.get(question).is_some_and(|pending| !pending.waiters.is_empty()) {
            return;
        }
        self.pending.remove(question);
        if self.wanted.remove(question) && !self.untold.remove(question) {
            self.dropped.insert(question.clone());
        }
    }

    /// Callers whose time is over. Questions that nobody has asked for long are forgotten.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<Waiter> {
        if self.next_expiry.is_none_or(|next| next > now) {
            return Vec::new();
        }
        let mut late = Vec::new();
        let mut given_up = Vec::new();
        let mut next: Option<Instant> = None;
        for (question, pending) in &mut self.pending {
            pending.waiters.retain(|(waiter, deadline)| {
                if *deadline <= now {
                    late.push(*waiter);
                }
                *deadline > now
            });
            let soonest = pending.waiters.iter().map(|(_, deadline)| *deadline).min();
            if soonest.is_none() && pending.keep_until <= now {
                given_up.push(question.clone());
            } else {
                let at = soonest.unwrap_or(pending.keep_until);
                next = Some(next.map_or(at, |next| next.min(at)));
            }
        }
        self.waiters -= late.len();
        self.next_expiry = next;
        for question in &given_up {
            self.forget(question);
        }
        late
    }

    /// When [`Questions::expire`] has something to do.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.next_expiry
    }

    /// A new stream has been told of every wanted question and of no other.
    pub(super) fn all_told(&mut self) {
        self.untold.clear();
        self.dropped.clear();
    }

    /// Whether there is something to tell.
    pub(super) fn has_news(&self) -> bool {
        !self.untold.is_empty() || !self.dropped.is_empty()
    }

    /// What to tell next: questions to subscribe and to unsubscribe, a bounded number of each.
    pub(super) fn news(&mut self) -> (Vec<Question>, Vec<Question>) {
        (take(&mut self.untold), take(&mut self.dropped))
    }
}

fn take(from: &mut BTreeSet<Question>) -> Vec<Question> {
    std::iter::from_fn(|| from.pop_first()).take(limits::REQUEST_NAMES).collect()
}
