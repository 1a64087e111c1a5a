//! Changes that `leno up` tells of after the start, line by line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use leno_runtime::task;
use leno_wire::Subject;

use super::{ProcessError, host, name, service, workload, workload_token};
use crate::authority::Authority;
use crate::bootstrap::Change;
use crate::limits::MAX_CHANGE_BYTES;
use crate::source::workloads::Workloads;

/// Carries changes out.
pub(super) struct Applier {
    workloads: Workloads,
    authority: Arc<Authority>,
    /// The domain of services' hosts.
    cluster_domain: Arc<str>,
}

/// Why a change has no effect. Lines hold secrets, so they are never repeated.
#[derive(Debug, thiserror::Error)]
enum NotApplied {
    #[error("it is not a change (column {0})")]
    Form(usize),
    #[error("it describes something that can't be")]
    Content(#[from] ProcessError),
    #[error(transparent)]
    Token(#[from] crate::authority::given::NotTaken),
}

impl Applier {
    pub(super) fn new(workloads: Workloads, authority: Arc<Authority>, cluster_domain: Arc<str>) -> Self {
        Self { workloads, authority, cluster_domain }
    }

    fn apply(&self, line: &[u8]) -> Result<(), NotApplied> {
        let change = serde_json::from_slice(line).map_err(|error| NotApplied::Form(error.column()))?;
        match change {
            Change::Ready { namespace, name: of, ready } => {
                self.workloads.ready(&name(&namespace, &of), ready)
            }
            Change::Workload(described) => {
                let token = workload_token(&described, self.workloads.trust_domain())?;
                self.authority.given().add(&token)?;
                self.workloads.set(workload(&described)).map_err(ProcessError::from)?;
            }
            Change::Removed { namespace, name: of } => {
                let name = name(&namespace, &of);
                self.workloads.remove(&name);
                self.authority.given().remove(&Subject::Workload(name));
            }
            Change::Service(described) => {
                let service = service(&described, &self.cluster_domain)?;
                self.workloads.set_service(service, !described.headless);
            }
            Change::RemovedService { namespace, name } => {
                self.workloads.remove_service(&host(&name, &namespace, &self.cluster_domain)?);
            }
        }
        Ok(())
    }
}

/// Follows the stream on a thread of its own, since it may be a pipe as well as a socket.
pub(super) fn follow(stream: OwnedFd, applier: Applier) -> io::Result<()> {
    task::spawn_thread("changes", move || {
        let mut reader = BufReader::new(File::from(stream));
        while let Some(line) = line(&mut reader) {
            if let Err(error) = applier.apply(&line) {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "a change that was told of has no effect");
            }
            applier.workloads.told_one();
        }
    })
    .map(drop)
}

/// The next line; `None` at the end, and where a line is too long to be one.
fn line(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let limit = u64::try_from(MAX_CHANGE_BYTES).unwrap_or(u64::MAX);
    let mut line = Vec::new();
    match reader.by_ref().take(limit).read_until(b'\n', &mut line) {
        Ok(0) => None,
        Ok(_) if line.ends_with(b"\n") => Some(line),
        Ok(_) | Err(_) => {
            tracing::error!("the stream of changes is broken; no more changes are heard of");
            None
        }
    }
}
