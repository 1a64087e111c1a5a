//! Fields into header blocks (RFC 7541 §6).
//!
//! Strings go out as they are, which is legal: the Huffman code costs both ends more cycles for each byte than all else
//! here, and saves bytes only of what the table doesn't hold. What repeats is in the table after a request or two.

use super::table::{Found, Memo, OVERHEAD, Table};
use super::{integer, statics};
use crate::head::words;

/// The table's size before the peer says otherwise, and the most that is used of what it allows: fields of many
/// connections are to fit in the processor's cache (RFC 9113 §6.5.2).
const MAX_TABLE: usize = 4096;

/// A field that counts more than so many bytes isn't put into the table: it would evict most of the others.
const MAX_ENTRY: usize = MAX_TABLE / 2;

/// What a block may have of a field besides its texts: first byte and lengths.
const AROUND: usize = 16;

/// How a field is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Indexing {
    /// Into the table, if it is likely to come again: the same field came before, or one with its name never did.
    Indexed,
    /// Not into the table: values that are another each time.
    Passing,
    /// Not into any table on the way (RFC 7541 §7.1.3): secrets that are short enough to be guessed.
    Never,
}

/// Encodes one connection's header blocks, in the order in which they are sent.
#[derive(Debug)]
pub struct Encoder {
    table: Table,
    index: Option<Box<Index>>,
    /// What the peer allowed last since the last block, and the least of these.
    allowed: Option<(usize, usize)>,
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// An encoder whose peer has a table of the default size.
    #[must_use]
    pub fn new() -> Self {
        Self { table: Table::new(MAX_TABLE), index: None, allowed: None }
    }

    /// The peer's SETTINGS_HEADER_TABLE_SIZE: the next block begins with the updates that RFC 7541 §4.2 asks for.
    pub fn set_max_table(&mut self, bytes: u32) {
        let max = usize::try_from(bytes).unwrap_or(MAX_TABLE).min(MAX_TABLE);
        let least = self.allowed.map_or(max, |(_, least)| least.min(max));
        self.allowed = Some((max, least));
    }

    /// Begins a block. To be called before the first of its fields.
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        let Some((max, least)) = self.allowed.take() else { return };
        if least < max && least < self.table.max() {
            self.resize(least, out);
        }
        if max != self.table.max() {
            self.resize(max, out);
        }
    }

    #[cfg(test)]
    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.table.memory() + self.index.as_ref().map_or(0, |index| size_of_val(&**index))
    }

    fn resize(&mut self, max: usize, out: &mut Vec<u8>) {
        self.table.set_max(max);
        integer::encode(0x20, 0x1f, max, out);
    }

    /// Adds a field to the block. A name may be in any case, and is written in lower case.
    pub fn field(&mut self, name: &[u8], value: &[u8], indexing: Indexing, out: &mut Vec<u8>) {
        if words::is_lower(name) {
            self.lower_field(name, value, indexing, out);
        } else {
            self.mixed_field(name, value, indexing, out);
        }
    }

    fn lower_field(&mut self, name: &[u8], value: &[u8], indexing: Indexing, out: &mut Vec<u8>) {
        if indexing != Indexing::Never
            && name.first() == Some(&b':')
            && let Some(index) = statics::index_of_pseudo(name, value)
        {
            return out.push(0x80 | index);
        }
        let hash = words::hash(0, name);
        match indexing {
            Indexing::Indexed => self.indexed(name, value, hash, out),
            Indexing::Passing => {
                literal(Form::Passing, statics::index_of(name, hash).into(), name, value, out)
            }
            Indexing::Never => literal(Form::Never, statics::index_of(name, hash).into(), name, value, out),
        }
    }

    /// Adds a field whose name may have upper-case letters.
    #[inline(never)]
    fn mixed_field(&mut self, name: &[u8], value: &[u8], indexing: Indexing, out: &mut Vec<u8>) {
        match words::lower(name, &mut [0; 64]) {
            Some(name) => self.lower_field(name, value, indexing, out),
            None => self.lower_field(&name.to_ascii_lowercase(), value, indexing, out),
        }
    }

    fn indexed(&mut self, name: &[u8], value: &[u8], name_hash: u64, out: &mut Vec<u8>) {
        let hash = words::hash(name_hash, value);
        if let Some(age) =
            self.find(hash, |found| words::are_same(found.value, value) && words::are_same(found.name, name))
        {
            return integer::encode(0x80, 0x7f, statics::LEN + 1 + age, out);
        }
        self.missed(name, value, (name_hash, hash), out);
    }

    /// Adds a field that the table doesn't have.
    #[inline(never)]
    fn missed(&mut self, name: &[u8], value: &[u8], (name_hash, hash): (u64, u64), out: &mut Vec<u8>) {
        let known = statics::index_of(name, name_hash);
        if known == statics::ACCEPT_ENCODING && value == b"gzip, deflate" {
            return out.push(0x80 | known);
        }
        let age = match known {
            0 => self.find(name_hash, |found| words::are_same(found.name, name)),
            _ => None,
        };
        let named = match age {
            Some(age) => statics::LEN + 1 + age,
            None => known.into(),
        };
        let texts = name.len() + value.len();
        if texts + OVERHEAD > MAX_ENTRY.min(self.table.max()) {
            return literal(Form::Passing, named, name, value, out);
        }
        let index = self.index.get_or_insert_with(Index::new);
        if !index.is_worth(hash) && named != 0 {
            return literal(Form::Passing, named, name, value, out);
        }
        index.insert(hash);
        if known == 0 {
            index.alias(name_hash);
        }
        match age {
            Some(age) => self.table.insert_named_as(age, value, false),
            None => self.table.insert(name, value, Memo { known, is_plain: false }),
        }
        literal(Form::Indexed, named, name, value, out);
    }

    /// How many entries follow the one that has a hash and is what is looked for.
    #[inline]
    fn find(&self, hash: u64, is_it: impl Fn(Found<'_>) -> bool) -> Option<usize> {
        let age = self.index.as_ref()?.age(hash)?;
        let found = self.table.get(age)?;
        is_it(found).then_some(age)
    }
}

