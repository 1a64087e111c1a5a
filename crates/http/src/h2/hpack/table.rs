//! The dynamic table (RFC 7541 §2.3.2, §4).
//!
//! The texts of all entries lie in one buffer in the order of their insertion, name before value. Evicting moves only the
//! front; once the buffer has no room at its end, what is live moves to its beginning. The buffer has up to half as many
//! bytes again as the table, so that each insertion moves at most some twice its own bytes.

use std::collections::VecDeque;

/// What an entry counts beside its texts (RFC 7541 §4.1).
pub(super) const OVERHEAD: usize = 32;

/// The room that the first entry makes.
const FIRST_ROOM: usize = 256;

/// Starts empty, and without memory.
#[derive(Debug)]
pub(super) struct Table {
    /// What is left of evicted entries, then all that live.
    bytes: Vec<u8>,
    /// The oldest first.
    entries: VecDeque<Entry>,
    size: usize,
    max: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    start: u32,
    name: u32,
    value: u32,
    memo: Memo,
}

/// What is remembered of an entry beside its texts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memo {
    /// The first index of its name in the static table, or 0.
    pub(super) known: u8,
    /// What the sink has said of it, where there is one.
    pub(super) is_plain: bool,
}

impl Entry {
    fn size(self) -> usize {
        (self.name + self.value) as usize + OVERHEAD
    }
}

/// An entry's texts, and what is remembered of them.
#[derive(Clone, Copy)]
pub(super) struct Found<'a> {
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
    pub(super) memo: Memo,
}

impl Table {
    pub(super) const fn new(max: usize) -> Self {
        Self { bytes: Vec::new(), entries: VecDeque::new(), size: 0, max }
    }

    pub(super) fn max(&self) -> usize {
        self.max
    }

    /// Entries that there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Sets the maximum size (RFC 7541 §4.3).
    pub(super) fn set_max(&mut self, max: usize) {
        self.max = max;
        self.evict_to(max);
        if max == 0 {
            *self = Self::new(0);
        }
    }

    /// The entry that so many newer ones follow.
    #[inline]
    pub(super) fn get(&self, age: usize) -> Option<Found<'_>> {
        let entry = self.entry(age)?;
        let (start, name) = (entry.start as usize, entry.name as usize);
        let (name, value) =
            self.bytes.get(start..start + name + entry.value as usize)?.split_at_checked(name)?;
        Some(Found { name, value, memo: entry.memo })
    }

    #[inline]
    fn entry(&self, age: usize) -> Option<Entry> {
        self.entries.get(self.entries.len().wrapping_sub(age + 1)).copied()
    }

    /// Inserts an entry, or empties the table if it is too large for it (RFC 7541 §4.4).
    pub(super) fn insert(&mut self, name: &[u8], value: &[u8], memo: Memo) {
        if self.admits(name.len() + value.len()) {
            self.make_room(name.len() + value.len());
            let start = self.bytes.len();
            self.bytes.extend_from_slice(name);
            self.push(start, name.len(), value, memo);
        }
    }

    /// The same with the name of the entry that so many newer ones follow, which the insertion may evict.
    pub(super) fn insert_named_as(&mut self, age: usize, value: &[u8], is_plain: bool) {
        let Some(named) = self.entry(age) else { return };
        let (from, name) = (named.start as usize, named.name as usize);
        let memo = Memo { is_plain, ..named.memo };
        if self.bytes.capacity() - self.bytes.len() < name + value.len() {
            let name = self.bytes.get(from..from + name).unwrap_or_default().to_vec();
            return self.insert(&name, value, memo);
        }
        if self.admits(name + value.len()) {
            // Evicting has left the bytes where they are.
            let start = self.bytes.len();
            self.bytes.extend_from_within(from..from + name);
            self.push(start, name, value, memo);
        }
    }

    /// Empties the table, as the insertion of an entry does that is too large for it.
    pub(super) fn clear(&mut self) {
        self.evict_to(0);
    }

    /// Evicts what doesn't fit with an entry of so many bytes, and says whether that does.
    fn admits(&mut self, texts: usize) -> bool {
        let size = texts + OVERHEAD;
        let rest = self.max.checked_sub(size);
        self.evict_to(rest.unwrap_or(0));
        if rest.is_some() {
            self.size += size;
        }
        rest.is_some()
    }

    #[inline]
    fn evict_to(&mut self, size: usize) {
        while self.size > size {
            let Some(oldest) = self.entries.pop_front() else { break };
            self.size -= oldest.size();
        }
    }

    /// Adds the value and the entry; its name is at the end of the buffer.
    fn push(&mut self, start: usize, name: usize, value: &[u8], memo: Memo) {
        self.bytes.extend_from_slice(value);
        let [start, name, value] = [start, name, value.len()].map(position);
        self.entries.push_back(Entry { start, name, value, memo });
    }

    fn make_room(&mut self, texts: usize) {
        if self.bytes.capacity() - self.bytes.len() < texts {
            self.move_live(texts);
        }
    }

    /// Moves what lives to the beginning, of a larger buffer if it and so many bytes would take more than two thirds
    /// of this one.
    fn move_live(&mut self, texts: usize) {
        let gone = self.entries.front().map_or(self.bytes.len(), |oldest| oldest.start as usize);
        let needed = self.bytes.len() - gone + texts;
        if needed > self.bytes.capacity() / 3 * 2 {
            let most = (self.max + self.max / 2).max(needed);
            let capacity = (self.bytes.capacity() * 2).max(needed).max(FIRST_ROOM).min(most);
            let mut bytes = Vec::with_capacity(capacity);
            bytes.extend_from_slice(self.bytes.get(gone..).unwrap_or_default());
            self.bytes = bytes;
        } else {
            self.bytes.drain(..gone);
        }
        for entry in &mut self.entries {
            entry.start -= position(gone);
        }
    }

    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.bytes.capacity() + self.entries.capacity() * size_of::<Entry>()
    }

    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.size
    }
}

/// A place in the buffer, or a length.
#[allow(clippy::cast_possible_truncation, reason = "tables have at most MAX_TABLE bytes")]
fn position(place: usize) -> u32 {
    place as u32
}
