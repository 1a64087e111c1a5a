//! `leno analyze`: what is wrong, or probably not meant, in configuration.
//!
//! The findings are those of the control plane: offline the same store reads the same files once, and of a running mesh
//! the control plane itself is asked. Exit codes are those of `istioctl analyze`.

mod offline;
mod suppress;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use leno_model::span::Severity;
use leno_runtime::LocalRuntime;
use serde::Serialize;

use self::suppress::Suppression;
use crate::control;
use crate::error::Problem;
use crate::finding::Finding;
use crate::mesh::{Named, Running};
use crate::output::{self, Format};
use crate::words;

/// The exit code that says that there are findings, as `istioctl analyze` has it.
const FOUND: u8 = 79;

/// Check configuration: files and directories, or that of the running mesh
///
/// Example: leno analyze mesh.yaml config/
///
/// The exit code is 79 where a finding is at least as severe as --failure-threshold, and 1 where nothing could be
/// checked.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Files and directories, with a mesh file among them or not; `-` is standard input. The configuration of the
    /// running mesh when left out
    #[arg(value_name = "FILE|DIR", conflicts_with = "mesh")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    named: Named,
    /// Only findings about objects of this namespace
    #[arg(long, short, value_name = "NAMESPACE", value_parser = words::namespace, conflicts_with = "all_namespaces")]
    namespace: Option<String>,
    /// The least severity that makes the exit code 79
    #[arg(long, value_enum, ignore_case = true, default_value_t = Level::Error, value_name = "SEVERITY")]
    failure_threshold: Level,
    /// The least severity that is shown
    #[arg(long, value_enum, ignore_case = true, default_value_t = Level::Info, value_name = "SEVERITY")]
    output_threshold: Level,
    /// Leave out findings: CODE, or "CODE=KIND NAME.NAMESPACE" where `*` stands for anything; may be given several
    /// times
    #[arg(long, short = 'S', value_name = "FINDING", value_delimiter = ',')]
    suppress: Vec<Suppression>,
    /// All namespaces and all directories below are looked at in any case, and nothing is coloured
    #[arg(long, short = 'A', hide = true)]
    all_namespaces: bool,
    /// See `all_namespaces`
    #[arg(long, short = 'R', hide = true, num_args = 0..=1, require_equals = true)]
    recursive: Option<Option<bool>>,
    /// See `all_namespaces`
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true)]
    color: Option<Option<bool>>,
}

/// A severity as a word of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Level {
    Info,
    #[value(alias = "warn")]
    Warning,
    Error,
}

impl Level {
    const fn severity(self) -> Severity {
        match self {
            Self::Info => Severity::Info,
            Self::Warning => Severity::Warning,
            Self::Error => Severity::Error,
        }
    }
}

/// What was found, before anything is left out.
#[derive(Debug, Default)]
struct Checked {
    /// The mesh that was asked, or that a mesh file describes.
    mesh: Option<String>,
    objects: usize,
    findings: Vec<Finding>,
    /// Whether the mesh file was refused, so that references could not be followed.
    partly: bool,
}

/// What is shown.
#[derive(Debug, Serialize)]
struct Report {
    mesh: Option<String>,
    objects: usize,
    /// Whether everything could be checked.
    complete: bool,
    /// Whether a finding reaches the failure threshold.
    failed: bool,
    counts: Counts,
    findings: Vec<Finding>,
}

/// Numbers of findings by severity, and of those that were asked to be left out.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Counts {
    error: usize,
    warning: usize,
    info: usize,
    suppressed: usize,
}

pub(crate) fn run(arguments: &Arguments, format: Format) -> anyhow::Result<ExitCode> {
    let checked = if arguments.paths.is_empty() {
        running(&arguments.named.running()?)?
    } else {
        offline::check(&arguments.paths)?
    };
    let report = report(checked, arguments);
    match format {
        Format::Json => output::json(&report)?,
        Format::Text => output::lines(text(&report))?,
    }
    Ok(if report.failed { ExitCode::from(FOUND) } else { ExitCode::SUCCESS })
}

/// What the control plane of a running mesh says.
fn running(mesh: &Running) -> anyhow::Result<Checked> {
    let silent = |source| Problem::NoControlPlane { mesh: mesh.name.clone(), source };
    let runtime = LocalRuntime::new().context("cannot ask anybody")?;
    let told = runtime.block_on(control::objects(mesh)).map_err(silent)?;
    let findings = told.objects.iter().flat_map(Finding::of);
    Ok(Checked {
        mesh: Some(mesh.name.clone()),
        objects: told.objects.len(),
        findings: findings.collect(),
        partly: false,
    })
}

fn report(checked: Checked, arguments: &Arguments) -> Report {
    let mut counts = Counts::default();
    let mut findings = checked.findings;
    findings.sort();
    findings.dedup();
    if let Some(namespace) = &arguments.namespace {
        // What is about no object, or one of no namespace, is about all of them.
        let elsewhere = |finding: &Finding| {
            finding.object.as_ref().is_some_and(|of| !of.namespace.is_empty() && of.namespace != *namespace)
        };
        findings.retain(|finding| !elsewhere(finding));
    }
    let before = findings.len();
    findings.retain(|finding| !arguments.suppress.iter().any(|suppressed| suppressed.covers(finding)));
    counts.suppressed = before - findings.len();
    let failed = findings.iter().any(|finding| finding.severity >= arguments.failure_threshold.severity());
    findings.retain(|finding| finding.severity >= arguments.output_threshold.severity());
    for finding in &findings {
        match finding.severity {
            Severity::Error => counts.error += 1,
            Severity::Warning => counts.warning += 1,
            Severity::Info => counts.info += 1,
        }
    }
    Report {
        mesh: checked.mesh,
        objects: checked.objects,
        complete: !checked.partly,
        failed,
        counts,
        findings,
    }
}

fn text(report: &Report) -> Vec<String> {
    let mut lines: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    let Counts { error, warning, info, suppressed } = report.counts;
    let objects = count(report.objects, "object");
    let mut last = match report.findings.len() {
        0 => format!("no findings in {objects}"),
        _ => format!(
            "{}, {}, {} in {objects}",
            count(error, "error"),
            count(warning, "warning"),
            count(info, "info")
        ),
    };
    if suppressed > 0 {
        last.push_str(&format!("; {suppressed} suppressed"));
    }
    if !report.complete {
        last.push_str("; what objects say about each other is checked once the mesh file is right");
    }
    lines.push(last);
    lines
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests;
