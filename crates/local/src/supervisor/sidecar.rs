//! Keeping the sidecar: starting it with its sockets and its vault, again whenever it dies.

use std::{
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream as StdUnixStream,
    },
    rc::Rc,
    time::Instant,
};

use leno_capture::{
    capability::Set,
    process::{self, Child, Command},
};
use leno_runtime::Task;
use tokio::{net::UnixStream, sync::watch};

use super::{Keeper, network::MARK};
use crate::{
    backoff::Backoff,
    handoff::{self, Sidecar, SidecarControl, SidecarHost, SidecarService, SidecarSockets, SidecarWorkload},
    limits::DRAIN_GRACE,
    link::Report,
    plan::{HOST_ADDRESS, NAMESPACE, TRUST_DOMAIN},
    vaulted::{self, Stage},
};

/// Keeps a sidecar running until `drain` says otherwise, then lets it end in order. `ready` says whether
/// it serves.
///
/// One that drains of its own accord takes nothing new and may have much to finish, so the next one starts at once, on the
/// same sockets. Before a third one starts, the first has ended.
pub(super) async fn keep(keeper: Rc<Keeper>, ready: watch::Sender<bool>, mut drain: watch::Receiver<bool>) {
    let mut backoff = Backoff::new(Instant::now());
    let mut restarts = 0;
    let mut leaving: Option<Running> = None;
    while !*drain.borrow() {
        backoff.started(Instant::now());
        let end = match start(&keeper, &drain) {
            Ok(running) => attend(&keeper, &ready, &drain, running, restarts).await,
            Err(error) => End::Ended(crate::error_chain(&error)),
        };
        ready.send_replace(false);
        if *drain.borrow() {
            break;
        }
        restarts += 1;
        keeper.report(Report::Sidecar { ready: false, restarts }).await;
        match end {
            End::Drains(running) => {
                keeper.report(Report::Note("its sidecar drains; starting another one".to_owned())).await;
                if let Some(mut before) = leaving.replace(running) {
                    before.end().await;
                }
            }
            End::Ended(end) => {
                let pause = backoff.crashed(Instant::now());
                let note = format!("its sidecar {end}; starting it again in {} ms", pause.as_millis());
                keeper.report(Report::Note(note)).await;
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    _changed = drain.wait_for(|drain| *drain) => break,
                }
            }
        }
    }
    if let Some(mut leaving) = leaving {
        leaving.end().await;
    }
}

/// A sidecar's process.
struct Running {
    stage: watch::Receiver<Stage>,
    /// How it ended.
    end: Task<String>,
}

impl Running {
    /// Attends to it until it has ended, and tells it to drain when `drain` says so.
    fn new(keeper: &Rc<Keeper>, drain: &watch::Receiver<bool>, child: Child, stream: UnixStream) -> Self {
        let (says, stage) = watch::channel(Stage::Starting);
        let (keeper, mut drain) = (Rc::clone(keeper), drain.clone());
        let end = leno_runtime::spawn_local("sidecar process", async move {
            vaulted::attend(child, stream, &keeper.vault, &says, &mut drain, DRAIN_GRACE).await
        });
        Self { stage, end }
    }

    /// Waits for its end.
    async fn end(&mut self) -> String {
        vaulted::words((&mut self.end).await)
    }

    /// What it says next of itself; its end if it says nothing more.
    async fn next(&mut self) -> Result<Stage, String> {
        match self.stage.changed().await {
            Ok(()) => Ok(*self.stage.borrow_and_update()),
            Err(_ended) => Err(self.end().await),
        }
    }
}

/// What came of a sidecar.
enum End {
    /// It ended, in these words.
    Ended(String),
    /// It drains, and nobody has told it to.
    Drains(Running),
}

/// Attends to a running sidecar, and tells when it is ready, until it has ended or drains.
async fn attend(
    keeper: &Keeper,
    ready: &watch::Sender<bool>,
    drain: &watch::Receiver<bool>,
    mut running: Running,
    restarts: u32,
) -> End {
    loop {
        match running.next().await {
            Ok(Stage::Ready) => {
                ready.send_replace(true);
                keeper.report(Report::Sidecar { ready: true, restarts }).await;
            }
            Ok(Stage::Draining { served: true }) if !*drain.borrow() => return End::Drains(running),
            // Before it was ready, something is wrong with it.
            Ok(Stage::Starting | Stage::Draining { .. }) => {}
            Err(end) => return End::Ended(end),
        }
    }
}

/// Starts a sidecar, which is told what `drain` says.
fn start(keeper: &Rc<Keeper>, drain: &watch::Receiver<bool>) -> Result<Running, StartError> {
    let (ours, theirs) = StdUnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let mut command = Command::of_file(process::own_executable()?, "leno".as_ref());
    for argument in &keeper.plan.sidecar_arguments {
        command.argument(argument);
    }
    let mut hand = |fd: &OwnedFd| command.hand(fd.try_clone()?);
    let sockets = SidecarSockets {
        outbound: keeper.sockets.outbound.iter().map(&mut hand).collect::<io::Result<_>>()?,
        inbound: hand(&keeper.sockets.inbound)?,
        dns_udp: keeper.sockets.dns_udp.iter().map(&mut hand).collect::<io::Result<_>>()?,
        dns_tcp: keeper.sockets.dns_tcp.iter().map(&mut hand).collect::<io::Result<_>>()?,
        admin: hand(&keeper.sockets.admin)?,
        services: keeper
            .services()
            .map(|(listen, socket)| {
                Ok(SidecarService {
                    listener: hand(socket)?,
                    host: format!("{}.{NAMESPACE}.svc.{TRUST_DOMAIN}", listen.service),
                    port: listen.port,
                })
            })
            .collect::<io::Result<_>>()?,
    };
    let vault = command.hand(theirs.into())?;
    handoff::give(&mut command, &document(keeper, sockets, vault))?;
    command
        .own_environment()
        .stdout(io::stdout().as_fd().try_clone_to_owned()?)
        .stderr(io::stderr().as_fd().try_clone_to_owned()?)
        .forbid_gain()
        .die_with_parent();
    match &keeper.plan.place {
        None => drop(command.capabilities(Set::NET_ADMIN)),
        // Only root has any to give up.
        Some(_) if keeper.plan.world.root => drop(command.capabilities(Set::empty())),
        Some(_) => {}
    }
    let child = command.spawn()?;
    Ok(Running::new(keeper, drain, child, UnixStream::from_std(ours)?))
}

#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("didn't start")]
    Prepare(#[from] io::Error),
    #[error("didn't start")]
    Spawn(#[from] process::Error),
}

fn document(keeper: &Keeper, sockets: SidecarSockets, vault: i32) -> Sidecar {
    let replica = &keeper.plan.replica;
    Sidecar {
        mesh: keeper.plan.mesh.clone(),
        trust_domain: TRUST_DOMAIN.to_owned(),
        workload: SidecarWorkload {
            name: replica.name.clone(),
            namespace: NAMESPACE.to_owned(),
            service_account: replica.service_account.clone(),
            labels: replica.labels.clone(),
            addresses: replica.addresses.clone(),
            host: SidecarHost { address: HOST_ADDRESS, ports: replica.host_access.clone() },
        },
        control: SidecarControl { unix: keeper.plan.control.clone() },
        join_token: keeper.plan.join_token.clone(),
        renewal: keeper.plan.renewal,
        tracing: keeper.plan.tracing.clone(),
        threads: 0,
        sockets,
        vault,
        mark: if keeper.plan.place.is_some() { 0 } else { MARK },
        application: keeper.plan.place.as_ref().map(|place| place.ports.clone()),
    }
}
