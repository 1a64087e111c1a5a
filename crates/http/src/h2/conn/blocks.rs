//! What header blocks do (RFC 9113 §8.1): begin a stream, answer, or end a message by trailers.

use std::rc::Rc;

use leno_model::failure::Failure;

use super::frames::OfStream;
use super::{Accepted, Block, Conn, Leaving, Place, Role, State};
use crate::h2::flow::Credit;
use crate::h2::frame::{self, Head, flag};
use crate::h2::message::{Fault, Reading};
use crate::h2::reason::{Cause, Reason, Violation, reason_for};
use crate::h2::stream::{self, Asked, Hearing, Stream};
use crate::head::{Connect, Framing, Scheme};
use crate::limits;
use crate::reply::LocalReply;

impl State {
    pub(super) fn headers(&mut self, conn: &Rc<Conn>, head: &Head, payload: &[u8]) -> Result<(), Violation> {
        let content = frame::content(head, payload)?;
        let end_stream = head.has(flag::END_STREAM);
        if head.has(flag::END_HEADERS) {
            return self.block(conn, head.stream, end_stream, content);
        }
        self.block = Some(Block {
            stream: head.stream,
            end_stream,
            bytes: content.to_vec(),
            frames: 1,
            reservation: None,
        });
        Ok(())
    }

    pub(super) fn continuation(
        &mut self,
        conn: &Rc<Conn>,
        head: &Head,
        payload: &[u8],
    ) -> Result<(), Violation> {
        let Some(block) = &mut self.block else {
            return Err(Violation::protocol("CONTINUATION of nothing"));
        };
        // Nothing that is accepted takes more room encoded than decoded, but for what each field costs.
        let most = 2 * conn.head_bytes;
        block.frames += 1;
        if block.frames > limits::H2_BLOCK_FRAMES || block.bytes.len() + payload.len() > most {
            return Err(Violation::calm("a header block without end"));
        }
        if block.bytes.len() + payload.len() > limits::HEAD_FREE
            && block.reservation.is_none()
            && let Some(budget) = &conn.budget
        {
            let room = budget.try_reserve(most);
            block.reservation = Some(room.ok_or(Violation::calm("no room for a large header block"))?);
        }
        block.bytes.extend_from_slice(payload);
        if head.has(flag::END_HEADERS)
            && let Some(block) = self.block.take()
        {
            return self.block(conn, block.stream, block.end_stream, &block.bytes);
        }
        Ok(())
    }

    /// Handles a whole header block.
    fn block(&mut self, conn: &Rc<Conn>, id: u32, ends: bool, block: &[u8]) -> Result<(), Violation> {
        let mut reading = Reading::new(conn.head_bytes, conn.head_fields);
        // Whatever becomes of the stream, the table has to follow (§4.3).
        let decoded = self.decoder.decode(block, conn.head_bytes, &mut reading);
        decoded.map_err(|lost| Violation { reason: Reason::COMPRESSION_ERROR, rule: lost.rule() })?;
        if let Some(stream) = self.streams.get(id).map(Rc::clone) {
            let has_room = stream.state.borrow_mut().hold(&conn.heads, reading.size());
            if !has_room {
                self.give_up(&stream, Reason::ENHANCE_YOUR_CALM, Cause::Given(Failure::Overload));
                return Ok(());
            }
            let outcome = Self::head_of(&stream, reading, ends, conn.role);
            self.finish_if_said(&stream);
            return self.judge(&stream, outcome);
        }
        match conn.role {
            Role::Server(_) if id.is_multiple_of(2) => {
                Err(Violation::protocol("a stream with an even number from a client"))
            }
            Role::Server(scheme) if id > self.last => self.request(conn, id, ends, reading, scheme),
            _ if self.reset.contains(&id) => Ok(()),
            // A server may have answered more requests before it heard that they were given up than are remembered.
            Role::Client => {
                self.check_known(conn, id)?;
                self.late(id)
            }
            Role::Server(_) => {
                self.check_known(conn, id)?;
                Err(Violation { reason: Reason::STREAM_CLOSED, rule: "a head on a stream that has ended" })
            }
        }
    }

