//! What requests and answers carry about tries and time, between the proxies of a mesh and for Envoy's clients.
//!
//! Wishes count from the own workload, and from the mesh only how long the caller waits. Marks are the mesh's own: they
//! are believed of an authenticated proxy alone, and neither an application nor a stranger sees them or can set them.

use std::time::Duration;

use leno_engine::deadline::{self, EXPECTED_TIMEOUT, GRPC_TIMEOUT};
use leno_engine::retry::{Mark, Wish, Wishes};
use leno_http::head::{Known, RequestHead, ResponseHead};

use crate::core::Core;
use crate::dial::Way;
use crate::path::Path;
use crate::prepare::REQUEST_ID;
use crate::upstream::To;

/// Says which try of a request this is.
const ATTEMPT_COUNT: Known = Known::new("x-envoy-attempt-count");

const EXPECTED: Known = Known::new(EXPECTED_TIMEOUT);

const GRPC: Known = Known::new(GRPC_TIMEOUT);

const MARK: Known = Known::new(Mark::HEADER);

/// What may be wished for, by the fields' names.
#[allow(clippy::indexing_slicing, reason = "in a constant, what is outside doesn't compile")]
const WISHES: [(Known, Wish); Wish::FIELDS.len()] = {
    let mut known = [(EXPECTED, Wish::Expected); Wish::FIELDS.len()];
    let mut at = 0;
    while at < known.len() {
        let (name, wish) = Wish::FIELDS[at];
        known[at] = (Known::new(name), wish);
        at += 1;
    }
    known
};

/// Takes a request's wishes off it. `waited` is for how long it was held up.
pub(crate) fn take(path: &Path, head: &mut RequestHead, waited: Duration) -> Option<Box<Wishes>> {
    let mut wishes: Option<Box<Wishes>> = None;
    let counts = |wish| match path {
        Path::Outbound(_) => true,
        Path::Inbound(_) => path.is_from_proxy() && wish == Wish::Expected,
        Path::Gateway(_) => false,
    };
    for (name, wish) in &WISHES {
        head.fields_mut().take(*name, |value| {
            if counts(*wish) {
                wishes.get_or_insert_default().note(*wish, value);
            }
        });
    }
    if let Some(wishes) = &mut wishes {
        wishes.wait(waited);
    }
    wishes.filter(|wishes| **wishes != Wishes::default())
}

/// How long a gRPC client waits, after it has `waited`.
pub(crate) fn grpc_deadline(head: &RequestHead, waited: Duration) -> Option<Duration> {
    let deadline =
        head.fields().get(GRPC_TIMEOUT).filter(|_| head.is_grpc()).and_then(deadline::read_grpc)?;
    Some(deadline.saturating_sub(waited))
}

/// Says on a request which try it is, and how long its sender waits. `left` is the time for the try.
pub(crate) fn mark_try(
    path: &Path,
    to: &To<'_>,
    head: &mut RequestHead,
    tries: u32,
    left: Option<Duration>,
    is_grpc_timed: bool,
) {
    let fields = head.fields_mut();
    if matches!(to, To::Cluster { .. }) && !matches!(path, Path::Inbound(_)) {
        fields.put_number(ATTEMPT_COUNT, u64::from(tries));
    }
    let Some(left) = left else { return };
    if !matches!(to, To::External { .. }) {
        fields.put_number(EXPECTED, deadline::milliseconds(left));
    }
    if is_grpc_timed {
        let _managed = fields.put(GRPC, deadline::write_grpc(left).as_bytes());
    }
}

/// Takes a mark off an answer, and returns it where it is to be believed.
pub(super) fn take_mark(way: &Way, head: &mut ResponseHead) -> Option<Mark> {
    let mark = Mark::from_value(head.fields().get(Mark::HEADER)?);
    head.fields_mut().unset(MARK);
    mark.filter(|_| matches!(way, Way::Native { .. }))
}

/// Marks an answer on its way to a proxy of the mesh: one that fails because a call which was retried has failed.
pub(super) fn mark_answer(core: &Core, path: &Path, request: &RequestHead, head: &mut ResponseHead) {
    let fails = || head.status().as_u16() >= 400 || head.grpc_status().is_some_and(|status| status != 0);
    if path.is_from_proxy() && fails() && is_settled(core, request) {
        mark(head, Mark::Settled);
    }
}

/// Writes a mark.
pub(super) fn mark(head: &mut ResponseHead, mark: Mark) {
    let _managed = head.fields_mut().put(MARK, mark.value().as_bytes());
}

/// Remembers that a request was retried in vain.
pub(super) fn settle(core: &Core, request: &RequestHead) {
    if let Some(id) = request.fields().get(REQUEST_ID.as_str()) {
        core.shared.states.settled().note(id);
    }
}

fn is_settled(core: &Core, request: &RequestHead) -> bool {
    request.fields().get(REQUEST_ID.as_str()).is_some_and(|id| core.shared.states.settled().holds(id))
}
