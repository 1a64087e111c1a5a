//! Which way a connection's requests go through the proxy, and what is decided of each.
//!
//! A path belongs to one downstream connection: what is true of the connection is worked out once.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use leno_engine::explain::{Explain, Silent};
use leno_engine::fault::Injected;
use leno_engine::retry::Settings;
use leno_engine::route::{Forward, Routed};
use leno_http::exchange::Incoming;
use leno_http::grpc_web::{self, Form};
use leno_http::head::{Known, RequestHead, ResponseHead, Version};
use leno_http::server::Protocol;
use leno_model::failure::Failure;
use leno_model::name::Host;
use leno_model::pool::Upgrade;
use leno_model::retry::{ATTEMPTS, BACKOFF, Condition, Conditions, RetryPolicy};
use leno_model::route::{HeaderEdits, Mirror, Rule, Target};
use leno_telemetry::istio::HttpHandle;

use crate::core::Core;
use crate::gateway::GatewayPath;
use crate::headers;
use crate::inbound::InboundPath;
use crate::local::Local;
use crate::outbound::OutboundPath;
use crate::record::{Ends, Record};
use crate::upstream::{Chosen, To};
use crate::view::View;

/// Milliseconds from the request's end to the answer's beginning, as Envoy tells them.
const SERVICE_TIME: Known = Known::new("x-envoy-upstream-service-time");

/// The way of a connection's requests.
pub(crate) enum Path {
    /// From the own workload to the mesh or out of it.
    Outbound(OutboundPath),
    /// To the own workload.
    Inbound(Box<InboundPath>),
    /// From outside the mesh into it.
    Gateway(GatewayPath),
}

/// What is decided of a request, and why.
pub(crate) struct Decided<'v> {
    /// The route rule; `None` where no rule was needed or none matches.
    pub(crate) rule: Option<&'v Rule>,
    /// More about a denial, for the log.
    pub(crate) details: Option<String>,
    /// Faults that come before anything else.
    pub(crate) injected: Injected,
    /// What happens.
    pub(crate) decision: Decision<'v>,
}

/// What happens to a request.
pub(crate) enum Decision<'v> {
    /// It is sent on.
    Forward(Box<Plan<'v>>),
    /// It is answered with a redirect.
    Redirect {
        /// The status.
        status: u16,
        /// The header `location`.
        location: String,
        /// Changes to the response's headers.
        edits: &'v HeaderEdits,
    },
    /// It is answered as a rule says.
    Respond {
        /// The status.
        status: u16,
        /// The body.
        body: Bytes,
        /// Changes to the response's headers.
        edits: &'v HeaderEdits,
    },
    /// It fails.
    Fail(Failure),
}

/// How a request is sent on.
pub(crate) struct Plan<'v> {
    /// Where to.
    pub(crate) to: To<'v>,
    /// The HTTP version to speak; `None` is the client's.
    pub(crate) protocol: Option<Protocol>,
    /// The new path.
    pub(crate) path: Option<Cow<'v, str>>,
    /// The new authority.
    pub(crate) authority: Option<&'v str>,
    /// Changes to the request's headers.
    pub(crate) request_headers: [&'v HeaderEdits; 2],
    /// Changes to the response's headers.
    pub(crate) response_headers: [&'v HeaderEdits; 2],
    /// Times, and when it is tried again.
    pub(crate) settings: Settings<'v>,
    /// Where copies of it go, or why one can't.
    pub(crate) mirrors: Vec<Result<Destination<'v>, Failure>>,
}

/// A destination, and what is spoken to it.
pub(crate) struct Destination<'v> {
    /// Where to.
    pub(crate) to: To<'v>,
    /// The HTTP version to speak; `None` is the client's.
    pub(crate) protocol: Option<Protocol>,
}

/// The HTTP version to speak, where a destination may leave that to the client.
pub(crate) fn spoken(protocol: Option<Protocol>, head: &RequestHead) -> Protocol {
    match (protocol, head.version()) {
        (Some(protocol), _) => protocol,
        (None, Version::Http2) => Protocol::Http2,
        (None, _) => Protocol::Http1,
    }
}

