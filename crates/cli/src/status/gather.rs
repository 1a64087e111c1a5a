//! Asks everybody at once.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use leno_local::plan;
use leno_runtime::{LocalRuntime, spawn_local};
use leno_wire::status::{self, ListObjectsResponse, ListProxiesResponse};
use serde::Deserialize;

use super::{Certificate, Control, Object, Proxy, Refusal, Refused, Report, State};
use crate::announce::GATEWAY;
use crate::error::Problem;
use crate::finding::Finding;
use crate::mesh::Running;
use crate::{admin, control};

/// The finding that says that an earlier version is in effect in the place of a refused one.
const LAST_GOOD: &str = leno_control::codes::LAST_GOOD.code;

/// What a proxy says of itself.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Own {
    version: String,
    snapshot: u64,
    identity: Option<String>,
    not_before: Option<u64>,
    not_after: Option<u64>,
}

/// What the control plane says.
type Told = (ListProxiesResponse, ListObjectsResponse);

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs()).unwrap_or(0)
}

/// Everything that is known of a mesh.
pub(super) fn report(mesh: Running) -> anyhow::Result<Report> {
    let runtime = LocalRuntime::new().context("cannot ask anybody")?;
    let names = proxies(&mesh);
    let (told, own) = runtime.block_on(async {
        let own: Vec<_> = names
            .iter()
            .map(|name| {
                let (name, socket) = (name.clone(), mesh.admin(name));
                spawn_local("ask", async move { ask(&name, &socket?).await })
            })
            .collect();
        let told = control::everything(&mesh).await;
        let mut answers = Vec::new();
        for task in own {
            answers.push(task.await);
        }
        (told, answers)
    });
    let control = told.as_ref().err();
    let control = Control { answers: control.is_none(), error: control.map(|error| chain(error)) };
    let told = told.ok();
    let answers = names.iter().zip(own).map(|(name, own)| {
        let own =
            own.map_err(|_panicked| "asking it failed".to_owned()).and_then(|own| own.map_err(|e| chain(&e)));
        proxy(name, told.as_ref(), own)
    });
    Ok(Report {
        proxies: answers.collect(),
        snapshot: told.as_ref().map(|(proxies, _)| proxies.snapshot),
        objects: told.iter().flat_map(|(_, objects)| &objects.objects).map(object).collect(),
        mesh: mesh.status,
        control,
    })
}

/// The gateway and every sidecar.
fn proxies(mesh: &Running) -> Vec<String> {
    let gateway = mesh.status.programs.iter().filter(|program| program.name == GATEWAY);
    let gateway = gateway.map(|program| program.name.clone());
    gateway.chain(mesh.status.replicas.iter().map(|replica| replica.name.clone())).collect()
}

async fn ask(name: &str, socket: &std::path::Path) -> Result<Own, Problem> {
    let answer = admin::get(name, socket, "/status").await?;
    serde_json::from_str(&answer)
        .map_err(|error| Problem::NoAnswer { name: name.to_owned(), source: error.into() })
}

/// One proxy, from what both say of it.
fn proxy(name: &str, told: Option<&Told>, own: Result<Own, String>) -> Proxy {
    let kind = if name == GATEWAY { "gateway" } else { "workload" };
    let id = format!("{kind}:{}/{name}", plan::NAMESPACE);
    let newest = told.map_or(0, |(proxies, _)| proxies.snapshot);
    // After a reconnection the newest session is the one that lives.
    let session = told.and_then(|(proxies, _)| proxies.proxies.iter().rfind(|proxy| proxy.id == id));
    let state = match (session, &own) {
        (Some(session), _) if !session.rejected.is_empty() => State::Refuses,
        (Some(session), _) if session.snapshot >= newest => State::Current,
        (Some(_), _) => State::Behind,
        (None, Err(_)) => State::Silent,
        (None, Ok(_)) if told.is_none() => State::Unknown,
        (None, Ok(_)) => State::Disconnected,
    };
    let refused = session
        .iter()
        .flat_map(|session| &session.rejected)
        .map(|rejected| Refused { unit: rejected.name.clone(), reason: rejected.reason.clone() });
    let refused = refused.collect();
    let (own, error) = match own {
        Ok(own) => (Some(own), None),
        Err(error) => (None, Some(error)),
    };
    let certificate = own
        .as_ref()
        .and_then(|own| Some(Certificate { not_before: own.not_before?, not_after: own.not_after? }));
    let version = session.map(|session| session.version.clone());
    Proxy {
        name: name.to_owned(),
        id,
        state,
        version: version.or_else(|| own.as_ref().map(|own| own.version.clone())),
        snapshot: session.map(|session| session.snapshot).or_else(|| own.as_ref().map(|own| own.snapshot)),
        identity: own.and_then(|own| own.identity),
        certificate,
        units: session.map(|session| session.units),
        connected_at: session.map(|session| session.connected_at / 1000),
        refused,
        error,
    }
}

fn object(told: &status::Object) -> Object {
    Object {
        kind: told.kind.clone(),
        namespace: told.namespace.clone(),
        name: told.name.clone(),
        file: told.file.clone(),
        line: told.line,
        column: told.column,
        verdict: told.verdict.clone(),
        last_good: told.diagnostics.iter().any(|found| found.code == LAST_GOOD),
        in_effect: told.in_effect,
        proxies: told.proxies,
        waiting: told.waiting.clone(),
        refused: told
            .refused
            .iter()
            .map(|refusal| Refusal { proxy: refusal.proxy.clone(), reason: refusal.reason.clone() })
            .collect(),
        findings: Finding::of(told),
    }
}

/// An error with everything that it came from, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}
