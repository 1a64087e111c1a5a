//! Tasks with a name, a count and an owner.
//!
//! Invariants: every task is counted under its name from start to end, in whatever way it ends; a panic is counted
//! and reported, never silent; a [`Task`] that is dropped cancels its work unless it was [detached](Task::detach).
//! There is no supervision here: who owns a task decides what its end means.

use std::any::Any;
use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tokio::task::JoinHandle;

use crate::clock;

#[cfg(test)]
mod tests;

/// The register of the tasks that a process runs.
///
/// It belongs to the thread: a thread started by this crate shares the register of the thread that started it, so a
/// process has one, while tests, which run on a thread each, don't see each other's tasks.
#[derive(Clone, Debug, Default)]
pub struct Tasks(Arc<Mutex<Register>>);

#[derive(Debug, Default)]
struct Register {
    kinds: Vec<Arc<Kind>>,
    last_panic: Option<LastPanic>,
}

/// All tasks of one name.
#[derive(Debug)]
struct Kind {
    name: &'static str,
    running: AtomicUsize,
    started: AtomicU64,
    panicked: AtomicU64,
}

/// How many tasks of one name there are and were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// The name they were started under.
    pub name: &'static str,
    /// Tasks that exist now, whether they run or wait.
    pub running: usize,
    /// Tasks started since the process began.
    pub started: u64,
    /// Tasks that ended in a panic.
    pub panicked: u64,
}

/// The most recent panic of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastPanic {
    /// The task's name.
    pub task: &'static str,
    /// What the panic said.
    pub message: String,
}

struct Here {
    tasks: Tasks,
    /// The kinds this thread has used, so that starting a task takes no lock.
    known: Vec<Arc<Kind>>,
}

thread_local! {
    static HERE: RefCell<Here> = RefCell::new(Here { tasks: Tasks::default(), known: Vec::new() });
}

impl Tasks {
    /// The register of the current thread.
    pub fn current() -> Self {
        HERE.with_borrow(|here| here.tasks.clone())
    }

    /// Makes this the register of the current thread.
    pub(crate) fn enter(self) {
        HERE.with_borrow_mut(|here| *here = Here { tasks: self, known: Vec::new() });
    }

    /// Every name that was ever used, in alphabetical order.
    pub fn counts(&self) -> Vec<Count> {
        let mut counts: Vec<Count> =
            self.lock(|register| register.kinds.iter().map(|kind| kind.count()).collect());
        counts.sort_by_key(|count| count.name);
        counts
    }

    /// How many tasks of this name exist now.
    pub fn running(&self, name: &str) -> usize {
        self.lock(|register| {
            register.kinds.iter().find(|kind| kind.name == name).map_or(0, |kind| kind.count().running)
        })
    }

    /// The most recent panic of a task, if there was one.
    pub fn last_panic(&self) -> Option<LastPanic> {
        self.lock(|register| register.last_panic.clone())
    }

    fn lock<T>(&self, f: impl FnOnce(&mut Register) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn kind(&self, name: &'static str) -> Arc<Kind> {
        self.lock(|register| {
            if let Some(kind) = register.kinds.iter().find(|kind| kind.name == name) {
                return kind.clone();
            }
            let kind = Arc::new(Kind {
                name,
                running: AtomicUsize::new(0),
                started: AtomicU64::new(0),
                panicked: AtomicU64::new(0),
            });
            register.kinds.push(kind.clone());
            kind
        })
    }

    fn report(&self, kind: &Kind, payload: &(dyn Any + Send)) {
        kind.panicked.fetch_add(1, Ordering::Relaxed);
        let message = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
            (Some(text), _) => (*text).to_owned(),
            (_, Some(text)) => text.clone(),
            _ => "no message".to_owned(),
        };
        eprintln!("leno: task {} panicked: {message}", kind.name);
        self.lock(|register| register.last_panic = Some(LastPanic { task: kind.name, message }));
    }
}

impl Kind {
    fn count(&self) -> Count {
        Count {
            name: self.name,
            running: self.running.load(Ordering::Relaxed),
            started: self.started.load(Ordering::Relaxed),
            panicked: self.panicked.load(Ordering::Relaxed),
        }
    }
}

