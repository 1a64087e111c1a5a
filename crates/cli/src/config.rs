//! `leno config`: what one proxy has in effect.

use std::process::ExitCode;

use anyhow::Context as _;
use leno_runtime::LocalRuntime;
use serde_json::Value;

use crate::admin;
use crate::mesh::Named;
use crate::output::{self, Format, Table};

/// Show what a workload's proxy has in effect
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The workload, replica or `gateway`
    workload: String,
    #[command(flatten)]
    named: Named,
}

pub(crate) fn run(arguments: &Arguments, format: Format) -> anyhow::Result<ExitCode> {
    let mesh = arguments.named.running()?;
    let socket = mesh.admin(&arguments.workload)?;
    let runtime = LocalRuntime::new().context("cannot ask anybody")?;
    let answer = runtime.block_on(admin::get(&arguments.workload, &socket, "/config"))?;
    let config: Value = serde_json::from_str(&answer)?;
    match format {
        Format::Json => output::json(&config)?,
        Format::Text => text(&config)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn text(config: &Value) -> anyhow::Result<()> {
    let word = |key: &str| config.get(key).map(plain).unwrap_or_default();
    let mut facts = Table::default();
    for (name, key) in
        [("workload", "workload"), ("identity", "identity"), ("snapshot", "snapshot"), ("mutual TLS", "mtls")]
    {
        facts.row([name.to_owned(), word(key)]);
    }
    facts.row(["certificate".to_owned(), certificate(config)]);
    facts.print()?;
    let list = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    for policy in list(config.get("policies")) {
        output::lines([format!("policy      {}", plain(&policy))])?;
    }
    let mut table = Table::new(&["HOST", "PORT", "PROTOCOL", "ENDPOINT", "ADDRESS", "READY"]);
    for host in list(config.get("hosts")) {
        let name = host.get("host").map(plain).unwrap_or_default();
        for port in list(host.get("ports")) {
            for endpoint in list(host.get("endpoints")) {
                let of = |value: &Value, key: &str| value.get(key).map(plain).unwrap_or_default();
                table.row([
                    name.clone(),
                    of(&port, "port"),
                    of(&port, "protocol"),
                    of(&endpoint, "uid"),
                    of(&endpoint, "ip"),
                    standing(&endpoint, &of(&port, "port")),
                ]);
            }
        }
    }
    table.print()?;
    Ok(())
}

/// Whether an endpoint of a port gets requests.
fn standing(endpoint: &Value, port: &str) -> String {
    let left = endpoint.get("ejected").and_then(|ejected| ejected.get(port));
    match (endpoint.get("ready"), left) {
        (_, Some(seconds)) => format!("ejected for {} s", plain(seconds)),
        (ready, None) => ready.map(plain).unwrap_or_default(),
    }
}

fn certificate(config: &Value) -> String {
    let of = |key| config.get("certificate").and_then(|certificate| certificate.get(key));
    match (of("expired"), of("notAfter"), of("secondsLeft")) {
        (Some(Value::Bool(true)), Some(end), _) => format!("expired since {}", plain(end)),
        (_, Some(end), Some(left)) => format!("until {} ({left} s)", plain(end)),
        _ => "-".to_owned(),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}
