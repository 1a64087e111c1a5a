//! `leno explain`: what the mesh would do with a request, and why.
//!
//! The proxies answer: the caller's says where the request would go, the called workload's whether it would be let in.
//! Nothing is sent to any application.

use std::io::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use leno_dialects::table::nearest;
use leno_model::request::split_authority;
use leno_proxy::explain::{Explanation, From, Question, Step};
use leno_runtime::LocalRuntime;
use serde::Serialize;

use crate::admin;
use crate::mesh::{Named, Running};
use crate::output::{self, Format};
use crate::words::{self, Url};

/// Say what the mesh would do with a request, and why
///
/// Example: leno explain catalog GET http://reviews:9080/reviews/1 -H "end-user: jason"
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The workload, replica or `gateway` that would send the request
    from: String,
    /// The method
    #[arg(value_parser = words::method)]
    method: String,
    /// The URL: http://HOST[:PORT]/PATH
    #[arg(value_parser = words::url)]
    url: Url,
    /// A header, "NAME: VALUE"; may be given several times
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE", value_parser = words::header)]
    headers: Vec<(String, String)>,
    /// The host or address that is dialled, where it isn't the URL's
    #[arg(long, value_name = "HOST", value_parser = words::host)]
    connect: Option<String>,
    /// Show everything that was considered, not only what decided
    #[arg(long, short)]
    all: bool,
    #[command(flatten)]
    named: Named,
}

/// The destination of what leaves the mesh, in the log's notation.
const OUTSIDE: &str = "PassthroughCluster";

/// The answers of both sides.
#[derive(Debug, Serialize)]
struct Answers {
    outbound: Explanation,
    inbound: Option<Explanation>,
    /// What to do about a name that nobody in the mesh has.
    hint: Option<String>,
}

pub(crate) fn run(arguments: &Arguments, format: Format) -> anyhow::Result<ExitCode> {
    let mesh = arguments.named.running()?;
    let runtime = LocalRuntime::new().context("cannot ask anybody")?;
    let answers = runtime.block_on(ask(&mesh, arguments))?;
    match format {
        Format::Json => output::json(&answers)?,
        Format::Text => print(&answers, arguments.all)?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn ask(mesh: &Running, arguments: &Arguments) -> anyhow::Result<Answers> {
    let Url { authority, port, target } = arguments.url.clone();
    let mut question = Question {
        method: arguments.method.clone(),
        authority,
        target,
        headers: arguments.headers.clone(),
        port,
        dialled: arguments.connect.clone(),
        from: if mesh.is_gateway(&arguments.from) { From::Client { ip: None } } else { From::Workload },
        draw: None,
    };
    let caller = &arguments.from;
    let socket = mesh.admin(caller)?;
    let outbound = explained(caller, &socket, &question).await?;
    let hint = nobody(mesh, arguments, &outbound);
    let Some(endpoint) = &outbound.endpoint else { return Ok(Answers { outbound, inbound: None, hint }) };
    let identity = identity(&admin::get(caller, &socket, "/config").await?)?;
    let called = endpoint.uid.rsplit('/').next().unwrap_or(&endpoint.uid).to_owned();
    let Ok(socket) = mesh.admin(&called) else {
        return Ok(Answers { outbound, inbound: None, hint });
    };
    question.from = From::Peer { identity, ip: None };
    question.port = endpoint.target.port();
    if let Some(sent) = &outbound.request {
        question.authority.clone_from(&sent.authority);
        question.target.clone_from(&sent.target);
        question.headers.clone_from(&sent.headers);
    }
    let inbound = explained(&called, &socket, &question).await?;
    Ok(Answers { outbound, inbound: Some(inbound), hint })
}

/// Where a request leaves the mesh by a name, as it also does where a service's name is misspelt.
fn nobody(mesh: &Running, arguments: &Arguments, outbound: &Explanation) -> Option<String> {
    let (host, _) = split_authority(arguments.connect.as_deref().unwrap_or(&arguments.url.authority));
    if outbound.destination.as_deref() != Some(OUTSIDE) || host.parse::<IpAddr>().is_ok() {
        return None;
    }
    let mut services: Vec<&str> =
        mesh.status.replicas.iter().filter_map(|replica| replica.service.as_deref()).collect();
    services.sort_unstable();
    services.dedup();
    let remedy = match nearest(host, services.iter().copied()) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("services are {}", services.join(", ")),
    };
    Some(format!("nobody in the mesh has the host {host}, so it is taken for one outside; {remedy}"))
}

async fn explained(name: &str, socket: &Path, question: &Question) -> anyhow::Result<Explanation> {
    let answer = admin::post(name, socket, "/explain", &serde_json::to_string(question)?).await?;
    serde_json::from_str(&answer).context("the proxy's answer is not understood; is it of another version?")
}

fn identity(config: &str) -> anyhow::Result<Option<String>> {
    let config: serde_json::Value = serde_json::from_str(config)?;
    Ok(config.get("identity").and_then(serde_json::Value::as_str).map(ToOwned::to_owned))
}

fn print(answers: &Answers, all: bool) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    one(&mut out, "sends", &answers.outbound, all)?;
    if let Some(inbound) = &answers.inbound {
        one(&mut out, "receives", inbound, all)?;
    }
    if let Some(hint) = &answers.hint {
        writeln!(out, "  help: {hint}")?;
    }
    Ok(())
}

fn one(
    out: &mut impl std::io::Write,
    verb: &str,
    explanation: &Explanation,
    all: bool,
) -> std::io::Result<()> {
    writeln!(
        out,
        "{} {verb} (snapshot {}): {}",
        explanation.workload, explanation.snapshot, explanation.outcome
    )?;
    if let Some(rule) = &explanation.rule {
        let name = rule.name.as_deref().map(|name| format!(", rule {name:?}")).unwrap_or_default();
        writeln!(out, "  by {}{name}, at {}", rule.object, rule.at)?;
    }
    if let Some(destination) = &explanation.destination {
        writeln!(out, "  to {destination}")?;
    }
    if let Some(endpoint) = &explanation.endpoint {
        let identity = endpoint.identity.as_deref().unwrap_or("no identity");
        let (uid, transport) = (&endpoint.uid, &endpoint.transport);
        writeln!(out, "  endpoint {uid} at {} by {transport} ({identity})", endpoint.target)?;
    }
    if let Some(failure) = &explanation.failure {
        let flag = explanation.flag.as_deref().unwrap_or("-");
        let status =
            explanation.status.map_or_else(|| "the connection is cut".to_owned(), |s| format!("status {s}"));
        writeln!(out, "  {failure}: {status}, flag {flag}")?;
        if let Some(details) = &explanation.details {
            writeln!(out, "  {details}")?;
        }
    }
    let shown = |step: &&Step| all || step.won || step.kind == "rule" || step.kind == "policy";
    for step in explanation.considered.iter().filter(shown) {
        let mark = if step.won { "*" } else { " " };
        writeln!(out, "  {mark} {} {}: {}", step.kind, step.subject, step.outcome)?;
    }
    Ok(())
}