/// Counts as one running task until it is dropped.
struct Running(Arc<Kind>);

impl Running {
    fn start(name: &'static str) -> Self {
        let kind = HERE.with_borrow_mut(|here| {
            if let Some(kind) = here.known.iter().find(|kind| kind.name == name) {
                return kind.clone();
            }
            let kind = here.tasks.kind(name);
            here.known.push(kind.clone());
            kind
        });
        kind.running.fetch_add(1, Ordering::Relaxed);
        kind.started.fetch_add(1, Ordering::Relaxed);
        Self(kind)
    }

    /// Runs a piece of the task; a panic is reported and goes on to whoever awaits the task.
    fn watch<T>(&self, f: impl FnOnce() -> T) -> T {
        catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|payload| {
            Tasks::current().report(&self.0, &*payload);
            resume_unwind(payload)
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

pin_project! {
    /// A future that counts under a name. A struct instead of an `async` block, which would hold the future twice.
    struct Named<F> {
        #[pin]
        future: F,
        running: Running,
    }
}

impl<F: Future> Future for Named<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        clock::turn(|| this.running.watch(|| this.future.poll(cx)))
    }
}

/// Starts a task on the runtime of the current thread.
///
/// # Panics
/// When called outside a runtime.
#[expect(clippy::disallowed_methods, reason = "this is the place that names and counts tasks")]
pub fn spawn<F>(name: &'static str, future: F) -> Task<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    Task::new(tokio::spawn(Named { future, running: Running::start(name) }))
}

/// Starts a task that stays on the current thread, whose future therefore needn't be `Send`.
///
/// # Panics
/// When called outside a [`LocalRuntime`](crate::LocalRuntime).
#[expect(clippy::disallowed_methods, reason = "this is the place that names and counts tasks")]
pub fn spawn_local<F>(name: &'static str, future: F) -> Task<F::Output>
where
    F: Future<Output: 'static> + 'static,
{
    Task::new(tokio::task::spawn_local(Named { future, running: Running::start(name) }))
}

/// Runs blocking work on a thread beside the current runtime. Once begun it can't be cancelled.
///
/// # Panics
/// When called outside a runtime.
pub fn spawn_blocking<T, F>(name: &'static str, work: F) -> Task<T>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let running = Running::start(name);
    let tasks = Tasks::current();
    Task::new(tokio::task::spawn_blocking(move || {
        tasks.enter();
        running.watch(work)
    }))
}

/// Starts a thread of its own, which shares this thread's register and is counted in it.
///
/// # Errors
/// When the system refuses another thread.
pub fn spawn_thread<T, F>(name: &'static str, work: F) -> io::Result<std::thread::JoinHandle<T>>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let running = Running::start(name);
    let tasks = Tasks::current();
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        tasks.enter();
        running.watch(work)
    })
}

/// A running task and the right to its result. Dropping it cancels the task.
#[must_use = "dropping a task cancels it: keep it, await it, or detach it"]
#[derive(Debug)]
pub struct Task<T> {
    handle: JoinHandle<T>,
    detached: bool,
}

/// Why a task has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// It was cancelled, or its runtime ended first.
    #[error("the task was cancelled")]
    Cancelled,
    /// It panicked; the panic was reported when it happened.
    #[error("the task panicked")]
    Panicked,
}

impl<T> Task<T> {
    fn new(handle: JoinHandle<T>) -> Self {
        Self { handle, detached: false }
    }

    /// Lets the task run to its end, or its runtime's, with nobody waiting for it.
    pub fn detach(mut self) {
        self.detached = true;
    }

    /// Cancels the task and waits until its future is dropped.
    pub async fn cancel(self) {
        self.handle.abort();
        let _ended = self.await;
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, Ended>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let ended = ready!(Pin::new(&mut self.handle).poll(cx));
        Poll::Ready(ended.map_err(|error| if error.is_panic() { Ended::Panicked } else { Ended::Cancelled }))
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if !self.detached {
            self.handle.abort();
        }
    }
}
