//! What a name or address means: answered by what is held, else asked of the control plane once.

use std::net::IpAddr;
use std::sync::Arc;

use leno_engine::egress;
use leno_model::failure::Failure;
use leno_model::name::WorkloadName;
use leno_model::spiffe::SpiffeId;
use leno_model::unit::{Answer, MeshSettings, OutboundMode, Question};
use leno_wire::client::AskError;

use crate::core::Core;
use crate::limits::DISCOVERY;
use crate::view::{Answered, Interest, View};

/// Where an address that an application dialled leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// To a service or one of its endpoints.
    Mesh(Answer),
    /// Out of the mesh.
    External,
}

/// The meaning of an address. An address outside the mesh's ranges is external and never asked for.
pub(crate) async fn address(core: &Core, ip: IpAddr, port: u16) -> Result<Meaning, Failure> {
    let view = core.view();
    let mesh = view.mesh.as_deref().ok_or(Failure::NotDiscovered)?;
    if !mesh.ranges.iter().any(|range| range.contains(&ip)) {
        return external(mesh, ip);
    }
    match ask(core, Question::Address(ip, port)).await? {
        // An address of the mesh's own ranges that nobody has leads nowhere.
        Answer::Absent { .. } => Err(Failure::NoDestination),
        answer => Ok(Meaning::Mesh(answer)),
    }
}

fn external(mesh: &MeshSettings, ip: IpAddr) -> Result<Meaning, Failure> {
    egress::check(mesh.outbound, ip).map_err(egress::Forbidden::failure)?;
    Ok(Meaning::External)
}

/// The service host of a name, or its endpoint; `None` for a name outside the mesh.
pub(crate) async fn name(core: &Core, name: &str) -> Result<Option<Answer>, Failure> {
    if let Some(answer) = wildcard(&core.view(), name) {
        return Ok(Some(answer));
    }
    match ask(core, Question::Name(name.into())).await? {
        Answer::Absent { .. } => Ok(None),
        answer => Ok(Some(answer)),
    }
}

/// Identity and addresses of the workload or gateway of this name; `None` where there is none.
pub(crate) async fn workload(
    core: &Core,
    name: &WorkloadName,
) -> Result<Option<(SpiffeId, Vec<IpAddr>)>, Failure> {
    match ask(core, Question::Workload(name.clone())).await? {
        Answer::Workload { identity, addresses } => Ok(Some((identity, addresses))),
        _ => Ok(None),
    }
}

/// The longest wildcard host that covers the name, where one is held.
fn wildcard(view: &View, name: &str) -> Option<Answer> {
    let mesh = view.mesh.as_deref()?;
    let covering = mesh.wildcard_hosts.iter().filter(|host| host.covers(name));
    let host = covering.max_by_key(|host| host.specificity())?;
    view.hosts.contains_key(host).then(|| Answer::Service(host.clone()))
}

/// Keeps the answer to a question, and what it refers to, for as long as the result lives. `None` where none is held.
pub(crate) fn interest(core: &Core, question: &Question) -> Option<Interest> {
    let held = held(&core.view(), question)?;
    held.touch(core.seconds());
    Some(held.interest())
}

/// The answer that is held, else that of the control plane. When it returns, everything that the answer refers to
/// is in effect.
async fn ask(core: &Core, question: Question) -> Result<Answer, Failure> {
    if let Some(held) = held(&core.view(), &question) {
        held.touch(core.seconds());
        return Ok(held.answer.clone());
    }
    if !leno_wire::question::is_askable(&question) {
        return Ok(absent(&question));
    }
    core.shared.discovery.ask(question, DISCOVERY).await.map_err(|error| match error {
        AskError::TimedOut | AskError::Ended => Failure::NotDiscovered,
        AskError::TooMany => Failure::Overload,
    })
}

fn held(view: &View, question: &Question) -> Option<Arc<Answered>> {
    view.answers.get(question).map(Arc::clone)
}

/// What nobody can be asked does not exist.
fn absent(question: &Question) -> Answer {
    let under = match question {
        Question::Name(name) => Arc::clone(name),
        Question::Address(ip, port) => format!("{ip}:{port}").into(),
        Question::Workload(name) => name.to_string().into(),
    };
    Answer::Absent { under }
}

/// Whether traffic to addresses that no service has may leave at all.
pub(crate) fn lets_out(view: &View) -> bool {
    view.mesh.as_deref().is_some_and(|mesh| mesh.outbound == OutboundMode::AllowAny)
}
