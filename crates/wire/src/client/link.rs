//! An open stream to the control plane.

use std::fmt;

use futures_util::StreamExt;
use futures_util::stream;
use tokio::sync::mpsc;

use super::machine::Machine;
use crate::limits;
use crate::proto::discovery::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use crate::proto::discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use crate::server::hub::Responses;
use crate::transport::{Channel, DialError, Endpoint, Remote, dial, origin, request};

/// Both directions of a stream, and what carries it.
pub(super) struct Link {
    /// Has room for one request.
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: Responses,
    _channel: Option<Channel>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link")
    }
}

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    #[error("the control plane cannot be reached")]
    Dial(#[source] DialError),
    #[error("the control plane refuses the stream: {} ({:?})", .0.message(), .0.code())]
    Refused(tonic::Status),
    #[error("the stream broke: {} ({:?})", .0.message(), .0.code())]
    Broken(tonic::Status),
    #[error("the control plane ended the stream")]
    Ended,
}

impl Link {
    pub(super) async fn open(endpoint: Endpoint) -> Result<Self, LinkError> {
        match endpoint {
            Endpoint::Remote(remote) => Self::open_remote(&remote).await,
            Endpoint::Memory(hub) => {
                let (requests, inbox) = mpsc::channel(1);
                let inbox =
                    stream::unfold(inbox, |mut inbox| async { Some((Ok(inbox.recv().await?), inbox)) });
                Ok(Self { requests, responses: hub.open_here(Box::pin(inbox)), _channel: None })
            }
        }
    }

    async fn open_remote(remote: &Remote) -> Result<Self, LinkError> {
        let mut channel = dial(remote).await.map_err(LinkError::Dial)?;
        let (requests, inbox) = mpsc::channel(1);
        let inbox = stream::unfold(inbox, |mut inbox| async { Some((inbox.recv().await?, inbox)) });
        let request = request(inbox, remote.token.as_ref()).map_err(LinkError::Dial)?;
        let responses = AggregatedDiscoveryServiceClient::with_origin(&mut channel, origin())
            .max_decoding_message_size(limits::MAX_MESSAGE_BYTES)
            .delta_aggregated_resources(request)
            .await
            .map_err(LinkError::Refused)?;
        Ok(Self { requests, responses: Box::pin(responses.into_inner()), _channel: Some(channel) })
    }

    /// The next response; meanwhile, requests are sent as there are any and there is room. `None` after each of these.
    /// Cancel-safe: a request is taken from the machine only when it can be sent at once.
    pub(super) async fn next(
        &mut self,
        machine: &mut Machine,
    ) -> Result<Option<DeltaDiscoveryResponse>, LinkError> {
        tokio::select! {
            response = self.responses.next() => match response {
                Some(Ok(response)) => Ok(Some(response)),
                Some(Err(status)) => Err(LinkError::Broken(status)),
                None => Err(LinkError::Ended),
            },
            room = room(&self.requests), if machine.has_request() => {
                if let Some(request) = machine.next_request() {
                    room.send(request);
                }
                Ok(None)
            }
        }
    }
}

/// Room for a request. Where the control plane takes no more, there never is: its responses will say why.
async fn room<T>(requests: &mpsc::Sender<T>) -> mpsc::Permit<'_, T> {
    match requests.reserve().await {
        Ok(room) => room,
        Err(_closed) => std::future::pending().await,
    }
}
