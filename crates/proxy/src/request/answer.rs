//! The answer that counts: its head is edited and sent, its body relayed.

use std::pin::Pin;
use std::time::{Duration, Instant};

use http::header::{HeaderMap, HeaderName, HeaderValue};
use leno_engine::state::{InFlight, Outcome};
use leno_http::exchange::{Incoming, Outgoing, Reply};
use leno_http::grpc_web;
use leno_http::head::{RequestHead, ResponseHead};
use leno_http::relay::{self, BodyEnd};
use leno_model::failure::{Failure, Fault, grpc};
use tokio::time::Sleep;

use super::attempt::{Begun, Sent};
use super::tunnel::is_tunnel;
use super::{Forwarding, denied, hints, until};
use crate::headers;
use crate::record::Record;

impl Forwarding<'_> {
    /// Passes the answer that counts on. `in_flight` counts the request at its endpoint.
    pub(super) async fn answer(
        self,
        record: &mut Record,
        request: &RequestHead,
        begun: Box<Begun>,
        in_flight: Option<InFlight>,
        reply: Reply,
        deadline: Pin<&mut Option<Sleep>>,
    ) {
        let Begun { mut head, incoming, sent, .. } = *begun;
        let now = Instant::now();
        let service_time = now.saturating_duration_since(sent.at);
        let outcome = outcome(&head, service_time);
        let tunnels = is_tunnel(request, head.status());
        let in_flight = match in_flight {
            Some(in_flight) if tunnels || incoming.is_ended() || outcome.is_failure() => {
                in_flight.learn(now, outcome);
                Some((in_flight, None))
            }
            Some(in_flight) => {
                in_flight.begun(now, service_time);
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
            in_flight.learn(Instant::now(), if is_broken { Outcome::Failed } else { outcome });
        }
    }

    /// Passes the body on; whether the endpoint broke it off.
    async fn relay(
        self,
        record: &mut Record,
        request: &RequestHead,
        mut sent: Sent,
        mut incoming: Incoming,
        mut outgoing: Outgoing,
        mut deadline: Pin<&mut Option<Sleep>>,
    ) -> bool {
        let denied = denied(self.core, self.path, self.view, request);
        tokio::pin!(denied);
        let end = loop {
            tokio::select! {
                biased;
                end = relay::body(&mut incoming, &mut outgoing, record.response_tally()) => break end,
                end = relay::body(&mut sent.body, &mut sent.outgoing, record.request_tally()), if sent.uploading => {
                    match end {
                        BodyEnd::Complete | BodyEnd::Stopped(_) => sent.uploading = false,
                        BodyEnd::Aborted(failure) => {
                            record.failed(failure);
                            outgoing.abort(failure);
                            return false;
                        }
                    }
                },
                failure = &mut denied => break BodyEnd::Aborted(failure),
                () = until(deadline.as_mut()) => break BodyEnd::Aborted(Failure::UpstreamTimeout),
            }
        };
        match end {
            BodyEnd::Complete => false,
            BodyEnd::Aborted(failure) => {
                record.failed(failure);
                match trailers(failure).filter(|_| record.is_grpc()) {
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
pub(super) fn learn(in_flight: Option<&InFlight>, head: &ResponseHead, now: Instant, service_time: Duration) {
    if let Some(in_flight) = in_flight {
        in_flight.learn(now, outcome(head, service_time));
    }
}

/// What the head of an answer says about the endpoint.
fn outcome(head: &ResponseHead, latency: Duration) -> Outcome {
    let status = match head.grpc_status() {
        Some(status) => grpc::http_status(status),
        None => head.status().as_u16(),
    };
    Outcome::Status { status, latency }
}
