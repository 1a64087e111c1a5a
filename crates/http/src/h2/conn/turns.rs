//! Who sends next when several streams wait for a connection's window or for room in its queue.
//!
//! Those who wait are let go on in their order, a few at a time. Room isn't set aside for them, so that whoever has been
//! let go on has a turn: nobody else takes the room before it has been used or let pass, or the stream whose task runs
//! first would have all of it. A turn that nobody uses holds others up no longer than until the queue is empty.

use super::State;
use crate::h2::stream;
use crate::limits::{COALESCE, H2_QUEUE_FREE, RELAY_BUFFER};

/// Turns at a time: frames that fit into the free part of the queue.
const MOST: usize = H2_QUEUE_FREE / RELAY_BUFFER;

#[derive(Debug)]
pub(super) struct Turns {
    /// What turns are marked by; never 0.
    round: u32,
    /// How many of this round are waited for.
    given: usize,
}

impl Default for Turns {
    fn default() -> Self {
        Self { round: 1, given: 0 }
    }
}

impl Turns {
    fn give(&mut self, stream: &mut stream::State) {
        stream.turn = self.round;
        self.given += 1;
    }

    /// Ends a stream's turn; whether it had one. One of an earlier round may be used as well.
    pub(super) fn take(&mut self, stream: &mut stream::State) -> bool {
        let round = std::mem::take(&mut stream.turn);
        if round == self.round {
            self.given = self.given.saturating_sub(1);
        }
        round != 0
    }

    /// Waits for no turns that were given before.
    fn begin_round(&mut self) {
        self.round = self.round.checked_add(1).unwrap_or(1);
        self.given = 0;
    }
}

impl State {
    /// Whether a stream without a turn may go on.
    pub(super) fn is_free(&self) -> bool {
        self.out.bytes() == 0 || self.turns.given == 0 && self.waiting.is_empty()
    }

    /// Lets those go on who wait for the connection, in the order in which they came.
    pub(in crate::h2) fn let_go_on(&mut self) {
        let is_idle = self.out.bytes() == 0;
        if is_idle {
            self.waiting.append(&mut self.crumbs);
        }
        if is_idle && !self.waiting.is_empty() {
            self.turns.begin_round();
        }
        for _ in 0..self.waiting.len() {
            // Crumbs of the window go out when what came before has been read: see `push_on`.
            let is_crumb = self.allowance.bytes() < COALESCE && self.out.bytes() > 0;
            if is_crumb || !(is_idle || self.turns.given < MOST) || !self.has_room() {
                return;
            }
            let Some(stream) = self.waiting.pop_front() else { return };
            let mut of_stream = stream.state.borrow_mut();
            of_stream.waits = false;
            if of_stream.pending.is_none() {
                if of_stream.wake_writer() {
                    self.turns.give(&mut of_stream);
                }
            } else {
                drop(of_stream);
                self.push_on(&stream);
            }
        }
    }
}
