//! One replica as `leno up` sees it: its supervisor, restarted when it dies; its output; its state.

use std::{cell::Cell, collections::BTreeMap, io, os::fd::OwnedFd, rc::Rc, time::Instant};

use leno_capture::{
    descriptor,
    process::{self, Child},
};
use leno_runtime::Task;
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::{
    io::AsyncReadExt,
    net::unix::pipe,
    sync::{mpsc, oneshot, watch},
    time::{Instant as TokioInstant, sleep, sleep_until, timeout},
};

use super::{
    Member, Mesh, Shared, launch,
    output::{Ring, Splitter},
    plans::Plan,
};
use crate::{
    backoff::Backoff,
    handoff::{self, SupervisorTask},
    limits::{DRAIN_GRACE, LAST_WORDS_WAIT, QUEUED_MESSAGES, SETTLE, STOP_GRACE},
    link::{End, Link, Order, Phase, Report},
    protocol::{Line, ReplicaStatus, Stream},
    wait::{self, Ended},
};

type Outgoing = (Order, Vec<OwnedFd>);

/// A replica and its state.
pub(super) struct Keeper {
    plan: Shared<Rc<Plan>>,
    wanted: watch::Sender<Wanted>,
    state: Shared<State>,
    pub(super) log: Shared<Ring>,
    /// Leads to the supervisor, while there is one.
    orders: Shared<Option<mpsc::Sender<Outgoing>>>,
    next: Cell<u64>,
    running: Shared<BTreeMap<u64, oneshot::Sender<End>>>,
}

/// What its supervisor is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wanted {
    /// Follow this version of its plan.
    version: u64,
    /// Or end for good.
    retired: bool,
}

struct State {
    phase: Phase,
    /// Which version of the plan the running supervisor follows.
    version: Option<u64>,
    /// Whether it is about to end, and gets nothing new.
    draining: bool,
    restarts: u32,
    sidecar_ready: bool,
    sidecar_restarts: u32,
    supervisor: Option<u32>,
    note: Option<String>,
}

impl Keeper {
    pub(super) fn new(plan: Plan) -> Self {
        let state = State {
            phase: Phase::Waiting,
            version: None,
            draining: false,
            restarts: 0,
            sidecar_ready: false,
            sidecar_restarts: 0,
            supervisor: None,
            note: None,
        };
        Self {
            plan: Shared::new(Rc::new(plan)),
            wanted: watch::Sender::new(Wanted { version: 0, retired: false }),
            state: Shared::new(state),
            log: Shared::default(),
            orders: Shared::default(),
            next: Cell::new(1),
            running: Shared::default(),
        }
    }

    /// How it is to run.
    pub(super) fn plan(&self) -> Rc<Plan> {
        Rc::clone(&self.plan.borrow())
    }

    /// As the control plane is told of it.
    pub(super) fn described(&self) -> Rc<Member> {
        let document = &self.plan.borrow().document;
        Rc::new(Member { replica: document.replica.clone(), join_token: document.join_token.clone() })
    }

    /// Whether it runs as planned, and well.
    pub(super) fn is_ready(&self) -> bool {
        let state = self.state.borrow();
        let wanted = *self.wanted.borrow();
        let is_current = state.version == Some(wanted.version) && !wanted.retired && !state.draining;
        is_current && matches!(state.phase, Phase::Ready | Phase::Done)
    }

    /// Whether it ends for good.
    pub(super) fn is_retired(&self) -> bool {
        self.wanted.borrow().retired
    }

    /// Takes another plan, by which nothing that runs changes.
    pub(super) fn adopt(&self, plan: Plan) {
        *self.plan.borrow_mut() = Rc::new(plan);
    }

    /// Lets it end in order and start by another plan.
    pub(super) fn replace(&self, plan: Plan) {
        self.adopt(plan);
        self.wanted.send_modify(|wanted| wanted.version += 1);
    }

