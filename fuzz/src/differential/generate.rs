//! Inputs: HTTP/1 by its grammar, with a choice at each place between what is right, what is legal and rare, and what
//! is wrong; then, mostly, some damage.
//!
//! Where everything may be wrong, something mostly is, and what stands behind it isn't read. A third of the inputs
//! therefore are wrong at places of one kind only, and often there.
//!
//! An input follows from seed and number alone, so that any can be made again.

mod body;
mod damage;
mod words;

use fastrand::Rng;

use body::Framed;

/// What the request was that an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// `GET`
    Get,
    /// `HEAD`
    Head,
}

impl Asked {
    /// The request.
    #[must_use]
    pub fn request(self) -> &'static [u8] {
        match self {
            Self::Get => b"GET / HTTP/1.1\r\nhost: a\r\n\r\n",
            Self::Head => b"HEAD / HTTP/1.1\r\nhost: a\r\n\r\n",
        }
    }
}

/// Kinds of places at which an input may be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    FirstLine,
    Line,
    Host,
    Framing,
    Field,
    Chunk,
}

impl Place {
    const ALL: [Self; 6] = [Self::FirstLine, Self::Line, Self::Host, Self::Framing, Self::Field, Self::Chunk];
}

/// How much rarer the other places are wrong where an input is about one kind, and how much more often those are.
const RARER: u32 = 16;
const OFTENER: u32 = 8;
/// But not more often than once in so many times.
const OFTENEST: u32 = 3;

/// Makes one input.
pub struct Generator {
    random: Rng,
    /// The kind of places that the input is about.
    about: Option<Place>,
}

impl Generator {
    /// The maker of the input with this number.
    #[must_use]
    pub fn new(seed: u64, number: u64) -> Self {
        // Neighbours must not resemble each other: the finalizer of SplitMix64.
        let mut mixed = seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let mut random = Rng::with_seed(mixed ^ (mixed >> 31));
        let about = if random.u32(0..3) == 0 { random.choice(Place::ALL) } else { None };
        Self { random, about }
    }

    /// What a client sends: one request to three.
    pub fn requests(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if self.wrongly(Place::FirstLine, 40) {
            bytes.extend_from_slice(self.pick(words::LEADS));
        }
        for _ in 0..=self.random.usize(0..3) {
            self.request(&mut bytes);
        }
        self.damage(&mut bytes);
        bytes
    }

    /// What a server sends, and to what.
    pub fn responses(&mut self) -> (Vec<u8>, Asked) {
        let asked = if self.rarely(8) { Asked::Head } else { Asked::Get };
        let mut bytes = Vec::new();
        for _ in 0..usize::from(self.rarely(8)) {
            self.interim(&mut bytes);
        }
        self.response(&mut bytes);
        if self.rarely(8) {
            self.response(&mut bytes);
        }
        self.damage(&mut bytes);
        (bytes, asked)
    }

    /// Once in so many times.
    fn rarely(&mut self, times: u32) -> bool {
        self.random.u32(0..times) == 0
    }

    /// Once in about so many times, as the input is about these places or others.
    fn wrongly(&mut self, place: Place, times: u32) -> bool {
        self.rarely(match self.about {
            None => times,
            Some(about) if about == place => (times / OFTENER).max(OFTENEST),
            Some(_) => times * RARER,
        })
    }