/// The literal representations (RFC 7541 §6.2).
#[derive(Clone, Copy)]
enum Form {
    Indexed,
    Passing,
    Never,
}

/// Writes a literal field, whose name has an index unless that is 0.
fn literal(form: Form, index: usize, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.reserve(name.len() + value.len() + AROUND);
    match form {
        Form::Indexed => integer::encode(0x40, 0x3f, index, out),
        Form::Passing => integer::encode(0x00, 0x0f, index, out),
        Form::Never => integer::encode(0x10, 0x0f, index, out),
    }
    if index == 0 {
        string(name, out);
    }
    string(value, out);
}

#[inline]
fn string(text: &[u8], out: &mut Vec<u8>) {
    integer::encode(0, 0x7f, text.len(), out);
    out.extend_from_slice(text);
}

/// Where the table has what hashes to something: a cache of places, each of which may be wrong. An entry is looked for in
/// one set of places, so that it costs the same whatever names and values a peer has chosen.
#[derive(Debug)]
struct Index {
    sets: [[Place; WAYS]; SETS],
    /// Marks of the fields that came last and weren't put into the table, the last four of each set.
    seen: [u64; SEEN],
    /// The serial number of the next entry.
    next: u16,
}

const WAYS: usize = 4;
const SETS: usize = 64;
const SEEN: usize = 32;

#[derive(Clone, Copy, Debug)]
struct Place {
    /// Of the hash.
    mark: u16,
    /// The entry's number.
    serial: u16,
}

impl Index {
    fn new() -> Box<Self> {
        // So that places that were never used are older than any entry.
        let next = u16::MAX / 2;
        Box::new(Self { sets: [[Place { mark: 0, serial: 0 }; WAYS]; SETS], seen: [0; SEEN], next })
    }

    /// How many entries would be newer than the one that has a hash. A set has no mark twice, so that there is only one.
    #[inline]
    fn age(&self, hash: u64) -> Option<usize> {
        let (set, mark) = split(hash);
        let place = self.sets.get(set)?.iter().find(|place| place.mark == mark)?;
        Some(self.next.wrapping_sub(place.serial).wrapping_sub(1).into())
    }

    /// Whether a field came not long ago; it did from now on.
    fn is_worth(&mut self, hash: u64) -> bool {
        let (set, mark) = split(hash);
        let Some(seen) = self.seen.get_mut(set % SEEN) else { return false };
        let came = (0..4).any(|at| *seen >> (16 * at) & 0xffff == u64::from(mark));
        *seen = *seen << 16 | u64::from(mark);
        came
    }

