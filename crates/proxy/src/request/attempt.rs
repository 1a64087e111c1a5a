//! One try: a connection to the chosen endpoint, the request on it, and the head of its answer.
//!
//! A try knows nothing of other tries and of the client: whoever runs it watches those, and drops it to end it.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use leno_engine::retry::{self, Mark};
use leno_http::exchange::{Answer, Incoming, Outgoing, Progress, Response};
use leno_http::head::{RequestHead, ResponseHead};
use leno_http::relay::{self, BodyEnd, Tally};
use leno_http::server::Protocol;
use leno_model::failure::Failure;
use leno_runtime::clock::recent;
use leno_runtime::place::boxed;

use crate::core::Core;
use crate::limits::{POOL_IDLE, POOL_IDLE_UNREPEATABLE};
use crate::local::Local;
use crate::pool::{Lease, Wanted};
use crate::upstream::Chosen;

/// What a try is about.
#[derive(Clone, Copy)]
pub(super) struct Attempt<'t> {
    pub(super) head: &'t RequestHead,
    pub(super) chosen: &'t Chosen,
    pub(super) protocol: Protocol,
    /// How long a kept connection may have rested: zero asks for a new one.
    pub(super) rest: Duration,
    /// Counts the bytes of the body.
    pub(super) tally: &'t Tally,
    /// Where interim answers are left for the client.
    pub(super) interim: &'t Interim,
    /// When it was given to its connection; `None` while it waits for one.
    pub(super) sent: &'t Cell<Option<Instant>>,
}

impl<'t> Attempt<'t> {
    /// What it wants of a connection.
    fn wanted(&self, local: &Local) -> Wanted<'t> {
        let Self { chosen, protocol, rest, .. } = *self;
        let key = chosen.key(local, protocol);
        Wanted { key, rest, clock: local.clock, circuit: chosen.circuit.as_ref() }
    }
}

/// A request on a connection.
pub(super) struct Sent {
    pub(super) lease: Lease,
    pub(super) outgoing: Outgoing,
    pub(super) response: Response,
    pub(super) body: Incoming,
    /// Whether the body is still being sent.
    pub(super) uploading: bool,
    pub(super) at: Instant,
}

/// An answer whose head is here.
pub(super) struct Begun {
    pub(super) head: ResponseHead,
    /// `grpc-status`, where it stands in the head as it came.
    pub(super) grpc_status: Option<u16>,
    pub(super) incoming: Incoming,
    pub(super) sent: Box<Sent>,
    /// What the mesh's proxies say of it, once that was taken off the head.
    pub(super) mark: Option<Mark>,
}