    /// A head, or trailers, on an open stream.
    fn head_of(stream: &Stream, reading: Reading, ends: bool, role: Role) -> OfStream {
        let mut state = stream.state.borrow_mut();
        let malformed = |fault: Fault| Violation::protocol(fault.rule());
        match state.hearing {
            Hearing::Ended => Err(Violation { reason: Reason::STREAM_CLOSED, rule: "a head after the end" }),
            Hearing::Body if !ends => Err(Violation::protocol("trailers that aren't the end")),
            Hearing::Body => {
                let trailers = reading.trailers().map_err(malformed)?;
                if state.left.is_some_and(|left| left > 0) {
                    return Err(Violation::protocol("a body of another length than announced"));
                }
                state.trailers = Some(trailers);
                state.hearing = Hearing::Ended;
                state.wake_reader();
                Ok(())
            }
            Hearing::Head => {
                debug_assert_eq!(role, Role::Client, "a server's streams begin with a head");
                let head = reading.response(ends, state.asked == Asked::Head).map_err(malformed)?;
                let is_interim = head.is_informational();
                if is_interim && ends {
                    return Err(Violation::protocol("an interim answer that is the end"));
                }
                if is_interim {
                    state.interims += 1;
                    if state.interims > limits::INFORMATIONAL {
                        return Err(Violation::protocol("too many interim answers"));
                    }
                    state.interim.push_back(head);
                } else {
                    state.left = state.asked.body_of(&head);
                    state.hearing = if ends { Hearing::Ended } else { Hearing::Body };
                    state.head = Some(head);
                }
                state.wake_reader();
                Ok(())
            }
        }
    }

    /// Accepts a request, or answers one that HTTP/1 would refuse.
    fn request(
        &mut self,
        conn: &Rc<Conn>,
        id: u32,
        ends: bool,
        reading: Reading,
        scheme: Scheme,
    ) -> Result<(), Violation> {
        self.last = id;
        if self.leaving == Leaving::Serving {
            // The client knows that this isn't served (§6.8).
            self.remember_reset(id);
            return Ok(());
        }
        if self.streams.len() >= conn.most_streams {
            self.queue_reset(id, Reason::REFUSED_STREAM);
            self.remember_reset(id);
            return Ok(());
        }
        let size = reading.size();
        let mut of_stream = stream::State::new(Hearing::Body, conn.stream_window, self.peer.stream_window);
        if ends {
            of_stream.hearing = Hearing::Ended;
        }
        if !self.is_acknowledged {
            of_stream.credit = Credit::unsettled(conn.stream_window);
        }
        let stream = Stream::new(id, Place::of(conn), of_stream);
        self.streams.add(Rc::clone(&stream));
        let head = reading.request(ends, scheme).map_err(|fault| (fault.of_client(), fault.rule()));
        let no_room = (Failure::Overload, "no memory left for another head");
        let counted = head.and_then(|head| Ok((head, conn.heads.count(size).ok_or(no_room)?)));
        match counted {
            Ok((head, held)) => {
                let mut of_stream = stream.state.borrow_mut();
                of_stream.held = Some(held);
                of_stream.asked = Asked::of(&head);
                if let (Framing::Length(length), Connect::None) = (head.framing(), head.connect()) {
                    of_stream.left = Some(length);
                }
                drop(of_stream);
                self.accepted.push_back(Accepted { head, stream });
                Ok(())
            }
            Err((failure, rule)) => {
                conn.tell(failure, rule, false);
                self.turn_away(&stream, failure)
            }
        }
    }

    /// Answers a request that nobody is to see.
    fn turn_away(&mut self, stream: &Rc<Stream>, failure: Failure) -> Result<(), Violation> {
        let reply = LocalReply::of(failure, false).filter(|_| failure != Failure::DownstreamProtocol);
        let Some(LocalReply { mut head, .. }) = reply else {
            self.give_up(stream, reason_for(failure), Cause::Broken);
            return self.count_error();
        };
        head.set_framing(Framing::Length(0));
        stream.state.borrow_mut().is_deaf = true;
        self.say_head(stream, &head, true);
        self.finish_if_said(stream);
        Ok(())
    }
}
