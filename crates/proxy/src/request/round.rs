//! One round of tries: an endpoint is chosen and tried, where it takes long a second one beside it, until there is the
//! head of an answer, a failure, or a reason to stop.
//!
//! A kept connection that turns out to be gone says nothing about the endpoint: the same one is tried again on a new
//! connection, which no policy has to allow and nothing counts.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

use leno_engine::deadline::nearest;
use leno_engine::retry::{self, Repeatable};
use leno_engine::state::Outcome;
use leno_http::exchange::{Incoming, Progress, Reply};
use leno_http::head::RequestHead;
use leno_http::server::Protocol;
use leno_model::failure::Failure;

use super::attempt::{Attempt, Begun, End, Failed, Interim, attempt, rest};
use super::hedge::{self, Which};
use super::tries::Tries;
use super::{denied, hints, is_over};
use crate::alarm::Alarm;
use crate::limits::STALE_TRIES;
use crate::path::spoken;
use crate::record::Record;
use crate::upstream::{self, Chosen, Client, Spoken};

/// What came of a round.
pub(super) enum Round {
    /// The head of an answer.
    Answer(Begun, Box<Chosen>),
    /// No answer.
    Failed(Failure, Progress, Box<Chosen>),
    /// There is nobody to answer any more.
    Over(Failure),
    /// No endpoint's doing; the client is told.
    Refused(Failure),
}

/// What came of watching tries.
enum Event<T> {
    End(T),
    Over(Failure),
    Refused(Failure),
    /// The try's time is over, or a second one is due.
    Timer,
}

