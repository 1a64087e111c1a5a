//! What this proxy would do with a request, and why: its own decisions, made on its own tables, with a listener.
//!
//! Nothing is sent and nothing counted. A question about an address or name that is not held yet asks the control plane,
//! as a request would.

mod step;

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use leno_engine::deadline::nearest;
use leno_engine::explain::Transcript;
use leno_engine::fault::Injected;
use leno_engine::retry::Terms;
use leno_http::head::{RequestHead, Scheme};
use leno_identity::tls::peer::{Fingerprint, Peer};
use leno_model::failure::Failure;
use leno_model::request::RequestView;
use leno_model::span::Origin;
use leno_model::unit::Answer;
use serde::{Deserialize, Serialize};

use crate::core::Core;
use crate::gateway::GatewayPath;
use crate::inbound::InboundPath;
use crate::local::Local;
use crate::outbound::{Dialled, OutboundPath};
use crate::path::{Decided, Decision, Path};
use crate::refused::Refused;
use crate::request::{fault, hints};
use crate::resolve;
use crate::upstream::{self, To};

/// Longer than any question takes.
const QUESTION: Duration = Duration::from_secs(60);

/// A request to be explained.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Question {
    /// The method.
    pub method: String,
    /// The authority: the header `Host`.
    pub authority: String,
    /// Path and query.
    pub target: String,
    /// Headers, in order.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// The port that is dialled: the service's outbound, the workload's inbound, a listener's at a gateway.
    pub port: u16,
    /// The host or address that is dialled, where it isn't what the authority names. Only of requests from the workload.
    #[serde(default)]
    pub dialled: Option<String>,
    /// Where it comes from.
    pub from: From,
    /// The random draw between weighted backends and endpoints, for repeatable answers.
    #[serde(default)]
    pub draw: Option<u64>,
}

/// Which way a request goes through the proxy.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum From {
    /// From the own workload.
    Workload,
    /// From outside the mesh, at one of a gateway's listeners.
    Client {
        /// Its address.
        #[serde(default)]
        ip: Option<IpAddr>,
    },
    /// From a peer with this identity; without one, in plaintext.
    Peer {
        /// The SPIFFE id.
        identity: Option<String>,
        /// Its address.
        #[serde(default)]
        ip: Option<IpAddr>,
    },
}

/// What would happen.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// Who answers.
    pub workload: String,
    /// The snapshot that it was decided by.
    pub snapshot: u64,
    /// `forward`, `redirect`, `respond` or `fail`.
    pub outcome: String,
    /// The rule that decided, and where it is written.
    pub rule: Option<Place>,
    /// Where the request would go, in the log's notation.
    pub destination: Option<String>,
    /// The endpoint that would get it.
    pub endpoint: Option<Endpoint>,
    /// The request as it goes upstream.
    pub request: Option<Sent>,
    /// The status of an answer that the proxy would give itself.
    pub status: Option<u16>,
    /// Why it would fail: the failure's name.
    pub failure: Option<String>,
    /// The response flag that would be logged.
    pub flag: Option<String>,
    /// More about it.
    pub details: Option<String>,
    /// Everything that was considered, in order.
    pub considered: Vec<Step>,
}

/// A rule's place.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Place {
    /// The object.
    pub object: String,
    /// File and line.
    pub at: String,
    /// The rule's name, where it has one.
    pub name: Option<String>,
}

/// A request as it is sent on.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Sent {
    /// The authority.
    pub authority: String,
    /// Path and query.
    pub target: String,
    /// Headers, in order.
    pub headers: Vec<(String, String)>,
}

/// An endpoint.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Endpoint {
    /// Its id: the workload's name.
    pub uid: String,
    /// What would be reached there.
    pub target: SocketAddr,
    /// Who is expected there.
    pub identity: Option<String>,
    /// What carries the request there.
    pub transport: String,
}

/// Something that was considered.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Step {
    /// `rule`, `backend`, `fault`, `mirror`, `key`, `policy`, `retry`, `endpoint` or `reading`.
    pub kind: String,
    /// What it is.
    pub subject: String,
    /// What became of it.
    pub outcome: String,
    /// Whether it won.
    pub won: bool,
}

