//! A child process with a vault: served while it runs, drained when it shall end.

use std::{cell::RefCell, io, time::Duration};

use leno_capture::process::Child;
use tokio::{
    net::{
        UnixStream,
        unix::{ReadHalf, WriteHalf},
    },
    sync::watch,
    time::{sleep, timeout},
};

use crate::{
    limits::DRAIN_GRACE,
    vault::{self, Frame, Vault},
    wait::{self, Ended},
};

/// What a child says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Starting,
    Ready,
    /// It takes no new work, and stores nothing any more: what is kept is for the next one.
    Draining {
        /// Whether it was ready before.
        served: bool,
    },
}

/// Serves a running child's vault until it ended; says how. `stage` becomes what the child says.
/// When `drain` becomes true, the child is told to drain, and has [`DRAIN_GRACE`]; of its own accord it may drain for
/// `alone`.
pub(crate) async fn attend(
    child: Child,
    mut stream: UnixStream,
    vault: &RefCell<Vault>,
    stage: &watch::Sender<Stage>,
    drain: &mut watch::Receiver<bool>,
    alone: Duration,
) -> String {
    let ended = match Ended::of(child) {
        Ok(ended) => ended,
        Err(error) => return format!("can't be watched: {error}"),
    };
    let (mut from, mut to) = stream.split();
    // Whole before anything else is said, or the child couldn't tell one from the other.
    let replayed = tokio::select! {
        exit = ended.wait() => return wait::words(exit),
        replayed = timeout(DRAIN_GRACE, replay(vault, &mut to)) => replayed,
    };
    let trouble = match replayed.unwrap_or_else(|late| Err(io::Error::from(late).into())) {
        Err(error) => Some(error),
        Ok(()) => tokio::select! {
            exit = ended.wait() => return wait::words(exit),
            trouble = serve(vault, stage, &mut from) => trouble,
            _changed = drain.wait_for(|drain| *drain) => None,
            () = overdue(stage.subscribe(), alone) => {
                ended.kill();
                return format!("{} since it drained for too long", wait::words(ended.wait().await));
            }
        },
    };
    if trouble.is_some() {
        ended.kill();
    } else if *drain.borrow() {
        // A child that can't be told is killed below.
        let _told = vault::write(&mut to, &Frame::Drain).await;
    }
    let end = match timeout(DRAIN_GRACE, ended.wait()).await {
        Ok(exit) => wait::words(exit),
        Err(_late) => {
            ended.kill();
            wait::words(ended.wait().await)
        }
    };
    match trouble {
        None => end,
        // It ended by itself, and its end of the stream with it.
        Some(_) if end.starts_with("exited") => end,
        Some(error) => format!("{end} because of its vault: {}", crate::error_chain(&error)),
    }
}

/// How a child ended, as the task that attended to it says.
pub(crate) fn words(end: Result<String, leno_runtime::Ended>) -> String {
    end.unwrap_or_else(|_panicked| "can't be watched".to_owned())
}

/// Waits until a child has drained of its own accord for that long.
async fn overdue(mut stage: watch::Receiver<Stage>, limit: Duration) {
    if stage.wait_for(|stage| matches!(stage, Stage::Draining { .. })).await.is_err() {
        std::future::pending::<()>().await;
    }
    sleep(limit).await;
}

async fn replay(vault: &RefCell<Vault>, to: &mut WriteHalf<'_>) -> Result<(), vault::Error> {
    let frames = vault.borrow().replay();
    for frame in &frames {
        vault::write(to, frame).await?;
    }
    Ok(())
}

/// Takes what the child stores and says. Ends with the stream.
async fn serve(
    vault: &RefCell<Vault>,
    stage: &watch::Sender<Stage>,
    from: &mut ReadHalf<'_>,
) -> Option<vault::Error> {
    loop {
        let stored = match vault::read(from).await {
            Ok(Some(Frame::Put { name, blob })) if !matches!(*stage.borrow(), Stage::Draining { .. }) => {
                vault.borrow_mut().put(name, blob)
            }
            Ok(Some(Frame::Ready)) => {
                stage.send_replace(Stage::Ready);
                Ok(())
            }
            Ok(Some(Frame::Draining)) => {
                let served = *stage.borrow() == Stage::Ready;
                stage.send_replace(Stage::Draining { served });
                Ok(())
            }
            Ok(Some(_)) => Ok(()),
            Ok(None) => return None,
            Err(error) => Err(error),
        };
        if let Err(error) = stored {
            return Some(error);
        }
    }
}
