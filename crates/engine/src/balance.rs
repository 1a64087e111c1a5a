//! Which endpoint of a cluster a request gets.
//!
//! Picking takes no lock and allocates nothing. It counts nothing either, except turns: the caller counts the request
//! in and tells how it ended (see [`crate::state`]).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use leno_model::destination::{Balancer, Warmup};
use leno_model::failure::Failure;

use crate::destination::table::Table;
use crate::destination::{Candidate, Cluster, Pick};
use crate::explain::{EndpointOutcome, Event, Explain};
use crate::limits::{DRAWS, PROBES};
use crate::rng::{below, mix};

impl Cluster {
    /// Picks an endpoint that isn't ejected. `draw` is uniform over all 64-bit numbers; `tried` are uids that have failed this request
    /// already, which are only picked again when nothing else is left.
    ///
    /// # Errors
    /// [`Failure::NoEndpoint`] when none is ready or all are ejected, [`Failure::TlsFailed`] when mutual TLS is demanded and none has an
    /// identity.
    pub fn pick(
        &self,
        now: Instant,
        draw: u64,
        tried: &[Arc<str>],
        explain: &mut impl Explain,
    ) -> Result<Pick<'_>, Failure> {
        self.pick_for(None, now, draw, tried, explain)
    }

    /// The same for a request with a key (see [`Cluster::affinity`]), which leads to an endpoint where the destination
    /// says so. Where that one may not be used, all proxies go on in the same order.
    ///
    /// # Errors
    /// As for [`Cluster::pick`].
    pub fn pick_for(
        &self,
        key: Option<u64>,
        now: Instant,
        draw: u64,
        tried: &[Arc<str>],
        explain: &mut impl Explain,
    ) -> Result<Pick<'_>, Failure> {
        let gate = Gate::new(self, now);
        let choice = match &self.table {
            Some(table) => self.by_table(table, &gate, key.unwrap_or(draw), tried),
            None => self.choose(&gate, draw, tried),
        };
        self.tell(&gate, choice.as_ref(), tried, explain);
        match choice.and_then(|choice| self.ready().get(choice.picked)) {
            Some(candidate) => self.pick_of(candidate),
            None => Err(self.failure()),
        }
    }

    /// The endpoint of that uid, ready or not: a client that dials a workload by its own address means that one.
    ///
    /// # Errors
    /// [`Failure::NoEndpoint`] when it is not among the cluster's, [`Failure::TlsFailed`] as for [`Cluster::pick`].
    pub fn pick_by_uid(&self, uid: &str, explain: &mut impl Explain) -> Result<Pick<'_>, Failure> {
        let is_wanted =
            |candidate: &&Candidate| self.endpoint(candidate).is_some_and(|endpoint| &*endpoint.uid == uid);
        if let Some(candidate) = self.reachable().iter().find(is_wanted) {
            let pick = self.pick_of(candidate)?;
            explain.tell(|| Event::Endpoint {
                uid: Arc::clone(&pick.endpoint.uid),
                outcome: EndpointOutcome::Picked,
            });
            return Ok(pick);
        }
        let excluded = self.excluded().find(|(endpoint, _)| &*endpoint.uid == uid);
        let Some((endpoint, outcome)) = excluded else { return Err(Failure::NoEndpoint) };
        let failure = match outcome {
            EndpointOutcome::Unreachable(failure) => failure,
            _ => Failure::NoEndpoint,
        };
        explain.tell(|| Event::Endpoint { uid: Arc::clone(&endpoint.uid), outcome });
        Err(failure)
    }

    fn choose(&self, gate: &Gate<'_>, draw: u64, tried: &[Arc<str>]) -> Option<Choice> {
        let choice = match self.policy().balancer.as_ref().unwrap_or(&Balancer::PeakEwma) {
            Balancer::PeakEwma => self.better_of_two(gate, draw),
            // Another try takes no turn, or the next request would have the turn of the endpoint that failed this one.
            Balancer::RoundRobin if tried.is_empty() => {
                let turn = |_| self.slots.at_turn(self.turn.fetch_add(1, Ordering::Relaxed));
                gate.pass(draw, None, turn).map(Choice::alone)
            }
            Balancer::RoundRobin | Balancer::Random | Balancer::Hash(_) => {
                gate.pass(draw, None, |draw| self.slots.drawn(draw)).map(Choice::alone)
            }
        }?;
        if !self.was_tried(choice.picked, tried) {
            return Some(choice);
        }
        // Any other, from a random place on, so that one endpoint's failures don't all fall to its neighbour.
        let count = self.ready().len();
        let start = usize::try_from(below(mix(!draw), u64::try_from(count).ok()?)).ok()?;
        let is_other = |index: &usize| !self.was_tried(*index, tried) && gate.ejected(*index).is_none();
        let other = (start..count).chain(0..start).find(is_other);
        Some(other.map_or(choice, Choice::alone))
    }

    /// The first in the key's order that may be used, if possible one that has not failed the request.
    fn by_table(&self, table: &Table, gate: &Gate<'_>, key: u64, tried: &[Arc<str>]) -> Option<Choice> {
        let count = self.ready().len();
        let order = || table.order(key).take(PROBES.saturating_add(8 * count)).chain(0..count);
        let is_free = |index: &usize| gate.ejected(*index).is_none();
        let other = order().find(|index| is_free(index) && !self.was_tried(*index, tried));
        other.or_else(|| order().find(is_free)).map(Choice::alone)
    }

    /// Two drawn at random, the cheaper of them picked.
    fn better_of_two(&self, gate: &Gate<'_>, draw: u64) -> Option<Choice> {
        let count = u64::try_from(self.ready().len()).ok()?;
        let one_of = |draw, count| usize::try_from(below(draw, count)).ok();
        let first = gate.pass(draw, None, |draw| one_of(draw, count))?;
        if count < 2 {
            return Some(Choice::alone(first));
        }
        let second = gate.pass(mix(draw), Some(first), |draw| {
            let second = one_of(draw, count - 1)?;
            Some(if second < first { second } else { second + 1 })
        });
        let Some(second) = second else { return Some(Choice::alone(first)) };
        let (cost, other) = (self.cost(first, gate.now), self.cost(second, gate.now));
        Some(if other < cost {
            Choice { picked: second, cost: other, other: Some((first, cost)) }
        } else {
            Choice { picked: first, cost, other: Some((second, other)) }
        })
    }

    /// Cost of one more request to a ready candidate, by its weight.
    fn cost(&self, index: usize, now: Instant) -> f64 {
        let Some(candidate) = self.ready().get(index) else { return f64::INFINITY };
        let weight = self.endpoint(candidate).map_or(1, |endpoint| endpoint.weight.max(1));
        candidate.state.cost(now) / f64::from(weight)
    }

    fn was_tried(&self, index: usize, tried: &[Arc<str>]) -> bool {
        !tried.is_empty()
            && self
                .ready()
                .get(index)
                .and_then(|candidate| self.endpoint(candidate))
                .is_some_and(|endpoint| tried.contains(&endpoint.uid))
    }

    fn tell<E: Explain>(
        &self,
        gate: &Gate<'_>,
        choice: Option<&Choice>,
        tried: &[Arc<str>],
        explain: &mut E,
    ) {
        if !E::LISTENS {
            return;
        }
        for (endpoint, outcome) in self.excluded() {
            explain.tell(|| Event::Endpoint { uid: Arc::clone(&endpoint.uid), outcome });
        }
        for (index, candidate) in self.ready().iter().enumerate() {
            let Some(endpoint) = self.endpoint(candidate) else { continue };
            let ejected = gate.ejected(index);
            let outcome = match choice {
                Some(choice) if choice.picked == index => EndpointOutcome::Picked,
                _ if self.was_tried(index, tried) => EndpointOutcome::Tried,
                Some(Choice { cost, other: Some((other, other_cost)), .. }) if *other == index => {
                    EndpointOutcome::Costlier { cost: nanoseconds(*other_cost), picked: nanoseconds(*cost) }
                }
                _ => ejected.map_or(EndpointOutcome::NotDrawn, |left| EndpointOutcome::Ejected { left }),
            };
            explain.tell(|| Event::Endpoint { uid: Arc::clone(&endpoint.uid), outcome });
        }
    }
}

