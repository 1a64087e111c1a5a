//! The way of exports to a collector: as requests of this proxy, on its own connections.
//!
//! A collector that is a service of the mesh is reached as any other, by mutual TLS and with the endpoint chosen by the
//! engine. One outside is dialled at its address; where the own network leads nowhere, through the mesh's egress, which
//! is asked for [`COLLECTOR`] and knows where that is. Exports say that they aren't sampled, or a collector within the
//! mesh would make a span of each.

mod answer;

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, Method};
use leno_http::exchange::{Answer, Frame, Incoming};
use leno_http::head::{Framing, InvalidField, RequestHead, ResponseHead, Scheme};
use leno_http::relay::{self, BodyEnd, Tally};
use leno_http::server;
use leno_model::destination::ExternalTls;
use leno_model::failure::Failure;
use leno_model::name::Host;
use leno_model::unit;
use leno_telemetry::b3::{Given, Wish};
use leno_telemetry::export::{Outcome, Transport};
use leno_telemetry::propagation::{Place, Propagation};
use leno_telemetry::sampling::Sampler;

use super::{Collector, Headers, Protocol};
use crate::core::Core;
use crate::dial::Dialled;
use crate::limits::{COLLECTOR_ANSWER, POOL_IDLE};
use crate::local::Local;
use crate::outbound::external;
use crate::outside::Client;
use crate::pool::Wanted;
use crate::resolve;
use crate::secure;
use crate::upstream::{self, Spoken, To};

/// The address by which an egress understands "the collector of your configuration".
pub(crate) const COLLECTOR: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 4317);

/// Exports of one proxy.
pub(crate) struct Link {
    core: Rc<Core>,
    local: Arc<Local>,
    collector: Collector,
    propagation: Propagation,
    /// Whether the last export went wrong, which is told once.
    failing: Cell<bool>,
}

impl Transport for Link {
    async fn export(&self, request: &[u8]) -> Outcome {
        let outcome = match Box::pin(self.send(request)).await {
            Ok((head, body, trailers)) => match self.collector.endpoint.protocol {
                Protocol::Grpc => answer::of_grpc(&head, &body, trailers.as_ref()),
                Protocol::HttpProtobuf => answer::of_http(&head, &body),
            },
            Err(failure) => Outcome::Later { after: None, reason: failure.row().details.to_owned() },
        };
        let collector = self.collector.endpoint.authority();
        match &outcome {
            Outcome::Taken { .. } if self.failing.replace(false) => {
                tracing::info!(collector, "the collector takes spans again");
            }
            Outcome::Later { reason, .. } if !self.failing.replace(true) => {
                tracing::warn!(
                    collector,
                    reason,
                    "the collector takes no spans; they wait, and the newest are dropped"
                );
            }
            _ => {}
        }
        outcome
    }

    fn undelivered(&self, spans: u64, reason: &str) {
        tracing::warn!(
            collector = self.collector.endpoint.authority(),
            spans,
            reason,
            "spans were not delivered"
        );
    }
}

impl Link {
    pub(crate) fn new(
        core: Rc<Core>,
        local: Arc<Local>,
        collector: Collector,
        propagation: Propagation,
    ) -> Self {
        Self { core, local, collector, propagation, failing: Cell::new(false) }
    }

    /// Sends an export and reads its answer.
    async fn send(&self, request: &[u8]) -> Result<(ResponseHead, Bytes, Option<HeaderMap>), Failure> {
        let endpoint = &self.collector.endpoint;
        let protocol = match endpoint.protocol {
            Protocol::Grpc => server::Protocol::Http2,
            Protocol::HttpProtobuf => server::Protocol::Http1,
        };
        let body = framed(endpoint.protocol, request);
        let head = self.head(body.len()).map_err(|_invalid| Failure::Internal)?;
        let service = self.service().await?;
        let view = self.core.view();
        let has_egress = view.mesh.as_deref().is_some_and(|mesh| mesh.egress.is_some());
        let to = match &service {
            Some(host) => {
                let tables = view.hosts.get(host).ok_or(Failure::NoDestination)?;
                To::Cluster { cluster: tables.cluster(endpoint.port, None)?, only: None }
            }
            None if self.collector.by_egress && has_egress => external(&view, COLLECTOR),
            None => To::External { address: self.collector.address().await?, egress: None },
        };
        let spoken = Spoken::Http(protocol);
        let chosen = upstream::choose(&self.core, &to, spoken, upstream::Client::default(), &[])?;
        let tls = if endpoint.tls { Some(self.tls(spoken)?) } else { None };
        let mut key = chosen.key(&self.local, protocol);
        let fingerprint = tls.as_ref().map(|tls| Arc::clone(&tls.fingerprint));
        key.outside = fingerprint.as_ref().or(key.outside);
        let wanted =
            Wanted { key, rest: POOL_IDLE, clock: self.local.clock, circuit: chosen.circuit.as_ref() };
        let dialling = async || {
            let dialled = chosen.dial(&self.core, &self.local).await?;
            let Some(Client { config, name, .. }) = tls else { return Ok::<_, Failure>(dialled) };
            let io = secure::connect_outside(dialled.io, config, name).await?;
            Ok(Dialled { io: Box::new(io), ..dialled })
        };
        let mut lease = self.core.pool.lease(wanted, dialling).await?;
        let (mut outgoing, mut response) =
            lease.connection()?.send(&head).await.map_err(|unsent| unsent.failure)?;
        let (mut body, tally, mut sending) = (Incoming::whole(body), Tally::default(), true);
        let (head, incoming) = loop {
            tokio::select! {
                biased;
                answer = response.head() => match answer? {
                    Answer::Final(head, incoming) => break (head, incoming),
                    Answer::Informational(_) => {}
                },
                end = relay::body(&mut body, &mut outgoing, &tally), if sending => match end {
                    BodyEnd::Complete | BodyEnd::Stopped(_) => sending = false,
                    BodyEnd::Aborted(failure) => return Err(failure),
                },
            }
        };
        let (body, trailers) = read(incoming).await?;
        Ok((head, body, trailers))
    }

