//! What the frames of the peer do (RFC 9113 §6).

use std::rc::Rc;

use leno_model::failure::Failure;

use super::{Conn, Role, State};
use crate::h2::frame::{self, HEAD, Head, Kind, MOST, flag, setting};
use crate::h2::reason::{Cause, Reason, Violation};
use crate::h2::stream::{Hearing, Stream};
use crate::limits;

/// What a frame that is about one stream comes to: a rule that was broken on it, for which it is reset (§5.4.2).
pub(super) type OfStream = Result<(), Violation>;

impl State {
    /// Handles the frames that are whole; how many bytes they took.
    pub(super) fn handle(&mut self, conn: &Rc<Conn>, bytes: &[u8]) -> Result<usize, Violation> {
        let mut at = self.take_preface(bytes)?;
        // After a farewell nothing is to be heard.
        while self.ended.is_none() {
            let rest = bytes.get(at..).unwrap_or_default();
            let Some(head) = Head::read(rest) else { break };
            if head.length > limits::H2_FRAME as usize {
                return Err(Violation::size("a frame larger than announced"));
            }
            let Some(payload) = rest.get(HEAD..HEAD + head.length) else { break };
            self.frame(conn, &head, payload)?;
            at += HEAD + head.length;
        }
        Ok(at)
    }

    fn take_preface(&mut self, bytes: &[u8]) -> Result<usize, Violation> {
        let length = bytes.len().min(self.preface.len());
        let (come, rest) = self.preface.split_at_checked(length).unwrap_or_default();
        if bytes.get(..length) != Some(come) {
            return Err(Violation::protocol("another preface than HTTP/2's"));
        }
        self.preface = rest;
        Ok(length)
    }

    fn frame(&mut self, conn: &Rc<Conn>, head: &Head, payload: &[u8]) -> Result<(), Violation> {
        let continues = self
            .block
            .as_ref()
            .is_none_or(|block| head.kind == Kind::Continuation && head.stream == block.stream);
        if !continues {
            return Err(Violation::protocol("another frame inside of a header block"));
        }
        if !self.peer.have_come && (head.kind != Kind::Settings || head.has(flag::ACK)) {
            return Err(Violation::protocol("something other than SETTINGS first"));
        }
        match head.kind {
            Kind::Data | Kind::Headers | Kind::Priority | Kind::Reset | Kind::Continuation
                if head.stream == 0 =>
            {
                Err(Violation::protocol("a frame of a stream on the connection"))
            }
            Kind::Settings | Kind::Ping | Kind::GoAway if head.stream != 0 => {
                Err(Violation::protocol("a frame of the connection on a stream"))
            }
            Kind::Data => self.data(conn, head, payload),
            Kind::Headers => self.headers(conn, head, payload),
            Kind::Continuation => self.continuation(conn, head, payload),
            Kind::Reset => self.reset(conn, head, payload),
            Kind::Settings => self.settings(conn, head, payload),
            Kind::Ping => self.ping(head, payload),
            Kind::GoAway => self.go_away(conn, payload),
            Kind::Window if head.stream == 0 => self.window(payload),
            Kind::Window => self.stream_window(conn, head, payload),
            Kind::Priority if payload.len() != 5 => Err(Violation::size("PRIORITY of another size than 5")),
            Kind::Priority | Kind::Unknown => self.idle_frame(),
            Kind::Push => Err(Violation::protocol("PUSH_PROMISE, which wasn't allowed")),
        }
    }

    /// Counts a frame that asks for nothing.
    fn idle_frame(&mut self) -> Result<(), Violation> {
        if self.idle_frames.exceeds() {
            return Err(Violation::calm("too many frames that ask for nothing"));
        }
        Ok(())
    }

    /// Whether a stream has been: neither side may speak of others (§5.1).
    pub(super) fn check_known(&self, conn: &Conn, id: u32) -> Result<(), Violation> {
        let is_ours = !id.is_multiple_of(2);
        let is_known = match conn.role {
            Role::Client => is_ours && id < self.next,
            Role::Server(_) => is_ours && id <= self.last,
        };
        if is_known { Ok(()) } else { Err(Violation::protocol("a frame on a stream that wasn't opened")) }
    }

    /// Answers what comes on a stream that has ended. Of those reset here it is on its way still.
    pub(super) fn late(&mut self, id: u32) -> Result<(), Violation> {
        if self.reset.contains(&id) {
            return Ok(());
        }
        self.queue_reset(id, Reason::STREAM_CLOSED);
        self.idle_frame()
    }