/// Who may be picked now: not those that are ejected, and those that have just come more and more often.
#[derive(Debug)]
struct Gate<'c> {
    cluster: &'c Cluster,
    now: Instant,
    ejects: bool,
    warmup: Option<&'c Warmup>,
}

impl<'c> Gate<'c> {
    fn new(cluster: &'c Cluster, now: Instant) -> Self {
        let ejects = cluster.detector().is_some_and(|detector| detector.is_active(now));
        let warmup = cluster.policy().warmup.as_ref().filter(|warmup| !warmup.duration.is_zero());
        Self { cluster, now, ejects, warmup }
    }

    /// The first by `draws` that may be picked; after enough of them any that isn't ejected, but never `except`.
    fn pass(
        &self,
        draw: u64,
        except: Option<usize>,
        mut draws: impl FnMut(u64) -> Option<usize>,
    ) -> Option<usize> {
        let mut next = draw;
        for _ in 0..DRAWS {
            let index = draws(next)?;
            next = mix(next);
            if self.admits(index, next) {
                return Some(index);
            }
        }
        let count = self.cluster.ready().len();
        let start = usize::try_from(below(next, u64::try_from(count).ok()?)).ok()?;
        let may_be = |index: &usize| Some(*index) != except && self.ejected(*index).is_none();
        (start..count).chain(0..start).find(may_be)
    }

    fn admits(&self, index: usize, draw: u64) -> bool {
        if self.ejected(index).is_some() {
            return false;
        }
        let (Some(warmup), Some(candidate)) = (self.warmup, self.cluster.ready().get(index)) else {
            return true;
        };
        let warmth = candidate.state.warmth(warmup, self.now);
        #[allow(clippy::cast_precision_loss, reason = "a share of all draws")]
        let draw = mix(draw) as f64 / u64::MAX as f64;
        warmth >= 1.0 || draw < warmth
    }

    /// How long it is left out, if it is.
    fn ejected(&self, index: usize) -> Option<Duration> {
        self.cluster.ready().get(index).filter(|_| self.ejects)?.state.ejected(self.now)
    }
}

/// Which ready candidate is picked, and which one it was compared with, each with its cost.
#[derive(Clone, Copy, Debug)]
struct Choice {
    picked: usize,
    cost: f64,
    other: Option<(usize, f64)>,
}

impl Choice {
    const fn alone(picked: usize) -> Self {
        Self { picked, cost: 0.0, other: None }
    }
}

fn nanoseconds(cost: f64) -> u64 {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates; costs are not negative"
    )]
    let nanoseconds = cost as u64;
    nanoseconds
}

#[cfg(test)]
mod tests;
