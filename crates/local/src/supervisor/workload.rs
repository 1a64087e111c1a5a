//! Keeping the workload: one world per life, started when its sidecar and what it depends on are ready,
//! again with a pause when it ends.

use std::{os::fd::OwnedFd, rc::Rc, time::Instant};

use rustix::process::Signal;
use tokio::{
    sync::{mpsc, watch},
    time::{sleep, timeout},
};

use super::{
    Keeper, Received,
    health::{self, Wellness},
    protect,
    world::World,
};
use crate::{
    backoff::Backoff,
    handoff::Process,
    limits::STOP_GRACE,
    link::{End, Order, Phase, Report},
};

/// Why a life ended.
enum Ending {
    /// By itself, or it never began.
    Crash(String),
    /// By itself, having done what it was for.
    Done,
    /// Because a new one was asked for.
    Restart,
    /// For good.
    Stop,
}

/// Keeps the workload until told to stop, or until `leno up` is gone.
pub(super) async fn keep(
    keeper: &Rc<Keeper>,
    mut orders: mpsc::Receiver<Received>,
    mut sidecar: watch::Receiver<bool>,
) {
    let mut backoff = Backoff::new(Instant::now());
    let mut restarts = 0;
    if wait_until_due(keeper, &mut orders, &mut sidecar).await {
        loop {
            backoff.started(Instant::now());
            let pause = match live(keeper, &mut orders, restarts).await {
                Ending::Stop => break,
                Ending::Restart => None,
                Ending::Done => {
                    keeper.report(Report::Workload { phase: Phase::Done, restarts }).await;
                    if !wait_for_restart(keeper, &mut orders).await {
                        break;
                    }
                    None
                }
                Ending::Crash(reason) => {
                    let pause = backoff.crashed(Instant::now());
                    let note = format!("{reason}; starting it again in {} ms", pause.as_millis());
                    keeper.report(Report::Note(note)).await;
                    Some(pause)
                }
            };
            restarts += 1;
            keeper.report(Report::Workload { phase: Phase::Restarting, restarts }).await;
            if let Some(pause) = pause
                && !wait_in_pause(keeper, &mut orders, pause).await
            {
                break;
            }
        }
    }
    keeper.report(Report::Workload { phase: Phase::Stopped, restarts }).await;
}

/// Waits for the order to run and for the sidecar; false when told to stop instead.
async fn wait_until_due(
    keeper: &Keeper,
    orders: &mut mpsc::Receiver<Received>,
    sidecar: &mut watch::Receiver<bool>,
) -> bool {
    loop {
        match orders.recv().await {
            Some((Order::Run, _)) => break,
            Some((Order::Stop, _)) | None => return false,
            Some((order, _)) => refuse(keeper, order).await,
        }
    }
    loop {
        tokio::select! {
            ready = sidecar.wait_for(|ready| *ready) => return ready.is_ok(),
            order = orders.recv() => match order {
                Some((Order::Stop, _)) | None => return false,
                Some((order, _)) => refuse(keeper, order).await,
            }
        }
    }
}

/// Waits before the next start; false when told to stop instead. A restart order ends the pause.
async fn wait_in_pause(
    keeper: &Keeper,
    orders: &mut mpsc::Receiver<Received>,
    pause: std::time::Duration,
) -> bool {
    let pause = sleep(pause);
    tokio::pin!(pause);
    loop {
        tokio::select! {
            () = &mut pause => return true,
            order = orders.recv() => match order {
                Some((Order::Stop, _)) | None => return false,
                Some((Order::Restart, _)) => return true,
                Some((order, _)) => refuse(keeper, order).await,
            }
        }
    }
}

/// Waits until somebody wants it to run once more; false when told to stop instead.
async fn wait_for_restart(keeper: &Keeper, orders: &mut mpsc::Receiver<Received>) -> bool {
    loop {
        match orders.recv().await {
            Some((Order::Stop, _)) | None => return false,
            Some((Order::Restart, _)) => return true,
            Some((order, _)) => refuse(keeper, order).await,
        }
    }
}

/// Answers what can't be done while the workload doesn't run.
async fn refuse(keeper: &Keeper, order: Order) {
    if let Order::Exec { id, .. } = order {
        let end = End::NotStarted("the workload isn't running".to_owned());
        keeper.report(Report::ExecEnded { id, end }).await;
    }
}

/// One life: a world, the workload in it, its health, and what else is run beside it.
async fn live(keeper: &Rc<Keeper>, orders: &mut mpsc::Receiver<Received>, restarts: u32) -> Ending {
    keeper.report(Report::Workload { phase: Phase::Starting, restarts }).await;
    let world = match World::open(keeper).await {
        Ok(world) => Rc::new(world),
        Err(error) => return Ending::Crash(crate::error_chain(&error)),
    };
    let mut extras = Extras::default();
    let ending = in_world(keeper, &world, orders, &mut extras, restarts).await;
    world.close().await;
    extras.finish().await;
    ending
}

