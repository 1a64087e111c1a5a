//! The answer that counts: its head is edited and sent, its body relayed.

use std::pin::Pin;
use std::time::{Duration, Instant};

use http::header::{HeaderMap, HeaderName, HeaderValue};
use leno_engine::state::{InFlight, Outcome};
use leno_http::exchange::{Incoming, Outgoing, Reply};
use leno_http::head::{RequestHead, ResponseHead};
use leno_http::relay::{self, BodyEnd};
use leno_model::failure::{Failure, grpc};
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
        learn(in_flight.as_ref(), &head, now, service_time);
        record.service_time(service_time);
        for edits in self.plan.response_headers {
            headers::edit(head.fields_mut(), edits);
        }
        hints::mark_answer(self.core, self.path, request, &mut head);
        self.path.answered(self.core, &mut head, service_time);
        record.answered(&head);
        let tunnels = is_tunnel(request, head.status());
        let outgoing = reply.head(head);
        if tunnels {
            return Box::pin(self.tunnel(record, request, sent, incoming, outgoing)).await;
        }
        self.relay(record, request, sent, incoming, outgoing, deadline).await;
    }

    async fn relay(
        self,
        record: &mut Record,
        request: &RequestHead,
        mut sent: Sent,
        mut incoming: Incoming,
        mut outgoing: Outgoing,
        mut deadline: Pin<&mut Option<Sleep>>,
    ) {
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
                record.failed(failure);
                match trailers(failure).filter(|_| record.is_grpc()) {
                    Some(trailers) => outgoing.trailers(trailers),
                    None => outgoing.abort(failure),
                }
            }
            BodyEnd::Stopped(failure) => record.failed(failure),
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
    let Some(in_flight) = in_flight else { return };
    let status = match head.grpc_status() {
        Some(status) => grpc::http_status(status),
        None => head.status().as_u16(),
    };
    in_flight.learn(now, Outcome::Status { status, latency: service_time });
}
