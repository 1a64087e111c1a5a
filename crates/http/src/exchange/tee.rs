//! A body that is copied while it is read.
//!
//! The original is read as if there were no copies: each gets what was read of it, and keeps it until it is read there.
//! One that keeps too much, or for which the budget has no spare bytes, is given up and ends in
//! [`Failure::Overload`]; so a slow copy never holds the original up. An original that is dropped before its end ends
//! its copies in [`Failure::DownstreamGone`]. All belong to one core, and need not belong to one task.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http::HeaderMap;
use leno_model::failure::Failure;

use super::{Frame, Incoming, Source};
use crate::budget::{Budget, Cover};
use crate::limits::{COPY_BYTES, REPLAY_FRAME};

/// The body that is copied.
#[derive(Debug)]
pub(super) struct Original {
    source: Incoming,
    copies: Vec<Rc<RefCell<Kept>>>,
}

/// One copy.
#[derive(Debug)]
pub(super) struct Follower(Rc<RefCell<Kept>>);

/// What was read of the original and not yet of a copy.
#[derive(Debug)]
struct Kept {
    frames: VecDeque<Bytes>,
    bytes: usize,
    cover: Cover,
    trailers: Option<HeaderMap>,
    end: Option<End>,
    waker: Option<Waker>,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Complete,
    Aborted(Failure),
}

impl Incoming {
    /// Copies what is read of this body. The first is to be read in its place, the others are `count` copies, which
    /// keep at most [`COPY_BYTES`] each, covered by the budget.
    #[must_use]
    pub fn copied(self, count: usize, budget: Option<&Budget>) -> (Self, Vec<Self>) {
        if self.is_ended() || count == 0 {
            return (self, (0..count).map(|_| Self::empty()).collect());
        }
        let kept = |_| Rc::new(RefCell::new(Kept::new(budget.cloned())));
        let copies: Vec<_> = (0..count).map(kept).collect();
        let readers = copies.iter().map(|kept| Self(Source::Following(Follower(Rc::clone(kept))))).collect();
        (Self(Source::Copied(Box::new(Original { source: self, copies }))), readers)
    }
}

impl Original {
    pub(super) fn is_ended(&self) -> bool {
        self.source.is_ended()
    }

    pub(super) fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        self.source.poll_stalled(cx)
    }

    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Frame> {
        let frame = ready!(self.source.poll_frame(cx));
        // Whoever asks whether that was all doesn't ask for the end.
        let is_last = self.source.is_ended();
        for copy in &self.copies {
            copy.borrow_mut().take(&frame, is_last);
        }
        Poll::Ready(frame)
    }
}

impl Drop for Original {
    fn drop(&mut self) {
        for copy in &self.copies {
            copy.borrow_mut().end(End::Aborted(Failure::DownstreamGone));
        }
    }
}

impl Kept {
    fn new(budget: Option<Budget>) -> Self {
        let cover = Cover::new(budget);
        Self { frames: VecDeque::new(), bytes: 0, cover, trailers: None, end: None, waker: None }
    }

