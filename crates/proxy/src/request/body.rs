//! A request's body, as far as another try may need it again.

use leno_http::budget::Budget;
use leno_http::exchange::{Incoming, Replay};
use leno_http::head::Connect;

/// The body of a request that may be sent more than once.
pub(super) enum Body {
    /// There is none, or nothing more of it.
    Ended,
    /// It is kept while it is sent.
    Kept(Replay),
    /// It can be sent once; `None` while a try has it.
    Once(Option<Incoming>),
}

impl Body {
    /// Keeps the body where `keep` says so and that can be of use.
    pub(super) fn new(body: Incoming, connect: &Connect, keep: bool, budget: &Budget) -> Self {
        // A tunnel is made of the very halves.
        if !matches!(connect, Connect::None) {
            return Self::Once(Some(body));
        }
        match (body.is_ended(), keep) {
            (true, _) => Self::Ended,
            (false, true) => Self::Kept(Replay::new(body, Some(budget.clone()))),
            (false, false) => Self::Once(Some(body)),
        }
    }

    /// The body for a try.
    pub(super) fn take(&mut self) -> Incoming {
        match self {
            Self::Ended => Incoming::empty(),
            Self::Kept(replay) => replay.reader(),
            Self::Once(body) => body.take().unwrap_or_else(Incoming::empty),
        }
    }

    /// Takes back what a try has not touched.
    pub(super) fn give_back(&mut self, body: Incoming) {
        if let Self::Once(place) = self {
            *place = Some(body);
        }
    }

    /// Whether another try can send it.
    pub(super) fn can_repeat(&self) -> bool {
        match self {
            Self::Ended => true,
            Self::Kept(replay) => replay.is_kept(),
            Self::Once(body) => body.is_some(),
        }
    }

    /// Whether all of it is here, so that a second try needs nothing of the first.
    pub(super) fn is_complete(&self) -> bool {
        match self {
            Self::Ended => true,
            Self::Kept(replay) => replay.is_complete(),
            Self::Once(_) => false,
        }
    }

    /// Whether it may still bring bytes of the client's.
    pub(super) fn is_stream(&self) -> bool {
        !matches!(self, Self::Ended)
    }

    /// There will be no other try.
    pub(super) fn release(&self) {
        if let Self::Kept(replay) = self {
            replay.release();
        }
    }
}
