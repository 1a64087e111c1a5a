//! The answer that counts: its head is edited and sent, its body relayed.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use http::StatusCode;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use leno_engine::state::{InFlight, Outcome};
use leno_http::exchange::{Incoming, Outgoing, Reply};
use leno_http::grpc_web;
use leno_http::head::RequestHead;
use leno_http::relay::{self, BodyEnd};
use leno_model::failure::{Failure, Fault, grpc};
use leno_runtime::clock::recent;

use super::attempt::{Begun, Sent};
use super::tunnel::is_tunnel;
use super::{Forwarding, denied, hints, is_over};
use crate::alarm::Alarm;
use crate::headers;
use crate::record::Record;

impl Forwarding<'_> {
    /// Passes the answer that counts on. `in_flight` counts the request at its endpoint.
    pub(super) async fn answer(
        self,
        record: &mut Record,
        request: &RequestHead,
        begun: Begun,
        in_flight: Option<InFlight>,
        reply: Reply,
        deadline: &mut Option<Alarm>,
    ) {
        let Begun { mut head, grpc_status, incoming, sent, .. } = begun;
        let now = recent().into_std();
        let service_time = now.saturating_duration_since(sent.at);
        let outcome = outcome(head.status(), grpc_status, service_time);
        let tunnels = is_tunnel(request, head.status());
        let in_flight = match in_flight {
            Some(in_flight) if tunnels || outcome.is_failure() => {
                in_flight.learn(now, outcome);
                Some((in_flight, None))
            }
            Some(in_flight) => {
                // From what is here as a whole is learnt once it was sent on: nobody is to wait for that.
                match incoming.is_here() {
                    true => in_flight.heard(),
                    false => in_flight.begun(now, service_time),
                }
                Some((in_flight, Some(outcome)))
            }
            None => None,
        };
        record.service_time(service_time);
        for edits in self.plan.response_headers {
            headers::edit(head.fields_mut(), edits);
        }
        hints::mark_answer(self.core, self.path, request, &mut head);
        self.path.answered(self.core, &mut head, service_time);
        record.answered(&head);
        let incoming = match self.web {
            Some(form) => grpc_web::answer(form, &mut head, incoming),
            None => incoming,
        };
        let outgoing = reply.head(head);
        if tunnels {
            return Box::pin(self.tunnel(record, request, sent, incoming, outgoing)).await;
        }
        let is_broken = self.relay(record, request, sent, incoming, outgoing, deadline).await;
        if let Some((in_flight, Some(outcome))) = in_flight {
            in_flight.learn(recent().into_std(), if is_broken { Outcome::Failed } else { outcome });
        }
    }

    /// Passes the body on; whether the endpoint broke it off.
    async fn relay(
        self,
        record: &mut Record,
        request: &RequestHead,
        mut sent: Box<Sent>,
        mut incoming: Incoming,
        mut outgoing: Outgoing,
        deadline: &mut Option<Alarm>,
    ) -> bool {
        let mut denied = pin!(denied(self.core, self.path, self.view, request));
        let step = poll_fn(|cx| {
            if let Poll::Ready(end) =
                relay::poll_body(&mut incoming, &mut outgoing, record.response_tally(), cx)
            {
                return Poll::Ready(Ok(end));
            }
            if sent.uploading {
                let Sent { body, outgoing, .. } = &mut *sent;
                match relay::poll_body(body, outgoing, record.request_tally(), cx) {
                    Poll::Ready(BodyEnd::Complete | BodyEnd::Stopped(_)) => sent.uploading = false,
                    Poll::Ready(BodyEnd::Aborted(failure)) => return Poll::Ready(Err(failure)),
                    Poll::Pending => {}
                }
            }
            if let Poll::Ready(failure) = denied.as_mut().poll(cx) {
                return Poll::Ready(Ok(BodyEnd::Aborted(failure)));
            }
            if is_over(deadline, cx) {
                return Poll::Ready(Ok(BodyEnd::Aborted(Failure::UpstreamTimeout)));
            }
            Poll::Pending
        });
        let end = match step.await {
            Ok(end) => end,
            Err(failure) => {
                record.failed(failure);
                outgoing.abort(failure);
                return false;
            }
        };
        match end {
            BodyEnd::Complete => false,
            BodyEnd::Aborted(failure) => {
                record.failed(failure);
                match trailers(failure).filter(|_| record.is_grpc() && !outgoing.is_finished()) {
                    Some(trailers) => outgoing.trailers(trailers),
                    None => outgoing.abort(failure),
                }
                // That its time is over is no fault of a long answer.
                failure.row().fault == Fault::Upstream && failure != Failure::UpstreamTimeout
            }
            BodyEnd::Stopped(failure) => {
                record.failed(failure);
                false
            }
        }
    }
}

/// How a gRPC answer ends that has begun when its time is over: as its client would have ended it.
fn trailers(failure: Failure) -> Option<HeaderMap> {
    let row = failure.row();
    if row.grpc != grpc::DEADLINE_EXCEEDED {
        return None;
    }
    let message = HeaderValue::from_static(row.body);
    Some(HeaderMap::from_iter([
        (HeaderName::from_static("grpc-status"), HeaderValue::from(u16::from(row.grpc))),
        (HeaderName::from_static("grpc-message"), message),
    ]))
}

/// Tells the balancer and outlier detection how the endpoint did.
pub(super) fn learn(in_flight: Option<&InFlight>, begun: &Begun, now: Instant, service_time: Duration) {
    if let Some(in_flight) = in_flight {
        in_flight.learn(now, outcome(begun.head.status(), begun.grpc_status, service_time));
    }
}

/// What the head of an answer says about the endpoint.
fn outcome(status: StatusCode, grpc_status: Option<u16>, latency: Duration) -> Outcome {
    let status = grpc_status.map_or(status.as_u16(), grpc::http_status);
    Outcome::Status { status, latency }
}
