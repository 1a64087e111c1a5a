//! The path of a request, top to bottom: record, prepare, decide, inject faults, edit, mirror, choose, send, relay, tell.
//!
//! [`tries`] sends it until an answer counts, in rounds ([`round`]) of one try or two ([`attempt`], [`hedge`]);
//! [`answer`] relays the answer and [`tunnel`] what follows an upgrade. [`hints`] is what requests and answers carry
//! about tries and time.

mod answer;
mod attempt;
mod body;
pub(crate) mod fault;
mod hedge;
pub(crate) mod hints;
mod mirror;
mod round;
mod tries;
mod tunnel;

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use leno_engine::explain::Silent;
use leno_engine::fault::Injected;
use leno_engine::retry::Terms;
use leno_http::exchange::{Exchange, Incoming, Reply};
use leno_http::grpc_web::Form;
use leno_http::head::{RequestHead, ResponseHead};
use leno_model::failure::Failure;
use leno_model::request::RequestView as _;
use leno_model::route::HeaderEdits;
use leno_runtime::clock::recent;

use crate::alarm::Alarm;
use crate::core::{Core, Held};
use crate::headers;
use crate::path::{Decision, Path, Plan};
use crate::places::Busy;
use crate::record::Record;
use crate::refused::Refused;
use crate::upstream;
use body::Body;
use tries::Tries;

/// Serves one request to its end; its connection is busy for as long.
pub(crate) async fn serve(core: Rc<Core>, path: Rc<Path>, exchange: Exchange, _busy: Busy) {
    let Exchange { mut head, mut body, mut reply } = exchange;
    let web = path.translate(&mut head, &mut body);
    let local = path.local();
    let mut record =
        Record::begin(&path.handle(&core), core.shared.access.as_ref(), &head, path.ends(), || local.wall());
    if let Err(failure) = path.prepare(&core, &mut head) {
        return refuse_head(&mut record, reply, &head, failure);
    }
    if let Some(tracing) = &core.shared.tracing
        && let Some(span) = tracing.begin(&core, &path, &mut head)
    {
        record.traced(span, &head, path.ends(), local.wall());
    }
    record.prepared(&head);
    path.learn_caller(&core).await;
    let view = core.view();
    let decided = path.decide(&view, &head, core.draw(), &mut Silent);
    record.decided(decided.rule.and_then(|rule| rule.name.as_ref()), decided.details);
    let injected = decided.injected;
    if injected != Injected::default() {
        // In a box, or every request would hold the room of a wait.
        let injecting = Box::pin(fault::inject(&core, &path, &view, &mut record, &head, reply, injected));
        match injecting.await {
            Some(back) => reply = back,
            None => return,
        }
    }
    match decided.decision {
        Decision::Fail(failure) => refuse(&mut record, reply, failure),
        Decision::Respond { status, body, edits } => respond(&mut record, reply, status, None, body, edits),
        Decision::Redirect { status, location, edits } => {
            respond(&mut record, reply, status, Some(&location), Bytes::new(), edits);
        }
        Decision::Forward(plan) => {
            let forwarding = Forwarding { core: &core, path: &path, view: &view, plan: &plan, web };
            forwarding.run(&mut record, head, body, reply, fault::waited(injected)).await;
        }
    }
}

/// Answers from the failure table.
fn refuse(record: &mut Record, reply: Reply, failure: Failure) {
    record.failed(failure);
    reply.local(failure, record.is_grpc());
}

/// Answers a request whose head can't be made trustworthy, with the rule that its path breaks.
fn refuse_head(record: &mut Record, reply: Reply, head: &RequestHead, failure: Failure) {
    let refused = Refused::head(head, failure);
    let Some(why) = refused.why() else { return refuse(record, reply, failure) };
    record.failed(failure);
    record.details(refused.details());
    reply.local_because(failure, record.is_grpc(), why);
}

