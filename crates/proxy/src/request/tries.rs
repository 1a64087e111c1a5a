//! Sends a request until an answer counts: rounds of tries, the pauses between them, and the end of it.
//!
//! Whether there is a further try is decided by [`leno_engine::retry`] alone; here is what it takes to make one. A
//! request whose first answer counts costs no more than the keeping of its body.

use std::sync::Arc;
use std::time::{Duration, Instant};

use leno_engine::affinity::Affinity;
use leno_engine::explain::Silent;
use leno_engine::retry::budget::Permit;
use leno_engine::retry::{self, Mark, Purse, Reason, Terms, Tried, Verdict};
use leno_engine::state::Outcome;
use leno_http::exchange::Reply;
use leno_http::head::RequestHead;
use leno_http::reply::LocalReply;
use leno_model::failure::{Failure, Fault};
use leno_runtime::clock::recent;

use super::answer::learn;
use super::attempt::Begun;
use super::body::Body;
use super::round::Round;
use super::{Forwarding, hints, refuse, until};
use crate::alarm::Alarm;
use crate::path::Path;
use crate::record::{Limit, Record};
use crate::upstream::{Chosen, To};

/// The tries of one request.
pub(super) struct Tries<'t> {
    pub(super) on: Forwarding<'t>,
    pub(super) terms: &'t Terms<'t>,
    /// Whether its client set a gRPC deadline.
    pub(super) is_grpc_timed: bool,
    /// The request as it came, where it goes on otherwise and policies may still ask about it.
    pub(super) came: Option<&'t RequestHead>,
    pub(super) body: Body,
    /// What binds it to an endpoint.
    pub(super) affinity: Affinity,
    pub(super) began: Instant,
    /// Tries so far.
    pub(super) count: u32,
    /// Endpoints that have failed it.
    pub(super) failed: Vec<Arc<str>>,
    /// Counts the try that is under way, where a budget pays for it.
    pub(super) permit: Option<Permit>,
}