impl Plan<'_> {
    /// Whether the request goes on otherwise than it came.
    pub(crate) fn edits_request(&self) -> bool {
        let edits_fields = self.request_headers.iter().any(|edits| !edits.is_empty());
        self.path.is_some() || self.authority.is_some() || edits_fields
    }
}

/// For destinations with one endpoint: what it refused unprocessed is asked of it again.
static REFUSED: RetryPolicy = RetryPolicy {
    attempts: ATTEMPTS,
    on: Conditions::NONE.with(Condition::RefusedStream),
    statuses: Vec::new(),
    headers: Vec::new(),
    backoff: BACKOFF,
    skip_previous: Some(false),
};

static NO_EDITS: HeaderEdits = HeaderEdits { remove: Vec::new(), set: Vec::new(), add: Vec::new() };

impl<'v> Plan<'v> {
    /// Makes a prepared head the one that goes upstream.
    pub(crate) fn edit(&self, head: &mut RequestHead) -> Result<(), Failure> {
        let invalid = |_invalid| Failure::PathRejected;
        if let Some(path) = &self.path {
            head.set_path(path).map_err(invalid)?;
        }
        if let Some(authority) = self.authority {
            head.set_authority(authority).map_err(invalid)?;
        }
        for edits in self.request_headers {
            headers::edit(head.fields_mut(), edits);
        }
        Ok(())
    }

    /// Sends it on as it is.
    fn unchanged(to: To<'v>) -> Self {
        let settings = match to {
            To::Cluster { .. } => Settings::IMPLICIT,
            // There is only one place to ask.
            To::Application { .. } | To::External { .. } => {
                Settings { policy: Some(&REFUSED), ..Settings::IMPLICIT }
            }
        };
        Self {
            to,
            protocol: None,
            path: None,
            authority: None,
            request_headers: [&NO_EDITS, &NO_EDITS],
            response_headers: [&NO_EDITS, &NO_EDITS],
            settings,
            mirrors: Vec::new(),
        }
    }
}

impl<'v> Decided<'v> {
    /// Decided without a rule.
    pub(crate) fn plainly(decision: Decision<'v>) -> Self {
        Self { rule: None, details: None, injected: Injected::default(), decision }
    }

    /// It fails.
    pub(crate) fn fail(failure: Failure) -> Self {
        Self::plainly(Decision::Fail(failure))
    }

    /// It is sent on as it is.
    pub(crate) fn forward(to: To<'v>) -> Self {
        Self::plainly(Decision::Forward(Box::new(Plan::unchanged(to))))
    }

    /// What a routed request means. `dialled` is the port by which a backend without one is understood.
    pub(crate) fn by_route(view: &'v View, routed: Routed<'v>, dialled: u16) -> Self {
        let injected =
            if let Routed::Forward(forward) = &routed { forward.injected } else { Injected::default() };
        let (rule, decision) = match routed {
            Routed::Forward(forward) => (
                forward.rule,
                match forwarded(view, forward, dialled) {
                    Ok(plan) => Decision::Forward(Box::new(plan)),
                    Err(failure) => Decision::Fail(failure),
                },
            ),
            Routed::Redirect { rule, status, location } => {
                (Some(rule), Decision::Redirect { status, location, edits: &rule.response_headers })
            }
            Routed::Respond { rule, response } => {
                let body = Bytes::copy_from_slice(&response.body);
                (
                    Some(rule),
                    Decision::Respond { status: response.status, body, edits: &rule.response_headers },
                )
            }
            Routed::Failed { rule, failure } => (rule, Decision::Fail(failure)),
        };
        Self { rule, details: None, injected, decision }
    }
}

fn forwarded<'v>(view: &'v View, forward: Forward<'v>, dialled: u16) -> Result<Plan<'v>, Failure> {
    let Destination { to, protocol } =
        destination(view, forward.host, forward.port, forward.subset, dialled)?;
    let mirror = |mirror: &'v Mirror| match &mirror.target {
        Target::Service { host, port, subset } => destination(view, host, *port, subset.as_deref(), dialled),
        Target::Invalid { .. } => Err(Failure::InvalidBackend),
    };
    Ok(Plan {
        to,
        protocol,
        path: forward.path,
        authority: forward.authority,
        request_headers: forward.request_headers,
        response_headers: forward.response_headers,
        settings: forward.settings,
        mirrors: forward.mirrors.drawn().map(mirror).collect(),
    })
}

