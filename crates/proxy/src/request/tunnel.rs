//! What follows an upgrade or CONNECT: bytes in both directions.

use http::StatusCode;
use leno_http::exchange::{Incoming, Outgoing};
use leno_http::head::{Connect, RequestHead};
use leno_http::relay::{self, DuplexEnd};
use leno_model::failure::Failure;

use super::attempt::Sent;
use super::{Forwarding, denied};
use crate::record::Record;

/// Whether what follows the response is a byte stream of both directions.
pub(super) fn is_tunnel(request: &RequestHead, status: StatusCode) -> bool {
    match request.connect() {
        Connect::None => false,
        Connect::Upgrade(_) => status == StatusCode::SWITCHING_PROTOCOLS,
        Connect::Connect | Connect::Extended(_) => {
            status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS
        }
    }
}

impl Forwarding<'_> {
    /// Joins both sides to one byte stream, until both directions have ended or it is denied.
    pub(super) async fn tunnel(
        self,
        record: &mut Record,
        request: &RequestHead,
        sent: Box<Sent>,
        incoming: Incoming,
        outgoing: Outgoing,
    ) {
        let Sent { lease, outgoing: up, response, body, .. } = *sent;
        let mut upstream = up.into_tunnel(incoming);
        let mut downstream = outgoing.into_tunnel(body);
        let (there, back) = (record.request_tally(), record.response_tally());
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
            record.failed(failure);
        }
        // The halves end before the connection that they are of.
        drop((upstream, response, lease));
    }
}
