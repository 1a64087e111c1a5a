//! The running mesh that a command is about.

use std::path::PathBuf;

use leno_local::protocol::{ReplicaStatus, Status};
use leno_local::{client, directory};

use crate::error::Problem;

/// Which mesh: what commands about a running one take.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Named {
    /// The mesh's name; may be left out while only one is running
    #[arg(long, short, value_name = "NAME")]
    pub(crate) mesh: Option<String>,
}

/// A running mesh as it was when the command began.
#[derive(Debug)]
pub(crate) struct Running {
    /// Its name.
    pub(crate) name: String,
    /// What runs in it.
    pub(crate) status: Status,
}

/// What a name may also stand for, beside workloads, replicas and services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Also {
    /// Nothing.
    Nothing,
    /// The gateway.
    Gateway,
    /// Everything that serves the whole mesh.
    Programs,
}

impl Named {
    /// The name of the mesh that is meant.
    pub(crate) fn choose(&self) -> Result<String, Problem> {
        choose(self.mesh.as_deref(), client::running())
    }

    /// The mesh that is meant, with what runs in it.
    pub(crate) fn running(&self) -> anyhow::Result<Running> {
        let name = self.choose()?;
        let status = client::status(&name)?;
        Ok(Running { name, status })
    }
}

/// The one that is named, or the only one.
pub(crate) fn choose(name: Option<&str>, running: Vec<String>) -> Result<String, Problem> {
    match (name, running.as_slice()) {
        (Some(name), _) if running.iter().any(|mesh| mesh == name) => Ok(name.to_owned()),
        (Some(name), _) => Err(Problem::NotRunning { name: name.to_owned(), running }),
        (None, []) => Err(Problem::NothingRunning),
        (None, [only]) => Ok(only.clone()),
        (None, _) => Err(Problem::SeveralMeshes(running)),
    }
}

impl Running {
    /// Checks that the mesh has something of this name.
    pub(crate) fn require(&self, name: &str, also: Also) -> Result<(), Problem> {
        if self.programs(also).any(|program| program == name) || self.replica(name).is_some() {
            return Ok(());
        }
        let mut known: Vec<String> =
            self.status.replicas.iter().map(|replica| replica.name.clone()).collect();
        known.extend(self.programs(also).map(str::to_owned));
        let services = self.status.replicas.iter().filter_map(|replica| replica.service.clone()).collect();
        Err(Problem::UnknownWorkload { mesh: self.name.clone(), name: name.to_owned(), known, services })
    }

    /// The admin socket of a proxy: a replica's sidecar, or the gateway.
    pub(crate) fn admin(&self, name: &str) -> Result<PathBuf, Problem> {
        self.require(name, Also::Gateway)?;
        let runtime = directory::runtime(&self.name);
        Ok(match self.replica(name).filter(|_| !self.is_gateway(name)) {
            Some(replica) => runtime.join("s").join(format!("{}.admin", replica.name)),
            None => runtime.join(format!("{name}.admin")),
        })
    }

    /// Whether a name stands for the gateway, to which requests come from outside the mesh.
    pub(crate) fn is_gateway(&self, name: &str) -> bool {
        self.programs(Also::Gateway).any(|program| program == name)
    }

    /// The socket where the control plane answers.
    pub(crate) fn control(&self) -> PathBuf {
        directory::runtime(&self.name).join("control.sock")
    }

    fn programs(&self, also: Also) -> impl Iterator<Item = &str> {
        let names = self.status.programs.iter().map(|program| program.name.as_str());
        names.filter(move |name| match also {
            Also::Nothing => false,
            Also::Gateway => *name == "gateway",
            Also::Programs => true,
        })
    }

    /// A replica by its name, else the first of a workload, else of a service.
    fn replica(&self, name: &str) -> Option<&ReplicaStatus> {
        let replicas = &self.status.replicas;
        let by = |is: &dyn Fn(&ReplicaStatus) -> bool| replicas.iter().find(|replica| is(replica));
        by(&|replica| replica.name == name)
            .or_else(|| by(&|replica| replica.workload == name))
            .or_else(|| by(&|replica| replica.service.as_deref() == Some(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_mesh_needs_no_name() {
        let running = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(choose(None, running(&["a"])).unwrap(), "a");
        assert_eq!(choose(Some("b"), running(&["a", "b"])).unwrap(), "b");
        assert!(matches!(choose(None, running(&[])), Err(Problem::NothingRunning)));
        assert!(matches!(choose(None, running(&["a", "b"])), Err(Problem::SeveralMeshes(_))));
        assert!(matches!(choose(Some("c"), running(&["a"])), Err(Problem::NotRunning { .. })));
    }
}