    fn pick<'w>(&mut self, words: &[&'w [u8]]) -> &'w [u8] {
        self.random.choice(words).copied().unwrap_or_default()
    }

    /// Mostly what is right, otherwise one of the words.
    fn mostly<'w>(&mut self, place: Place, right: &'w [u8], times: u32, words: &[&'w [u8]]) -> &'w [u8] {
        if self.wrongly(place, times) { self.pick(words) } else { right }
    }

    fn request(&mut self, out: &mut Vec<u8>) {
        let method = if self.wrongly(Place::FirstLine, 30) {
            self.pick(words::ODD_METHODS)
        } else {
            self.pick(words::METHODS)
        };
        let target = if self.wrongly(Place::FirstLine, 12) {
            self.pick(words::ODD_TARGETS)
        } else {
            self.pick(words::TARGETS)
        };
        out.extend_from_slice(method);
        out.extend_from_slice(self.mostly(Place::FirstLine, b" ", 60, words::BLANKS));
        out.extend_from_slice(target);
        out.extend_from_slice(self.mostly(Place::FirstLine, b" ", 60, words::BLANKS));
        out.extend_from_slice(self.mostly(Place::FirstLine, b"HTTP/1.1", 20, words::VERSIONS));
        self.line_end(out);
        let framed = self.framed();
        let mut lines = Vec::new();
        if !self.wrongly(Place::Host, 60) {
            let host = self.mostly(Place::Host, b"a", 10, words::HOSTS);
            lines.push(self.spelled(b"host", host));
        }
        self.common(&framed, &mut lines, [words::REQUEST_FIELDS, words::ODD_REQUEST_FIELDS]);
        self.section(lines, out);
        self.body(&framed, out);
    }

    fn interim(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.pick(words::INTERIM));
        let mut lines = Vec::new();
        if self.rarely(4) {
            lines.push(self.line(b"link", words::VALUES));
        }
        self.section(lines, out);
    }

    fn response(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.mostly(Place::FirstLine, b"HTTP/1.1", 20, words::VERSIONS));
        out.extend_from_slice(self.mostly(Place::FirstLine, b" ", 60, words::BLANKS));
        let status = if self.wrongly(Place::FirstLine, 4) { self.pick(words::STATUSES) } else { b"200" };
        out.extend_from_slice(status);
        out.extend_from_slice(self.mostly(Place::FirstLine, b" OK", 10, words::REASONS));
        self.line_end(out);
        let framed = self.framed();
        let mut lines = Vec::new();
        self.common(&framed, &mut lines, [words::RESPONSE_FIELDS, words::ODD_RESPONSE_FIELDS]);
        self.section(lines, out);
        self.body(&framed, out);
    }

    /// The fields that frame the message, which may be wrong, and others in any order.
    fn common(&mut self, framed: &Framed, lines: &mut Vec<Vec<u8>>, names: [&[&[u8]]; 2]) {
        match framed {
            Framed::Nothing => {}
            Framed::Length(data) => {
                let length = data.len().to_string();
                let value = if self.wrongly(Place::Framing, 24) {
                    self.pick(words::LENGTHS)
                } else {
                    length.as_bytes()
                }
                .to_vec();
                lines.push(self.spelled(b"content-length", &value));
            }
            Framed::Chunks(_) => {
                let value = self.mostly(Place::Framing, b"chunked", 24, words::CODINGS);
                lines.push(self.spelled(b"transfer-encoding", value));
            }
        }
        // What doesn't belong together.
        if self.wrongly(Place::Framing, 32) {
            lines.push(self.line(b"content-length", words::LENGTHS));
        }
        if self.wrongly(Place::Framing, 32) {
            lines.push(self.line(b"transfer-encoding", words::CODINGS));
        }
        for _ in 0..self.random.usize(0..4) {
            let [usual, odd] = names;
            let name = if self.wrongly(Place::Field, 16) { self.pick(odd) } else { self.pick(usual) };
            let values = words::values_of(name);
            lines.push(self.line(name, values));
        }
        if self.rarely(3) {
            self.random.shuffle(lines);
        }
    }

    fn line(&mut self, name: &[u8], values: &[&[u8]]) -> Vec<u8> {
        // The first is the right one.
        let value = if self.wrongly(Place::Field, 2) {
            self.pick(values)
        } else {
            values.first().copied().unwrap_or_default()
        };
        self.spelled(name, value)
    }

    /// A line in one of its spellings.
    fn spelled(&mut self, name: &[u8], value: &[u8]) -> Vec<u8> {
        let mut line = match self.random.u32(0..8) {
            0 => name.to_ascii_uppercase(),
            1 => name
                .iter()
                .enumerate()
                .map(|(at, b)| if at == 0 { b.to_ascii_uppercase() } else { *b })
                .collect(),
            _ => name.to_vec(),
        };
        line.extend_from_slice(self.mostly(Place::Field, b"", 80, words::BEFORE_COLON));
        line.extend_from_slice(self.mostly(Place::Field, b":", 200, words::COLONS));
        line.extend_from_slice(self.mostly(Place::Field, b" ", 6, words::AROUND));
        line.extend_from_slice(value);
        line.extend_from_slice(self.mostly(Place::Field, b"", 20, words::AROUND));
        line
    }

    fn section(&mut self, lines: Vec<Vec<u8>>, out: &mut Vec<u8>) {
        for line in lines {
            out.extend_from_slice(&line);
            self.line_end(out);
        }
        self.line_end(out);
    }

    fn line_end(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.mostly(Place::Line, b"\r\n", 120, words::LINE_ENDS));
    }
}