/// A question that makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum Invalid {
    /// The method, authority or target.
    #[error("{0} is not valid in a request")]
    Request(&'static str),
    /// A header.
    #[error("header {0:?} is not valid in a request")]
    Header(String),
    /// The identity.
    #[error("{0:?} is not a SPIFFE id")]
    Identity(String),
    /// A gateway's port.
    #[error("this proxy is no gateway that listens on port {port}; {}", listening(.ports))]
    NoListener {
        /// The port that was asked about.
        port: u16,
        /// Those that there are.
        ports: Vec<u16>,
    },
    /// The proxy serves no workload of its own.
    #[error("this proxy has no workload whose requests could be explained")]
    NoWorkload,
}

fn listening(ports: &[u16]) -> String {
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    if ports.is_empty() {
        "publish a port of a service, or write a Gateway".to_owned()
    } else {
        format!("its ports are {}", ports.join(", "))
    }
}

/// Explains a request.
///
/// # Errors
/// When it is no request.
pub(crate) async fn explain(
    core: &Rc<Core>,
    local: &Arc<Local>,
    question: &Question,
) -> Result<Explanation, Invalid> {
    let mut head = head(question)?;
    let mut explanation = Explanation { workload: local.name.to_string(), ..Explanation::default() };
    let path = match &question.from {
        From::Workload => outbound(core, local, question).await,
        From::Client { ip } => match GatewayPath::explained(core, local, question.port, *ip) {
            Some((path, scheme)) => {
                head.set_scheme(scheme);
                Ok(Path::Gateway(path))
            }
            None => {
                let ports =
                    core.view().gateway.as_deref().map(|gateway| gateway.ports.keys().copied().collect());
                return Err(Invalid::NoListener { port: question.port, ports: ports.unwrap_or_default() });
            }
        },
        From::Peer { identity, ip } => inbound(core, local, question, identity.as_deref(), *ip)?,
    };
    let path = match path {
        Ok(path) => path,
        Err(failure) => {
            explanation.fails(failure);
            return Ok(explanation);
        }
    };
    if let Err(failure) = path.prepare(core, &mut head) {
        explanation.details = Some(Refused::head(&head, failure).details());
        explanation.fails(failure);
        return Ok(explanation);
    }
    let view = core.view();
    explanation.snapshot = view.snapshot;
    let draw = question.draw.unwrap_or_else(|| core.draw());
    let mut transcript = Transcript::default();
    let Decided { rule, details, injected, decision } = path.decide(&view, &head, draw, &mut transcript);
    explanation.rule = rule.map(|rule| Place::new(&rule.origin, rule.name.as_deref()));
    explanation.details = details;
    match decision {
        _ if injected.abort.is_some() => explanation.aborts(injected, head.is_grpc()),
        Decision::Forward(plan) => {
            "forward".clone_into(&mut explanation.outcome);
            explanation.destination = Some(plan.to.name());
            let waited = fault::waited(injected);
            let edited = plan.edit(&mut head);
            let wishes = hints::take(&path, &mut head, waited);
            let rule = view.mesh.as_deref().map(|mesh| mesh.repeat).unwrap_or_default();
            let mut terms = Terms::new(&plan.settings, head.method(), rule, wishes.as_deref());
            let grpc = hints::grpc_deadline(&head, waited);
            terms.timeout = nearest([terms.timeout, grpc]);
            terms.tell(&mut transcript);
            let left = nearest([terms.timeout, terms.per_try]);
            let sent = edited.map(|()| {
                hints::mark_try(&path, &plan.to, &mut head, 1, left, grpc.is_some());
                explanation.request = Some(Sent::new(&head));
            });
            let key = upstream::affinity(&plan.to, &head, &path, || draw, &mut transcript).key;
            if let Err(failure) = sent.and_then(|()| explanation.choose(&plan.to, key, draw, &mut transcript))
            {
                explanation.fails(failure);
            }
        }
        Decision::Redirect { status, location, .. } => {
            "redirect".clone_into(&mut explanation.outcome);
            explanation.status = Some(status);
            explanation.destination = Some(location);
        }
        Decision::Respond { status, .. } => {
            "respond".clone_into(&mut explanation.outcome);
            explanation.status = Some(status);
        }
        Decision::Fail(failure) => explanation.fails(failure),
    }
    explanation.considered = transcript.events.into_iter().map(Step::from).collect();
    Ok(explanation)
}

fn head(question: &Question) -> Result<RequestHead, Invalid> {
    let method: Method = question.method.parse().map_err(|_invalid| Invalid::Request("the method"))?;
    let mut head = RequestHead::new(method, Scheme::Http, &question.authority, &question.target)
        .map_err(|_invalid| Invalid::Request("the host or path"))?;
    for (name, value) in &question.headers {
        head.fields_mut()
            .append(&name.to_ascii_lowercase(), value.as_bytes())
            .map_err(|_invalid| Invalid::Header(name.clone()))?;
    }
    Ok(head)
}