    /// Resets a stream on which the peer broke a rule.
    pub(super) fn judge(&mut self, stream: &Rc<Stream>, outcome: OfStream) -> Result<(), Violation> {
        let Err(broken) = outcome else { return Ok(()) };
        let is_served = !self.accepted.iter().any(|accepted| accepted.stream.id() == stream.id());
        stream.conn().tell(Failure::DownstreamProtocol, broken.rule, is_served);
        self.give_up(stream, broken.reason, Cause::Broken);
        self.count_error()
    }

    pub(super) fn count_error(&mut self) -> Result<(), Violation> {
        if self.errors.exceeds() {
            return Err(Violation::calm("too many streams on which rules were broken"));
        }
        Ok(())
    }

    fn data(&mut self, conn: &Rc<Conn>, head: &Head, payload: &[u8]) -> Result<(), Violation> {
        let content = frame::content(head, payload)?;
        if !self.credit.take(payload.len()) {
            return Err(Violation::flow("more than the connection's window"));
        }
        if let Some(more) = self.credit.due() {
            self.raise(0, more);
        }
        let Some(stream) = self.streams.get(head.stream).map(Rc::clone) else {
            self.check_known(conn, head.stream)?;
            self.release(payload.len());
            return self.late(head.stream);
        };
        if content.is_empty() && !head.has(flag::END_STREAM) {
            self.idle_frame()?;
        }
        let outcome = self.hear(&stream, content, payload.len(), head.has(flag::END_STREAM));
        self.finish_if_said(&stream);
        self.judge(&stream, outcome)
    }

    /// Takes in bytes of a body, which with their padding take `size` of the windows.
    fn hear(&mut self, stream: &Rc<Stream>, content: &[u8], size: usize, ends: bool) -> OfStream {
        let mut state = stream.state.borrow_mut();
        let allowed = match state.hearing {
            Hearing::Body => Ok(()),
            Hearing::Head => Err(Violation::protocol("a body before its head")),
            Hearing::Ended => Err(Violation { reason: Reason::STREAM_CLOSED, rule: "a body after its end" }),
        };
        let fits = match state.left {
            Some(left) => left.checked_sub(content.len() as u64).filter(|left| !ends || *left == 0).map(Some),
            None => Some(None),
        };
        let outcome = allowed.and_then(|()| {
            state.left = fits.ok_or(Violation::protocol("a body of another length than announced"))?;
            if state.credit.take(size) {
                Ok(())
            } else {
                Err(Violation::flow("more than the stream's window"))
            }
        });
        if outcome.is_err() || state.is_deaf {
            self.release(size);
        } else {
            if !content.is_empty() {
                state.body.push(content);
            }
            let padding = size - content.len();
            if padding > 0 {
                self.release(padding);
                if let Some(more) = state.credit.give(padding) {
                    self.raise(stream.id(), more);
                }
            }
        }
        if outcome.is_ok() && ends {
            state.hearing = Hearing::Ended;
        }
        if outcome.is_ok() && (ends || !content.is_empty()) {
            state.wake_reader();
        }
        outcome
    }

    /// Bytes aren't held any more; whether the peer is told.
    pub(super) fn release(&mut self, bytes: usize) -> bool {
        let more = self.credit.give(bytes);
        if let Some(more) = more {
            self.raise(0, more);
        }
        more.is_some()
    }

    fn reset(&mut self, conn: &Rc<Conn>, head: &Head, payload: &[u8]) -> Result<(), Violation> {
        let code = number(payload, "RST_STREAM of another size than 4")?;
        let Some(stream) = self.streams.remove(head.stream) else {
            return self.check_known(conn, head.stream);
        };
        self.cut_off(&stream, Cause::Reset(Reason::of(code)));
        self.let_open();
        if conn.role != Role::Client && !conn.peer_is_proxy && self.resets.exceeds() {
            return Err(Violation::calm("too many requests taken back"));
        }
        Ok(())
    }

    fn settings(&mut self, conn: &Rc<Conn>, head: &Head, payload: &[u8]) -> Result<(), Violation> {
        if head.has(flag::ACK) {
            self.is_acknowledged = true;
            return if payload.is_empty() { Ok(()) } else { Err(Violation::size("an ACK with settings")) };
        }
        if self.peer.have_come {
            self.idle_frame()?;
        }
        let window = self.peer.stream_window;
        for (id, value) in frame::settings(payload)? {
            self.setting(conn, id, value)?;
        }
        self.peer.have_come = true;
        // Before what the new values allow: there are peers that count by them from here on (§6.5.3).
        self.out.answer(|text| frame::write(Kind::Settings, flag::ACK, 0, &[], text));
        // Nothing is sent between the values of one frame.
        self.change_windows(i64::from(self.peer.stream_window) - i64::from(window))?;
        // Those who wait for it, and those whom a higher limit lets go on.
        self.let_open();
        Ok(())
    }