    /// Lets it end in order, for good.
    pub(super) fn retire(&self) {
        self.wanted.send_modify(|wanted| wanted.retired = true);
    }

    pub(super) fn status(&self) -> ReplicaStatus {
        let plan = self.plan();
        let replica = &plan.document.replica;
        let state = self.state.borrow();
        ReplicaStatus {
            name: replica.name.clone(),
            workload: replica.workload.clone(),
            service: replica.service.clone(),
            addresses: replica.addresses.clone(),
            phase: if state.draining && state.phase == Phase::Ready { Phase::Draining } else { state.phase },
            restarts: state.restarts,
            sidecar_ready: state.sidecar_ready,
            sidecar_restarts: state.sidecar_restarts,
            supervisor: state.supervisor,
            note: state.note.clone(),
        }
    }

    /// Lets others get what is new, where there are any, and says how long to serve what callers have sent until
    /// they know.
    fn drain(&self, mesh: &Mesh) -> std::time::Duration {
        let plan = self.plan();
        let service = &plan.document.replica.service;
        let stands_in = |other: &Rc<Self>| {
            !std::ptr::eq(other.as_ref(), self)
                && other.plan().document.replica.service == *service
                && other.is_ready()
        };
        if service.is_none() || !self.is_serving() || !mesh.members().iter().any(stands_in) {
            return std::time::Duration::ZERO;
        }
        self.state.borrow_mut().draining = true;
        mesh.changed();
        SETTLE
    }

    fn is_serving(&self) -> bool {
        self.state.borrow().phase == Phase::Ready
    }

    /// Ends its workload and starts it again; false when there is no supervisor to do it.
    pub(super) async fn restart(&self, mesh: &Mesh) -> bool {
        sleep(self.drain(mesh)).await;
        let ordered = self.order(Order::Restart, Vec::new()).await;
        if !ordered {
            self.state.borrow_mut().draining = false;
        }
        ordered
    }

    /// Whether there is a supervisor to take orders.
    pub(super) fn is_supervised(&self) -> bool {
        self.orders.borrow().is_some()
    }

    /// Gives its supervisor an order; false when there is none to take it.
    pub(super) async fn order(&self, order: Order, descriptors: Vec<OwnedFd>) -> bool {
        let orders = self.orders.borrow().clone();
        match orders {
            Some(orders) => orders.send((order, descriptors)).await.is_ok(),
            None => false,
        }
    }

    /// A number for a process to be run in its world, and how that will end.
    pub(super) fn expect(&self) -> (u64, oneshot::Receiver<End>) {
        let id = self.next.get();
        self.next.set(id.wrapping_add(1));
        let (sender, end) = oneshot::channel();
        self.running.borrow_mut().insert(id, sender);
        (id, end)
    }

    /// Says something about this replica.
    fn note(&self, mesh: &Mesh, text: String) {
        let source = self.plan().document.replica.name.clone();
        let line = Line { source, stream: Stream::Leno, text: text.clone() };
        mesh.output.take(&self.log, line);
        self.state.borrow_mut().note = Some(text);
    }

    fn take(&self, mesh: &Mesh, report: Report) {
        match report {
            Report::Sidecar { ready, restarts } => {
                let mut state = self.state.borrow_mut();
                state.sidecar_ready = ready;
                state.sidecar_restarts = restarts;
            }
            Report::Workload { phase, restarts } => {
                let mut state = self.state.borrow_mut();
                state.phase = phase;
                state.restarts = restarts;
                // A life that ended had been drained; the next one serves.
                state.draining &= matches!(phase, Phase::Ready | Phase::Unhealthy);
            }
            Report::Note(text) => self.note(mesh, text),
            Report::ExecEnded { id, end } => {
                if let Some(sender) = self.running.borrow_mut().remove(&id) {
                    // Whoever started it may be gone.
                    let _unheard = sender.send(end);
                }
            }
        }
        mesh.changed();
    }
}