async fn outbound(core: &Rc<Core>, local: &Arc<Local>, question: &Question) -> Result<Path, Failure> {
    let (named, _) = leno_model::request::split_authority(&question.authority);
    let name = question.dialled.as_deref().unwrap_or(named);
    // A resolver asks for an absolute name without its final dot.
    let name = name.strip_suffix('.').unwrap_or(name);
    let unspecified = IpAddr::from([0, 0, 0, 0]);
    let (dialled, ip) = match name.parse::<IpAddr>() {
        Ok(ip) => (crate::outbound::dialled(core, local, SocketAddr::new(ip, question.port)).await?, ip),
        Err(_a_name) => match resolve::name(core, &name.to_ascii_lowercase()).await? {
            Some(Answer::Service(host)) => (Dialled::Service(host), unspecified),
            Some(Answer::Endpoint { host: Some(host), uid }) => (Dialled::Endpoint(host, uid), unspecified),
            _ => (Dialled::External, unspecified),
        },
    };
    let destination = SocketAddr::new(ip, question.port);
    Ok(Path::Outbound(OutboundPath::new(core, local, dialled, destination, None)))
}

fn inbound(
    core: &Rc<Core>,
    local: &Arc<Local>,
    question: &Question,
    identity: Option<&str>,
    ip: Option<IpAddr>,
) -> Result<Result<Path, Failure>, Invalid> {
    let view = core.view();
    let tables = view.inbound.as_deref().ok_or(Invalid::NoWorkload)?;
    let peer = match identity {
        Some(text) => {
            let id = text.parse().map_err(|_malformed| Invalid::Identity(text.to_owned()))?;
            // Good for as long as the question takes.
            let not_after = local.wall() + QUESTION;
            Some(Peer { id, not_after, fingerprint: Fingerprint([0; 32]) })
        }
        None => None,
    };
    let own = tables.unit.addresses.first().copied().unwrap_or_else(|| IpAddr::from([0, 0, 0, 0]));
    let remote = ip.map(|ip| SocketAddr::new(ip, 0));
    let destination = SocketAddr::new(own, question.port);
    let path = InboundPath::explained(core, local, tables, peer, remote, destination);
    Ok(Ok(Path::Inbound(Box::new(path))))
}

impl Explanation {
    fn fails(&mut self, failure: Failure) {
        let row = failure.row();
        "fail".clone_into(&mut self.outcome);
        self.failure = Some(failure.name().to_owned());
        self.flag = Some(row.flag.to_owned());
        self.status = (row.http != 0).then_some(row.http);
        self.details.get_or_insert_with(|| row.details.to_owned());
    }

    /// It is answered by a fault rule.
    fn aborts(&mut self, injected: Injected, is_grpc: bool) {
        let Some(status) = injected.abort else { return };
        self.fails(Failure::FaultAbort);
        self.status = Some(fault::answer(status, is_grpc).head.status().as_u16());
        if injected.delay.is_some() {
            self.flag = Some(Failure::FaultAbort.row().flag_delayed.to_owned());
        }
    }

    fn choose(
        &mut self,
        to: &To<'_>,
        key: Option<u64>,
        draw: u64,
        transcript: &mut Transcript,
    ) -> Result<(), Failure> {
        let To::Cluster { cluster, only } = to else { return Ok(()) };
        let pick = match only {
            Some(uid) => cluster.pick_by_uid(uid, transcript)?,
            None => cluster.pick_for(key, Instant::now(), draw, &[], transcript)?,
        };
        self.endpoint = Some(Endpoint {
            uid: pick.endpoint.uid.to_string(),
            target: pick.target,
            identity: pick.endpoint.identity.as_ref().map(ToString::to_string),
            transport: pick.connect.name().to_owned(),
        });
        Ok(())
    }
}

impl Sent {
    fn new(head: &RequestHead) -> Self {
        let field =
            |(name, value): (&str, &[u8])| (name.to_owned(), String::from_utf8_lossy(value).into_owned());
        Self {
            authority: head.authority().to_owned(),
            target: head.target().to_owned(),
            headers: head.fields().iter().map(field).collect(),
        }
    }
}

impl Place {
    fn new(origin: &Origin, name: Option<&str>) -> Self {
        Self {
            object: origin.object.to_string(),
            at: origin.location.to_string(),
            name: name.map(ToOwned::to_owned),
        }
    }
}
