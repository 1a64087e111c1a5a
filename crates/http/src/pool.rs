//! Buffers of one core, for relays and for what is written.
//!
//! A connection holds a buffer only while it holds bytes: reads go to a leased buffer, and one that turns out not to
//! be needed goes back within the same poll. That is what keeps idle connections small.

use std::cell::{Cell, RefCell};
use std::ops::{Deref, DerefMut};
use std::thread::LocalKey;

use bytes::Bytes;

use crate::budget::Reservation;
use crate::limits::{
    BULK_BUFFER, BULK_BUFFERS_KEPT, H2_READ_BUFFER, LARGE_BUFFER, LARGE_BUFFERS_KEPT, RECORDS_BUFFER,
    RECORDS_BUFFERS_KEPT, RELAY_BUFFER, RELAY_BUFFERS_KEPT, TEXT_BUFFER, TEXT_BUFFERS_KEPT,
};

thread_local! {
    /// The one that came back last, which is quicker to have than one of the others.
    static LAST: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
    static FREE: RefCell<Kept<Box<[u8]>>> = const { RefCell::new(Kept::NONE) };
    static TEXTS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static FRAMES: RefCell<Kept<Vec<u8>>> = const { RefCell::new(Kept::NONE) };
    static BULK: RefCell<Kept<Box<[u8]>>> = const { RefCell::new(Kept::NONE) };
    static RECORDS: RefCell<Kept<Box<[u8]>>> = const { RefCell::new(Kept::NONE) };
    static LARGE: RefCell<Kept<Box<[u8]>>> = const { RefCell::new(Kept::NONE) };
    static READ: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// Buffers that came back, the one on top last.
struct Kept<T> {
    free: Vec<T>,
    /// The fewest that there were since the last [`trim`]: so many at the bottom did nobody need.
    spare: usize,
}

impl<T> Kept<T> {
    const NONE: Self = Self { free: Vec::new(), spare: 0 };

    fn take(&mut self) -> Option<T> {
        let buffer = self.free.pop();
        self.spare = self.spare.min(self.free.len());
        buffer
    }

    fn trim(&mut self) {
        self.free.drain(..self.spare);
        self.spare = self.free.len();
    }
}

impl<T> AsMut<Vec<T>> for Kept<T> {
    fn as_mut(&mut self) -> &mut Vec<T> {
        &mut self.free
    }
}

/// Gives back to the allocator the buffers of this core that nobody has needed since it was last called, but for the
/// smallest and for one that is read to and one for frames. A core that calls it now and then keeps little more than it
/// needs.
pub fn trim() {
    for kept in [&FREE, &BULK, &RECORDS, &LARGE] {
        kept.with_borrow_mut(Kept::trim);
    }
    FRAMES.with_borrow_mut(Kept::trim);
}

/// An empty buffer with room for a head and small frames. [`give_text`] takes it back.
pub(crate) fn take_text() -> Vec<u8> {
    let kept = TEXTS.try_with(|texts| texts.try_borrow_mut().ok()?.pop());
    kept.ok().flatten().unwrap_or_else(|| Vec::with_capacity(TEXT_BUFFER))
}

/// Keeps a buffer for the next who needs one, unless it has grown or there are enough.
pub(crate) fn give_text(buffer: Vec<u8>) {
    give(&TEXTS, buffer, TEXT_BUFFER, TEXT_BUFFERS_KEPT);
}

/// An empty buffer with room for what a connection with many streams sends at once. [`give_frames`] takes it back.
pub(crate) fn take_frames() -> Vec<u8> {
    FRAMES.with_borrow_mut(Kept::take).unwrap_or_else(|| Vec::with_capacity(RELAY_BUFFER))
}

/// As [`give_text`] does.
pub(crate) fn give_frames(buffer: Vec<u8>) {
    give(&FRAMES, buffer, RELAY_BUFFER, RELAY_BUFFERS_KEPT);
}

fn give<L: AsMut<Vec<Vec<u8>>>>(
    free: &'static LocalKey<RefCell<L>>,
    mut buffer: Vec<u8>,
    capacity: usize,
    most: usize,
) {
    if buffer.capacity() != capacity {
        return;
    }
    buffer.clear();
    keep(free, buffer, most);
}

/// Keeps what came back, unless there is enough, or the list is gone already, as it may be at thread exit.
fn keep<T, L: AsMut<Vec<T>>>(free: &'static LocalKey<RefCell<L>>, buffer: T, most: usize) {
    let _kept = free.try_with(|free| {
        if let Ok(mut free) = free.try_borrow_mut()
            && free.as_mut().len() < most
        {
            free.as_mut().push(buffer);
        }
    });
}

/// A buffer on loan, of [`RELAY_BUFFER`] bytes if nothing else is said; its content is whatever was in it.
pub(crate) struct Lease(Box<[u8]>);

impl Lease {
    pub(crate) fn take() -> Self {
        Self(LAST.take().unwrap_or_else(Self::another))
    }

    /// One of [`H2_READ_BUFFER`] bytes, to be given back within the same poll.
    pub(crate) fn take_for_frames() -> Self {
        Self(READ.take().unwrap_or_else(|| vec![0; H2_READ_BUFFER].into_boxed_slice()))
    }

    /// One of [`BULK_BUFFER`] bytes for whoever has just filled a buffer, and a usual one for others.
    pub(crate) fn take_for(has_filled: bool) -> Self {
        if has_filled { Self::take_bulk() } else { Self::take() }
    }

    /// One of [`BULK_BUFFER`] bytes.
    pub(crate) fn take_bulk() -> Self {
        Self::take_or_make(&BULK, BULK_BUFFER)
    }

    /// One of [`RECORDS_BUFFER`] bytes.
    pub(crate) fn take_for_records() -> Self {
        Self::take_or_make(&RECORDS, RECORDS_BUFFER)
    }

    /// One of [`LARGE_BUFFER`] bytes.
    pub(crate) fn take_large() -> Self {
        Self::take_or_make(&LARGE, LARGE_BUFFER)
    }

    fn take_or_make(kept: &'static LocalKey<RefCell<Kept<Box<[u8]>>>>, size: usize) -> Self {
        let kept = kept.try_with(|kept| kept.try_borrow_mut().ok()?.take()).ok().flatten();
        Self(kept.unwrap_or_else(|| vec![0; size].into_boxed_slice()))
    }

    /// The first bytes of it, as a frame of a body. The buffer goes back when that is dropped, so that the next read finds
    /// it in the processor's cache, and what it is `reserved` by as well.
    pub(crate) fn filled(self, bytes: usize, reserved: Option<Reservation>) -> Bytes {
        Bytes::from_owner(Filled { lease: self, _reserved: reserved }).slice(..bytes)
    }

    #[cold]
    fn another() -> Box<[u8]> {
        FREE.with_borrow_mut(Kept::take).unwrap_or_else(|| vec![0; RELAY_BUFFER].into_boxed_slice())
    }
}

/// What frames are made of.
struct Filled {
    lease: Lease,
    _reserved: Option<Reservation>,
}

impl AsRef<[u8]> for Filled {
    fn as_ref(&self) -> &[u8] {
        &self.lease
    }
}

impl Deref for Lease {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.0);
        match buffer.len() {
            // At thread exit the places may be gone already; the buffer then is freed.
            RELAY_BUFFER => {
                if let Ok(Some(older)) = LAST.try_with(|last| last.replace(Some(buffer))) {
                    keep_older(older);
                }
            }
            BULK_BUFFER => keep(&BULK, buffer, BULK_BUFFERS_KEPT),
            RECORDS_BUFFER => keep(&RECORDS, buffer, RECORDS_BUFFERS_KEPT),
            LARGE_BUFFER => keep(&LARGE, buffer, LARGE_BUFFERS_KEPT),
            // One suffices: nobody keeps it beyond a poll.
            _ => drop(READ.try_with(|read| read.set(Some(buffer)))),
        }
    }
}