/// Keeps a replica's supervisor running until the mesh stops or has no more use for it.
pub(super) async fn keep(mesh: Rc<Mesh>, keeper: Rc<Keeper>) {
    let mut backoff = Backoff::new(Instant::now());
    let mut stop = mesh.stop.subscribe();
    let mut wanted = keeper.wanted.subscribe();
    loop {
        let now = *wanted.borrow_and_update();
        if now.retired {
            return mesh.remove(&keeper);
        }
        backoff.started(Instant::now());
        let end = match start(&mesh, &keeper) {
            Ok((child, link, words)) => {
                keeper.state.borrow_mut().version = Some(now.version);
                let end = attend(&mesh, &keeper, child, &link, &mut wanted).await;
                with_last_words(end, words, &keeper.log).await
            }
            Err(error) => crate::error_chain(&error),
        };
        gone(&mesh, &keeper);
        if *stop.borrow() {
            return;
        }
        if *wanted.borrow() != now {
            backoff = Backoff::new(Instant::now());
            mesh.described();
            continue;
        }
        let pause = backoff.crashed(Instant::now());
        keeper.note(&mesh, format!("its supervisor {end}; starting it again in {} ms", pause.as_millis()));
        tokio::select! {
            () = sleep(pause) => {}
            _changed = wanted.changed() => {}
            _stop = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// Forgets what died with a supervisor.
fn gone(mesh: &Mesh, keeper: &Keeper) {
    keeper.orders.borrow_mut().take();
    keeper.running.borrow_mut().clear();
    {
        let mut state = keeper.state.borrow_mut();
        state.supervisor = None;
        state.version = None;
        state.draining = false;
        state.sidecar_ready = false;
        state.phase = if *mesh.stop.borrow() { Phase::Stopped } else { Phase::Waiting };
    }
    mesh.changed();
}

#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("didn't start")]
    Prepare(#[from] io::Error),
    #[error("didn't start")]
    Spawn(#[from] process::Error),
}

fn start(mesh: &Rc<Mesh>, keeper: &Rc<Keeper>) -> Result<(Child, Link, Task<()>), StartError> {
    let (ours, theirs) = descriptor::message_pair()?;
    let mut command = launch::own_command(&mesh.arguments.supervisor, mesh.open_files)?;
    let mut document = keeper.plan().document.clone();
    let name = document.replica.name.clone();
    let lines = |stream| {
        let keeper = Rc::clone(keeper);
        pipe(mesh, name.clone(), stream, move |mesh, line| mesh.output.take(&keeper.log, line))
    };
    let (stdout, reading_stdout) = lines(Stream::Stdout)?;
    let (stderr, reading_stderr) = lines(Stream::Stderr)?;
    let (own, words) = lines(Stream::Sidecar)?;
    reading_stdout.detach();
    reading_stderr.detach();
    if let Some(user) = &document.process.user {
        // So that the workload may open its streams again by name.
        for fd in [&stdout, &stderr] {
            let (user, group) = (rustix::fs::Uid::from_raw(user.user), rustix::fs::Gid::from_raw(user.group));
            rustix::fs::fchown(fd, Some(user), Some(group)).map_err(io::Error::from)?;
        }
    }
    document.link = command.hand(theirs)?;
    document.stdout = command.hand(stdout)?;
    document.stderr = command.hand(stderr)?;
    handoff::give(&mut command, &SupervisorTask::Keep(Box::new(document)))?;
    if keeper.plan().document.place.is_some() {
        command.session().die_with_parent();
    } else {
        launch::isolate(&mut command)?;
    }
    command.own_environment().stdout(own.try_clone()?).stderr(own);
    let child = command.spawn()?;
    mesh.entrust(&child);
    keeper.state.borrow_mut().supervisor = Some(child.id());
    Ok((child, Link::new(ours)?, words))
}

/// Waits for the last words of a process that died, and adds them to how it ended if it gave up by itself.
pub(super) async fn with_last_words(end: String, words: Task<()>, log: &Shared<Ring>) -> String {
    let read = timeout(LAST_WORDS_WAIT, words).await;
    if read.is_err() || !end.starts_with("exited") {
        return end;
    }
    match log.borrow().last_words(Stream::Sidecar) {
        Some(last) => format!("{end}: {last}"),
        None => end,
    }
}

/// Attends to a running supervisor until it ended, or until something else is wanted of it; says how.
async fn attend(
    mesh: &Rc<Mesh>,
    keeper: &Keeper,
    child: Child,
    link: &Link,
    wanted: &mut watch::Receiver<Wanted>,
) -> String {
    let ended = match Ended::of(child) {
        Ok(ended) => ended,
        Err(error) => return format!("can't be watched: {error}"),
    };
    let (orders, mut ordered) = mpsc::channel::<Outgoing>(QUEUED_MESSAGES);
    *keeper.orders.borrow_mut() = Some(orders);
    mesh.changed();
    let mut stop = mesh.stop.subscribe();
    let depends_on = keeper.plan().depends_on.clone();
    let due = mesh.ready(&depends_on);
    tokio::pin!(due);
    let mut told = false;
    let mut leaving: Option<TokioInstant> = None;
    loop {
        let stopping = async { stop.wait_for(|stop| *stop).await.map(|_stop| ()) };
        let left = async {
            match leaving {
                Some(when) => sleep_until(when).await,
                None => std::future::pending().await,
            }
        };
        let sent = tokio::select! {
            exit = ended.wait() => return wait::words(exit),
            _changed = wanted.changed(), if leaving.is_none() => {
                leaving = Some(TokioInstant::now() + keeper.drain(mesh));
                Ok(())
            }
            () = left => return end(mesh, keeper, &ended, link).await,
            () = &mut due, if !told => {
                told = true;
                link.send(&Order::Run, &[]).await
            }
            Some((order, descriptors)) = ordered.recv() => {
                let descriptors: Vec<_> = descriptors.iter().map(std::os::fd::AsFd::as_fd).collect();
                link.send(&order, &descriptors).await
            }
            report = link.receive() => match report {
                Ok(Some((report, _))) => { keeper.take(mesh, report); Ok(()) }
                // It is dying.
                _ => return wait::words(ended.wait().await),
            },
            _stop = stopping => return end(mesh, keeper, &ended, link).await,
        };
        if let Err(error) = sent {
            ended.kill();
            return format!("doesn't take orders: {error}");
        }
    }
}

/// Ends a supervisor in order, or after a time without.
async fn end(mesh: &Mesh, keeper: &Keeper, ended: &Ended, link: &Link) -> String {
    let reports = async {
        let _told = link.send(&Order::Stop, &[]).await;
        while let Ok(Some((report, _))) = link.receive().await {
            keeper.take(mesh, report);
        }
        ended.wait().await
    };
    let exit = timeout(STOP_GRACE + DRAIN_GRACE, reports).await;
    ended.kill();
    wait::words(match exit {
        Ok(exit) => exit,
        Err(_late) => ended.wait().await,
    })
}

/// A pipe whose lines go to `sink` until its last writer is gone. Returns the writing end, and the task that
/// reads.
pub(super) fn pipe(
    mesh: &Rc<Mesh>,
    source: String,
    stream: Stream,
    sink: impl Fn(&Mesh, Line) + 'static,
) -> io::Result<(OwnedFd, Task<()>)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    let mut reader = pipe::Receiver::from_owned_fd(read)?;
    let mesh = Rc::clone(mesh);
    let reading = leno_runtime::spawn_local("output", async move {
        let mut splitter = Splitter::default();
        let mut buffer = vec![0; 8192];
        while let Ok(length @ 1..) = reader.read(&mut buffer).await {
            for text in splitter.push(buffer.get(..length).unwrap_or_default()) {
                sink(&mesh, Line { source: source.clone(), stream, text });
            }
        }
        if let Some(text) = splitter.finish() {
            sink(&mesh, Line { source, stream, text });
        }
    });
    Ok((write, reading))
}
