//! `leno up`: the root process of a mesh. It starts control plane, gateway and one supervisor per
//! replica, restarts what dies, keeps output, answers clients, and ends everything with itself.
//!
//! One thread does all of it; another writes to the terminal, which may block. Invariant: whatever is
//! started dies with this process: by the kernel's death signal, by the janitor, or by an orderly stop.

mod control;
pub mod edit;
mod launch;
mod member;
mod metrics;
mod output;
mod plans;
mod program;

use std::{
    cell::{Cell, RefCell},
    ffi::OsString,
    io::{self, Write},
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    pin::Pin,
    rc::Rc,
    time::Duration,
};

use leno_capture::{
    namespace::IdMaps,
    process::{self, Child},
};
use leno_runtime::{LocalRuntime, Task, signal::Signals};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use crate::{
    directory::{self, Runtime},
    handoff::Renewal,
    limits::{DRAIN_GRACE, IN_EFFECT_POLL, IN_EFFECT_WAIT, LOCK_WAIT, STOP_GRACE},
    link, loopback, mesh,
    mesh::{LocalMesh, Mode},
    plan::Replica,
    protocol::{ProgramStatus, ReplicaStatus, Status},
    user,
};
pub use launch::token;
pub use program::{Document, Handover, Program};

/// What to run.
pub struct Options {
    /// How workloads are kept apart.
    pub mode: Mode,
    /// The mesh, read from its file.
    pub mesh: LocalMesh,
    /// The mesh file's directory, where workloads run by default.
    pub directory: PathBuf,
    /// Files and directories that no workload may change: mesh files, configuration.
    pub protected: Vec<PathBuf>,
    /// How this executable is called for each part.
    pub arguments: Arguments,
    /// Control plane first, then the gateway and whatever else serves the whole mesh. They are drained
    /// in reverse order.
    pub programs: Vec<Program>,
    /// How sidecars renew their certificates.
    pub renewal: Renewal,
    /// Where output goes.
    pub terminal: Box<dyn Write + Send>,
    /// How it is printed.
    pub print: Print,
    /// Where the metrics of the whole mesh are served, if anywhere.
    pub metrics: Option<std::net::TcpListener>,
    /// Told the state whenever it changes.
    pub observer: Observer,
    /// Asked, when all runs for the first time, where that is in effect.
    pub in_effect: InEffect,
    /// Where later versions of the mesh file come from, if they are to be applied.
    pub edits: Option<Box<dyn edit::Edits>>,
}

/// Is told the state of a mesh.
pub type Observer = Box<dyn Fn(&Status, &Context)>;

/// Looks whether what the observer has been told is in effect everywhere. Names the proxies where it isn't, and whatever
/// else stands in the way.
pub type InEffect = Box<dyn Fn(Rc<Context>) -> Pin<Box<dyn Future<Output = Vec<String>>>>>;

/// How lines of output are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Print {
    /// `source | text`.
    Plain,
    /// The same, with a colour for each source.
    Coloured,
    /// A JSON object a line: [`Line`](crate::protocol::Line).
    Json,
}

/// Arguments that make this executable play each part. The bootstrap descriptor's number follows.
#[derive(Debug, Clone, Default)]
pub struct Arguments {
    /// [`crate::supervisor::main`].
    pub supervisor: Vec<OsString>,
    /// [`crate::init::main`].
    pub init: Vec<OsString>,
    /// [`crate::janitor::main`].
    pub janitor: Vec<OsString>,
    /// The sidecar.
    pub sidecar: Vec<OsString>,
}

/// What programs may need to know of the mesh.
#[derive(Debug)]
pub struct Context {
    /// The mesh's name.
    pub mesh: String,
    /// Its runtime directory.
    pub runtime: PathBuf,
    /// Its state directory.
    pub state: PathBuf,
    /// Where the control plane must listen.
    pub control: PathBuf,
    members: RefCell<Vec<Rc<Member>>>,
}

impl Context {
    /// Its replicas as they are now, and what each one's sidecar joins with.
    pub fn members(&self) -> Vec<Rc<Member>> {
        self.members.borrow().clone()
    }

    /// Where a program (control plane, gateway) answers administration.
    pub fn admin(&self, program: &str) -> PathBuf {
        self.runtime.join(format!("{program}.admin"))
    }
}

/// A replica and the secret that proves its sidecar.
pub struct Member {
    /// The replica.
    pub replica: Replica,
    /// 32 random bytes in hexadecimal.
    pub join_token: String,
}