impl Tries<'_> {
    pub(super) async fn round(
        &mut self,
        record: &mut Record,
        head: &mut RequestHead,
        reply: &mut Reply,
        deadline: &mut Option<Alarm>,
    ) -> Round {
        let mut chosen = match self.choose(record, head) {
            Ok(chosen) => chosen,
            Err(failure) => return Round::Refused(failure),
        };
        let mut rested = rest(self.terms.repeatable != Repeatable::No);
        let mut stale = 0;
        loop {
            let (event, second) = self.side_by_side(record, head, &chosen, rested, reply, deadline).await;
            if let Some(second) = second {
                // The first one's time is known by now to be no shorter than this.
                self.on.path.chosen(self.on.core, &second, record);
                record.upstream(second.target, &self.on.plan.to);
                chosen = second;
            }
            let (failure, progress) = match event {
                Event::End(End::Answer(mut begun)) => {
                    begun.mark = hints::take_mark(&chosen.way, &mut begun.head);
                    return Round::Answer(begun, chosen);
                }
                Event::End(End::Failed(failed)) => {
                    let is_stale = stale < STALE_TRIES && self.is_stale(&failed);
                    let Failed { failure, progress, body, .. } = failed;
                    if record.request_tally().moves() == 0 {
                        self.body.give_back(body);
                    }
                    if is_stale && self.body.can_repeat() {
                        stale += 1;
                        rested = Duration::ZERO;
                        record.request_tally().restart();
                        self.on.core.shared.retries.stale.inc();
                        continue;
                    }
                    (failure, progress)
                }
                Event::End(End::Over(failure)) | Event::Over(failure) => return Round::Over(failure),
                Event::Refused(failure) => return Round::Refused(failure),
                // Tries in time end as failures.
                Event::Timer => (Failure::TryTimeout, Progress::Sent),
            };
            return Round::Failed(failure, progress, chosen);
        }
    }

    /// Chooses the endpoint of the next try, and says so on the request and in the record.
    fn choose(&mut self, record: &mut Record, head: &mut RequestHead) -> Result<Box<Chosen>, Failure> {
        let (core, plan) = (self.on.core, self.on.plan);
        self.count += 1;
        let spoken = Spoken::Http(self.protocol(head));
        let client = self.client();
        let chosen = upstream::choose(core, &plan.to, spoken, client, &self.failed)?;
        self.on.path.chosen(core, &chosen, record);
        record.upstream(chosen.target, &plan.to);
        let total = if self.count == 1 { self.terms.timeout } else { self.left() };
        let left = nearest([total, self.terms.per_try]);
        hints::mark_try(self.on.path, &plan.to, head, self.count, left, self.is_grpc_timed);
        Ok(chosen)
    }

    fn client(&self) -> Client<'_> {
        Client { ends: Some(self.on.path.ends()), key: self.affinity.key }
    }

    fn protocol(&self, head: &RequestHead) -> Protocol {
        spoken(self.on.plan.protocol, head)
    }

    /// Whether a try failed because its connection had died before: it carried requests before, and this one's end is
    /// certain to be harmless.
    fn is_stale(&self, failed: &Failed) -> bool {
        let harmless = match failed.progress {
            Progress::NotSent | Progress::Refused => true,
            Progress::Sent => {
                self.terms.repeatable != Repeatable::No && failed.failure == Failure::UpstreamClosed
            }
            Progress::ResponseStarted => false,
        };
        failed.reused && harmless
    }

    /// Tries the chosen endpoint, and a second one beside it where that is due. Says which second one it came from.
    async fn side_by_side(
        &mut self,
        record: &Record,
        head: &RequestHead,
        chosen: &Chosen,
        rest: Duration,
        reply: &mut Reply,
        deadline: &mut Option<Alarm>,
    ) -> (Event<End>, Option<Box<Chosen>>) {
        let (core, local) = (self.on.core, self.on.path.local());
        let (interim, sent) = (Interim::default(), Cell::new(None));
        let protocol = self.protocol(head);
        let tally = record.request_tally();
        let what = Attempt { head, chosen, protocol, rest, tally, interim: &interim, sent: &sent };
        let mut first = pin!(attempt(core, local, &what, self.body.take()));
        let seen = self.came.unwrap_or(head);
        let is_stream = self.body.is_stream();
        let hedge_after = self.terms.hedge_after;
        let mut timer = nearest([hedge_after, self.terms.per_try]).map(|time| core.alarms.after(time));
        let mut watch = Watch { tries: self.on, record, seen, is_stream, interim: &interim, reply };
        let event = watch.until_end(first.as_mut(), deadline, &mut timer).await;
        let is_due = hedge_after.is_some_and(|after| self.terms.per_try.is_none_or(|limit| after < limit));
        if !matches!(event, Event::Timer) {
            return (event, None);
        }
        if !is_due {
            let event = Box::pin(self.out_of_time(first, watch, deadline, &mut timer, &sent)).await;
            return (event, None);
        }
        // In a box, or every request would hold the room of a second try.
        Box::pin(self.hedged(head, &what, first, watch, deadline, &mut timer)).await
    }

    /// Goes on with a try whose time is over for what is left since it was sent: waiting for a connection had its own, and
    /// the endpoint has all of its.
    async fn out_of_time(
        &self,
        mut trying: Pin<&mut impl Future<Output = End>>,
        mut watch: Watch<'_>,
        deadline: &mut Option<Alarm>,
        timer: &mut Option<Alarm>,
        sent: &Cell<Option<Instant>>,
    ) -> Event<End> {
        while let Some(left) = self.left_since(sent.get()) {
            *timer = Some(self.on.core.alarms.after(left));
            let event = watch.until_end(trying.as_mut(), deadline, timer).await;
            if !matches!(event, Event::Timer) {
                return event;
            }
        }
        timed_out(sent)
    }

    fn left_since(&self, sent: Option<Instant>) -> Option<Duration> {
        // Not the task's time, at which the alarm that has just gone off may still have been ahead.
        let since = tokio::time::Instant::now().into_std().saturating_duration_since(sent?);
        let left = self.terms.per_try?.saturating_sub(since);
        (!left.is_zero()).then_some(left)
    }

    /// Goes on with a first try that takes long, with a second one beside it where that may be.
    async fn hedged(
        &mut self,
        head: &RequestHead,
        what: &Attempt<'_>,
        mut first: Pin<&mut impl Future<Output = End>>,
        mut watch: Watch<'_>,
        deadline: &mut Option<Alarm>,
        timer: &mut Option<Alarm>,
    ) -> (Event<End>, Option<Box<Chosen>>) {
        *timer = self.terms.per_try.map(|time| self.on.core.alarms.after(time));
        let Some(second) = self.second(what.chosen, what.protocol) else {
            let event = watch.until_end(first.as_mut(), deadline, timer).await;
            return match event {
                Event::Timer => (self.out_of_time(first, watch, deadline, timer, what.sent).await, None),
                event => (event, None),
            };
        };
        watch.record.hedged(second.target);
        let (core, local) = (self.on.core, self.on.path.local());
        let mut again = head.clone();
        let left = nearest([self.left(), self.terms.per_try]);
        hints::mark_try(self.on.path, &self.on.plan.to, &mut again, self.count, left, self.is_grpc_timed);
        let beside = leno_http::relay::Tally::default();
        let other = Attempt { head: &again, chosen: &second, tally: &beside, ..*what };
        let began = Instant::now();
        let event = {
            let other = pin!(attempt(core, local, &other, self.body.take()));
            let mut racing = pin!(hedge::race(first, other, |_, end| self.is_good(end)));
            watch.until_end(racing.as_mut(), deadline, timer).await
        };
        match event {
            Event::End((Which::First, end)) => (Event::End(end), None),
            Event::End((Which::Second, end)) => {
                let slow = began.elapsed().saturating_add(self.terms.hedge_after.unwrap_or_default());
                if let Some(in_flight) = &what.chosen.in_flight {
                    in_flight.learn(Instant::now(), Outcome::Answered(slow));
                }
                (Event::End(end), Some(second))
            }
            Event::Over(failure) => (Event::Over(failure), None),
            Event::Refused(failure) => (Event::Refused(failure), None),
            Event::Timer => (timed_out(what.sent), None),
        }
    }

    /// Chooses a second endpoint, if a second try may start now.
    fn second(&mut self, first: &Chosen, protocol: Protocol) -> Option<Box<Chosen>> {
        let complete = self.body.is_complete();
        let permit = retry::hedge(self.terms, self.count, complete, self.purse(), Instant::now()).ok()?;
        let mut failed = self.failed.clone();
        failed.extend(first.uid().cloned());
        let second =
            upstream::choose(self.on.core, &self.on.plan.to, Spoken::Http(protocol), self.client(), &failed)
                .ok()?;
        self.permit = permit;
        self.count += 1;
        self.on.core.shared.retries.hedged.inc();
        Some(second)
    }

    /// Whether a try's end is an answer that the policy finds nothing wrong with.
    fn is_good(&self, end: &End) -> bool {
        let End::Answer(begun) = end else { return false };
        begun.judged(|end| !retry::is_failure(self.terms, &end))
    }
}

