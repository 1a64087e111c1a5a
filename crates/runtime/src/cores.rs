//! One single-threaded runtime per core.
//!
//! Invariant: what a core's main future starts with [`spawn_local`](crate::spawn_local) never leaves that core's thread,
//! and ends when the main future ends. Nothing is balanced between cores; sockets are, by the kernel.

use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::sync_channel;
use std::thread;

use tokio::sync::oneshot;

use crate::limits;
use crate::task::{Ended, Tasks};
use crate::time;

/// Why a runtime can't start.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The runtime's kernel objects (epoll, eventfd, signal pipe) can't be made; usually the open-file limit.
    #[error("can't set up the runtime {name}")]
    Build {
        /// The thread's name.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// The system refuses another thread.
    #[error("can't start the thread {name}")]
    Thread {
        /// The thread's name.
        name: String,
        /// What the system said.
        source: io::Error,
    },
}

/// A runtime for one thread, whose tasks need not be `Send`.
#[derive(Debug)]
pub struct LocalRuntime(tokio::runtime::LocalRuntime);

impl LocalRuntime {
    /// A runtime for the current thread.
    ///
    /// # Errors
    /// When the system refuses what the runtime needs.
    pub fn new() -> io::Result<Self> {
        Self::of(tokio::runtime::Builder::new_current_thread().enable_all())
    }

    /// One whose timers are kept [elsewhere](crate::time).
    fn without_timers() -> io::Result<Self> {
        Self::of(tokio::runtime::Builder::new_current_thread().enable_io())
    }

    fn of(builder: &mut tokio::runtime::Builder) -> io::Result<Self> {
        builder
            .max_io_events_per_tick(limits::IO_EVENTS)
            .max_blocking_threads(limits::BLOCKING_THREADS)
            .thread_keep_alive(limits::BLOCKING_IDLE)
            .thread_name("blocking")
            .build_local(tokio::runtime::LocalOptions::default())
            .map(Self)
    }

    /// Runs a future to its end on the current thread, and with it the tasks it starts.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.0.block_on(future)
    }

    /// Starts a thread with a runtime of its own. `main` is called on that thread; when its future ends, the thread's
    /// remaining tasks are dropped.
    ///
    /// # Errors
    /// When the thread or its runtime can't be had.
    pub fn start<F, Fut>(name: impl Into<String>, main: F) -> Result<Worker, RuntimeError>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = ()>,
    {
        Self::start_by(name.into(), Self::new, main)
    }

    /// The same, with a runtime made by `build` on that thread.
    fn start_by<F, Fut>(
        name: String,
        build: impl FnOnce() -> io::Result<Self> + Send + 'static,
        main: F,
    ) -> Result<Worker, RuntimeError>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = ()>,
    {
        let tasks = Tasks::current();
        let (built_tx, built) = sync_channel(1);
        let (ended_tx, ended) = oneshot::channel();
        let thread = thread::Builder::new().name(name.clone()).spawn(move || {
            tasks.enter();
            let runtime = match build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(built_tx.send(Err(error))),
            };
            drop(built_tx.send(Ok(())));
            let end = catch_unwind(AssertUnwindSafe(|| runtime.block_on(main())));
            drop(runtime);
            // The receiver is gone when nobody wants to know.
            let _unheard = ended_tx.send(end.map_err(|_payload| Ended::Panicked));
        });
        let thread = thread.map_err(|source| RuntimeError::Thread { name: name.clone(), source })?;
        // A closed channel means that the thread died before it could say anything.
        let built = built.recv().unwrap_or_else(|_closed| Err(io::Error::other("the thread died")));
        match built {
            Ok(()) => Ok(Worker { name, thread, ended }),
            Err(source) => Err(RuntimeError::Build { name, source }),
        }
    }
}

/// A thread that runs a [`LocalRuntime`]. Dropping it lets the thread run on.
#[derive(Debug)]
pub struct Worker {
    name: String,
    thread: thread::JoinHandle<()>,
    ended: oneshot::Receiver<Result<(), Ended>>,
}

