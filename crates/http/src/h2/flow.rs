//! Flow control (RFC 9113 §5.2, §6.9): what the peer may still send, and what may still be sent to it.

use super::frame::MOST;

/// What a connection or stream begins with, unless settings say otherwise (RFC 9113 §6.9.2).
pub(super) const INITIAL: u32 = 65_535;

/// What the peer may send here.
#[derive(Debug)]
pub(super) struct Credit {
    /// What is left of what was announced.
    left: i64,
    /// What it is to be when nothing is held.
    size: u32,
    /// What was taken and hasn't been announced again.
    owed: u32,
    /// What is worth a frame when the peer has no more than that left.
    step: u32,
}

impl Credit {
    pub(super) const fn new(size: u32) -> Self {
        Self { left: size as i64, size, owed: 0, step: size / 2 }
    }

    /// For a connection, whose streams may each hold so many bytes until they are read.
    pub(super) const fn shared(size: u32, stream_window: u32) -> Self {
        Self { step: stream_window / 2, ..Self::new(size) }
    }

    /// For a stream of a peer that may not have heard yet that windows are smaller than what they begin with
    /// (RFC 9113 §6.9.3).
    pub(super) fn unsettled(size: u32) -> Self {
        Self { left: size.max(INITIAL).into(), ..Self::new(size) }
    }

    /// Bytes have come; whether they were allowed.
    pub(super) const fn take(&mut self, bytes: usize) -> bool {
        self.left -= bytes as i64;
        self.left >= 0
    }

    /// Bytes aren't held any more. Says by how much to raise the window once that is worth a frame.
    pub(super) fn give(&mut self, bytes: usize) -> Option<u32> {
        self.owed = self.owed.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        self.due()
    }

    /// By how much to raise the window, once that is worth a frame. What a connection's stalled streams hold may never be
    /// read, so waiting for half of the window isn't enough for it: the others would wait with them.
    pub(super) fn due(&mut self) -> Option<u32> {
        let is_short = self.owed >= self.step && i64::from(self.owed) >= self.left;
        if self.owed < (self.size / 2).max(1) && !(is_short && self.owed > 0) {
            return None;
        }
        let more = std::mem::take(&mut self.owed);
        self.left += i64::from(more);
        Some(more)
    }

    /// Whether nothing is held.
    #[cfg(test)]
    pub(super) fn is_whole(&self) -> bool {
        self.left + i64::from(self.owed) == i64::from(self.size)
    }

    /// What the peer may still send.
    #[cfg(test)]
    pub(super) fn left(&self) -> i64 {
        self.left
    }

    /// Makes the window larger; by how much to raise it.
    pub(super) fn grow(&mut self, size: u32) -> Option<u32> {
        let more = size.min(MOST).checked_sub(self.size).filter(|more| *more > 0)?;
        self.size += more;
        self.left += i64::from(more);
        Some(more)
    }
}

/// What may be sent to the peer: below zero after it has made windows smaller.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance(i64);

impl Allowance {
    pub(super) const fn new(size: u32) -> Self {
        Self(size as i64)
    }

    /// Bytes that may be sent now.
    pub(super) fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(0)
    }

    #[cfg(test)]
    pub(super) fn left(self) -> i64 {
        self.0
    }

    pub(super) const fn is_used_up(self) -> bool {
        self.0 <= 0
    }

    /// Bytes were sent; at most [`Self::bytes`].
    pub(super) const fn spend(&mut self, bytes: usize) {
        self.0 -= bytes as i64;
    }

    /// The peer allows more, or by new settings less; whether the sum is one that there may be (RFC 9113 §6.9.1).
    pub(super) const fn add(&mut self, more: i64) -> bool {
        self.0 = self.0.saturating_add(more);
        self.0 <= MOST as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credit_is_announced_in_halves() {
        let mut credit = Credit::new(100);
        assert!(credit.take(100) && credit.give(49).is_none());
        assert_eq!(credit.give(1), Some(50));
        assert!(credit.take(50) && !credit.take(1), "no more than was announced");
        let mut credit = Credit::new(100);
        assert!(credit.take(80));
        assert_eq!((credit.grow(100), credit.grow(300)), (None, Some(200)));
        assert!(credit.take(220) && !credit.take(1));
        let mut connection = Credit::shared(1000, 20);
        assert!(connection.take(980) && connection.give(9).is_none() && connection.give(10).is_none());
        assert_eq!(connection.give(1), Some(20), "as much as is left");
        assert!(connection.take(15) && connection.give(15).is_none());
        assert!(connection.take(11));
        assert_eq!(connection.due(), Some(15), "no less than is left");
        let mut unsettled = Credit::unsettled(100);
        assert!(unsettled.take(65_535) && !unsettled.take(1));
        let mut tiny = Credit::new(1);
        assert!(tiny.take(1) && tiny.give(0).is_none());
        assert_eq!(tiny.give(1), Some(1));
    }

    #[test]
    fn allowances_may_fall_below_zero_and_not_rise_too_far() {
        let mut allowance = Allowance::new(10);
        allowance.spend(4);
        assert!(allowance.add(-20) && allowance.is_used_up());
        assert_eq!(allowance.bytes(), 0);
        assert!(allowance.add(15));
        assert_eq!(allowance.bytes(), 1);
        assert!(allowance.add(i64::from(MOST) - 1) && !allowance.add(1));
    }
}
