//! `leno config`: what one proxy has in effect.

use std::process::ExitCode;

use leno_local::client;
use serde_json::Value;

use crate::admin;
use crate::output::{self, Common, Format, Table};

/// Show what a workload's proxy has in effect
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The workload, replica or `gateway`
    workload: String,
    #[command(flatten)]
    common: Common,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mesh = client::choose(arguments.common.mesh.as_deref())?;
    let status = client::status(&mesh)?;
    let answer = admin::get(&admin::socket(&mesh, &status, &arguments.workload)?, "/config")?;
    let config: Value = serde_json::from_str(&answer)?;
    match arguments.common.output {
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
    facts.print()?;
    let list = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    for policy in list(config.get("policies")) {
        println(&format!("policy      {}", plain(&policy)));
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
                    of(&endpoint, "ready"),
                ]);
            }
        }
    }
    table.print()?;
    Ok(())
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

fn println(line: &str) {
    use std::io::Write as _;
    // A reader that went away has seen enough.
    let _closed = writeln!(std::io::stdout(), "{line}");
}
