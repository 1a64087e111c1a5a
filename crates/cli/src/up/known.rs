//! What the control plane knows of the mesh's services and workloads, and how it is told of changes.
//!
//! Invariant: telling never waits. What has changed is only marked; a task writes what is true by then, so a control
//! plane that hangs costs at most one mark for each service and workload.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use leno_control::bootstrap as control;
use leno_local::Phase;
use leno_local::plan;
use leno_local::protocol::Status;
use leno_local::up::{Context, Member};
use leno_runtime::{Task, spawn_local};
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe;
use tokio::sync::Notify;

use crate::announce::{self, GATEWAY};

/// Everything that the control plane knows, or will in a moment.
#[derive(Default)]
pub(super) struct Known {
    shared: Rc<Shared>,
    writer: RefCell<Option<Task<()>>>,
}

#[derive(Default)]
struct Shared {
    state: RefCell<State>,
    /// There are marks.
    marked: Notify,
}

#[derive(Default)]
struct State {
    services: BTreeMap<String, control::Service>,
    workloads: BTreeMap<String, Workload>,
    marks: BTreeSet<Mark>,
    /// Changes that the control plane is told of, or will be in a moment.
    told: u64,
}

struct Workload {
    member: Rc<Member>,
    ready: bool,
}

/// What has changed. Services come first: workloads stand behind them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    Service(String),
    Workload(String),
}

impl Known {
    /// These are the services now.
    pub(super) fn services(&self, services: Vec<control::Service>) {
        let services = services.into_iter().map(|service| (service.name.clone(), service)).collect();
        let mut state = self.shared.state.borrow_mut();
        let before = std::mem::replace(&mut state.services, services);
        let names: BTreeSet<String> = before.keys().chain(state.services.keys()).cloned().collect();
        let changed = names.into_iter().filter(|name| before.get(name) != state.services.get(name));
        let marks: Vec<Mark> = changed.map(Mark::Service).collect();
        state.marks.extend(marks);
        self.shared.marked.notify_one();
    }

    /// This is the state now, and these are the members.
    pub(super) fn tell(&self, status: &Status, context: &Context) {
        let ready: BTreeMap<&str, bool> = status
            .replicas
            .iter()
            .map(|replica| (replica.name.as_str(), replica.phase == Phase::Ready))
            .collect();
        let mut state = self.shared.state.borrow_mut();
        let State { workloads, marks, .. } = &mut *state;
        let members = context.members();
        workloads.retain(|name, _| {
            let is_there = members.iter().any(|member| member.replica.name == *name);
            if !is_there {
                marks.insert(Mark::Workload(name.clone()));
            }
            is_there
        });
        for member in members {
            let name = &member.replica.name;
            let ready = ready.get(name.as_str()).copied().unwrap_or(false);
            let same = workloads.get(name).is_some_and(|known| {
                known.ready == ready && (Rc::ptr_eq(&known.member, &member) || known.member.is_like(&member))
            });
            if !same {
                marks.insert(Mark::Workload(name.clone()));
            }
            workloads.insert(name.clone(), Workload { member, ready });
        }
        self.shared.marked.notify_one();
    }

    /// All services, for a control plane that starts.
    pub(super) fn all_services(&self) -> Vec<control::Service> {
        self.shared.state.borrow().services.values().cloned().collect()
    }

    /// All workloads, for a control plane that starts.
    pub(super) fn all_workloads(&self) -> Vec<control::Workload> {
        self.shared.state.borrow().workloads.values().map(Workload::announced).collect()
    }

    /// Whether everything is in effect at the gateway and at every member's sidecar, by what the control plane says; names
    /// those where it isn't.
    pub(super) async fn in_effect(&self, context: &Context) -> Vec<String> {
        let answer = match crate::control::proxies(context.control.clone()).await {
            Ok(answer) => answer,
            Err(error) => return vec![format!("the control plane does not say ({error})")],
        };
        {
            let state = self.shared.state.borrow();
            if !state.marks.is_empty() || answer.changes < state.told {
                return vec!["the control plane has not taken it".to_owned()];
            }
        }
        let members = context.members().into_iter().map(|member| {
            let name = member.replica.name.clone();
            (format!("workload:{}/{name}", plan::NAMESPACE), name)
        });
        let gateway = (format!("gateway:{}/{GATEWAY}", plan::NAMESPACE), GATEWAY.to_owned());
        let is_current = |id: &str| {
            // After a reconnection the newest session is the one that lives.
            let session = answer.proxies.iter().rfind(|proxy| proxy.id == id);
            session.is_some_and(|session| session.snapshot >= answer.snapshot)
        };
        let proxies = std::iter::once(gateway).chain(members);
        proxies.filter(|(id, _)| !is_current(id)).map(|(_, name)| name).collect()
    }

