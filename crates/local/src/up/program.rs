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

use leno_capture::process::{self, Child, Command};
use leno_runtime::Task;
use tokio::{net::UnixStream, sync::watch};

use super::{Context, Mesh, Shared, launch, member, output::Ring};
use crate::{
    backoff::Backoff,
    handoff,
    limits::DRAIN_GRACE,
    protocol::{ProgramStatus, Stream},
    vault::Vault,
    vaulted,
};

/// A program that serves the whole mesh.
pub struct Program {
    /// Its name in output and status.
    pub name: String,
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

    /// Lets it end in order and start with a document of what there is then.
    pub(super) fn renew(&self) {
        if !*self.drain.borrow() {
            self.renewed.set(true);
            self.drain.send_replace(true);
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

/// Keeps a program running until it is drained.
pub(super) async fn keep(mesh: Rc<Mesh>, keeper: Rc<Keeper>) {
    let mut backoff = Backoff::new(Instant::now());
    let mut drain = keeper.drain.subscribe();
    loop {
        backoff.started(Instant::now());
        let end = match start(&mesh, &keeper) {
            Ok((child, stream, words)) => {
                let end = attend(&mesh, &keeper, &mut drain, child, stream).await;
                member::with_last_words(end, words, &keeper.log).await
            }
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

fn start(mesh: &Rc<Mesh>, keeper: &Rc<Keeper>) -> Result<(Child, UnixStream, Task<()>), StartError> {
    let (ours, theirs) = StdUnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let mut command = launch::own_command(&keeper.program.arguments, mesh.open_files)?;
    let vault = command.hand(theirs.into())?;
    let mut handover = Handover { command: &mut command, vault };
    let document = (keeper.program.document)(&mesh.context, &mut handover)?;
    handoff::give(&mut command, &document)?;
    let (lines, words) = member::pipe(mesh, keeper.program.name.clone(), Stream::Sidecar, {
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
    keeper.process.set(Some(child.id()));
    Ok((child, UnixStream::from_std(ours)?, words))
}

/// Attends to a running program and tells when it is ready; returns how it ended.
async fn attend(
    mesh: &Mesh,
    keeper: &Keeper,
    drain: &mut watch::Receiver<bool>,
    child: Child,
    stream: UnixStream,
) -> String {
    let mut became_ready = keeper.ready.subscribe();
    let attending = vaulted::attend(child, stream, &keeper.vault, &keeper.ready, drain, DRAIN_GRACE);
    tokio::pin!(attending);
    tokio::select! {
        end = &mut attending => return end,
        _ready = became_ready.wait_for(|ready| *ready) => {}
    }
    mesh.changed();
    attending.await
}
