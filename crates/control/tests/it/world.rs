//! Small meshes out of YAML.

use std::sync::Arc;

use leno_control::catalog::{Catalog, Memos};
use leno_control::source::addresses::{self, Addresses};
use leno_control::source::directory::Files;
use leno_control::source::workloads::Announced;
use leno_control::store::{Sources, Store};
use leno_dialects::load::LoadOptions;
use leno_model::snapshot::Snapshot;
use leno_model::unit::MeshSettings;
use leno_wire::server::Client;

/// Istio's defaults.
pub(crate) fn options() -> LoadOptions {
    LoadOptions::new("cluster.local".parse().unwrap())
}

/// A store that has no state directory.
pub(crate) fn store() -> Store {
    let mut mesh = MeshSettings::new("cluster.local".parse().unwrap());
    mesh.ranges = addresses::ranges();
    Store::new(options(), mesh, Addresses::ephemeral())
}

/// Files with these names and contents.
pub(crate) fn files(files: &[(&str, &str)]) -> Arc<Files> {
    let files = files.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect();
    Arc::new(Files { files, problems: Vec::new() })
}

/// What the files say, and nothing else.
pub(crate) fn sources(named: &[(&str, &str)]) -> Sources {
    Sources { files: files(named), announced: Announced::default() }
}

/// The snapshot of one file.
pub(crate) fn snapshot(text: &str) -> Arc<Snapshot> {
    store().build(&sources(&[("in.yaml", text)]), 1)
}

/// The catalog of a snapshot.
pub(crate) fn catalog(snapshot: Arc<Snapshot>, memos: &Arc<Memos>) -> Catalog {
    Catalog::new(snapshot.version, snapshot, Vec::new(), Arc::clone(memos))
}

/// A proxy of a workload of this namespace, or of the subject that is named in full.
pub(crate) fn client(name: &str) -> Client {
    let name = if name.contains(':') { name.to_owned() } else { format!("workload:{name}/client") };
    Client { subject: name.parse().unwrap(), identity: None, version: "test".into() }
}
