//! The process's tasks: the one place that spawns, told to stop together and waited for together.
//!
//! A task that is spawned through [`Tasks`] is counted until it ends. Nothing is aborted before the drain's deadline.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

/// Spawns tasks and tells them when to stop. Clones belong to the same group.
#[derive(Clone, Debug)]
pub(crate) struct Tasks {
    alive: mpsc::Sender<Infallible>,
    stop: watch::Receiver<bool>,
}

/// The owner of a group of tasks.
#[derive(Debug)]
pub(crate) struct Group {
    tasks: Tasks,
    ended: mpsc::Receiver<Infallible>,
    stop: watch::Sender<bool>,
}

impl Group {
    pub(crate) fn new() -> Self {
        let (alive, ended) = mpsc::channel(1);
        let (stop, stopping) = watch::channel(false);
        Self { tasks: Tasks { alive, stop: stopping }, ended, stop }
    }

    pub(crate) fn tasks(&self) -> Tasks {
        self.tasks.clone()
    }

    /// Tells every task to stop and waits until the last one has ended; false if the deadline came first.
    pub(crate) async fn drain(self, deadline: Duration) -> bool {
        let Self { tasks, mut ended, stop } = self;
        stop.send_replace(true);
        drop(tasks);
        tokio::time::timeout(deadline, ended.recv()).await.is_ok()
    }
}

impl Tasks {
    /// Starts a task that [`Group::drain`] waits for.
    #[expect(
        clippy::disallowed_methods,
        reason = "the sample is a program of its own; this is its one place that spawns"
    )]
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let alive = self.alive.clone();
        tokio::spawn(async move {
            task.await;
            drop(alive);
        });
    }

    /// Waits until the group is told to stop (or its owner is gone).
    pub(crate) async fn stopping(&self) {
        let mut stop = self.stop.clone();
        // An error means that the owner is gone, which is a reason to stop too.
        let _ = stop.wait_for(|stop| *stop).await;
    }
}

/// Starts a task that nobody waits for: a client connection's driver, which ends with its connection or the process.
#[expect(
    clippy::disallowed_methods,
    reason = "the sample is a program of its own; this is its one place that spawns"
)]
pub(crate) fn detach(task: impl Future<Output: Send + 'static> + Send + 'static) {
    drop(tokio::spawn(task));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread", start_paused = true)]
    async fn drains_when_the_last_task_ends() {
        let group = Group::new();
        let tasks = group.tasks();
        let inner = tasks.clone();
        tasks.spawn(async move { inner.stopping().await });
        drop(tasks);
        assert!(group.drain(Duration::from_secs(1)).await);
    }

    #[tokio::test(flavor = "current_thread", start_paused = true)]
    async fn gives_up_at_the_deadline() {
        let group = Group::new();
        group.tasks().spawn(std::future::pending());
        assert!(!group.drain(Duration::from_secs(1)).await);
    }
}
