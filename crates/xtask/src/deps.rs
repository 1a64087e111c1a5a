//! `cargo xtask deps`: the dependency policy, checked from `cargo metadata` and the manifests.
//!
//! The rules are data in [`policy`]; [`check`](graph) of a graph is pure. Dependencies that only the lock file names
//! (optional ones that no feature turns on) don't count.

mod graph;
mod licence;
mod manifest;
mod policy;
mod rules;

use anyhow::{Context as _, Result};

use crate::command::{cargo, output};
use graph::Graph;

/// Everything that is wrong with the workspace's dependencies.
pub(crate) fn check() -> Result<Vec<String>> {
    let metadata = output(&mut cargo(&["metadata", "--format-version", "1"]))?;
    let metadata = serde_json::from_str(&metadata).context("cargo metadata printed no JSON")?;
    let graph = Graph::parse(&metadata).context("cargo metadata has another form than expected")?;
    let mut problems = rules::check(&graph);
    problems.extend(manifest::check(&graph)?);
    Ok(problems)
}