impl Worker {
    /// The thread's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Waits until the thread's main future has ended and its tasks are dropped.
    ///
    /// # Errors
    /// When it panicked.
    pub async fn stopped(&mut self) -> Result<(), Ended> {
        (&mut self.ended).await.unwrap_or(Err(Ended::Panicked))
    }

    /// Blocks until the thread has ended. For use outside a runtime.
    ///
    /// # Errors
    /// When its main future panicked.
    pub fn join(self) -> Result<(), Ended> {
        let ended = self.ended.blocking_recv().unwrap_or(Err(Ended::Panicked));
        self.thread.join().map_err(|_payload| Ended::Panicked)?;
        ended
    }
}

/// Which core a main future runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Core {
    /// From 0.
    pub index: usize,
    /// How many cores were started together.
    pub count: usize,
}

/// One thread with a [`LocalRuntime`] per core, named `core-0`, `core-1`, ... Their timers are those of [`crate::time`];
/// tokio's own would panic there.
#[derive(Debug)]
pub struct Cores(Vec<Worker>);

impl Cores {
    /// Starts `count` threads and calls `main` on each.
    ///
    /// # Errors
    /// When one of them can't start. Those that did are left to end by themselves: their main futures must be able to
    /// end for another reason than this value, such as a [`Drain`](crate::Drain).
    pub fn start<F, Fut>(count: usize, main: F) -> Result<Self, RuntimeError>
    where
        F: FnOnce(Core) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = ()>,
    {
        let start = |index| {
            let main = main.clone();
            let build = || {
                time::keep_elsewhere()?;
                LocalRuntime::without_timers()
            };
            LocalRuntime::start_by(format!("core-{index}"), build, move || main(Core { index, count }))
        };
        (0..count).map(start).collect::<Result<_, _>>().map(Self)
    }

    /// Waits until all cores have ended.
    ///
    /// # Errors
    /// As soon as core 0, 1, ... in this order is found to have panicked.
    pub async fn stopped(&mut self) -> Result<(), Ended> {
        for worker in &mut self.0 {
            worker.stopped().await?;
        }
        Ok(())
    }

    /// Blocks until all cores have ended. For use outside a runtime.
    ///
    /// # Errors
    /// When one panicked; the others are waited for all the same.
    pub fn join(self) -> Result<(), Ended> {
        self.0.into_iter().map(Worker::join).fold(Ok(()), Result::and)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::{drain, spawn_local};

    #[test]
    fn each_core_has_its_named_thread() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let cores = Cores::start(3, {
            let seen = seen.clone();
            move |core: Core| async move {
                let name = spawn_local("name", async { thread::current().name().map(str::to_owned) }).await;
                seen.lock().unwrap().push((core.index, core.count, name));
            }
        });
        assert_eq!(cores.unwrap().join(), Ok(()));
        let mut seen = seen.lock().unwrap().clone();
        seen.sort_by_key(|(index, ..)| *index);
        let expected: Vec<_> = (0..3).map(|i| (i, 3, Ok(Some(format!("core-{i}"))))).collect();
        assert_eq!(seen, expected);
        assert_eq!(Tasks::current().running("name"), 0);
        assert_eq!(Tasks::current().counts().first().map(|count| count.started), Some(3));
    }

    #[test]
    fn a_core_that_panics_is_noticed_and_the_others_finish() {
        let finished = Arc::new(AtomicUsize::new(0));
        let cores = Cores::start(2, {
            let finished = finished.clone();
            move |core: Core| async move {
                assert_ne!(core.index, 0, "on purpose");
                finished.fetch_add(1, Ordering::Relaxed);
            }
        });
        assert_eq!(cores.unwrap().join(), Err(Ended::Panicked));
        assert_eq!(finished.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn cores_end_by_a_drain_started_elsewhere() {
        let (trigger, drain) = drain::new();
        let guard = drain.guard();
        let mut cores = Cores::start(2, {
            let drain = drain.clone();
            move |_core| async move {
                let _guard = drain.guard();
                drain.begun().await;
            }
        })
        .unwrap();
        drop(guard);
        LocalRuntime::new().unwrap().block_on(async {
            assert_eq!(trigger.run(std::time::Duration::from_secs(20)).await, drain::Outcome::Graceful);
            assert_eq!(cores.stopped().await, Ok(()));
        });
    }
}
