//! When Envoy has had its turn.
//!
//! Whether somebody waits for more bytes doesn't show but by waiting. A clock is a bad measure of that: it is too long
//! where nobody else is there, and too short where thousands of inputs are. Rounds are a good one: while somebody waits,
//! requests go through Envoy to the application and back on a connection of their own, one after the other. Envoy has
//! one thread, and so has this program, and both take what is there in the order in which it came. Who still hasn't got
//! an answer after some rounds was waited for, and isn't just late.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::{Notify, watch};
use tokio::task::spawn_local;

use super::process::Address;
use super::wire::{self, As};

/// After so many, Envoy has had its turn: to take a connection, to read it, to be answered, and to answer. The others
/// are for what isn't thought of here.
const TURN: u64 = 8;

const REQUEST: &[u8] = b"GET /round HTTP/1.1\r\nhost: a\r\n\r\n";

/// Counts the rounds.
pub(super) struct Rounds {
    count: watch::Receiver<u64>,
    wanted: Rc<Notify>,
    /// Up to which one somebody waits.
    until: Rc<RefCell<u64>>,
}

impl Rounds {
    /// Goes through Envoy at this address.
    #[allow(clippy::disallowed_methods, reason = "part of a comparison, and ends with it")]
    pub(super) async fn start(envoy: &Address) -> io::Result<Self> {
        let mut stream = envoy.connect().await?;
        let (counts, count) = watch::channel(0);
        let (wanted, until) = (Rc::new(Notify::new()), Rc::new(RefCell::new(0)));
        let rounds = Self { count, wanted: Rc::clone(&wanted), until: Rc::clone(&until) };
        spawn_local(async move {
            loop {
                while *counts.borrow() >= *until.borrow() {
                    wanted.notified().await;
                }
                // Whoever waits then learns that there are no more.
                if round(&mut stream).await.is_err() {
                    return;
                }
                counts.send_modify(|count| *count += 1);
            }
        });
        Ok(rounds)
    }

    /// Waits until Envoy has had its turn.
    ///
    /// # Errors
    /// When Envoy doesn't answer any more.
    pub(super) async fn turn(&self) -> io::Result<()> {
        let mut count = self.count.clone();
        // One more, since one may be under way.
        let last = *count.borrow() + 1 + TURN;
        self.until.replace_with(|until| last.max(*until));
        self.wanted.notify_one();
        count.wait_for(|count| *count >= last).await.map_err(io::Error::other)?;
        Ok(())
    }
}

async fn round(stream: &mut UnixStream) -> io::Result<()> {
    stream.write_all(REQUEST).await?;
    let mut got = Vec::new();
    while wire::message(&got, As::Response, false).is_none() {
        if stream.read_buf(&mut got).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}
