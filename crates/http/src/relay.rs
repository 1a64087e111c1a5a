//! Relays: of a body from one exchange half to another, and of bytes between two duplexes.
//!
//! A relay holds at most one frame, or one buffer per direction, so a slow reader slows the sender down and nothing
//! else. It doesn't know of time: whoever wants an idle limit watches the [`Tally`] (see [`idle`]).

mod duplex;

use std::cell::Cell;
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use leno_model::failure::Failure;

use crate::exchange::{Frame, Incoming, Outgoing};

pub use duplex::{DuplexEnd, duplex};

/// What a relay has moved so far in one direction. Shared between the relay and whoever watches it on the same core.
#[derive(Debug, Default)]
pub struct Tally {
    bytes: Cell<u64>,
    moves: Cell<u64>,
    grpc_status: Cell<Option<u16>>,
}

impl Tally {
    /// Body bytes moved.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// A number that changes with every move.
    #[must_use]
    pub fn moves(&self) -> u64 {
        self.moves.get()
    }

    /// `grpc-status` of the trailers that passed.
    #[must_use]
    pub fn grpc_status(&self) -> Option<u16> {
        self.grpc_status.get()
    }

    /// Begins anew: what was moved so far is moved once more.
    pub fn restart(&self) {
        self.bytes.set(0);
        self.moves.set(0);
        self.grpc_status.set(None);
    }

    fn moved(&self, bytes: usize) {
        self.bytes.set(self.bytes.get().wrapping_add(bytes as u64));
        self.moves.set(self.moves.get().wrapping_add(1));
    }
}

/// How the relay of a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyEnd {
    /// Everything arrived and was written.
    Complete,
    /// The sender broke off; the receiver has not been told yet (see [`Outgoing::abort`]).
    Aborted(Failure),
    /// The receiver is gone or wants no more.
    Stopped(Failure),
}

/// Moves a body, its trailers and its end. Cancelling loses nothing; calling again goes on.
pub async fn body(from: &mut Incoming, to: &mut Outgoing, tally: &Tally) -> BodyEnd {
    poll_fn(|cx| poll_body(from, to, tally, cx)).await
}

/// See [`body`].
pub fn poll_body(
    from: &mut Incoming,
    to: &mut Outgoing,
    tally: &Tally,
    cx: &mut Context<'_>,
) -> Poll<BodyEnd> {
    if to.takes_large() {
        from.hand_out_large();
    }
    loop {
        if to.is_finished() {
            return match to.poll_ready(cx) {
                Poll::Ready(Ok(())) => Poll::Ready(BodyEnd::Complete),
                Poll::Ready(Err(failure)) => Poll::Ready(BodyEnd::Stopped(failure)),
                // The last frame is held as those before it were.
                Poll::Pending => from.poll_stalled(cx).map(BodyEnd::Aborted),
            };
        }
        match to.poll_room(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(failure)) => return Poll::Ready(BodyEnd::Stopped(failure)),
            Poll::Pending => return from.poll_stalled(cx).map(BodyEnd::Aborted),
        }
        match from.poll_frame(cx) {
            Poll::Ready(Frame::Data(data)) => {
                tally.moved(data.len());
                if let Some(status) = from.grpc_status() {
                    tally.grpc_status.set(Some(status));
                }
                // Lets the end go out together with the last bytes.
                let given = if from.is_ended() { to.last(data) } else { to.data(data) };
                if let Err(failure) = given {
                    return Poll::Ready(BodyEnd::Stopped(failure));
                }
            }
            Poll::Ready(Frame::Trailers(trailers)) => {
                tally.moved(0);
                tally
                    .grpc_status
                    .set(trailers.get("grpc-status").and_then(|v| v.to_str().ok()?.parse().ok()));
                to.trailers(trailers);
            }
            Poll::Ready(Frame::End) => to.finish(),
            Poll::Ready(Frame::Abort(failure)) => return Poll::Ready(BodyEnd::Aborted(failure)),
            Poll::Pending => {
                // Nothing follows at once, so what waited to be written together with it goes out now.
                if let Poll::Ready(Err(failure)) = to.poll_ready(cx) {
                    return Poll::Ready(BodyEnd::Stopped(failure));
                }
                return to.poll_stopped(cx).map(BodyEnd::Stopped);
            }
        }
    }
}

/// Resolves when none of `tallies` has moved for between one and two times `limit`. Costs nothing per move.
pub async fn idle(tallies: &[&Tally], limit: Duration) {
    let moves = || tallies.iter().fold(0_u64, |sum, tally| sum.wrapping_add(tally.moves()));
    loop {
        let seen = moves();
        leno_runtime::time::sleep(limit).await;
        if moves() == seen {
            return;
        }
    }
}
