//! A body that can be sent more than once: what was read of it is kept, up to a limit.
//!
//! Any number of readers may stand at different places of it. The foremost pulls from the sender; the others are
//! served from what is kept. Once more came than may be kept, everything kept is let go and only the foremost reader
//! can go on, so a large body costs nothing but the chance of another try. All readers belong to one task.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use leno_model::failure::Failure;

use super::{Frame, Incoming, Source};
use crate::budget::{Budget, Cover};
use crate::limits::{REPLAY_BYTES, REPLAY_FRAME};

/// A body that can be sent more than once, or could until it became too large.
#[derive(Debug)]
pub struct Replay(Rc<RefCell<Kept>>);

#[derive(Debug)]
struct Kept {
    source: Incoming,
    cover: Cover,
    /// What was read, from the beginning; `None` once it was let go.
    frames: Option<Vec<Bytes>>,
    bytes: usize,
    trailers: Option<HeaderMap>,
    end: Option<End>,
    /// Data frames read from the source.
    read: usize,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Complete,
    Aborted(Failure),
}

/// One reading of the body.
#[derive(Debug)]
pub(super) struct Reader {
    kept: Rc<RefCell<Kept>>,
    /// Data frames that it has had.
    position: usize,
    had_trailers: bool,
}

impl Replay {
    /// Keeps what is read of a body, as far as [`REPLAY_BYTES`] and the budget allow.
    #[must_use]
    pub fn new(source: Incoming, budget: Option<Budget>) -> Self {
        Self(Rc::new(RefCell::new(Kept {
            source,
            cover: Cover::new(budget),
            frames: Some(Vec::new()),
            bytes: 0,
            trailers: None,
            end: None,
            read: 0,
        })))
    }

    /// The body from its beginning. Of one that was let go, the reader breaks off at once.
    #[must_use]
    pub fn reader(&self) -> Incoming {
        Incoming(Source::Replay(Reader { kept: Rc::clone(&self.0), position: 0, had_trailers: false }))
    }

    /// Whether a new reader would get all of what was read so far.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.0.borrow().can_rewind()
    }

    /// Whether all of it was read, and is kept.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let kept = self.0.borrow();
        kept.can_rewind() && matches!(kept.end, Some(End::Complete))
    }

    /// Lets go of what was kept: no other try will be made.
    pub fn release(&self) {
        self.0.borrow_mut().release();
    }
}

impl Kept {
    fn can_rewind(&self) -> bool {
        self.frames.is_some()
    }

    fn release(&mut self) {
        self.frames = None;
        self.cover.release();
    }

    fn keep(&mut self, data: &Bytes) {
        let bytes = self.bytes.saturating_add(data.len() + REPLAY_FRAME);
        let fits = bytes <= REPLAY_BYTES && self.cover.reach(bytes);
        match &mut self.frames {
            Some(frames) if fits => {
                frames.push(data.clone());
                self.bytes = bytes;
            }
            _ => self.release(),
        }
    }

    fn pull(&mut self, cx: &mut Context<'_>) -> Poll<Frame> {
        let frame = ready!(self.source.poll_frame(cx));
        match &frame {
            Frame::Data(data) => {
                self.read += 1;
                if self.frames.is_some() {
                    self.keep(data);
                }
                // Whoever asks whether that was all must not have to ask again.
                if self.source.is_ended() {
                    self.end = Some(End::Complete);
                }
            }
            Frame::Trailers(trailers) => {
                self.trailers = Some(trailers.clone());
                self.end = Some(End::Complete);
            }
            Frame::End => self.end = Some(End::Complete),
            Frame::Abort(failure) => self.end = Some(End::Aborted(*failure)),
        }
        Poll::Ready(frame)
    }
}

impl Reader {
    pub(super) fn is_ended(&self) -> bool {
        let kept = self.kept.borrow();
        let at_end = self.position == kept.read && matches!(kept.end, Some(End::Complete));
        (at_end && (self.had_trailers || kept.trailers.is_none()))
            || (self.position == kept.read && kept.end.is_none() && kept.source.is_ended())
    }

