//! What a control plane would say about configuration, without running one: the same store, readers and analysis, once.

use std::sync::Arc;

use leno_model::snapshot::Snapshot;

use crate::server::{self, Config};
use crate::source::addresses::Addresses;
use crate::source::directory::Files;
use crate::store::Sources;

/// The snapshot of these files together with what is announced. Its reports say everything there is to find.
///
/// Nothing was in effect before, so a refused object counts in its strictest sense, as at a first start. Virtual
/// addresses are chosen and forgotten.
#[must_use]
pub fn check(config: &Config, files: Files) -> Arc<Snapshot> {
    let sources = Sources { files: Arc::new(files), announced: config.workloads.announced() };
    server::store(config, Addresses::ephemeral()).build(&sources, 1)
}
