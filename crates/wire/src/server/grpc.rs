//! The gRPC services, on top of what the control plane implements.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use leno_model::secret::SecretBytes;
use tokio::sync::watch;
use tonic::{Request, Response, Status, Streaming};

use super::authority::{Authority, Credentials, Peer, SignError};
use super::hub::{Hub, Responses};
use crate::limits;
use crate::proto::control::{
    ListObjectsRequest, ListObjectsResponse, ListProxiesRequest, ListProxiesResponse, ListUnitsRequest,
    ListUnitsResponse, status_server,
};
use crate::proto::discovery::DeltaDiscoveryRequest;
use crate::proto::discovery::aggregated_discovery_service_server::AggregatedDiscoveryService;
use crate::proto::istio::v1::auth::istio_certificate_service_server::IstioCertificateService;
use crate::proto::istio::v1::auth::{IstioCertificateRequest, IstioCertificateResponse};
use crate::status;

/// What a connection knows about itself, in the extensions of each of its requests.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) peer: Arc<Peer>,
    pub(super) closing: watch::Receiver<bool>,
    /// Set once a caller on it has proved who it is.
    pub(super) is_proved: Arc<AtomicBool>,
}

impl Connection {
    fn prove(&self) {
        self.is_proved.store(true, Ordering::Relaxed);
    }
}

pub(super) struct Discovery(pub(super) Hub);

#[tonic::async_trait]
impl AggregatedDiscoveryService for Discovery {
    type DeltaAggregatedResourcesStream = Responses;

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Responses>, Status> {
        let connection = connection(&request)?;
        let credentials = Credentials { peer: &connection.peer, token: token(&request)? };
        let requests = Box::pin(request.into_inner());
        let responses = self.0.open_remote(&credentials, requests, connection.closing.clone())?;
        connection.prove();
        Ok(Response::new(responses))
    }
}

pub(super) struct Certificates(pub(super) Arc<dyn Authority>);

#[tonic::async_trait]
impl IstioCertificateService for Certificates {
    async fn create_certificate(
        &self,
        request: Request<IstioCertificateRequest>,
    ) -> Result<Response<IstioCertificateResponse>, Status> {
        let connection = connection(&request)?;
        let credentials = Credentials { peer: &connection.peer, token: token(&request)? };
        let caller = self
            .0
            .authenticate(&credentials)
            .map_err(|_denied| Status::unauthenticated("the credentials do not prove an identity"))?;
        connection.prove();
        let request = request.into_inner();
        if request.csr.len() > limits::MAX_CSR_BYTES {
            return Err(Status::invalid_argument(format!("csr: more than {} bytes", limits::MAX_CSR_BYTES)));
        }
        let seconds = u64::try_from(request.validity_duration)
            .map_err(|_negative| Status::invalid_argument("validity_duration: negative"))?;
        let signed = self.0.sign(&caller, &request.csr, Duration::from_secs(seconds));
        match leno_runtime::time::timeout(limits::CERTIFICATE_TIMEOUT, signed).await {
            Ok(Ok(cert_chain)) => Ok(Response::new(IstioCertificateResponse { cert_chain })),
            Ok(Err(SignError::Request(reason))) => Err(Status::invalid_argument(format!("csr: {reason}"))),
            Ok(Err(SignError::Authority(_))) => {
                Err(Status::unavailable("the certificate cannot be signed now"))
            }
            Err(_elapsed) => Err(Status::deadline_exceeded("the certificate was not signed in time")),
        }
    }
}

/// Status needs no proof: who reaches its socket may ask.
pub(super) struct People(pub(super) Arc<dyn status::Status>);

#[tonic::async_trait]
impl status_server::Status for People {
    async fn list_proxies(
        &self,
        request: Request<ListProxiesRequest>,
    ) -> Result<Response<ListProxiesResponse>, Status> {
        connection(&request)?.prove();
        Ok(Response::new(self.0.proxies()))
    }

    async fn list_objects(
        &self,
        request: Request<ListObjectsRequest>,
    ) -> Result<Response<ListObjectsResponse>, Status> {
        connection(&request)?.prove();
        Ok(Response::new(self.0.objects()))
    }

    async fn list_units(
        &self,
        request: Request<ListUnitsRequest>,
    ) -> Result<Response<ListUnitsResponse>, Status> {
        connection(&request)?.prove();
        let proxy = request.into_inner().proxy;
        match self.0.units(&proxy) {
            Some((snapshot, units)) => Ok(Response::new(status::write_units(snapshot, &units))),
            None => Err(Status::not_found(format!("no proxy {proxy:?} is connected"))),
        }
    }
}

fn connection<T>(request: &Request<T>) -> Result<Connection, Status> {
    request.extensions().get::<Connection>().cloned().ok_or_else(|| Status::internal("no connection"))
}

/// The token of `authorization: Bearer`, if there is one.
fn token<T>(request: &Request<T>) -> Result<Option<SecretBytes>, Status> {
    let Some(value) = request.metadata().get("authorization") else { return Ok(None) };
    match value.as_bytes().strip_prefix(b"Bearer ") {
        Some(token) if (1..=limits::MAX_TOKEN_BYTES).contains(&token.len()) => {
            Ok(Some(SecretBytes::new(token)))
        }
        _ => Err(Status::unauthenticated("authorization is not a bearer token")),
    }
}
