//! Copies of requests for mirrors. Which ones get a copy is decided by [`leno_engine::mirror`].
//!
//! A copy is sent beside the request, by a task of its own that the request doesn't wait for and that outlives it. Its
//! body is what was read of the original's: a mirror that is slower than that is given up, so it costs the original
//! nothing but the copying. Each copy is chosen, dialled and limited as any request to its destination, tried once, and
//! counted once; its answer is thrown away.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use leno_engine::explain::Silent;
use leno_engine::state::Outcome;
use leno_http::exchange::{Frame, Incoming};
use leno_http::head::{Connect, RequestHead};
use leno_http::relay::{self, BodyEnd, Tally};
use leno_http::server::Protocol;
use leno_model::failure::{Failure, Fault};
use leno_runtime::task;

use super::answer::learn;
use super::attempt::{Attempt, Begun, End, Failed, Interim, attempt};
use super::{Forwarding, hints};
use crate::core::{Core, Mirroring};
use crate::limits::{MIRROR_ANSWER_BYTES, MIRROR_TIME, POOL_IDLE_UNREPEATABLE};
use crate::local::Local;
use crate::path::{Destination, spoken};
use crate::upstream::{self, Chosen, Client, Spoken};

/// A copy that is on its way.
struct Copied {
    core: Rc<Core>,
    local: Arc<Local>,
    head: RequestHead,
    chosen: Box<Chosen>,
    protocol: Protocol,
    limit: Duration,
    _under_way: Mirroring,
}

impl Forwarding<'_> {
    /// Sends copies of a request to its mirrors, and gives back its body.
    pub(super) fn mirror(self, head: &RequestHead, body: Incoming) -> Incoming {
        // A tunnel's other end expects somebody to talk to.
        if !matches!(head.connect(), Connect::None) {
            return body;
        }
        let mirrors = self.plan.mirrors.iter();
        let copies: Vec<Copied> = mirrors.filter_map(|mirror| self.copy(head, mirror.as_ref())).collect();
        let budget = &self.core.shared.budget;
        let (body, bodies) = body.copied(copies.len(), Some(budget));
        for (copied, body) in copies.into_iter().zip(bodies) {
            task::spawn_local("mirror", copied.run(body)).detach();
        }
        body
    }

    /// What it takes to send a copy, if it can be sent.
    fn copy(self, head: &RequestHead, mirror: Result<&Destination<'_>, &Failure>) -> Option<Copied> {
        let (core, path) = (self.core, self.path);
        let counts = &core.shared.mirrors;
        let not_sent = |failure: Failure| match failure {
            Failure::Overflow => counts.limited.inc(),
            _ => counts.unreachable.inc(),
        };
        let mirror = mirror.map_err(|failure| not_sent(*failure)).ok()?;
        let Some(under_way) = core.mirroring() else {
            counts.limited.inc();
            return None;
        };
        let protocol = spoken(mirror.protocol, head);
        let key = upstream::affinity(&mirror.to, head, path, || core.draw(), &mut Silent).key;
        let client = Client { ends: Some(path.ends()), key };
        let chosen = upstream::choose(core, &mirror.to, Spoken::Http(protocol), client, &[]);
        let chosen = chosen.map_err(not_sent).ok()?;
        let limit = self.plan.settings.timeout.map_or(MIRROR_TIME, |timeout| timeout.min(MIRROR_TIME));
        let mut head = head.clone();
        hints::mark_try(path, &mirror.to, &mut head, 1, Some(limit), false);
        Some(Copied {
            core: Rc::clone(core),
            local: Arc::clone(path.local()),
            head,
            chosen,
            protocol,
            limit,
            _under_way: under_way,
        })
    }
}

impl Copied {
    async fn run(self, body: Incoming) {
        let counts = &self.core.shared.mirrors;
        let deadline = tokio::time::Instant::now() + self.limit;
        let Ok(end) = leno_runtime::time::timeout_at(deadline, self.send(body)).await else {
            self.failed(Failure::TryTimeout);
            return counts.failed.inc();
        };
        match end {
            End::Answer(begun) => {
                let now = Instant::now();
                let latency = now.saturating_duration_since(begun.sent.at);
                learn(self.chosen.in_flight.as_ref(), &begun, now, latency);
                counts.answered.inc();
                // What is left of it after that time is cut off.
                let _elapsed = leno_runtime::time::timeout_at(deadline, throw_away(begun)).await;
            }
            End::Failed(Failed { failure: Failure::Overflow, .. }) => counts.limited.inc(),
            End::Failed(failed) => {
                self.failed(failed.failure);
                counts.failed.inc();
            }
            End::Over(Failure::Overload) => counts.lagging.inc(),
            End::Over(_) => counts.cut.inc(),
        }
    }

    /// Sends it, once, and waits for the answer's head.
    async fn send(&self, body: Incoming) -> End {
        let (interim, tally, sent) = (Interim::default(), Tally::default(), Cell::new(None));
        let what = Attempt {
            head: &self.head,
            chosen: &self.chosen,
            protocol: self.protocol,
            rest: POOL_IDLE_UNREPEATABLE,
            tally: &tally,
            interim: &interim,
            sent: &sent,
        };
        let mut trying = pin!(attempt(&self.core, &self.local, &what, body));
        loop {
            tokio::select! {
                biased;
                end = &mut trying => return end,
                _unread = interim.next() => {}
            }
        }
    }

    /// Tells the balancer and outlier detection.
    fn failed(&self, failure: Failure) {
        if let Some(in_flight) = self.chosen.in_flight.as_ref()
            && failure.row().fault == Fault::Upstream
        {
            in_flight.learn(Instant::now(), Outcome::Failed);
        }
    }
}

/// Reads an answer to its end, as long as it isn't too large, while the rest of the body goes up: so the connection
/// can carry another request.
async fn throw_away(begun: Begun) {
    let Begun { mut incoming, mut sent, .. } = begun;
    let (tally, mut left) = (Tally::default(), MIRROR_ANSWER_BYTES);
    loop {
        tokio::select! {
            biased;
            frame = incoming.frame() => match frame {
                Frame::Data(data) => match left.checked_sub(data.len()) {
                    Some(rest) => left = rest,
                    None => return,
                },
                Frame::Trailers(_) => {}
                Frame::End | Frame::Abort(_) => return,
            },
            end = relay::body(&mut sent.body, &mut sent.outgoing, &tally), if sent.uploading => match end {
                BodyEnd::Complete | BodyEnd::Stopped(_) => sent.uploading = false,
                BodyEnd::Aborted(_) => return,
            },
        }
    }
}