fn destination<'v>(
    view: &'v View,
    host: &Host,
    port: Option<u16>,
    subset: Option<&str>,
    dialled: u16,
) -> Result<Destination<'v>, Failure> {
    let tables = view.hosts.get(host).ok_or(Failure::NoDestination)?;
    let port =
        leno_engine::destination::service_port(&tables.unit, port, dialled).ok_or(Failure::NoDestination)?;
    let cluster = tables.cluster(port, subset)?;
    let is_http2 = matches!(
        tables.protocol(port),
        leno_model::service::Protocol::Http2 | leno_model::service::Protocol::Grpc
    );
    let protocol = match cluster.policy().pool.and_then(|pool| pool.upgrade) {
        Some(Upgrade::Http2) => Some(Protocol::Http2),
        Some(Upgrade::Never) if !is_http2 => Some(Protocol::Http1),
        Some(Upgrade::AsClient) => None,
        Some(Upgrade::Never) | None => is_http2.then_some(Protocol::Http2),
    };
    Ok(Destination { to: To::Cluster { cluster, only: None }, protocol })
}

/// Where the connection goes that was routed so. `dialled` is as in [`Decided::by_route`].
pub(crate) fn streamed<'v>(view: &'v View, routed: &Routed<'v>, dialled: u16) -> Result<To<'v>, Failure> {
    match routed {
        Routed::Forward(forward) => {
            destination(view, forward.host, forward.port, forward.subset, dialled).map(|found| found.to)
        }
        Routed::Failed { failure, .. } => Err(*failure),
        Routed::Redirect { .. } | Routed::Respond { .. } => Err(Failure::Internal),
    }
}

impl Plan<'_> {
    /// Speaks what is usual here to destinations that say nothing themselves.
    pub(crate) fn speak(&mut self, usual: Protocol) {
        let follows_client = |to: &To<'_>| {
            let To::Cluster { cluster, .. } = to else { return false };
            cluster.policy().pool.and_then(|pool| pool.upgrade) == Some(Upgrade::AsClient)
        };
        let or_usual = |protocol: Option<Protocol>, to: &To<'_>| {
            protocol.or_else(|| (!follows_client(to)).then_some(usual))
        };
        self.protocol = or_usual(self.protocol, &self.to);
        for mirror in self.mirrors.iter_mut().flatten() {
            mirror.protocol = or_usual(mirror.protocol, &mirror.to);
        }
    }
}

impl Path {
    /// Whom the connection belongs to.
    pub(crate) fn local(&self) -> &Arc<Local> {
        match self {
            Self::Outbound(path) => &path.local,
            Self::Inbound(path) => &path.local,
            Self::Gateway(path) => &path.local,
        }
    }

    /// Whether it is another proxy of the mesh, which speaks for many clients, that the requests come from.
    pub(crate) fn is_from_proxy(&self) -> bool {
        matches!(self, Self::Inbound(path) if path.peer.is_some())
    }

    /// Whether requests come from outside the mesh.
    pub(crate) fn is_edge(&self) -> bool {
        match self {
            Self::Outbound(path) => path.is_from_stranger(),
            Self::Inbound(_) => false,
            Self::Gateway(_) => true,
        }
    }

    /// The service of the own workload that requests are for.
    pub(crate) fn own_service(&self) -> Option<&Arc<str>> {
        match self {
            Self::Inbound(path) => path.declared_service(),
            Self::Outbound(_) | Self::Gateway(_) => None,
        }
    }

    /// Makes gRPC of gRPC-Web, which only clients outside the mesh speak.
    pub(crate) fn translate(&self, head: &mut RequestHead, body: &mut Incoming) -> Option<Form> {
        if matches!(self, Self::Gateway(_)) { grpc_web::accept(head, body) } else { None }
    }