#[cold]
fn keep_older(buffer: Box<[u8]>) {
    keep(&FREE, buffer, RELAY_BUFFERS_KEPT - 1);
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lease")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_reused_up_to_the_limit() {
        let leases: Vec<_> = (0..RELAY_BUFFERS_KEPT + 4).map(|_| Lease::take()).collect();
        assert!(leases.iter().all(|lease| lease.len() == RELAY_BUFFER));
        drop(leases);
        let kept = |last: Option<Box<[u8]>>| count(&FREE) + usize::from(last.is_some());
        assert_eq!(count(&FREE) + 1, RELAY_BUFFERS_KEPT);
        let (last, other) = (Lease::take(), Lease::take());
        assert_eq!(kept(LAST.take()), RELAY_BUFFERS_KEPT - 2);
        drop((last, other));
        assert_eq!(kept(LAST.take()), RELAY_BUFFERS_KEPT);
    }

    #[test]
    fn larger_buffers_are_kept_apart() {
        let kept = || (count(&LARGE), count(&BULK), count(&FREE));
        let bulk: Vec<_> = (0..BULK_BUFFERS_KEPT + 2).map(|_| Lease::take_bulk()).collect();
        let large: Vec<_> = (0..LARGE_BUFFERS_KEPT + 2).map(|_| Lease::take_large()).collect();
        assert!(bulk.iter().all(|lease| lease.len() == BULK_BUFFER));
        assert!(large.iter().all(|lease| lease.len() == LARGE_BUFFER));
        drop((bulk, large));
        assert_eq!(kept(), (LARGE_BUFFERS_KEPT, BULK_BUFFERS_KEPT, 0));
        assert_eq!(Lease::take_for(false).len(), RELAY_BUFFER);
        drop((Lease::take_for(true), Lease::take_large()));
        assert_eq!(kept(), (LARGE_BUFFERS_KEPT, BULK_BUFFERS_KEPT, 0));
    }

    fn count<T>(kept: &'static LocalKey<RefCell<Kept<T>>>) -> usize {
        kept.with_borrow(|kept| kept.free.len())
    }

    #[test]
    fn larger_buffers_go_when_nobody_needs_them() {
        let at_once = |count| drop((0..count).map(|_| Lease::take_for_records()).collect::<Vec<_>>());
        at_once(4);
        trim();
        assert_eq!(count(&RECORDS), 4, "all were in use since the last time");
        at_once(2);
        trim();
        assert_eq!(count(&RECORDS), 2);
        trim();
        assert_eq!(count(&RECORDS), 0);
        at_once(1);
        trim();
        assert_eq!(count(&RECORDS), 1);
    }

    #[test]
    fn those_in_use_last_are_kept() {
        let mut leases: Vec<_> = (0..3).map(|_| Lease::take_for_records()).collect();
        leases.iter_mut().zip(0..).for_each(|(lease, number)| lease.fill(number));
        drop(leases);
        trim();
        let top = Lease::take_for_records();
        let number = top[0];
        drop(top);
        trim();
        assert_eq!(count(&RECORDS), 1);
        assert_eq!(Lease::take_for_records()[0], number);
    }

    #[test]
    fn a_frame_gives_its_buffer_back_with_its_last_part() {
        let mut lease = Lease::take_bulk();
        lease.get_mut(..4).expect("room").copy_from_slice(b"abcd");
        let mut frame = lease.filled(4, None);
        let part = frame.split_to(1);
        drop(frame);
        assert_eq!((part.as_ref(), count(&BULK)), (&b"a"[..], 0));
        drop(part);
        assert_eq!(count(&BULK), 1);
    }

    #[test]
    fn text_buffers_come_back_empty_unless_they_have_grown() {
        let mut texts: Vec<_> = (0..TEXT_BUFFERS_KEPT + 4).map(|_| take_text()).collect();
        texts.iter_mut().for_each(|text| text.extend_from_slice(b"text"));
        texts.into_iter().for_each(give_text);
        assert_eq!(TEXTS.with_borrow(Vec::len), TEXT_BUFFERS_KEPT);
        let mut text = take_text();
        assert!(text.is_empty());
        text.resize(TEXT_BUFFER + 1, 0);
        give_text(text);
        assert_eq!(TEXTS.with_borrow(Vec::len), TEXT_BUFFERS_KEPT - 1);
    }
}
