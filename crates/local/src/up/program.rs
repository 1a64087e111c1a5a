//! Programs that serve the whole mesh (control plane, gateway): started with a document of their own,
//! kept with a vault, drained at the end.

use std::{
    cell::{Cell, RefCell},
    ffi::OsString,
    io,
    os::{
        fd::{OwnedFd, RawFd},
        unix::net::UnixStream as StdUnixStream,
    },
    rc::Rc,
    time::Instant,
};

use leno_capture::process::{self, Command};
use leno_runtime::Task;
use tokio::{
    net::UnixStream,
    sync::{Notify, oneshot, watch},
    time::timeout,
};

use super::{Context, Mesh, Shared, launch, member, output::Ring};
use crate::{
    backoff::Backoff,
    handoff,
    limits::{REPLACED_GRACE, TAKE_OVER_WAIT},
    protocol::{ProgramStatus, Stream},
    vault::Vault,
    vaulted::{self, Stage, words},
};

/// A program that serves the whole mesh.
pub struct Program {
    /// Its name in output and status.
    pub name: String,
    /// Whether a new process takes over from the running one, which goes on until the new one is ready.
    pub takes_over: bool,
    /// How this executable is called for it.
    pub arguments: Vec<OsString>,
    /// Makes its bootstrap document each time it starts.
    pub document: Box<Document>,
}

/// Makes a bootstrap document, handing over the descriptors that it names.
pub type Document = dyn Fn(&Context, &mut Handover<'_>) -> io::Result<serde_json::Value>;

/// Hands descriptors to a program that is about to start.
pub struct Handover<'a> {
    command: &'a mut Command,
    vault: RawFd,
}

impl Handover<'_> {
    /// The number of the program's end of its [vault](crate::vault), by which it also says that it is
    /// ready and is told to drain.
    pub fn vault(&self) -> RawFd {
        self.vault
    }

    /// Hands over a descriptor; the number is what the program will know it by.
    ///
    /// # Errors
    /// When there are too many.
    pub fn hand(&mut self, fd: OwnedFd) -> io::Result<RawFd> {
        self.command.hand(fd)
    }
}

/// A program and its state.
pub(super) struct Keeper {
    program: Program,
    vault: RefCell<Vault>,
    ready: watch::Sender<bool>,
    drain: watch::Sender<bool>,
    /// Whether it drains in order to start anew, with another document.
    renewed: Cell<bool>,
    /// Somebody wants a new process to take over.
    succession: Notify,
    /// Those who want to know how that ends.
    asking: RefCell<Vec<oneshot::Sender<Result<(), String>>>>,
    process: Cell<Option<u32>>,
    restarts: Cell<u32>,
    pub(super) log: Shared<Ring>,
}