/// A try whose time is over.
fn timed_out(sent: &Cell<Option<Instant>>) -> Event<End> {
    let progress = if sent.get().is_some() { Progress::Sent } else { Progress::NotSent };
    Event::End(End::Failed(Failed {
        failure: Failure::TryTimeout,
        progress,
        reused: false,
        body: Incoming::empty(),
    }))
}

/// Who else is watched while tries are under way.
struct Watch<'w> {
    tries: super::Forwarding<'w>,
    record: &'w Record,
    seen: &'w RequestHead,
    is_stream: bool,
    interim: &'w Interim,
    reply: &'w mut Reply,
}

impl Watch<'_> {
    /// Runs tries to their end, passes interim answers on, and watches client, policy and time.
    async fn until_end<T>(
        &mut self,
        mut trying: Pin<&mut impl Future<Output = T>>,
        deadline: &mut Option<Alarm>,
        timer: &mut Option<Alarm>,
    ) -> Event<T> {
        let super::Forwarding { core, path, view, .. } = self.tries;
        let mut denied = pin!(denied(core, path, view, self.seen));
        loop {
            let step = poll_fn(|cx| {
                if let Poll::Ready(end) = trying.as_mut().poll(cx) {
                    return Poll::Ready(Ok(Event::End(end)));
                }
                if let Some(head) = self.interim.take() {
                    return Poll::Ready(Err(head));
                }
                if let Poll::Ready(failure) = self.reply.poll_closed(cx) {
                    return Poll::Ready(Ok(Event::Over(failure)));
                }
                // What can be sent at once needs no watching.
                if self.is_stream
                    && let Poll::Ready(failure) = denied.as_mut().poll(cx)
                {
                    return Poll::Ready(Ok(Event::Refused(failure)));
                }
                if is_over(deadline, cx) {
                    return Poll::Ready(Ok(Event::Refused(Failure::UpstreamTimeout)));
                }
                if is_over(timer, cx) { Poll::Ready(Ok(Event::Timer)) } else { Poll::Pending }
            });
            match step.await {
                Ok(event) => return event,
                Err(interim) => {
                    if let Err(failure) = self.reply.informational(&interim).await {
                        return Event::Over(failure);
                    }
                }
            }
        }
    }
}
