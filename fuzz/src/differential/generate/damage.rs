//! Damage at random places.

use super::{Generator, words};

impl Generator {
    /// Leaves most inputs as they are.
    pub(super) fn damage(&mut self, bytes: &mut Vec<u8>) {
        if self.about.is_some() || !self.rarely(2) {
            return;
        }
        for _ in 0..=self.random.usize(0..3) {
            let at = self.random.usize(0..=bytes.len());
            match self.random.u32(0..7) {
                0 => drop(bytes.drain(at..bytes.len().min(at + 1))),
                1 => bytes.insert(at, self.telling()),
                2 => {
                    let byte = self.telling();
                    if let Some(place) = bytes.get_mut(at) {
                        *place = byte;
                    }
                }
                3 => {
                    let flipped = 1 << self.random.u32(0..8);
                    if let Some(place) = bytes.get_mut(at) {
                        *place ^= flipped;
                    }
                }
                4 => {
                    let word = self.pick(words::SPLICES);
                    bytes.splice(at..at, word.iter().copied());
                }
                5 => {
                    let end = bytes.len().min(at + self.random.usize(0..24));
                    let copy = bytes[at..end].to_vec();
                    let to = self.random.usize(0..=bytes.len());
                    bytes.splice(to..to, copy);
                }
                _ => {
                    let end = bytes.len().min(at + self.random.usize(0..12));
                    drop(bytes.drain(at..end));
                }
            }
        }
    }

    fn telling(&mut self) -> u8 {
        const TELLING: &[u8] =
            b"\0\x01\x0b\x0c\x7f\x80\x85\xa0\xff\r\r\n\n\t  ::;;,/.-_%#?@*\"\\'0123456789aAfFxX+";
        self.random.choice(TELLING).copied().unwrap_or_default()
    }
}
