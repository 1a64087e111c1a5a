//! Names and addresses that nothing has.
//!
//! An answer "nothing under `*.example.com` exists" spares the questions for every other name under it. Entries go
//! when they were not used for [`ABSENT_TTL`](crate::limits::ABSENT_TTL), or when there are too many, the one unused
//! for longest first. This is bookkeeping only: who holds the answers keeps their questions subscribed, so that they
//! are corrected.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use leno_model::unit::Question;

/// What is known not to exist, by the question that brought it up.
#[derive(Clone, Debug)]
pub struct Names {
    entries: BTreeMap<Question, Entry>,
    /// The questions that each broadest name came from.
    by_name: BTreeMap<Arc<str>, BTreeSet<Question>>,
    /// The entries by last use, the oldest first.
    by_use: BTreeMap<u64, Question>,
    uses: u64,
    most: usize,
    ttl: Duration,
}

#[derive(Clone, Debug)]
struct Entry {
    under: Arc<str>,
    used_at: Instant,
    /// Place in the order of use.
    used: u64,
}

impl Names {
    /// An empty cache of at most `most` entries, each kept for `ttl` after its last use.
    #[must_use]
    pub fn new(most: usize, ttl: Duration) -> Self {
        Self {
            entries: BTreeMap::new(),
            by_name: BTreeMap::new(),
            by_use: BTreeMap::new(),
            uses: 0,
            most,
            ttl,
        }
    }

    /// Notes that nothing under `under` exists. Returns the question of the entry that had to go for it.
    pub fn insert(&mut self, question: Question, under: Arc<str>, now: Instant) -> Option<Question> {
        self.remove(&question);
        self.uses += 1;
        self.by_use.insert(self.uses, question.clone());
        self.by_name.entry(under.clone()).or_default().insert(question.clone());
        self.entries.insert(question, Entry { under, used_at: now, used: self.uses });
        if self.entries.len() <= self.most {
            return None;
        }
        let (_, oldest) = self.by_use.first_key_value()?;
        let oldest = oldest.clone();
        self.remove(&oldest);
        Some(oldest)
    }

    /// The broadest name known not to exist that covers the question. Counts as use.
    pub fn find(&mut self, question: &Question, now: Instant) -> Option<Arc<str>> {
        let found = match self.entries.contains_key(question) {
            true => question.clone(),
            false => self.broader(question)?,
        };
        let entry = self.entries.get_mut(&found)?;
        self.by_use.remove(&entry.used);
        self.uses += 1;
        self.by_use.insert(self.uses, found);
        (entry.used, entry.used_at) = (self.uses, now);
        Some(entry.under.clone())
    }

    /// Forgets what a question brought up.
    pub fn remove(&mut self, question: &Question) {
        let Some(entry) = self.entries.remove(question) else { return };
        self.by_use.remove(&entry.used);
        if let Some(questions) = self.by_name.get_mut(&entry.under) {
            questions.remove(question);
            if questions.is_empty() {
                self.by_name.remove(&entry.under);
            }
        }
    }

    /// Removes an entry whose time is over; to be called until there is none.
    pub fn expire(&mut self, now: Instant) -> Option<Question> {
        let oldest = self.by_use.values().next()?.clone();
        if self.expiry()? > now {
            return None;
        }
        self.remove(&oldest);
        Some(oldest)
    }

    /// When the next entry's time is over.
    #[must_use]
    pub fn expiry(&self) -> Option<Instant> {
        let oldest = self.by_use.values().next()?;
        Some(self.entries.get(oldest)?.used_at + self.ttl)
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The question of an entry that covers this one by more than itself.
    fn broader(&self, question: &Question) -> Option<Question> {
        let of = |name: &str| self.by_name.get(name).and_then(|questions| questions.first()).cloned();
        match question {
            Question::Name(name) => {
                let parents = name.match_indices('.').filter_map(|(dot, _)| name.get(dot..));
                of(name).or_else(|| parents.map(|parent| format!("*{parent}")).find_map(|name| of(&name)))
            }
            Question::Address(ip, port) => {
                of(&SocketAddr::new(*ip, *port).to_string()).or_else(|| of(&ip.to_string()))
            }
            // Names of another kind, which nothing covers.
            Question::Workload(_) => return None,
        }
        .or_else(|| of("*"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Question {
        Question::Name(text.into())
    }

    const TTL: Duration = Duration::from_secs(60);

    #[test]
    fn a_broad_answer_covers_what_is_under_it_and_nothing_else() {
        let now = Instant::now();
        let mut names = Names::new(10, TTL);
        names.insert(name("a.example.com"), "*.example.com".into(), now);
        names.insert(name("b.test"), "b.test".into(), now);
        names.insert(Question::Address([10, 0, 0, 1].into(), 80), "10.0.0.1".into(), now);
        names.insert(Question::Address([10, 0, 0, 2].into(), 80), "10.0.0.2:80".into(), now);
        for (question, found) in [
            (name("a.example.com"), Some("*.example.com")),
            (name("x.y.example.com"), Some("*.example.com")),
            (name("example.com"), None),
            (name("xexample.com"), None),
            (name("b.test"), Some("b.test")),
            (name("x.b.test"), None),
            (Question::Address([10, 0, 0, 1].into(), 81), Some("10.0.0.1")),
            (Question::Address([10, 0, 0, 2].into(), 80), Some("10.0.0.2:80")),
            (Question::Address([10, 0, 0, 2].into(), 81), None),
        ] {
            assert_eq!(names.find(&question, now).as_deref(), found, "{question:?}");
        }
        names.insert(name("c"), "*".into(), now);
        assert_eq!(names.find(&name("anything.at.all"), now).as_deref(), Some("*"));
    }

    #[test]
    fn the_one_unused_for_longest_goes_first() {
        let now = Instant::now();
        let mut names = Names::new(2, TTL);
        assert_eq!(names.insert(name("a"), "a".into(), now), None);
        assert_eq!(names.insert(name("b"), "b".into(), now), None);
        assert!(names.find(&name("a"), now).is_some());
        assert_eq!(names.insert(name("c"), "c".into(), now), Some(name("b")));
        assert_eq!(names.insert(name("c"), "*.c".into(), now), None);
        assert_eq!(names.len(), 2);
    }

    #[test]
    fn unused_entries_expire() {
        let start = Instant::now();
        let mut names = Names::new(9, TTL);
        names.insert(name("a"), "a".into(), start);
        names.insert(name("b"), "b".into(), start + Duration::from_secs(1));
        assert!(names.find(&name("a"), start + Duration::from_secs(30)).is_some());
        assert_eq!(names.expiry(), Some(start + Duration::from_secs(61)));
        assert_eq!(names.expire(start + Duration::from_secs(60)), None);
        assert_eq!(names.expire(start + Duration::from_secs(61)), Some(name("b")));
        assert_eq!(names.expire(start + Duration::from_secs(61)), None);
        assert_eq!(names.expire(start + Duration::from_secs(90)), Some(name("a")));
        assert!(names.is_empty() && names.expiry().is_none());
    }

    #[test]
    fn several_questions_may_bring_up_one_name() {
        let now = Instant::now();
        let mut names = Names::new(9, TTL);
        names.insert(name("a.x"), "*.x".into(), now);
        names.insert(name("b.x"), "*.x".into(), now);
        names.remove(&name("a.x"));
        assert!(names.find(&name("c.x"), now).is_some());
        names.remove(&name("b.x"));
        assert!(names.find(&name("c.x"), now).is_none());
    }
}