    /// The service of the mesh that the collector is, if it is one. What is reached by TLS of its own isn't.
    async fn service(&self) -> Result<Option<Host>, Failure> {
        let endpoint = &self.collector.endpoint;
        let is_name = endpoint.host.parse::<IpAddr>().is_err() && endpoint.host != "localhost";
        if endpoint.tls || !is_name {
            return Ok(None);
        }
        Ok(match resolve::name(&self.core, &endpoint.host).await? {
            Some(unit::Answer::Service(host)) => Some(host),
            _ => None,
        })
    }

    fn tls(&self, spoken: Spoken) -> Result<Client, Failure> {
        let host = &self.collector.endpoint.host;
        let settings = ExternalTls {
            client: None,
            roots: self.collector.roots.clone(),
            subject_alt_names: Vec::new(),
            sni: Some(host.as_str().into()),
            insecure_skip_verify: false,
        };
        // An address is no host; the name that is asked for is what counts.
        let host: Host =
            host.parse().or_else(|_address| "collector".parse()).map_err(|_never| Failure::Internal)?;
        self.core.shared.outside.client(&settings, &host, spoken)
    }

    fn head(&self, length: usize) -> Result<RequestHead, InvalidField> {
        let endpoint = &self.collector.endpoint;
        let scheme = if endpoint.tls { Scheme::Https } else { Scheme::Http };
        let mut head = RequestHead::new(Method::POST, scheme, &endpoint.authority(), &endpoint.path)?;
        head.set_framing(Framing::Length(length as u64));
        let fields = head.fields_mut();
        fields.set("user-agent", concat!("leno/", env!("CARGO_PKG_VERSION")).as_bytes())?;
        for (name, value) in &self.collector.headers {
            fields.set(name, value.expose())?;
        }
        let unsampled = Given { parent: None, wish: Wish::Skip };
        let place = self.core.with_ids(|ids| Place::begin(&unsampled, &Sampler::of(0.0), ids));
        self.propagation.write(&place, &mut Headers(fields));
        match endpoint.protocol {
            Protocol::Grpc => {
                fields.set("content-type", b"application/grpc")?;
                head.accept_trailers();
            }
            Protocol::HttpProtobuf => fields.set("content-type", b"application/x-protobuf")?,
        }
        Ok(head)
    }
}

impl Collector {
    /// Where it is, for those whose network leads there.
    pub(crate) async fn address(&self) -> Result<SocketAddr, Failure> {
        let (host, port) = (self.endpoint.host.as_str(), self.endpoint.port);
        if let Ok(ip) = host.parse() {
            return Ok(SocketAddr::new(ip, port));
        }
        let mut found =
            tokio::net::lookup_host((host, port)).await.map_err(|_unknown| Failure::NoDestination)?;
        found.next().ok_or(Failure::NoDestination)
    }
}

/// An export as the body of a request: a message of gRPC has five bytes before it.
fn framed(protocol: Protocol, request: &[u8]) -> Bytes {
    let mut body = BytesMut::with_capacity(request.len() + 5);
    if protocol == Protocol::Grpc {
        body.put_u8(0);
        body.put_u32(u32::try_from(request.len()).unwrap_or(u32::MAX));
    }
    body.put_slice(request);
    body.freeze()
}

/// Reads an answer's body, as far as anything in it is looked at.
async fn read(mut incoming: Incoming) -> Result<(Bytes, Option<HeaderMap>), Failure> {
    let mut body = BytesMut::new();
    loop {
        match incoming.frame().await {
            Frame::Data(data) if body.len() + data.len() <= COLLECTOR_ANSWER => body.extend_from_slice(&data),
            Frame::Data(_) => return Err(Failure::UpstreamProtocol),
            Frame::Trailers(trailers) => return Ok((body.freeze(), Some(trailers))),
            Frame::End => return Ok((body.freeze(), None)),
            Frame::Abort(failure) => return Err(failure),
        }
    }
}
