//! Header blocks: what the decoder makes of one connection's is what a plain decoder makes of them, and what the encoder
//! writes of it, both read as the same fields.
//!
//! The first byte chooses the limit of a field, the second the table that the encoder's peer allows; each block stands
//! behind its length.

use leno_http::h2::hpack::{CompressionError, Decoder, Encoder, Field, Indexing, Sink, indexing};

use super::naive::{self, Fields, Table};
use crate::Outcome;

/// Checks one input.
pub fn run(data: &[u8]) -> Outcome {
    let [limit, allowed, blocks @ ..] = data else { return Outcome::Refused };
    let limit = if *limit == 0 { 1 << 16 } else { usize::from(*limit) };
    let mut reader = Reader { ours: Decoder::new(4096), plain: Table::new() };
    let mut there = There {
        encoder: Encoder::new(),
        reader: Reader { ours: Decoder::new(4096), plain: Table::new() },
        allowed: *allowed,
    };
    let mut rest = blocks;
    let mut accepted = 0;
    while let [length, behind @ ..] = rest {
        let (block, behind) = behind.split_at(behind.len().min(usize::from(*length)));
        rest = behind;
        let Some(fields) = reader.read(block, limit) else { return Outcome::Refused };
        there.write(&fields);
        accepted += fields.len();
    }
    reader.has_one_table();
    Outcome::accepted_if(accepted > 0)
}

/// Both decoders of one direction.
struct Reader {
    ours: Decoder,
    plain: Table,
}

/// What was handed over; `None` for what is above the limit.
#[derive(Default)]
struct Taken(Vec<Option<naive::Field>>);

impl Sink for Taken {
    /// Something that about half of all fields are.
    fn is_plain(&self, field: &Field<'_>) -> bool {
        field.value.first().is_none_or(|first| first.is_multiple_of(2))
    }

    fn field(&mut self, field: Field<'_>) {
        // The static table's fields are plain whatever a sink says.
        let is_static = naive::is_static(field.name, field.value);
        assert!(field.is_plain == self.is_plain(&field) || is_static && field.is_plain);
        assert_eq!(usize::from(field.known), naive::known(field.name), "{}", field.name.escape_ascii());
        self.0.push(Some((field.name.to_vec(), field.value.to_vec(), field.never_indexed)));
    }

    fn too_large(&mut self) {
        self.0.push(None);
    }
}

impl Reader {
    /// The fields of a block, all of them whatever the limit; none if it can't be decoded.
    fn read(&mut self, block: &[u8], limit: usize) -> Option<Fields> {
        let mut taken = Taken::default();
        let ours = self.ours.decode(block, limit, &mut taken);
        let plain = self.plain.decode(block);
        let Ok(fields) = plain else {
            assert!(ours.is_err(), "taken: {}", block.escape_ascii());
            return None;
        };
        assert_eq!(ours, Ok::<(), CompressionError>(()), "{}", block.escape_ascii());
        let fits = |(name, value, _): &naive::Field| name.len() + value.len() <= limit;
        let expected: Vec<_> = fields.iter().map(|field| Some(field.clone()).filter(fits)).collect();
        assert_eq!(taken.0, expected, "{}", block.escape_ascii());
        Some(fields)
    }

    /// Every entry of the table, and nothing behind the last.
    fn has_one_table(&mut self) {
        let entries = self.plain.entries().to_vec();
        let indexed = |index: usize| -> Vec<u8> {
            let rest = index.checked_sub(127);
            rest.map_or_else(|| vec![0x80 | index.to_le_bytes()[0]], |rest| vec![0xff, rest.to_le_bytes()[0]])
        };
        for (at, (name, value)) in entries.iter().enumerate() {
            let mut taken = Taken::default();
            self.ours.decode(&indexed(62 + at), 1 << 16, &mut taken).expect("an entry that is there");
            assert_eq!(taken.0, [Some((name.clone(), value.clone(), false))], "entry {at}");
        }
        let behind = self.ours.decode(&indexed(62 + entries.len()), 1 << 16, &mut Taken::default());
        assert_eq!(behind, Err(CompressionError::Index), "more than {} entries", entries.len());
    }
}

/// The next hop.
struct There {
    encoder: Encoder,
    reader: Reader,
    /// What it says of its table between blocks.
    allowed: u8,
}

impl There {
    fn write(&mut self, fields: &Fields) {
        let mut block = Vec::new();
        if self.allowed & 1 != 0 {
            self.encoder.set_max_table(u32::from(self.allowed) * 8);
            self.allowed = self.allowed.rotate_left(1);
        }
        self.encoder.begin(&mut block);
        for (name, value, is_secret) in fields {
            let how = if *is_secret { Indexing::Never } else { indexing(name, value) };
            self.encoder.field(name, value, how, &mut block);
        }
        let again = self.reader.read(&block, 1 << 20).expect("what was encoded can be decoded");
        assert_eq!(again.len(), fields.len());
        for ((name, value, never), (own, same, was_secret)) in again.iter().zip(fields) {
            assert_eq!((name, value), (&own.to_ascii_lowercase(), same));
            let is_secret = *was_secret || indexing(own, same) == Indexing::Never;
            assert!(*never == is_secret, "{} is a secret: {is_secret}", own.escape_ascii());
        }
    }
}