    /// See [`Incoming::hand_out_large`].
    pub(super) fn hand_out_large(&self) {
        let mut kept = self.kept.borrow_mut();
        if !kept.can_rewind() {
            kept.source.hand_out_large();
        }
    }

    pub(super) fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        let mut kept = self.kept.borrow_mut();
        if self.position < kept.read { Poll::Pending } else { kept.source.poll_stalled(cx) }
    }

    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Frame> {
        let mut kept = self.kept.borrow_mut();
        if self.position < kept.read {
            let again = kept.frames.as_ref().and_then(|frames| frames.get(self.position).cloned());
            return Poll::Ready(match again {
                Some(data) => {
                    self.position += 1;
                    Frame::Data(data)
                }
                None => Frame::Abort(Failure::Overload),
            });
        }
        match kept.end {
            None => {}
            Some(End::Aborted(failure)) => return Poll::Ready(Frame::Abort(failure)),
            Some(End::Complete) => {
                let trailers = if self.had_trailers { None } else { kept.trailers.clone() };
                self.had_trailers = true;
                return Poll::Ready(trailers.map_or(Frame::End, Frame::Trailers));
            }
        }
        let frame = ready!(kept.pull(cx));
        match &frame {
            Frame::Data(_) => self.position += 1,
            Frame::Trailers(_) => self.had_trailers = true,
            Frame::End | Frame::Abort(_) => {}
        }
        Poll::Ready(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::REPLAY_STEP;

    fn body(text: &'static str) -> Incoming {
        Incoming::whole(Bytes::from_static(text.as_bytes()))
    }

    async fn read(mut incoming: Incoming) -> Result<Vec<u8>, Failure> {
        let mut all = Vec::new();
        loop {
            match incoming.frame().await {
                Frame::Data(data) => all.extend_from_slice(&data),
                Frame::Trailers(_) => {}
                Frame::End => return Ok(all),
                Frame::Abort(failure) => return Err(failure),
            }
        }
    }

    #[tokio::test]
    async fn every_reader_gets_all() {
        let budget = Budget::new(1 << 20);
        let replay = Replay::new(body("hello"), Some(budget.clone()));
        assert!(replay.is_kept() && !replay.is_complete());
        let first = replay.reader();
        assert!(!first.is_ended());
        assert_eq!(read(first).await.unwrap(), b"hello");
        assert!(replay.is_complete());
        assert_eq!(budget.used(), REPLAY_STEP);
        assert_eq!(read(replay.reader()).await.unwrap(), b"hello");
        replay.release();
        assert_eq!(budget.used(), 0);
        assert_eq!(read(replay.reader()).await.unwrap_err(), Failure::Overload, "it was let go");
    }

    #[tokio::test]
    async fn readers_take_turns() {
        let replay = Replay::new(body("hello"), None);
        let (mut first, mut second) = (replay.reader(), replay.reader());
        assert!(matches!(first.frame().await, Frame::Data(_)));
        assert!(first.is_ended() && !second.is_ended());
        assert!(matches!(second.frame().await, Frame::Data(_)));
        assert!(second.is_ended());
        assert!(matches!((first.frame().await, second.frame().await), (Frame::End, Frame::End)));
    }

    #[tokio::test]
    async fn what_is_too_large_or_has_no_budget_is_sent_once() {
        let large = Bytes::from(vec![b'x'; REPLAY_BYTES + 1]);
        for (source, budget) in
            [(Incoming::whole(large), None), (body("hello"), Some(Budget::new(REPLAY_STEP)))]
        {
            let replay = Replay::new(source, budget.clone());
            assert!(!read(replay.reader()).await.unwrap().is_empty());
            assert!(!replay.is_kept() && !replay.is_complete());
            assert_eq!(budget.map_or(0, |budget| budget.used()), 0);
        }
    }
}