/// Answers as a rule says.
fn respond(
    record: &mut Record,
    reply: Reply,
    status: u16,
    location: Option<&str>,
    body: Bytes,
    edits: &HeaderEdits,
) {
    let Ok(status) = StatusCode::from_u16(status) else { return refuse(record, reply, Failure::Internal) };
    let mut head = ResponseHead::new(status);
    if let Some(location) = location
        && head.fields_mut().set("location", location.as_bytes()).is_err()
    {
        return refuse(record, reply, Failure::Internal);
    }
    headers::edit(head.fields_mut(), edits);
    record.answered(&head);
    record.details("direct_response".to_owned());
    reply.whole(head, body);
}

/// A request that is being sent on.
#[derive(Clone, Copy)]
struct Forwarding<'f> {
    core: &'f Rc<Core>,
    path: &'f Path,
    /// By which it was decided.
    view: &'f Rc<Held>,
    plan: &'f Plan<'f>,
    /// The client speaks gRPC-Web.
    web: Option<Form>,
}

impl Forwarding<'_> {
    /// `waited` is for how long it was held up on purpose: its caller's time went by, the route's begins now.
    async fn run(
        self,
        record: &mut Record,
        mut head: RequestHead,
        body: Incoming,
        reply: Reply,
        waited: Duration,
    ) {
        // Policies, where there are any, are about the request as it came.
        let came = (self.path.judges() && self.plan.edits_request()).then(|| head.clone());
        if let Err(failure) = self.plan.edit(&mut head) {
            return refuse(record, reply, failure);
        }
        let wishes = hints::take(self.path, &mut head, waited);
        let body = if self.plan.mirrors.is_empty() { body } else { self.mirror(&head, body) };
        let rule = self.view.mesh.as_deref().map(|mesh| mesh.repeat).unwrap_or_default();
        let mut terms = Terms::new(&self.plan.settings, head.method(), rule, wishes.as_deref());
        let grpc = hints::grpc_deadline(&head, waited);
        terms.timeout = leno_engine::deadline::nearest([terms.timeout, grpc]);
        let mut deadline = terms.timeout.map(|timeout| self.core.alarms.after(timeout));
        let mut tries = Tries {
            on: self,
            terms: &terms,
            is_grpc_timed: grpc.is_some(),
            came: came.as_ref(),
            affinity: upstream::affinity(&self.plan.to, &head, self.path, || self.core.draw(), &mut Silent),
            body: Body::new(body, head.connect(), terms.attempts > 0, &self.core.shared.budget),
            began: recent().into_std(),
            count: 0,
            failed: Vec::new(),
            permit: None,
        };
        tries.run(record, &mut head, reply, &mut deadline).await;
    }
}

/// Waits until a change of policy or trust denies a request that is under way. `decided` is the view that allowed it.
async fn denied(core: &Core, path: &Path, decided: &Rc<Held>, head: &RequestHead) -> Failure {
    if !path.judges() {
        return std::future::pending().await;
    }
    let mut changed = core.shared.changed.subscribe();
    loop {
        if !Rc::ptr_eq(&core.view(), decided) {
            path.learn_caller(core).await;
            if let Err(failure) = path.judge(&core.view(), head) {
                return failure;
            }
        }
        if changed.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

/// Whether a deadline has passed; wakes the task when it does.
fn is_over(deadline: &mut Option<Alarm>, cx: &mut Context<'_>) -> bool {
    deadline.as_mut().is_some_and(|deadline| deadline.poll(cx).is_ready())
}

/// Waits until a deadline; for ever without one.
async fn until(deadline: &mut Option<Alarm>) {
    poll_fn(|cx| if is_over(deadline, cx) { Poll::Ready(()) } else { Poll::Pending }).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size<A, B, C, D, R>(_: impl FnOnce(A, B, C, D) -> R) -> usize {
        size_of::<R>()
    }

    /// What a request takes while it is served, beside its buffers. It is moved when it begins, so its size is time.
    #[test]
    fn a_request_stays_small() {
        let bytes = size(serve);
        assert!(bytes <= 2_560, "{bytes} bytes: beyond the allocator's class of 2.5 KiB");
    }
}