    fn take(&mut self, frame: &Frame, is_last: bool) {
        if self.end.is_some() {
            return;
        }
        match frame {
            Frame::Data(data) => {
                let bytes = self.bytes.saturating_add(data.len() + REPLAY_FRAME);
                if bytes > COPY_BYTES || !self.cover.reach(bytes) {
                    self.release();
                    return self.end(End::Aborted(Failure::Overload));
                }
                self.frames.push_back(data.clone());
                self.bytes = bytes;
                if is_last {
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
        self.wake();
    }

    /// Ends it, unless it has ended.
    fn end(&mut self, end: End) {
        if self.end.is_none() {
            self.end = Some(end);
            self.wake();
        }
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn release(&mut self) {
        self.frames = VecDeque::new();
        self.bytes = 0;
        self.cover.release();
    }
}

impl Follower {
    pub(super) fn is_ended(&self) -> bool {
        let kept = self.0.borrow();
        kept.frames.is_empty() && kept.trailers.is_none() && matches!(kept.end, Some(End::Complete))
    }

    /// Ready once the copy is given up, whatever it still keeps.
    pub(super) fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        let mut kept = self.0.borrow_mut();
        if let Some(End::Aborted(failure)) = kept.end {
            return Poll::Ready(failure);
        }
        kept.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Frame> {
        let mut kept = self.0.borrow_mut();
        if let Some(data) = kept.frames.pop_front() {
            kept.bytes = kept.bytes.saturating_sub(data.len() + REPLAY_FRAME);
            if kept.frames.is_empty() {
                kept.release();
            }
            return Poll::Ready(Frame::Data(data));
        }
        if let Some(trailers) = kept.trailers.take() {
            return Poll::Ready(Frame::Trailers(trailers));
        }
        match kept.end {
            Some(End::Complete) => Poll::Ready(Frame::End),
            Some(End::Aborted(failure)) => Poll::Ready(Frame::Abort(failure)),
            None => {
                kept.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut kept = self.0.borrow_mut();
        kept.end = Some(End::Aborted(Failure::DownstreamGone));
        kept.release();
    }
}

#[cfg(test)]
mod tests {
    use super::super::Replay;
    use super::*;
    use crate::limits::REPLAY_STEP;

    /// What comes of a body that is read to its end.
    async fn read(mut body: Incoming) -> Result<Vec<u8>, Failure> {
        let mut all = Vec::new();
        loop {
            match body.frame().await {
                Frame::Data(data) => all.extend_from_slice(&data),
                Frame::Trailers(_) => {}
                Frame::End => return Ok(all),
                Frame::Abort(failure) => return Err(failure),
            }
        }
    }

    fn body(bytes: usize) -> Incoming {
        Incoming::whole(vec![b'x'; bytes].into())
    }

    #[tokio::test]
    async fn copies_get_what_was_read() {
        let budget = Budget::new(1 << 20);
        let (original, copies) = body(5000).copied(2, Some(&budget));
        assert_eq!(read(original).await.unwrap().len(), 5000);
        assert!(budget.used() > 0);
        for copy in copies {
            assert!(!copy.is_ended());
            assert_eq!(read(copy).await.unwrap().len(), 5000);
        }
        assert_eq!(budget.used(), 0);
    }

    /// Also where the reader sees by the last frame that it is the last, and asks for no more.
    #[tokio::test]
    async fn the_end_comes_with_the_last_bytes() {
        let (mut original, mut copies) = body(1).copied(1, None);
        let mut copy = copies.pop().unwrap();
        assert!(matches!(original.frame().await, Frame::Data(_)));
        assert!(original.is_ended());
        drop(original);
        assert!(matches!(copy.frame().await, Frame::Data(_)));
        assert!(copy.is_ended());
        assert!(matches!(copy.frame().await, Frame::End));
    }

    #[tokio::test]
    async fn a_body_that_is_given_up_ends_its_copies() {
        let (original, mut copies) = body(1).copied(1, None);
        let copy = copies.pop().unwrap();
        drop(original);
        assert_eq!(read(copy).await, Err(Failure::DownstreamGone));
    }

    #[tokio::test]
    async fn a_copy_that_lags_is_given_up_and_the_original_goes_on() {
        for (bytes, budget) in [(COPY_BYTES, None), (10, Some(Budget::new(REPLAY_STEP)))] {
            let (original, mut copies) = body(bytes).copied(1, budget.as_ref());
            assert_eq!(read(original).await.unwrap().len(), bytes);
            assert_eq!(read(copies.pop().unwrap()).await, Err(Failure::Overload));
            assert_eq!(budget.map_or(0, |budget| budget.used()), 0);
        }
    }

    /// Also where what it has can't be written on, so that nobody asks for the next frame.
    #[tokio::test]
    async fn a_copy_that_is_stuck_is_told() {
        let (original, mut copies) = body(COPY_BYTES).copied(1, None);
        let mut copy = copies.pop().unwrap();
        let (stuck, length) =
            tokio::join!(std::future::poll_fn(|cx| copy.poll_stalled(cx)), async { read(original).await });
        assert_eq!((stuck, length.unwrap().len()), (Failure::Overload, COPY_BYTES));
    }

    #[tokio::test]
    async fn a_copy_that_nobody_reads_keeps_nothing() {
        let budget = Budget::new(1 << 20);
        let (original, copies) = body(5000).copied(1, Some(&budget));
        drop(copies);
        assert_eq!(read(original).await.unwrap().len(), 5000);
        assert_eq!(budget.used(), 0);
    }

    /// However often the original is sent, its copies get it once.
    #[tokio::test]
    async fn a_replay_is_copied_once() {
        let (original, mut copies) = body(7).copied(1, None);
        let replay = Replay::new(original, None);
        assert_eq!(read(replay.reader()).await.unwrap().len(), 7);
        assert_eq!(read(replay.reader()).await.unwrap().len(), 7);
        assert_eq!(read(copies.pop().unwrap()).await.unwrap().len(), 7);
    }
}
