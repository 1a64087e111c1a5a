//! The open streams of one connection, by their identifiers.
//!
//! Identifiers only ever grow (RFC 9113 §5.1.1), so they are in order by themselves, and the oldest end first as a rule.

use std::collections::VecDeque;
use std::rc::Rc;

use super::stream::Stream;

#[derive(Debug, Default)]
pub(super) struct Streams(VecDeque<(u32, Rc<Stream>)>);

impl Streams {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a stream whose identifier is above all others.
    pub(super) fn add(&mut self, stream: Rc<Stream>) {
        debug_assert!(self.0.back().is_none_or(|(last, _)| *last < stream.id()), "identifiers grow");
        self.0.push_back((stream.id(), stream));
    }

    pub(super) fn get(&self, id: u32) -> Option<&Rc<Stream>> {
        let at = self.0.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        self.0.get(at).map(|(_, stream)| stream)
    }

    pub(super) fn remove(&mut self, id: u32) -> Option<Rc<Stream>> {
        let at = self.0.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        self.0.remove(at).map(|(_, stream)| stream)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Rc<Stream>> {
        self.0.iter().map(|(_, stream)| stream)
    }

    /// Takes off those above an identifier.
    pub(super) fn take_above(&mut self, last: u32) -> VecDeque<(u32, Rc<Stream>)> {
        let at = self.0.partition_point(|(id, _)| *id <= last);
        self.0.split_off(at)
    }

    /// Takes off all of them.
    pub(super) fn take(&mut self) -> VecDeque<(u32, Rc<Stream>)> {
        std::mem::take(&mut self.0)
    }
}
