//! What is written, in the pieces that it comes in.

use std::io::IoSlice;

/// A cursor over pieces.
pub(super) struct Pieces<'a> {
    pieces: &'a [IoSlice<'a>],
    /// Bytes of the first piece that are taken.
    at: usize,
}

impl<'a> Pieces<'a> {
    pub(super) fn new(pieces: &'a [IoSlice<'a>]) -> Self {
        Self { pieces, at: 0 }
    }

    /// The next `length` bytes, where they lie in one piece.
    pub(super) fn whole(&mut self, length: usize) -> Option<&'a [u8]> {
        let bytes = self.rest().get(..length)?;
        self.at += length;
        Some(bytes)
    }

    /// Copies the next bytes, as many as `to` takes.
    pub(super) fn copy_to(&mut self, mut to: &mut [u8]) {
        while !to.is_empty() {
            let rest = self.rest();
            let n = rest.len().min(to.len());
            let (Some((now, later)), Some(bytes)) = (to.split_at_mut_checked(n), rest.get(..n)) else {
                return;
            };
            if n == 0 {
                return;
            }
            now.copy_from_slice(bytes);
            self.at += n;
            to = later;
        }
    }

    /// What is left of the first piece that has anything left.
    fn rest(&mut self) -> &'a [u8] {
        while let Some((first, others)) = self.pieces.split_first() {
            match first.get(self.at..) {
                Some(rest) if !rest.is_empty() => return rest,
                _ => (self.pieces, self.at) = (others, 0),
            }
        }
        &[]
    }
}