impl Begun {
    /// Calls `judge` with what decisions read of it.
    pub(super) fn judged<T>(&self, judge: impl FnOnce(retry::End<'_>) -> T) -> T {
        let has_field = |name: &str| self.head.fields().get(name).is_some();
        judge(retry::End::Answered(retry::Answer {
            status: self.head.status().as_u16(),
            grpc_status: self.grpc_status,
            has_field: &has_field,
            mark: self.mark,
        }))
    }
}

/// How a try ended.
pub(super) enum End {
    /// Its answer has begun.
    Answer(Begun),
    /// The upstream failed.
    Failed(Failed),
    /// There is nobody to answer any more.
    Over(Failure),
}

/// A try without an answer.
pub(super) struct Failed {
    pub(super) failure: Failure,
    pub(super) progress: Progress,
    /// Whether its connection had been used before.
    pub(super) reused: bool,
    /// What is left of the body.
    pub(super) body: Incoming,
}

/// How long a kept connection may have rested to carry a request.
pub(super) fn rest(repeatable: bool) -> Duration {
    if repeatable { POOL_IDLE } else { POOL_IDLE_UNREPEATABLE }
}

/// Makes a try. Dropping it cancels the request upstream.
pub(super) async fn attempt(core: &Core, local: &Local, attempt: &Attempt<'_>, body: Incoming) -> End {
    let (lease, outgoing, response) = match connect(core, local, attempt).await {
        Ok(connected) => connected,
        Err(failure) => {
            let progress = if matches!(failure, Failure::UpstreamRefused) {
                Progress::Refused
            } else {
                Progress::NotSent
            };
            return End::Failed(Failed { failure, progress, reused: false, body });
        }
    };
    let at = recent().into_std();
    attempt.sent.set(Some(at));
    let sent = boxed(|| Sent { lease, outgoing, response, body, uploading: true, at });
    begin(attempt, sent).await
}

async fn connect(
    core: &Core,
    local: &Local,
    attempt: &Attempt<'_>,
) -> Result<(Lease, Outgoing, Response), Failure> {
    // A pooled connection that turns out to be gone is no failure of the endpoint: the next is tried at once.
    loop {
        let mut lease = match kept(core, local, attempt) {
            Some(kept) => kept,
            // In a box, or every request would hold the room of a handshake.
            None => Box::pin(lease(core, local, attempt)).await?,
        };
        match lease.connection()?.send(attempt.head).await {
            Ok((outgoing, response)) => return Ok((lease, outgoing, response)),
            // Left in the pool it could be the next one again.
            Err(unsent) if lease.reused && unsent.failure == Failure::UpstreamClosed => lease.discard(),
            Err(unsent) => return Err(unsent.failure),
        }
    }
}

/// A connection that is ready for another request.
fn kept(core: &Core, local: &Local, attempt: &Attempt<'_>) -> Option<Lease> {
    core.pool.kept(&attempt.wanted(local))
}

/// Waits for a connection, or makes one.
async fn lease(core: &Core, local: &Local, attempt: &Attempt<'_>) -> Result<Lease, Failure> {
    let dialling = async || attempt.chosen.dial(core, local).await;
    core.pool.lease(attempt.wanted(local), dialling).await
}

/// Waits for the answer's head while the body goes up.
async fn begin(attempt: &Attempt<'_>, mut sent: Box<Sent>) -> End {
    // Without a body there is nothing to send but the head, which goes out while its answer is awaited.
    let has_body = !sent.outgoing.is_finished();
    sent.uploading = has_body;
    loop {
        match poll_fn(|cx| poll_begun(&mut sent, attempt.tally, cx)).await {
            Step::Head(Ok(Answer::Final(head, incoming))) => {
                let grpc_status = head.grpc_status();
                // What of a head has not gone out by now goes out beside the answer.
                sent.uploading |= !has_body;
                return End::Answer(Begun { head, grpc_status, incoming, sent, mark: None });
            }
            Step::Head(Ok(Answer::Informational(head))) => attempt.interim.pass(head).await,
            Step::Head(Err(failure)) => {
                let Sent { lease, response, body, .. } = *sent;
                let progress = response.progress();
                return End::Failed(Failed { failure, progress, reused: lease.reused, body });
            }
            // The answer may say more than that the upstream stopped reading.
            Step::Sent(BodyEnd::Complete | BodyEnd::Stopped(_)) => sent.uploading = false,
            Step::Sent(BodyEnd::Aborted(failure)) => return End::Over(failure),
        }
    }
}

/// What happens first to a request that was sent.
enum Step {
    Head(Result<Answer, Failure>),
    /// The body goes up no further.
    Sent(BodyEnd),
}

fn poll_begun(sent: &mut Sent, tally: &Tally, cx: &mut Context<'_>) -> Poll<Step> {
    if let Poll::Ready(answer) = sent.response.poll_head(cx) {
        return Poll::Ready(Step::Head(answer));
    }
    if sent.uploading {
        return relay::poll_body(&mut sent.body, &mut sent.outgoing, tally, cx).map(Step::Sent);
    }
    Poll::Pending
}

/// An interim answer on its way from a try to the client. Both are polled by one task.
#[derive(Default)]
pub(super) struct Interim(RefCell<Option<ResponseHead>>);

impl Interim {
    /// Leaves one, and waits until it was taken.
    async fn pass(&self, head: ResponseHead) {
        self.0.replace(Some(head));
        poll_fn(|_cx| if self.0.borrow().is_none() { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// Takes one, if there is one. To be asked after the tries were polled, which don't wake anybody for it.
    pub(super) fn take(&self) -> Option<ResponseHead> {
        self.0.take()
    }

    /// Takes one. To be polled after the tries, which don't wake it.
    pub(super) async fn next(&self) -> ResponseHead {
        poll_fn(|_cx| self.take().map_or(Poll::Pending, Poll::Ready)).await
    }
}
