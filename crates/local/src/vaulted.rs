//! A child process with a vault: served while it runs, drained when it shall end.

use std::{cell::RefCell, time::Duration};

use leno_capture::process::Child;
use tokio::{
    net::{
        UnixStream,
        unix::{ReadHalf, WriteHalf},
    },
    sync::watch,
    time::timeout,
};

use crate::{
    vault::{self, Frame, Vault},
    wait::{self, Ended},
};

/// What a child says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Starting,
    Ready,
    /// It takes no new work, and stores nothing any more: what is kept is for the next one.
    Draining,
}

/// Serves a running child's vault until it ended; says how. `stage` becomes what the child says.
/// When `drain` becomes true, the child has `grace` to end by itself.
pub(crate) async fn attend(
    child: Child,
    mut stream: UnixStream,
    vault: &RefCell<Vault>,
    stage: &watch::Sender<Stage>,
    drain: &mut watch::Receiver<bool>,
    grace: Duration,
) -> String {
    let ended = match Ended::of(child) {
        Ok(ended) => ended,
        Err(error) => return format!("can't be watched: {error}"),
    };
    let (mut from, mut to) = stream.split();
    let trouble = tokio::select! {
        exit = ended.wait() => return wait::words(exit),
        trouble = serve(vault, stage, &mut from, &mut to) => trouble,
        _changed = drain.wait_for(|drain| *drain) => None,
    };
    if trouble.is_some() {
        ended.kill();
    } else if *drain.borrow() {
        // A child that can't be told is killed below.
        let _told = vault::write(&mut to, &Frame::Drain).await;
    }
    let end = match timeout(grace, ended.wait()).await {
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

/// Replays the vault, then takes what the child stores. Ends with the stream.
async fn serve(
    vault: &RefCell<Vault>,
    stage: &watch::Sender<Stage>,
    from: &mut ReadHalf<'_>,
    to: &mut WriteHalf<'_>,
) -> Option<vault::Error> {
    let replay = vault.borrow().replay();
    for frame in &replay {
        if let Err(error) = vault::write(to, frame).await {
            return Some(error);
        }
    }
    loop {
        let stored = match vault::read(from).await {
            Ok(Some(Frame::Put { name, blob })) if *stage.borrow() != Stage::Draining => {
                vault.borrow_mut().put(name, blob)
            }
            Ok(Some(Frame::Ready)) => {
                stage.send_replace(Stage::Ready);
                Ok(())
            }
            Ok(Some(Frame::Draining)) => {
                stage.send_replace(Stage::Draining);
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