impl Tries<'_> {
    /// Makes tries until one counts, and answers the client.
    pub(super) async fn run(
        &mut self,
        record: &mut Record,
        head: &mut RequestHead,
        mut reply: Reply,
        deadline: &mut Option<Alarm>,
    ) {
        if let Some(purse) = self.purse() {
            purse.budget.request();
        }
        // Some clients ask with a deadline that has passed.
        if self.terms.timeout.is_some_and(|timeout| timeout.is_zero()) {
            return refuse(record, reply, Failure::UpstreamTimeout);
        }
        loop {
            let round = self.round(record, head, &mut reply, deadline).await;
            let pause = match round {
                Round::Answer(mut begun, mut chosen) => match self.judge_answer(record, head, &begun) {
                    Some(pause) => {
                        self.leave(&chosen, &begun);
                        pause
                    }
                    None => {
                        self.body.release();
                        record.upstream_local(begun.sent.lease.local());
                        let seen = self.came.unwrap_or(head);
                        let in_flight = chosen.in_flight.take();
                        if let Some(cookie) = &self.affinity.set_cookie {
                            let _managed = begun.head.fields_mut().append("set-cookie", cookie.as_bytes());
                        }
                        return self.on.answer(record, seen, begun, in_flight, reply, deadline).await;
                    }
                },
                Round::Failed(failure, progress, mut chosen) => {
                    // What this proxy's own limits refuse says nothing about the endpoint.
                    let is_fault = failure.row().fault == Fault::Upstream;
                    if let Some(in_flight) = chosen.in_flight.take().filter(|_| is_fault) {
                        in_flight.finish(recent().into_std(), Outcome::Failed);
                    }
                    let end = retry::End::Failed(failure, progress);
                    // A destination's own limit is no less reached at once after.
                    if failure == Failure::Overflow && chosen.circuit.is_some() {
                        return self.fail(record, reply, failure, end.is_unprocessed());
                    }
                    let Some(pause) = self.judge(record, head, end) else {
                        return self.fail(record, reply, failure, end.is_unprocessed());
                    };
                    self.pass_over(&chosen);
                    pause
                }
                // Who left can't be told, who broke the protocol is.
                Round::Over(failure) if failure.row().http == 0 => return record.failed(failure),
                Round::Over(failure) | Round::Refused(failure) => return refuse(record, reply, failure),
            };
            record.request_tally().restart();
            if pause.is_zero() {
                continue;
            }
            tokio::select! {
                biased;
                failure = reply.closed() => return record.failed(failure),
                () = until(deadline) => return refuse(record, reply, Failure::UpstreamTimeout),
                () = leno_runtime::time::sleep(pause) => {}
            }
        }
    }

    /// What pays for further tries.
    pub(super) fn purse(&self) -> Option<Purse<'_>> {
        match &self.on.plan.to {
            To::Cluster { cluster, .. } => Some(cluster.purse()),
            To::Application { .. } | To::External { .. } => None,
        }
    }

    /// Time left for everything.
    pub(super) fn left(&self) -> Option<Duration> {
        self.terms.timeout.map(|timeout| timeout.saturating_sub(self.began.elapsed()))
    }

    /// Whether an answer is followed by another try, and after what pause.
    fn judge_answer(
        &mut self,
        record: &mut Record,
        request: &RequestHead,
        begun: &Begun,
    ) -> Option<Duration> {
        begun.judged(|end| match retry::is_failure(self.terms, &end) {
            true => self.judge(record, request, end),
            false => None,
        })
    }

    /// Whether there is another try, and after what pause.
    fn judge(&mut self, record: &mut Record, request: &RequestHead, end: retry::End<'_>) -> Option<Duration> {
        let core = self.on.core;
        let tried = Tried { end, tries: self.count, replayable: self.body.can_repeat(), left: self.left() };
        // The try before no longer counts, or it would stand in the way of the next.
        self.permit = None;
        let purse = self.purse();
        match retry::decide(self.terms, &tried, purse, recent().into_std(), core.draw(), &mut Silent) {
            Verdict::Again { pause, permit } => {
                core.shared.retries.again.inc();
                record.again(&tried.end);
                self.permit = permit;
                Some(pause)
            }
            Verdict::Enough(reason) => {
                self.note(record, request, reason);
                None
            }
        }
    }

    /// Tells why there is no further try.
    fn note(&self, record: &mut Record, request: &RequestHead, reason: Reason) {
        let retries = &self.on.core.shared.retries;
        match reason {
            Reason::NotNamed | Reason::Off => return,
            Reason::Settled => retries.settled.inc(),
            Reason::Exhausted => {
                record.limited(Limit::Exhausted);
                retries.exhausted.inc();
            }
            Reason::MayHaveTakenEffect => retries.unsafe_to_repeat.inc(),
            Reason::BodyNotKept => retries.body.inc(),
            Reason::NoTime => retries.time.inc(),
            Reason::Budget => {
                record.limited(Limit::Overflow);
                retries.budget.inc();
            }
        }
        if reason.settles() {
            hints::settle(self.on.core, request);
        }
    }

    /// Leaves an answer for another try's.
    fn leave(&mut self, chosen: &Chosen, begun: &Begun) {
        let now = recent().into_std();
        let latency = now.saturating_duration_since(begun.sent.at);
        learn(chosen.in_flight.as_ref(), begun, now, latency);
        self.pass_over(chosen);
    }

    /// Lets other endpoints come first from now on, where that is wanted.
    fn pass_over(&mut self, chosen: &Chosen) {
        let is_bound = matches!(&self.on.plan.to, To::Cluster { cluster, .. } if cluster.by_key().is_some());
        if self.terms.skip_previous.unwrap_or(!is_bound) {
            self.failed.extend(chosen.uid().cloned());
        }
    }

    /// Answers from the failure table. A proxy of the mesh is told where nothing was processed.
    fn fail(&self, record: &mut Record, reply: Reply, failure: Failure, unprocessed: bool) {
        let tells = unprocessed && matches!(self.on.path, Path::Inbound(_)) && self.on.path.is_from_proxy();
        match LocalReply::of(failure, record.is_grpc()).filter(|_| tells) {
            Some(LocalReply { mut head, body }) => {
                record.failed(failure);
                hints::mark(&mut head, Mark::Untouched);
                reply.whole(head, body);
            }
            None => refuse(record, reply, failure),
        }
    }
}
