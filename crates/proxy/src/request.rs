//! The path of a request, top to bottom: record, prepare, decide, edit, choose, send, relay, tell.

use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;
use leno_engine::explain::Silent;
use leno_engine::state::{InFlight, Outcome};
use leno_http::exchange::{Answer, Exchange, Incoming, Outgoing, Progress, Reply, Response};
use leno_http::head::{Connect, RequestHead, ResponseHead, Version};
use leno_http::normalize::{self, PathMode};
use leno_http::relay::{self, BodyEnd, DuplexEnd};
use leno_http::server::Protocol;
use leno_model::failure::Failure;
use leno_model::request::RequestView as _;
use leno_model::route::HeaderEdits;
use tokio::time::Sleep;

use crate::core::{Core, Held};
use crate::dial::dial;
use crate::headers;
use crate::limits::ATTEMPTS;
use crate::path::{Decision, Path, Plan};
use crate::places::Busy;
use crate::pool::Lease;
use crate::record::Record;
use crate::refused::Refused;
use crate::upstream::{self, Chosen, Spoken};

/// Serves one request to its end; its connection is busy for as long.
pub(crate) async fn serve(core: Rc<Core>, path: Rc<Path>, exchange: Exchange, _busy: Busy) {
    let Exchange { mut head, body, mut reply } = exchange;
    let local = path.local();
    let mut record =
        Record::begin(&path.handle(&core), core.shared.access.as_ref(), &head, path.ends(), || {
            local.clock.wall()
        });
    if core.shared.lifecycle.drain().is_begun() {
        reply.close_after();
    }
    if let Err(failure) = path.prepare(&core, &mut head) {
        return refuse_head(&mut record, reply, &head, failure);
    }
    record.prepared(&head);
    path.learn_caller(&core).await;
    let view = core.view();
    let decided = path.decide(&view, &head, core.draw(), &mut Silent);
    record.decided(decided.rule.and_then(|rule| rule.name.as_ref()), decided.details);
    match decided.decision {
        Decision::Fail(failure) => refuse(&mut record, reply, failure),
        Decision::Respond { status, body, edits } => respond(&mut record, reply, status, None, body, edits),
        Decision::Redirect { status, location, edits } => {
            respond(&mut record, reply, status, Some(&location), Bytes::new(), edits);
        }
        Decision::Forward(plan) => {
            let mut forwarding =
                Forwarding { core: &core, path: &path, view: &view, plan: &plan, record: &mut record };
            forwarding.run(head, body, reply).await;
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
    let rejected = normalize::path(head.path(), PathMode::default()).err();
    let Some(rejected) = rejected.filter(|_| failure == Failure::PathRejected) else {
        return refuse(record, reply, failure);
    };
    record.failed(failure);
    record.details(Refused::because(failure, rejected).details());
    reply.local_because(failure, record.is_grpc(), &rejected.to_string());
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
struct Forwarding<'f> {
    core: &'f Rc<Core>,
    path: &'f Path,
    /// By which it was decided.
    view: &'f Rc<Held>,
    plan: &'f Plan<'f>,
    record: &'f mut Record,
}

/// A connection with the request on it.
struct Sent {
    lease: Lease,
    outgoing: Outgoing,
    response: Response,
    in_flight: Option<InFlight>,
    sent_at: Instant,
    uid: Option<Arc<str>>,
}

/// What came of waiting for the response.
enum Begun {
    /// It has begun. Whether the request's body is still being sent.
    Answer(ResponseHead, Incoming, bool),
    /// The upstream failed, having got this far.
    Failed(Failure, Progress),
    /// There is nobody to answer any more.
    Over(Failure),
    /// It is denied by now, or its body turns out to be wrong.
    Refused(Failure),
}

impl Forwarding<'_> {
    async fn run(&mut self, mut head: RequestHead, mut body: Incoming, mut reply: Reply) {
        // A gateway's policies are about the request as it came.
        let came = self.plan.edits_request().then(|| head.clone());
        if let Err(failure) = self.plan.edit(&mut head) {
            return refuse(self.record, reply, failure);
        }
        let seen = came.as_ref().unwrap_or(&head);
        let mut deadline = pin!(self.plan.timeout.map(tokio::time::sleep));
        let mut tried = Vec::new();
        let mut last = Failure::NoEndpoint;
        for attempt in 1..=ATTEMPTS {
            let sent = tokio::select! {
                biased;
                sent = self.send(&head, &tried) => sent,
                failure = reply.closed() => return self.record.failed(failure),
                () = until(deadline.as_mut()) => Err((Failure::UpstreamTimeout, None)),
            };
            let mut sent = match sent {
                Ok(sent) => sent,
                Err((failure, uid)) => {
                    last = failure;
                    let Some(uid) = uid.filter(|_| attempt < ATTEMPTS && is_connect_failure(failure)) else {
                        break;
                    };
                    tried.push(uid);
                    continue;
                }
            };
            match self.begin(seen, &mut sent, &mut body, &mut reply, deadline.as_mut()).await {
                Begun::Answer(answer, incoming, uploading) => {
                    return self.answer(seen, sent, answer, incoming, uploading, body, reply, deadline).await;
                }
                Begun::Over(failure) => return self.record.failed(failure),
                Begun::Refused(failure) => return refuse(self.record, reply, failure),
                Begun::Failed(failure, progress) => {
                    last = failure;
                    let in_time = failure != Failure::UpstreamTimeout;
                    let again = in_time && attempt < ATTEMPTS && self.may_repeat(&head, &sent, progress);
                    if let Some(in_flight) = sent.in_flight.take() {
                        in_flight.finish(Instant::now(), Outcome::Failed);
                    }
                    if !again {
                        break;
                    }
                    tried.extend(sent.uid.take().filter(|_| !sent.lease.reused));
                }
            }
        }
        refuse(self.record, reply, last);
    }

    /// Chooses an endpoint and puts the request's head on a connection to it. On failure says which endpoint it was.
    async fn send(
        &mut self,
        head: &RequestHead,
        tried: &[Arc<str>],
    ) -> Result<Sent, (Failure, Option<Arc<str>>)> {
        let protocol = self.plan.protocol.unwrap_or_else(|| protocol_of(head.version()));
        let spoken = Spoken::Http(protocol);
        let mut chosen =
            upstream::choose(self.core, &self.plan.to, spoken, tried).map_err(|failure| (failure, None))?;
        self.path.chosen(self.core, &chosen, self.record);
        let result = self.connect(head, &mut chosen, protocol).await;
        match result {
            Ok((lease, outgoing, response)) => {
                self.record.upstream(chosen.target, lease.local(), || self.plan.to.to_string());
                let uid = chosen.uid().cloned();
                let in_flight = chosen.in_flight.take();
                Ok(Sent { lease, outgoing, response, in_flight, sent_at: Instant::now(), uid })
            }
            Err(failure) => {
                self.record.upstream(chosen.target, None, || self.plan.to.to_string());
                if let Some(in_flight) = chosen.in_flight.take() {
                    in_flight.finish(Instant::now(), Outcome::Failed);
                }
                Err((failure, chosen.uid().cloned()))
            }
        }
    }

    async fn connect(
        &self,
        head: &RequestHead,
        chosen: &mut Chosen,
        protocol: Protocol,
    ) -> Result<(Lease, Outgoing, Response), Failure> {
        let local = self.path.local();
        let key = chosen.key(local, protocol);
        let repeatable = is_safe(head);
        // A pooled connection that turns out to be gone is no failure of the endpoint: the next is tried at once.
        loop {
            let dialling = async || dial(self.core, local, &chosen.way, chosen.limit).await;
            let mut lease = self.core.pool.lease(&key, repeatable, local.wall(), dialling).await?;
            match lease.connection()?.send(head).await {
                Ok((outgoing, response)) => return Ok((lease, outgoing, response)),
                // Left in the pool it could be the next one again.
                Err(unsent) if lease.reused && unsent.failure == Failure::UpstreamClosed => lease.discard(),
                Err(unsent) => return Err(unsent.failure),
            }
        }
    }

    /// Waits for the response's head while the body goes up.
    async fn begin(
        &mut self,
        head: &RequestHead,
        sent: &mut Sent,
        body: &mut Incoming,
        reply: &mut Reply,
        mut deadline: Pin<&mut Option<Sleep>>,
    ) -> Begun {
        let tally = self.record.request_tally();
        // What can be sent at once needs no watching.
        let is_stream = !body.is_ended();
        let denied = denied(self.core, self.path, self.view, head);
        tokio::pin!(denied);
        let mut uploading = true;
        loop {
            tokio::select! {
                biased;
                answer = sent.response.head() => match answer {
                    Ok(Answer::Final(head, incoming)) => return Begun::Answer(head, incoming, uploading),
                    Ok(Answer::Informational(head)) => {
                        if let Err(failure) = reply.informational(&head).await {
                            return Begun::Over(failure);
                        }
                    }
                    Err(failure) => return Begun::Failed(failure, sent.response.progress()),
                },
                end = relay::body(body, &mut sent.outgoing, tally), if uploading => match end {
                    // The answer may say more than that the upstream stopped reading.
                    BodyEnd::Complete | BodyEnd::Stopped(_) => uploading = false,
                    BodyEnd::Aborted(failure) => return Begun::Refused(failure),
                },
                failure = reply.closed() => return Begun::Over(failure),
                failure = &mut denied, if is_stream => return Begun::Refused(failure),
                () = until(deadline.as_mut()) => {
                    return Begun::Failed(Failure::UpstreamTimeout, Progress::Sent);
                }
            }
        }
    }

    /// Whether a request that the upstream failed may be sent again without any harm: it was never processed, or it is
    /// safe and died with a connection that had gone stale.
    fn may_repeat(&self, head: &RequestHead, sent: &Sent, progress: Progress) -> bool {
        let untouched = self.record.request_tally().moves() == 0;
        let unprocessed = matches!(progress, Progress::NotSent | Progress::Refused);
        let stale = sent.lease.reused && progress == Progress::Sent && is_safe(head);
        untouched && (unprocessed || stale) && !matches!(head.connect(), Connect::Upgrade(_))
    }

    #[expect(clippy::too_many_arguments, reason = "the two exchanges and what limits them")]
    async fn answer(
        &mut self,
        request: &RequestHead,
        mut sent: Sent,
        mut head: ResponseHead,
        mut incoming: Incoming,
        mut uploading: bool,
        mut body: Incoming,
        reply: Reply,
        mut deadline: Pin<&mut Option<Sleep>>,
    ) {
        let now = Instant::now();
        let service_time = now.saturating_duration_since(sent.sent_at);
        self.learn(&sent, &head, now, service_time);
        self.record.service_time(service_time);
        for edits in self.plan.response_headers {
            headers::edit(head.fields_mut(), edits);
        }
        self.path.answered(self.core, &mut head, service_time);
        self.record.answered(&head);
        let tunnels = is_tunnel(request, head.status());
        let mut outgoing = reply.head(head);
        if tunnels {
            return self.tunnel(request, sent, incoming, outgoing, body).await;
        }
        let denied = denied(self.core, self.path, self.view, request);
        tokio::pin!(denied);
        let end = loop {
            tokio::select! {
                biased;
                end = relay::body(&mut incoming, &mut outgoing, self.record.response_tally()) => break end,
                end = relay::body(&mut body, &mut sent.outgoing, self.record.request_tally()), if uploading => {
                    match end {
                        BodyEnd::Complete | BodyEnd::Stopped(_) => uploading = false,
                        BodyEnd::Aborted(failure) => {
                            self.record.failed(failure);
                            outgoing.abort(failure);
                            return;
                        }
                    }
                },
                failure = &mut denied => break BodyEnd::Aborted(failure),
                () = until(deadline.as_mut()) => break BodyEnd::Aborted(Failure::UpstreamTimeout),
            }
        };
        match end {
            BodyEnd::Complete => {}
            BodyEnd::Aborted(failure) => {
                self.record.failed(failure);
                outgoing.abort(failure);
            }
            BodyEnd::Stopped(failure) => self.record.failed(failure),
        }
    }

    /// Tells the balancer how the endpoint did.
    fn learn(&self, sent: &Sent, head: &ResponseHead, now: Instant, service_time: Duration) {
        let Some(in_flight) = &sent.in_flight else { return };
        let failing = head.status().is_server_error()
            || head.grpc_status() == Some(u16::from(leno_model::failure::grpc::UNAVAILABLE));
        in_flight.learn(now, if failing { Outcome::Failed } else { Outcome::Answered(service_time) });
    }

    /// Joins both sides to one byte stream, until both directions have ended or it is denied.
    async fn tunnel(
        &mut self,
        request: &RequestHead,
        sent: Sent,
        incoming: Incoming,
        outgoing: Outgoing,
        body: Incoming,
    ) {
        let Sent { lease, outgoing: up, response, in_flight, .. } = sent;
        let mut upstream = up.into_tunnel(incoming);
        let mut downstream = outgoing.into_tunnel(body);
        let (there, back) = (self.record.request_tally(), self.record.response_tally());
        let failure = tokio::select! {
            biased;
            end = relay::duplex(&mut downstream, &mut upstream, there, back) => match end {
                DuplexEnd::Complete => None,
                DuplexEnd::First(_) => Some(Failure::DownstreamGone),
                DuplexEnd::Second(_) => Some(Failure::UpstreamClosed),
            },
            failure = denied(self.core, self.path, self.view, request) => Some(failure),
        };
        if let Some(failure) = failure {
            self.record.failed(failure);
        }
        // The halves end before the connection that they are of.
        drop((upstream, response, in_flight, lease));
    }
}

/// Waits until a change of policy or trust denies a request that is under way. `decided` is the view that allowed it.
async fn denied(core: &Core, path: &Path, decided: &Rc<Held>, head: &RequestHead) -> Failure {
    if matches!(path, Path::Outbound(_)) {
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

/// The protocol that a client speaks, for the upstream to be spoken to alike.
fn protocol_of(version: Version) -> Protocol {
    match version {
        Version::Http2 => Protocol::Http2,
        _ => Protocol::Http1,
    }
}

/// Whether what follows the response is a byte stream of both directions.
fn is_tunnel(request: &RequestHead, status: StatusCode) -> bool {
    match request.connect() {
        Connect::None => false,
        Connect::Upgrade(_) => status == StatusCode::SWITCHING_PROTOCOLS,
        Connect::Connect | Connect::Extended(_) => {
            status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS
        }
    }
}

/// Whether the method promises to change nothing (RFC 9110 §9.2.1).
fn is_safe(head: &RequestHead) -> bool {
    matches!(head.method_ref().as_str(), "GET" | "HEAD" | "OPTIONS")
}

/// Failures before a byte of the request left.
fn is_connect_failure(failure: Failure) -> bool {
    matches!(
        failure,
        Failure::ConnectFailed
            | Failure::ConnectTimeout
            | Failure::UpstreamRefused
            | Failure::Overflow
            | Failure::TlsFailed
            | Failure::WrongIdentity
    )
}

/// Waits until a deadline; for ever without one. The timer is one for the whole exchange, since setting it costs more
/// than asking it.
async fn until(deadline: Pin<&mut Option<Sleep>>) {
    match deadline.as_pin_mut() {
        Some(deadline) => deadline.await,
        None => std::future::pending().await,
    }
}
