//! Who is to be woken, where one task waits at a time.

use std::task::{Context, Waker};

/// Lets the current task be woken by what `place` is for, in the place of who waited there.
pub(crate) fn register(place: &mut Option<Waker>, cx: &Context<'_>) {
    match place {
        // Costs little if it is the same task.
        Some(waker) => waker.clone_from(cx.waker()),
        None => *place = Some(cx.waker().clone()),
    }
}
