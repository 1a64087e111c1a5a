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
    process::{self, Command},
};
use tokio::{net::UnixStream, sync::watch};

use super::{Keeper, network::MARK};
use crate::{
    backoff::Backoff,
    handoff::{self, Sidecar, SidecarControl, SidecarHost, SidecarService, SidecarSockets, SidecarWorkload},
    limits::DRAIN_GRACE,
    link::Report,
    plan::{HOST_ADDRESS, NAMESPACE, TRUST_DOMAIN},
    vaulted,
};

/// Keeps a sidecar running until `drain` says otherwise, then lets it end in order. `ready` says whether
/// it serves.
pub(super) async fn keep(keeper: Rc<Keeper>, ready: watch::Sender<bool>, mut drain: watch::Receiver<bool>) {
    let mut backoff = Backoff::new(Instant::now());
    let mut restarts = 0;
    loop {
        backoff.started(Instant::now());
        let end = match start(&keeper) {
            Ok((child, stream)) => attend(&keeper, &ready, &mut drain, child, stream, restarts).await,
            Err(error) => crate::error_chain(&error),
        };
        ready.send_replace(false);
        if *drain.borrow() {
            return;
        }
        restarts += 1;
        let pause = backoff.crashed(Instant::now());
        keeper.report(Report::Sidecar { ready: false, restarts }).await;
        let note = format!("its sidecar {end}; starting it again in {} ms", pause.as_millis());
        keeper.report(Report::Note(note)).await;
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _changed = drain.wait_for(|drain| *drain) => return,
        }
    }
}

/// Attends to a running sidecar and tells when it is ready; returns how it ended.
async fn attend(
    keeper: &Keeper,
    ready: &watch::Sender<bool>,
    drain: &mut watch::Receiver<bool>,
    child: process::Child,
    stream: UnixStream,
    restarts: u32,
) -> String {
    let mut became_ready = ready.subscribe();
    let attending = vaulted::attend(child, stream, &keeper.vault, ready, drain, DRAIN_GRACE);
    tokio::pin!(attending);
    tokio::select! {
        end = &mut attending => return end,
        _ready = became_ready.wait_for(|ready| *ready) => {}
    }
    keeper.report(Report::Sidecar { ready: true, restarts }).await;
    attending.await
}

/// Starts a sidecar and returns the supervisor's end of its vault.
fn start(keeper: &Keeper) -> Result<(process::Child, UnixStream), StartError> {
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
    Ok((command.spawn()?, UnixStream::from_std(ours)?))
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