async fn in_world(
    keeper: &Rc<Keeper>,
    world: &Rc<World>,
    orders: &mut mpsc::Receiver<Received>,
    extras: &mut Extras,
    restarts: u32,
) -> Ending {
    let streams = match streams(keeper) {
        Ok(streams) => streams,
        Err(error) => return Ending::Crash(format!("no streams for the workload: {error}")),
    };
    let id = world.number();
    let main = world.run(id, keeper.plan.process.clone(), &streams);
    tokio::pin!(main);
    let (wellness, mut well) = watch::channel(Wellness::Unknown);
    let checks = async {
        match &keeper.plan.health {
            Some(health) => health::watch(keeper, world, health, &wellness).await,
            None => {
                world.started(id).await;
                wellness.send_replace(Wellness::Well);
            }
        }
        std::future::pending::<()>().await;
    };
    tokio::pin!(checks);
    let attending = world.attend();
    tokio::pin!(attending);
    let protecting = protect::keep(keeper, world);
    tokio::pin!(protecting);
    loop {
        tokio::select! {
            end = &mut main => return match end {
                End::Code(0) if keeper.plan.process.finite => Ending::Done,
                end => Ending::Crash(format!("it {end}")),
            },
            () = &mut attending => return Ending::Crash("its world died".to_owned()),
            () = &mut checks => {}
            error = &mut protecting => return Ending::Crash(crate::error_chain(&error)),
            _changed = well.changed() => {
                let wellness = well.borrow_and_update().clone();
                report_wellness(keeper, wellness, restarts).await;
            }
            order = orders.recv() => match order {
                Some((Order::Stop, _)) | None => {
                    stop(world, id, &mut main, &mut attending).await;
                    return Ending::Stop;
                }
                Some((Order::Restart, _)) => {
                    stop(world, id, &mut main, &mut attending).await;
                    return Ending::Restart;
                }
                Some((order, streams)) => extras.obey(keeper, world, order, streams).await,
            }
        }
    }
}

/// The workload's standard streams: nothing to read, output to `leno up`.
fn streams(keeper: &Keeper) -> std::io::Result<[OwnedFd; 3]> {
    let [stdout, stderr] = &keeper.output;
    Ok([std::fs::File::open("/dev/null")?.into(), stdout.try_clone()?, stderr.try_clone()?])
}

async fn report_wellness(keeper: &Keeper, wellness: Wellness, restarts: u32) {
    let phase = match wellness {
        Wellness::Unknown => return,
        Wellness::Well => Phase::Ready,
        Wellness::Unwell(reason) => {
            keeper.report(Report::Note(format!("unhealthy: {reason}"))).await;
            Phase::Unhealthy
        }
    };
    keeper.report(Report::Workload { phase, restarts }).await;
}

/// Asks the workload to end, and waits for that as long as is fair.
async fn stop(
    world: &World,
    id: u64,
    main: &mut (impl Future<Output = End> + Unpin),
    attending: &mut (impl Future<Output = ()> + Unpin),
) {
    world.signal(id, Signal::TERM.as_raw()).await;
    let ended = async {
        tokio::select! {
            _end = main => {}
            () = attending => {}
        }
    };
    // Whatever is left after the grace ends with the world.
    let _in_time = timeout(STOP_GRACE, ended).await;
}

/// Processes that run beside the workload on a user's demand.
#[derive(Default)]
struct Extras(std::collections::BTreeMap<u64, (u64, leno_runtime::Task<()>)>);

impl Extras {
    async fn obey(&mut self, keeper: &Rc<Keeper>, world: &Rc<World>, order: Order, streams: Vec<OwnedFd>) {
        self.0.retain(|_, (_, task)| !task.is_finished());
        match order {
            Order::Exec { id, words, workdir, terminal, variables } => {
                let mut process =
                    Process { words, terminal, signal_group: true, ..keeper.plan.process.clone() };
                process.environment.extend(variables);
                process.workdir = workdir.unwrap_or(process.workdir);
                let number = world.number();
                let (keeper, world) = (Rc::clone(keeper), Rc::clone(world));
                let task = leno_runtime::spawn_local("exec", async move {
                    let end = world.run(number, process, &streams).await;
                    keeper.report(Report::ExecEnded { id, end }).await;
                });
                self.0.insert(id, (number, task));
            }
            Order::Signal { id, signal } => {
                if let Some((number, _)) = self.0.get(&id) {
                    world.signal(*number, signal).await;
                }
            }
            Order::Run | Order::Restart | Order::Stop => {}
        }
    }

    /// Lets each tell how it ended, now that the world is gone.
    async fn finish(self) {
        for (_, task) in self.0.into_values() {
            // A task that panicked has nothing to tell.
            let _told = task.await;
        }
    }
}