impl Keeper {
    pub(super) fn new(program: Program) -> Self {
        Self {
            program,
            vault: RefCell::default(),
            ready: watch::Sender::new(false),
            drain: watch::Sender::new(false),
            renewed: Cell::new(false),
            succession: Notify::new(),
            asking: RefCell::default(),
            process: Cell::new(None),
            restarts: Cell::new(0),
            log: Shared::default(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.program.name
    }

    /// Lets it end.
    pub(super) fn drain(&self) {
        self.renewed.set(false);
        self.drain.send_replace(true);
    }

    /// Has it go on with a document of what there is then: a new process takes over, or it ends in order and starts.
    pub(super) fn renew(&self) {
        if self.program.takes_over {
            self.succession.notify_one();
        } else if !*self.drain.borrow() {
            self.renewed.set(true);
            self.drain.send_replace(true);
        }
    }

    /// The same; waits until that is done, or says why not.
    pub(super) async fn renewed(&self) -> Result<(), String> {
        if self.program.takes_over {
            let (answer, answered) = oneshot::channel();
            self.asking.borrow_mut().push(answer);
            self.renew();
            return answered.await.unwrap_or_else(|_gone| Err("the mesh ends".to_owned()));
        }
        let mut ready = self.ready.subscribe();
        self.renew();
        let renewed = async {
            ready.wait_for(|ready| !*ready).await?;
            ready.wait_for(|ready| *ready).await.map(drop)
        };
        match timeout(TAKE_OVER_WAIT, renewed).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(format!("the {} does not become ready; see `leno logs {0}`", self.name())),
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    pub(super) fn status(&self) -> ProgramStatus {
        ProgramStatus {
            name: self.program.name.clone(),
            ready: self.is_ready(),
            process: self.process.get(),
            restarts: self.restarts.get(),
        }
    }
}

/// A process of a program.
struct Running {
    id: u32,
    stage: watch::Receiver<Stage>,
    drain: watch::Sender<bool>,
    /// How it ended.
    end: Task<String>,
}

impl Running {
    /// Follows it until it says that it is ready; `Err` with its end if that comes first.
    async fn ready(&mut self) -> Result<(), String> {
        tokio::select! {
            end = &mut self.end => Err(words(end)),
            () = until(&mut self.stage, Stage::Ready) => Ok(()),
        }
    }
}

/// Keeps a program running until it is drained.
pub(super) async fn keep(mesh: Rc<Mesh>, keeper: Rc<Keeper>) {
    let mut backoff = Backoff::new(Instant::now());
    let mut drain = keeper.drain.subscribe();
    loop {
        backoff.started(Instant::now());
        let end = match start(&mesh, &keeper) {
            Ok(running) => attend(&mesh, &keeper, &mut drain, running).await,
            Err(error) => crate::error_chain(&error),
        };
        keeper.ready.send_replace(false);
        keeper.process.set(None);
        mesh.changed();
        if keeper.renewed.replace(false) {
            keeper.drain.send_replace(false);
            backoff = Backoff::new(Instant::now());
            continue;
        }
        if *drain.borrow() {
            keeper.asking.borrow_mut().clear();
            return;
        }
        let pause = backoff.crashed(Instant::now());
        keeper.restarts.set(keeper.restarts.get() + 1);
        let name = &keeper.program.name;
        mesh.output.note(&format!("the {name} {end}; starting it again in {} ms", pause.as_millis()));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _changed = drain.wait_for(|drain| *drain) => return,
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("didn't start")]
    Prepare(#[from] io::Error),
    #[error("didn't start")]
    Spawn(#[from] process::Error),
}

fn start(mesh: &Rc<Mesh>, keeper: &Rc<Keeper>) -> Result<Running, StartError> {
    let (ours, theirs) = StdUnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let mut command = launch::own_command(&keeper.program.arguments, mesh.open_files)?;
    let vault = command.hand(theirs.into())?;
    let mut handover = Handover { command: &mut command, vault };
    let document = (keeper.program.document)(&mesh.context, &mut handover)?;
    handoff::give(&mut command, &document)?;
    let (lines, last_words) = member::pipe(mesh, keeper.program.name.clone(), Stream::Sidecar, {
        let keeper = Rc::clone(keeper);
        move |mesh, line| mesh.output.take(&keeper.log, line)
    })?;
    command
        .own_environment()
        .stdout(lines.try_clone()?)
        .stderr(lines)
        .session()
        .die_with_parent()
        .forbid_gain();
    let child = command.spawn()?;
    mesh.entrust(&child);
    let id = child.id();
    let stream = UnixStream::from_std(ours)?;
    let (says, stage) = watch::channel(Stage::Starting);
    let (drain, mut drained) = watch::channel(false);
    let keeper = Rc::clone(keeper);
    let end = leno_runtime::spawn_local("program", async move {
        let end = vaulted::attend(child, stream, &keeper.vault, &says, &mut drained, REPLACED_GRACE).await;
        member::with_last_words(end, last_words, &keeper.log).await
    });
    Ok(Running { id, stage, drain, end })
}

/// Waits until something is so.
async fn told(what: &mut watch::Receiver<bool>) {
    until(what, true).await;
}

async fn until<T: PartialEq>(what: &mut watch::Receiver<T>, so: T) {
    if what.wait_for(|now| *now == so).await.is_err() {
        // It will never be.
        std::future::pending::<()>().await;
    }
}

/// Attends to a running program and those that take over from it, and tells when it is ready; returns how it ended.
async fn attend(
    mesh: &Rc<Mesh>,
    keeper: &Rc<Keeper>,
    drain: &mut watch::Receiver<bool>,
    mut running: Running,
) -> String {
    keeper.process.set(Some(running.id));
    loop {
        let is_ready = keeper.is_ready();
        tokio::select! {
            end = &mut running.end => return words(end),
            () = until(&mut running.stage, Stage::Ready), if !is_ready => {
                keeper.ready.send_replace(true);
                mesh.changed();
            }
            () = told(drain) => {
                running.drain.send_replace(true);
                return words(running.end.await);
            }
            () = keeper.succession.notified(), if is_ready => {
                running = succeed(mesh, keeper, drain, running).await;
                keeper.process.set(Some(running.id));
                mesh.changed();
            }
        }
    }
}

/// Starts a new process and waits until it has taken over; the one that runs goes on if it doesn't.
async fn succeed(
    mesh: &Rc<Mesh>,
    keeper: &Rc<Keeper>,
    drain: &mut watch::Receiver<bool>,
    running: Running,
) -> Running {
    let asking = keeper.asking.take();
    let name = keeper.name();
    let taken = match start(mesh, keeper) {
        Ok(mut next) => {
            let ready = tokio::select! {
                ready = timeout(TAKE_OVER_WAIT, next.ready()) => {
                    ready.unwrap_or_else(|_late| Err("is not ready in time".to_owned()))
                }
                () = told(drain) => Err("is not wanted any more".to_owned()),
            };
            match ready {
                Ok(()) => Ok(next),
                Err(end) => {
                    next.drain.send_replace(true);
                    end_apart(mesh, next);
                    Err(end)
                }
            }
        }
        Err(error) => Err(crate::error_chain(&error)),
    };
    let (running, outcome) = match taken {
        Ok(next) => {
            mesh.output.note(&format!("a new {name} has taken over; the old one finishes what it has"));
            end_apart(mesh, running);
            (next, Ok(()))
        }
        Err(end) => {
            let why = format!("a new {name} {end}; the old one goes on");
            mesh.output.note(&why);
            (running, Err(why))
        }
    };
    for answer in asking {
        // Who asked may be gone.
        let _heard = answer.send(outcome.clone());
    }
    running
}

/// Lets a process that was replaced end by itself, which it does when it has finished what it has; at the mesh's end,
/// and when that takes too long, it is told to.
fn end_apart(mesh: &Rc<Mesh>, mut replaced: Running) {
    let mut stop = mesh.stop.subscribe();
    let ending = leno_runtime::spawn_local("program", async move {
        tokio::select! {
            _end = &mut replaced.end => return,
            () = tokio::time::sleep(REPLACED_GRACE) => {}
            () = told(&mut stop) => {}
        }
        replaced.drain.send_replace(true);
        let _end = replaced.end.await;
    });
    ending.detach();
}