    /// The ends of the downstream connection.
    pub(crate) fn ends(&self) -> &Ends {
        match self {
            Self::Outbound(path) => &path.ends,
            Self::Inbound(path) => &path.ends,
            Self::Gateway(path) => &path.ends,
        }
    }

    /// Where a request counts before its destination is known.
    pub(crate) fn handle(&self, core: &Core) -> HttpHandle {
        match self {
            Self::Outbound(path) => path.handle(core),
            Self::Inbound(path) => path.handle(core),
            Self::Gateway(path) => path.handle(core),
        }
    }

    /// Makes the head trustworthy: normal form of path and host, header hygiene, request id, identity of the caller.
    pub(crate) fn prepare(&self, core: &Core, head: &mut RequestHead) -> Result<(), Failure> {
        match self {
            Self::Outbound(path) => path.prepare(core, head),
            Self::Inbound(path) => path.prepare(core, head),
            Self::Gateway(path) => path.prepare(core, head),
        }
    }

    /// Decides what happens to a request.
    ///
    /// `draw` is uniform over all 64-bit numbers and decides between weighted backends.
    pub(crate) fn decide<'v>(
        &'v self,
        view: &'v View,
        head: &RequestHead,
        draw: u64,
        explain: &mut impl Explain,
    ) -> Decided<'v> {
        match self {
            Self::Outbound(path) => path.decide(view, head, draw, explain),
            Self::Inbound(path) => path.decide(view, head, explain),
            Self::Gateway(path) => path.decide(view, head, draw, explain),
        }
    }

    /// Finds out, before a request is decided, what the connection doesn't tell.
    pub(crate) async fn learn_caller(&self, core: &Core) {
        match self {
            Self::Outbound(_) | Self::Gateway(_) => {}
            Self::Inbound(path) => path.learn_caller(core).await,
        }
    }

    /// Whether there are policies by which a request may be denied that is under way: those of a workload's own requests are
    /// the other side's.
    pub(crate) fn judges(&self) -> bool {
        !matches!(self, Self::Outbound(_))
    }

    /// Whether a request that is under way may still be, by the configuration in effect now. One that leads elsewhere
    /// goes on as it was decided; the other side judges it.
    pub(crate) fn judge(&self, view: &View, head: &RequestHead) -> Result<(), Failure> {
        match self {
            Self::Outbound(_) => Ok(()),
            Self::Gateway(path) => path.check(view, head, &mut Silent),
            Self::Inbound(path) => match path.decide(view, head, &mut Silent).decision {
                Decision::Fail(failure) => Err(failure),
                _ => Ok(()),
            },
        }
    }

    /// An endpoint was chosen: the request counts under its labels from now on.
    pub(crate) fn chosen(&self, core: &Core, chosen: &Chosen, record: &mut Record) {
        match self {
            Self::Outbound(path) => path.chosen(core, chosen, record),
            Self::Inbound(_) => {}
            Self::Gateway(path) => path.chosen(core, chosen, record),
        }
    }

    /// The upstream has answered: the last changes to the response before it goes to the client.
    pub(crate) fn answered(&self, core: &Core, head: &mut ResponseHead, service_time: Duration) {
        match self {
            Self::Outbound(_) | Self::Gateway(_) => {
                let milliseconds = u64::try_from(service_time.as_millis()).unwrap_or(u64::MAX);
                head.fields_mut().put_number(SERVICE_TIME, milliseconds);
            }
            Self::Inbound(path) => path.learn(core),
        }
    }
}

/// Istio's notation of destinations in logs.
impl To<'_> {
    /// Its name in Istio's notation.
    pub(crate) fn name(&self) -> String {
        let mut name = Vec::new();
        self.write_name(&mut name);
        String::from_utf8(name).unwrap_or_default()
    }

    /// Appends its name in Istio's notation.
    pub(crate) fn write_name(&self, out: &mut Vec<u8>) {
        let mut put = |part: &str| out.extend_from_slice(part.as_bytes());
        match self {
            To::Cluster { cluster, .. } => put(cluster.name()),
            To::Application { port, .. } => {
                put("inbound|");
                put(itoa::Buffer::new().format(*port));
                put("||");
            }
            To::External { .. } => put("PassthroughCluster"),
        }
    }
}