    fn setting(&mut self, conn: &Rc<Conn>, id: u16, value: u32) -> Result<(), Violation> {
        match id {
            setting::HEADER_TABLE_SIZE => self.encoder.set_max_table(value),
            setting::ENABLE_PUSH if value > 1 || value == 1 && conn.role == Role::Client => {
                return Err(Violation::protocol("ENABLE_PUSH with a value that it can't have"));
            }
            setting::MAX_CONCURRENT_STREAMS => {
                self.peer.streams = usize::try_from(value).unwrap_or(usize::MAX);
            }
            setting::INITIAL_WINDOW_SIZE if value > MOST => {
                return Err(Violation::flow("a window beyond 2^31 - 1"));
            }
            setting::INITIAL_WINDOW_SIZE => self.peer.stream_window = value,
            setting::MAX_FRAME_SIZE if !(1 << 14..1 << 24).contains(&value) => {
                return Err(Violation::protocol("MAX_FRAME_SIZE out of its range"));
            }
            setting::ENABLE_CONNECT_PROTOCOL if value > 1 || value == 0 && self.peer.extended_connect => {
                return Err(Violation::protocol("ENABLE_CONNECT_PROTOCOL with a value that it can't have"));
            }
            setting::ENABLE_CONNECT_PROTOCOL => self.peer.extended_connect = value == 1,
            _ => {}
        }
        Ok(())
    }

    /// A new window of streams also changes those that are open (§6.9.2).
    fn change_windows(&mut self, more: i64) -> Result<(), Violation> {
        if more == 0 {
            return Ok(());
        }
        let streams: Vec<_> = self.streams.iter().map(Rc::clone).collect();
        for stream in streams {
            if !stream.state.borrow_mut().allowance.add(more) {
                return Err(Violation::flow("a stream's window beyond 2^31 - 1"));
            }
            if more > 0 {
                self.push_on(&stream);
            }
        }
        Ok(())
    }

    fn ping(&mut self, head: &Head, payload: &[u8]) -> Result<(), Violation> {
        let payload = payload.try_into().map_err(|_size| Violation::size("PING of another size than 8"))?;
        if head.has(flag::ACK) {
            self.pong(payload);
        } else {
            self.answer_ping(payload);
        }
        Ok(())
    }

    fn go_away(&mut self, conn: &Rc<Conn>, payload: &[u8]) -> Result<(), Violation> {
        let Some((last, _)) = payload.split_first_chunk::<4>().filter(|(_, rest)| rest.len() >= 4) else {
            return Err(Violation::size("GOAWAY that is too short"));
        };
        if conn.role == Role::Client {
            let last = u32::from_be_bytes(*last) & MOST;
            // It can't take back that it doesn't act on a stream.
            let last = self.acts_on.map_or(last, |before| before.min(last));
            self.acts_on = Some(last);
            for (_, stream) in self.streams.take_above(last) {
                self.cut_off(&stream, Cause::Unprocessed);
            }
            self.let_open();
        }
        Ok(())
    }

    fn window(&mut self, payload: &[u8]) -> Result<(), Violation> {
        let more = number(payload, "WINDOW_UPDATE of another size than 4")? & MOST;
        if more == 0 {
            return Err(Violation::protocol("a window raised by nothing"));
        }
        if !self.allowance.add(i64::from(more)) {
            return Err(Violation::flow("the connection's window beyond 2^31 - 1"));
        }
        self.let_go_on();
        Ok(())
    }

    fn stream_window(&mut self, conn: &Rc<Conn>, head: &Head, payload: &[u8]) -> Result<(), Violation> {
        let more = number(payload, "WINDOW_UPDATE of another size than 4")? & MOST;
        let Some(stream) = self.streams.get(head.stream).map(Rc::clone) else {
            return self.check_known(conn, head.stream);
        };
        let outcome = match more {
            0 => Err(Violation::protocol("a stream's window raised by nothing")),
            more if !stream.state.borrow_mut().allowance.add(i64::from(more)) => {
                Err(Violation::flow("a stream's window beyond 2^31 - 1"))
            }
            _ => {
                self.push_on(&stream);
                Ok(())
            }
        };
        self.judge(&stream, outcome)
    }
}

/// A number of four bytes that is all of a payload.
fn number(payload: &[u8], rule: &'static str) -> Result<u32, Violation> {
    payload.try_into().map(u32::from_be_bytes).map_err(|_size| Violation::size(rule))
}
