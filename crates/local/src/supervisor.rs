//! One workload's keeper: owns the outer user and network namespace, in which it was started, wires the
//! network, holds the listening sockets, and keeps sidecar and workload running.
//!
//! `leno up` starts it as the first process of both namespaces. It has every capability there and none
//! on the host. Invariant: the rules are in force before the first process of the workload starts. When it
//! dies, however it dies, the kernel ends sidecar and workload with it.

mod health;
mod network;
mod protect;
mod sidecar;
mod workload;
mod world;

use std::{
    cell::RefCell,
    io,
    os::fd::{OwnedFd, RawFd},
    rc::Rc,
};

use leno_capture::{capability, nft, process};
use leno_runtime::LocalRuntime;
use tokio::sync::{mpsc, watch};

use crate::{
    handoff,
    limits::QUEUED_MESSAGES,
    link::{Link, Order, Phase, Report},
    loopback::Listen,
    vault::Vault,
};

/// Why a supervisor can't go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What it was started with.
    #[error("can't take over from leno up")]
    Handoff(#[from] handoff::Error),
    /// Redirection or sockets.
    #[error(transparent)]
    Network(#[from] network::Error),
    /// Anything else on the way.
    #[error("can't {0}")]
    Step(&'static str, #[source] io::Error),
}

/// An order from `leno up`, with the descriptors that came along.
type Received = (Order, Vec<OwnedFd>);

/// What all parts of a supervisor share.
struct Keeper {
    plan: handoff::Supervisor,
    sockets: network::Sockets,
    vault: RefCell<Vault>,
    /// The workload's standard output and error.
    output: [OwnedFd; 2],
    reports: mpsc::Sender<Report>,
}

impl Keeper {
    /// In loopback mode: the services that its workload calls, each with the socket for it.
    fn services(&self) -> impl Iterator<Item = (&Listen, &OwnedFd)> {
        self.plan.place.iter().flat_map(|place| &place.services).zip(&self.sockets.services)
    }

    /// Tells `leno up`. If that one is gone, so is this process in a moment.
    async fn report(&self, report: Report) {
        if matches!(report, Report::Workload { phase: Phase::Ready, .. }) {
            crate::release_memory();
        }
        let _gone = self.reports.send(report).await;
    }
}

/// Runs a supervisor until it is told to stop, or `leno up` is gone.
///
/// # Errors
/// [`Error`], before anything of the workload ran.
pub fn main(bootstrap: RawFd) -> Result<(), Error> {
    let step = |name| move |error| Error::Step(name, error);
    let plan = match handoff::take(bootstrap)? {
        handoff::SupervisorTask::Probe => {
            return nft::probe().map_err(|error| network::Error::from(error).into());
        }
        handoff::SupervisorTask::Keep(plan) => *plan,
    };
    process::set_name("leno-supervisor").map_err(step("name this process"))?;
    capability::clear_ambient().map_err(step("keep capabilities to itself"))?;
    capability::hide_memory().map_err(step("hide this process's memory"))?;
    let link = handoff::adopt(plan.link)?;
    let output = [handoff::adopt(plan.stdout)?, handoff::adopt(plan.stderr)?];
    let sockets = match &plan.place {
        Some(place) => network::share(&plan.replica, place)?,
        None => network::wire(&plan.replica)?,
    };
    let runtime = LocalRuntime::new().map_err(step("start a runtime"))?;
    runtime.block_on(async {
        let link = Rc::new(Link::new(link).map_err(step("watch the link to leno up"))?);
        let (reports, reported) = mpsc::channel(QUEUED_MESSAGES);
        let keeper = Rc::new(Keeper { plan, sockets, vault: RefCell::default(), output, reports });
        run(keeper, &link, reported).await;
        Ok(())
    })
}

async fn run(keeper: Rc<Keeper>, link: &Rc<Link>, reported: mpsc::Receiver<Report>) {
    let (orders, ordered) = mpsc::channel(QUEUED_MESSAGES);
    let writer = leno_runtime::spawn_local("reports", write_reports(Rc::clone(link), reported));
    let (sidecar_ready, sidecar) = watch::channel(false);
    let (drain, drained) = watch::channel(false);
    let keeping =
        leno_runtime::spawn_local("sidecar", sidecar::keep(Rc::clone(&keeper), sidecar_ready, drained));
    tokio::select! {
        () = read_orders(link, &orders) => return,
        () = workload::keep(&keeper, ordered, sidecar) => {}
    }
    // The sidecar outlives its workload, then ends in order.
    let _ending = drain.send(true);
    let _ended = keeping.await;
    // The last reports leave before this process does.
    drop(keeper);
    let _written = writer.await;
}

/// Hands orders on until `leno up` is gone.
async fn read_orders(link: &Link, orders: &mpsc::Sender<Received>) {
    while let Ok(Some(received)) = link.receive().await {
        if orders.send(received).await.is_err() {
            return;
        }
    }
}

async fn write_reports(link: Rc<Link>, mut reported: mpsc::Receiver<Report>) {
    while let Some(report) = reported.recv().await {
        if link.send(&report, &[]).await.is_err() {
            return;
        }
    }
}