impl Member {
    /// Whether both are described in the same words.
    pub fn is_like(&self, other: &Self) -> bool {
        self.replica == other.replica && self.join_token == other.join_token
    }
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member").field("replica", &self.replica).finish_non_exhaustive()
    }
}

/// Why a mesh doesn't run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The mesh file.
    #[error("the mesh can't run:{}", list(.0))]
    Mesh(Vec<mesh::Problem>),
    /// Directories and sockets.
    #[error(transparent)]
    Directory(#[from] directory::Error),
    /// A workload's user.
    #[error("workload {workload:?}")]
    User {
        /// Whose.
        workload: String,
        /// Why.
        #[source]
        source: user::Error,
    },
    /// The kernel forbids what isolation needs.
    #[error(
        "this machine doesn't let you make isolated networks: {0}; allow user namespaces \
         (sysctl user.max_user_namespaces, and kernel.apparmor_restrict_unprivileged_userns=0 on Ubuntu), \
         run as root, or do without isolation: `--mode loopback`, in which workloads can bypass their sidecars"
    )]
    Forbidden(String),
    /// Addresses of loopback mode.
    #[error(transparent)]
    Loopback(#[from] loopback::Error),
    /// Anything else on the way.
    #[error("can't {0}")]
    Step(&'static str, #[source] io::Error),
    /// The janitor.
    #[error("can't start the janitor")]
    Janitor(#[source] process::Error),
}

fn list(problems: &[mesh::Problem]) -> String {
    problems.iter().map(|problem| format!("\n  {problem}")).collect()
}

/// What all parts of `leno up` share.
struct Mesh {
    context: Rc<Context>,
    members: Shared<Vec<Rc<member::Keeper>>>,
    /// The tasks that keep the members.
    keeping: Shared<Vec<Task<()>>>,
    programs: Vec<Rc<program::Keeper>>,
    output: output::Output,
    /// Where the janitor is told of processes.
    janitor: OwnedFd,
    arguments: Arguments,
    /// The limit of open files for what is started; `leno up` raised its own.
    open_files: Option<u64>,
    /// Counts changes of anybody's state.
    changes: watch::Sender<u64>,
    /// True when all shall end.
    stop: watch::Sender<bool>,
    observer: Observer,
    /// Whether all has been ready once, and every proxy knew.
    settled: Cell<bool>,
    /// Where metrics are served.
    metrics: Option<std::net::SocketAddr>,
}

impl Mesh {
    /// Some state has changed.
    fn changed(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
        (self.observer)(&self.status(), &self.context);
    }

    /// The replicas there are now.
    fn members(&self) -> Vec<Rc<member::Keeper>> {
        self.members.borrow().clone()
    }

    /// Begins to keep a replica.
    fn add(self: &Rc<Self>, plan: plans::Plan) {
        let member = Rc::new(member::Keeper::new(plan));
        self.members.borrow_mut().push(Rc::clone(&member));
        self.described();
        let mut keeping = self.keeping.borrow_mut();
        keeping.retain(|task| !task.is_finished());
        keeping.push(leno_runtime::spawn_local("member", member::keep(Rc::clone(self), member)));
    }

    /// Forgets a replica that has ended.
    fn remove(&self, member: &Rc<member::Keeper>) {
        self.members.borrow_mut().retain(|other| !Rc::ptr_eq(other, member));
        self.described();
    }

    /// Which replicas there are, or how one is described, has changed.
    fn described(&self) {
        self.members.borrow_mut().sort_by_key(|member| member.plan().place);
        let members = self.members.borrow().iter().map(|member| member.described()).collect();
        self.context.members.replace(members);
        self.changed();
    }

    /// Has the janitor end this process, should `leno up` not be able to.
    fn entrust(&self, child: &Child) {
        // Without janitor the kernel's death signal remains.
        let _told = link::send(&self.janitor, &(), &[child.as_fd()]);
    }

    fn status(&self) -> Status {
        let programs: Vec<ProgramStatus> = self.programs.iter().map(|program| program.status()).collect();
        let replicas: Vec<ReplicaStatus> =
            self.members.borrow().iter().map(|member| member.status()).collect();
        Status {
            mesh: self.context.mesh.clone(),
            process: std::process::id(),
            ready: self.settled.get() && self.runs(),
            metrics: self.metrics,
            programs,
            replicas,
        }
    }

    /// Whether every part is ready.
    fn runs(&self) -> bool {
        self.programs.iter().all(|program| program.is_ready())
            && self.members.borrow().iter().all(|member| member.is_ready())
    }

    /// Waits until something holds; it is looked at again with every change.
    async fn until(&self, holds: impl Fn(&Self) -> bool) {
        let mut changes = self.changes.subscribe();
        while !holds(self) && changes.changed().await.is_ok() {}
    }

    /// Waits until every replica of these workloads is ready.
    async fn ready(&self, workloads: &[String]) {
        let is_due = |member: &Rc<member::Keeper>| {
            !workloads.contains(&member.plan().document.replica.workload) || member.is_ready()
        };
        self.until(|mesh| mesh.members.borrow().iter().all(is_due)).await;
    }

    /// A program by its name, unless a workload has the same one.
    fn program(&self, name: &str) -> Option<Rc<program::Keeper>> {
        let program = self.programs.iter().find(|program| program.name() == name)?;
        self.find(name).is_empty().then(|| Rc::clone(program))
    }

    /// Members by the name of a workload, else of one replica, else of a service.
    fn find(&self, name: &str) -> Vec<Rc<member::Keeper>> {
        let members = self.members();
        let by = |is_named: &dyn Fn(&Replica) -> bool| -> Vec<_> {
            members.iter().filter(|member| is_named(&member.plan().document.replica)).cloned().collect()
        };
        let ways = [
            by(&|replica| replica.workload == name),
            by(&|replica| replica.name == name),
            by(&|replica| replica.service.as_deref() == Some(name)),
        ];
        ways.into_iter().find(|found| !found.is_empty()).unwrap_or_default()
    }
}

/// Whether a mesh that this process runs is run by root, so that its workloads need users.
///
/// # Errors
/// What reading this process's id maps says.
pub fn as_root() -> io::Result<bool> {
    Ok(IdMaps::of_caller()?.has_other_users())
}

/// Runs a mesh until a signal or `leno down` ends it.
///
/// # Errors
/// [`Error`], before anything of the mesh ran.
pub fn run(options: Options) -> Result<(), Error> {
    let root = as_root().map_err(|error| Error::Step("read the id maps", error))?;
    let problems = mesh::check(&options.mesh, root);
    if !problems.is_empty() {
        return Err(Error::Mesh(problems));
    }
    let name = options.mesh.metadata.name.clone();
    let state = directory::prepare_state(&name)?;
    let runtime = Runtime::claim(&name, LOCK_WAIT)?;
    if options.mode == Mode::Isolated {
        launch::probe(&options.arguments)?;
    }
    let context = context(&options.mesh, &runtime, state);
    let planner = plans::Planner::new(&options, &context, root)?;
    let mut spec = edit::Spec::new(planner, &runtime.path, options.mode);
    let plans = spec.take(options.mesh.clone(), &[])?;
    let (janitor, janitor_link) = launch::janitor(&options.arguments, &runtime)?;
    let tasks = LocalRuntime::new().map_err(|error| Error::Step("start a runtime", error))?;
    let kept = tasks.block_on(keep(options, context, spec, plans, janitor_link));
    // The tasks that are left hold the janitor's link; without it, the janitor clears up and ends.
    drop(tasks);
    let cleared = janitor.wait().map_err(|error| Error::Step("wait for the janitor", error))?;
    if !cleared.is_success() {
        runtime.remove().map_err(|error| Error::Step("remove the mesh's sockets", error))?;
    }
    kept
}

fn context(mesh: &LocalMesh, runtime: &Runtime, state: PathBuf) -> Context {
    Context {
        mesh: mesh.metadata.name.clone(),
        control: runtime.path.join("control.sock"),
        runtime: runtime.path.clone(),
        state,
        members: RefCell::default(),
    }
}

/// Starts everything, waits for the end, ends everything.
async fn keep(
    options: Options,
    context: Context,
    spec: edit::Spec,
    plans: Vec<plans::Plan>,
    janitor: OwnedFd,
) -> Result<(), Error> {
    let mut signals = Signals::install().map_err(|error| Error::Step("listen for signals", error))?;
    let width = plans.iter().map(|plan| plan.document.replica.name.len()).max().unwrap_or(0);
    let output = output::Output::start(options.terminal, width, options.print)
        .map_err(|error| Error::Step("start the printer", error))?;
    let mesh = Rc::new(Mesh {
        members: Shared::default(),
        keeping: Shared::default(),
        programs: options
            .programs
            .into_iter()
            .map(|program| Rc::new(program::Keeper::new(program)))
            .collect(),
        context: Rc::new(context),
        output,
        janitor,
        arguments: options.arguments,
        // Without more descriptors it still runs, for fewer replicas.
        open_files: leno_runtime::process::raise_open_files().ok().and_then(|files| files.before),
        changes: watch::Sender::new(0),
        stop: watch::Sender::new(false),
        observer: options.observer,
        settled: Cell::new(false),
        metrics: options.metrics.as_ref().and_then(|listener| listener.local_addr().ok()),
    });
    let exposed = match options.metrics {
        Some(listener) => {
            Some(metrics::serve(&mesh, listener).map_err(|error| Error::Step("serve metrics", error))?)
        }
        None => None,
    };
    let server = control::listen(&mesh).map_err(|error| Error::Step("listen for clients", error))?;
    let clients = leno_runtime::spawn_local("clients", control::serve(Rc::clone(&mesh), server));
    if options.mode == Mode::Loopback {
        loopback::NO_PROMISE.iter().for_each(|line| mesh.output.note(line));
    }
    plans.into_iter().for_each(|plan| mesh.add(plan));
    let programs: Vec<_> = mesh
        .programs
        .iter()
        .map(|program| {
            leno_runtime::spawn_local("program", program::keep(Rc::clone(&mesh), Rc::clone(program)))
        })
        .collect();
    let greeting = leno_runtime::spawn_local("greeting", greet(Rc::clone(&mesh), options.in_effect));
    let editing = options
        .edits
        .map(|edits| leno_runtime::spawn_local("edits", edit::follow(Rc::clone(&mesh), spec, edits)));
    let mut stop = mesh.stop.subscribe();
    tokio::select! {
        _signal = signals.next() => {}
        _asked = stop.wait_for(|stop| *stop) => {}
    }
    greeting.cancel().await;
    if let Some(editing) = editing {
        editing.cancel().await;
    }
    mesh.output.note("stopping; once more Ctrl-C ends everything at once");
    let orderly = end(&mesh, programs);
    tokio::select! {
        _late = timeout(STOP_GRACE + DRAIN_GRACE * 2 + Duration::from_secs(2), orderly) => {}
        // The janitor does the rest.
        _again = signals.next() => {}
    }
    mesh.output.finish().await;
    if let Some(exposed) = exposed {
        exposed.cancel().await;
    }
    clients.cancel().await;
    Ok(())
}

/// Ends gateway, then workloads with their sidecars, then the control plane, each in order.
async fn end(mesh: &Rc<Mesh>, mut programs: Vec<Task<()>>) {
    mesh.stop.send_replace(true);
    let control = programs.drain(..programs.len().min(1)).next().zip(mesh.programs.first());
    for (program, keeper) in programs.into_iter().zip(mesh.programs.iter().skip(1)).rev() {
        keeper.drain();
        // A task that panicked has nothing left to end.
        let _ended = program.await;
    }
    for member in mesh.keeping.take() {
        let _ended = member.await;
    }
    if let Some((task, keeper)) = control {
        keeper.drain();
        let _ended = task.await;
    }
}

/// Says when everything is ready for the first time, and every proxy knows.
async fn greet(mesh: Rc<Mesh>, in_effect: InEffect) {
    mesh.until(Mesh::runs).await;
    let missing = everywhere(&mesh, &in_effect).await;
    mesh.settled.set(true);
    mesh.changed();
    let count = mesh.members.borrow().len();
    let metrics = mesh.metrics.map(|address| format!("; metrics at http://{address}/metrics"));
    let metrics = metrics.unwrap_or_default();
    crate::release_memory();
    mesh.output.note(&format!("mesh {} is ready: {count} workloads{metrics}", mesh.context.mesh));
    if !missing.is_empty() {
        let missing = missing.join(", ");
        mesh.output.note(&format!("but that is not in effect everywhere yet: {missing}; see `leno status`"));
    }
}

/// Waits until all that runs is in effect everywhere; after a time, says where it isn't.
async fn everywhere(mesh: &Mesh, in_effect: &InEffect) -> Vec<String> {
    let deadline = Instant::now() + IN_EFFECT_WAIT;
    loop {
        let missing = in_effect(Rc::clone(&mesh.context)).await;
        if missing.is_empty() || Instant::now() > deadline {
            return missing;
        }
        tokio::time::sleep(IN_EFFECT_POLL).await;
    }
}

/// Values that several parts change.
type Shared<T> = RefCell<T>;
