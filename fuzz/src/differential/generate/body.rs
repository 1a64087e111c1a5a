//! Bodies.

use super::{Generator, Place, words};

/// How a body is framed, before anybody lies about it.
pub(super) enum Framed {
    Nothing,
    Length(Vec<u8>),
    Chunks(Vec<Vec<u8>>),
}

impl Generator {
    pub(super) fn framed(&mut self) -> Framed {
        match self.random.u32(0..6) {
            0 | 1 => Framed::Nothing,
            2 | 3 => Framed::Length(self.data()),
            _ => Framed::Chunks((0..self.random.usize(0..4)).map(|_| self.data()).collect()),
        }
    }

    /// Some bytes, often such as look like a message.
    fn data(&mut self) -> Vec<u8> {
        match self.random.u32(0..4) {
            0 => Vec::new(),
            1 => self.pick(words::BODIES).to_vec(),
            2 => vec![b'x'; self.random.usize(1..40)],
            _ => (0..self.random.usize(1..20)).map(|_| self.random.u8(..)).collect(),
        }
    }

    pub(super) fn body(&mut self, framed: &Framed, out: &mut Vec<u8>) {
        match framed {
            Framed::Nothing => {}
            Framed::Length(data) => out.extend_from_slice(data),
            Framed::Chunks(chunks) => {
                for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
                    self.size(chunk.len(), out);
                    out.extend_from_slice(chunk);
                    out.extend_from_slice(self.mostly(Place::Chunk, b"\r\n", 120, words::LINE_ENDS));
                }
                self.size(0, out);
                let mut trailers = Vec::new();
                if self.rarely(6) {
                    let name = self.pick(words::TRAILERS);
                    trailers.push(self.line(name, words::VALUES));
                }
                self.section(trailers, out);
            }
        }
    }

    /// A chunk's first line.
    fn size(&mut self, size: usize, out: &mut Vec<u8>) {
        if self.wrongly(Place::Chunk, 60) {
            return out.extend_from_slice(self.pick(words::SIZE_LINES));
        }
        if self.wrongly(Place::Chunk, 60) {
            out.extend_from_slice(format!("{:x}", size + 1).as_bytes());
        } else {
            let digits = match self.random.u32(0..60) {
                0..3 => format!("{size:X}"),
                3..5 => format!("{size:04x}"),
                5 => format!("{size:016x}"),
                6 => size.to_string(),
                _ => format!("{size:x}"),
            };
            out.extend_from_slice(digits.as_bytes());
        }
        let extension = self.mostly(Place::Chunk, b"", 10, words::EXTENSIONS);
        out.extend_from_slice(extension);
        // Who skips an extension looks for its end alone, and everybody in another way.
        let (times, ends) =
            if extension.is_empty() { (120, words::LINE_ENDS) } else { (8, words::EXTENSION_ENDS) };
        out.extend_from_slice(self.mostly(Place::Chunk, b"\r\n", times, ends));
    }
}