    /// Opens a way to tell a control plane that starts now, with everything that is known, of what changes from now on.
    /// The earlier one is told nothing more.
    pub(super) fn open(&self) -> io::Result<OwnedFd> {
        let (read, write) = io::pipe()?;
        let write = pipe::Sender::from_owned_fd(write.into())?;
        {
            let mut state = self.shared.state.borrow_mut();
            state.marks.clear();
            state.told = 0;
        }
        let writing = write_changes(Rc::clone(&self.shared), write);
        *self.writer.borrow_mut() = Some(spawn_local("changes", writing));
        Ok(read.into())
    }
}

impl Workload {
    fn announced(&self) -> control::Workload {
        announce::workload(&self.member.replica, self.member.join_token.clone(), self.ready)
    }
}

impl State {
    /// What is true now of the first that is marked.
    fn take(&mut self) -> Option<control::Change> {
        let namespace = plan::NAMESPACE.to_owned();
        let mark = self.marks.pop_first()?;
        self.told += 1;
        Some(match mark {
            Mark::Service(name) => match self.services.get(&name) {
                Some(service) => control::Change::Service(service.clone()),
                None => control::Change::RemovedService { namespace, name },
            },
            Mark::Workload(name) => match self.workloads.get(&name) {
                Some(workload) => control::Change::Workload(Box::new(workload.announced())),
                None => control::Change::Removed { namespace, name },
            },
        })
    }
}

/// Writes what is marked until the control plane is gone; its successor is told everything when it starts.
async fn write_changes(shared: Rc<Shared>, mut write: pipe::Sender) {
    loop {
        let change = shared.state.borrow_mut().take();
        let Some(change) = change else {
            shared.marked.notified().await;
            continue;
        };
        let Ok(mut line) = serde_json::to_vec(&change) else { continue };
        line.push(b'\n');
        if write.write_all(&line).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{BufRead as _, BufReader};

    use leno_runtime::LocalRuntime;

    use super::*;

    fn service(name: &str, port: u16) -> control::Service {
        control::Service {
            name: name.to_owned(),
            namespace: plan::NAMESPACE.to_owned(),
            ports: vec![control::Port { name: String::new(), port, target_port: port, protocol: None }],
            headless: false,
            file: "mesh.yaml".to_owned(),
            line: 1,
        }
    }

    #[test]
    fn a_control_plane_that_hangs_costs_no_waiting_and_hears_the_latest() {
        LocalRuntime::new().unwrap().block_on(async {
            let known = Known::default();
            known.services(vec![service("gone", 1)]);
            let read = known.open().unwrap();
            let mut last = 0;
            for port in 1..=5000 {
                // More than any pipe holds.
                known.services((0..20).map(|number| service(&format!("s{number}"), port)).collect());
                tokio::task::yield_now().await;
                last = port;
            }
            assert!(known.shared.state.borrow().marks.len() <= 21);
            let heard = leno_runtime::spawn_blocking("read", move || {
                let mut ports = BTreeMap::new();
                for line in BufReader::new(File::from(read)).lines() {
                    match serde_json::from_str(&line.unwrap()).unwrap() {
                        control::Change::Service(service) => {
                            ports.insert(service.name, service.ports[0].port)
                        }
                        control::Change::RemovedService { name, .. } => ports.insert(name, 0),
                        other => panic!("{other:?}"),
                    };
                    if ports.len() == 21 && ports.iter().all(|(name, port)| *port == last || name == "gone") {
                        return ports["gone"];
                    }
                }
                panic!("the stream ended: {ports:?}");
            });
            assert_eq!(heard.await.unwrap(), 0, "what is gone is told");
        });
    }
}