    /// Notes the entry that is about to be inserted.
    fn insert(&mut self, hash: u64) {
        let serial = self.next;
        self.next = serial.wrapping_add(1);
        self.note(hash, serial);
    }

    /// Notes the newest entry under another hash too.
    fn alias(&mut self, hash: u64) {
        self.note(hash, self.next.wrapping_sub(1));
    }

    /// Takes the place with the same mark, or else the oldest.
    fn note(&mut self, hash: u64, serial: u16) {
        let (set, mark) = split(hash);
        let places = self.sets.get_mut(set).into_iter().flatten().rev();
        let worth = |place: &&mut Place| (place.mark == mark, serial.wrapping_sub(place.serial));
        if let Some(place) = places.max_by_key(worth) {
            *place = Place { mark, serial };
        }
    }
}

/// The set and the mark of a hash, which isn't that of unused places.
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "parts of the hash")]
fn split(hash: u64) -> (usize, u16) {
    ((hash >> 48) as usize % SETS, (hash >> 32) as u16 | 1)
}

/// What becomes of a field by its name, in any case: [`Indexing::Passing`] if its values hardly come twice, and
/// [`Indexing::Never`] if they are secrets that the size of a block must not tell anything about.
#[must_use]
pub fn indexing(name: &[u8], value: &[u8]) -> Indexing {
    let (names, result): (&[&[u8]], _) = match (name.len(), name.first().map_or(0, |first| first | 0x20)) {
        (2, b'b') => (&[b"b3"], Indexing::Passing),
        (3, b'a') => (&[b"age"], Indexing::Passing),
        (4, b'd') => (&[b"date"], Indexing::Passing),
        (4, b'e') => (&[b"etag"], Indexing::Passing),
        (5, b':') => (&[b":path"], Indexing::Passing),
        (5, b'r') => (&[b"range"], Indexing::Passing),
        // RFC 7541 §7.1.3.
        (6, b'c') if value.len() < SHORT_COOKIE => (&[b"cookie"], Indexing::Never),
        (7, b'e') => (&[b"expires"], Indexing::Passing),
        (8, b'l') => (&[b"location"], Indexing::Passing),
        (8, b'i') => (&[b"if-match", b"if-range"], Indexing::Passing),
        (10, b's') => (&[b"set-cookie"], Indexing::Passing),
        (10, b't') => (&[b"tracestate"], Indexing::Passing),
        (11, b't') => (&[b"traceparent"], Indexing::Passing),
        (11, b'x') => (&[b"x-b3-spanid"], Indexing::Passing),
        (11, b'r') => (&[b"retry-after"], Indexing::Passing),
        (12, b'x') => (&[b"x-request-id", b"x-b3-traceid"], Indexing::Passing),
        (12, b'g') => (&[b"grpc-timeout", b"grpc-message"], Indexing::Passing),
        (13, b'a') => (&[b"authorization"], Indexing::Never),
        (13, b'c') => (&[b"content-range"], Indexing::Passing),
        (13, b'i') => (&[b"if-none-match"], Indexing::Passing),
        (13, b'l') => (&[b"last-modified"], Indexing::Passing),
        (13, b'u') => (&[b"uber-trace-id"], Indexing::Passing),
        (14, b'c') => (&[b"content-length"], Indexing::Passing),
        (14, b'g') => (&[b"grpc-trace-bin"], Indexing::Passing),
        (15, b'x') => (&[b"x-amzn-trace-id"], Indexing::Passing),
        (16, b'x') => (&[b"x-correlation-id"], Indexing::Passing),
        (17, b'x') => (&[b"x-b3-parentspanid"], Indexing::Passing),
        (17, b'i') => (&[b"if-modified-since"], Indexing::Passing),
        (17, b's') => (&[b"sec-websocket-key"], Indexing::Passing),
        (19, b'i') => (&[b"if-unmodified-since"], Indexing::Passing),
        (19, b'p') => (&[b"proxy-authorization"], Indexing::Never),
        (20, b's') => (&[b"sec-websocket-accept"], Indexing::Passing),
        (21, b'x') => (&[b"x-cloud-trace-context"], Indexing::Passing),
        (29, b'x') => (&[b"x-envoy-upstream-service-time"], Indexing::Passing),
        _ => return Indexing::Indexed,
    };
    if names.iter().any(|known| words::is_named(name, known)) { result } else { Indexing::Indexed }
}

/// A cookie of fewer bytes may be guessed one after the other.
const SHORT_COOKIE: usize = 20;
