//! Header blocks into fields (RFC 7541 §3, §6).

use std::cell::Cell;

use super::table::{Found, Memo, Table};
use super::{CompressionError, Field, Sink, huffman, integer, statics};
use crate::head::words;

/// The table's size before either side says otherwise (RFC 9113 §6.5.2).
const FIRST_TABLE: usize = 4096;

/// The most that may be announced, so that places in the table's buffer have 32 bits.
const MAX_TABLE: usize = 1 << 24;

/// Size updates that a block may begin with: the smallest since the last block, and the final one (RFC 7541 §4.2).
const UPDATES: usize = 2;

/// Bytes of a string that a core keeps for decoding the next one into.
const KEPT: usize = 16 * 1024;

thread_local! {
    /// What Huffman-coded strings are decoded into, for all connections of a core. It is taken while a block is decoded.
    static SCRATCH: Cell<Scratch> = const { Cell::new(Scratch { name: Vec::new(), value: Vec::new() }) };
}

#[derive(Default)]
struct Scratch {
    name: Vec<u8>,
    value: Vec<u8>,
}

/// Decodes one connection's header blocks, in the order in which they came.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
    /// The most that the peer may set the table's size to.
    announced: usize,
}

impl Decoder {
    /// `table_bytes` is what SETTINGS_HEADER_TABLE_SIZE announces. Less than the default of 4,096 doesn't bind the peer
    /// before it has read it, so that it may use as much anyway.
    #[must_use]
    pub fn new(table_bytes: usize) -> Self {
        Self { table: Table::new(FIRST_TABLE), announced: table_bytes.clamp(FIRST_TABLE, MAX_TABLE) }
    }

    #[cfg(test)]
    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    /// Decodes a complete header block and hands each field over as it is decoded. A field whose name and value have
    /// together more than `limit` bytes, decoded, is passed over; the table takes it all the same. References to the
    /// table make a block of few bytes have long fields: their sum is for the sink to limit.
    ///
    /// # Errors
    /// When the block breaks the rules of RFC 7541. Nothing can be decoded after it.
    pub fn decode(
        &mut self,
        block: &[u8],
        limit: usize,
        sink: &mut impl Sink,
    ) -> Result<(), CompressionError> {
        let mut input = block;
        self.updates(&mut input)?;
        let mut scratch = SCRATCH.take();
        let result = self.fields(input, limit, &mut scratch, sink);
        if scratch.name.len().max(scratch.value.len()) <= KEPT {
            SCRATCH.set(scratch);
        }
        result
    }

    /// Size updates, which only a block's beginning may have (RFC 7541 §4.2, §6.3).
    fn updates(&mut self, input: &mut &[u8]) -> Result<(), CompressionError> {
        for _ in 0..UPDATES {
            let Some((first @ 0x20..=0x3f, mut rest)) = input.split_first() else { break };
            let size = integer::decode(first & 0x1f, 0x1f, &mut rest)? as usize;
            if size > self.announced {
                return Err(CompressionError::TableSize);
            }
            self.table.set_max(size);
            *input = rest;
        }
        Ok(())
    }

    fn fields(
        &mut self,
        mut input: &[u8],
        limit: usize,
        scratch: &mut Scratch,
        sink: &mut impl Sink,
    ) -> Result<(), CompressionError> {
        while let Some((&first, rest)) = input.split_first() {
            input = rest;
            match first {
                0x80.. => {
                    let index = integer::decode(first & 0x7f, 0x7f, &mut input)? as usize;
                    let Found { name, value, memo: Memo { known, is_plain } } = self.entry(index)?;
                    hand_over(Field { name, value, known, is_plain, never_indexed: false }, limit, sink);
                }
                0x20..=0x3f => return Err(CompressionError::UpdatePlace),
                _ => self.literal(first, &mut input, limit, scratch, sink)?,
            }
        }
        Ok(())
    }

    /// A literal field (RFC 7541 §6.2).
    fn literal(
        &mut self,
        first: u8,
        input: &mut &[u8],
        limit: usize,
        scratch: &mut Scratch,
        sink: &mut impl Sink,
    ) -> Result<(), CompressionError> {
        let is_inserted = first & 0x40 != 0;
        let mask = if is_inserted { 0x3f } else { 0x0f };
        let index = integer::decode(first & mask, mask, input)? as usize;
        // The table may take what the sink doesn't.
        let most = limit.max(self.table.max());
        let mut is_kept = true;
        // The name, unless the dynamic table has it.
        let named = match index {
            0 => {
                let name = string(input, &mut scratch.name, most, &mut is_kept)?;
                Some((name, statics::index_of(name, words::hash(0, name))))
            }
            _ => statics::entry(index).map(|entry| (entry.name, entry.known)),
        };
        let value = string(input, &mut scratch.value, most, &mut is_kept)?;
        let (name, known) = match named {
            Some(named) => named,
            None => {
                let entry = self.entry(index)?;
                (entry.name, entry.memo.known)
            }
        };
        let mut field = Field { name, value, known, is_plain: false, never_indexed: first & 0xf0 == 0x10 };
        field.is_plain = is_kept && sink.is_plain(&field);
        let is_plain = field.is_plain;
        if is_kept {
            hand_over(field, limit, sink);
        } else {
            sink.too_large();
        }
        match named {
            _ if !is_inserted => {}
            // What is above the limits is above the table's size, and empties it (RFC 7541 §4.4).
            _ if !is_kept => self.table.clear(),
            Some((name, known)) => self.table.insert(name, value, Memo { known, is_plain }),
            None => self.table.insert_named_as(index - statics::LEN - 1, value, is_plain),
        }
        Ok(())
    }

    /// The entry of an index (RFC 7541 §2.3.3).
    #[inline]
    fn entry(&self, index: usize) -> Result<Found<'_>, CompressionError> {
        let found = match index.checked_sub(statics::LEN + 1) {
            Some(age) => self.table.get(age),
            None => statics::entry(index).map(|entry| Found {
                name: entry.name,
                value: entry.value,
                memo: Memo { known: entry.known, is_plain: true },
            }),
        };
        found.ok_or(CompressionError::Index)
    }
}

/// A string (RFC 7541 §5.2), in the block or decoded into `scratch`. One that decoding makes larger than `most` isn't
/// kept, and an empty one stands for it.
#[inline(always)]
fn string<'a, 'b: 'a>(
    input: &mut &'b [u8],
    scratch: &'a mut Vec<u8>,
    most: usize,
    is_kept: &mut bool,
) -> Result<&'a [u8], CompressionError> {
    let (first, mut rest) = input.split_first().ok_or(CompressionError::Truncated)?;
    let length = integer::decode(first & 0x7f, 0x7f, &mut rest)? as usize;
    let (text, rest) = rest.split_at_checked(length).ok_or(CompressionError::Truncated)?;
    *input = rest;
    if *first < 0x80 { Ok(text) } else { coded_string(text, scratch, most, is_kept) }
}

#[inline(never)]
fn coded_string<'a>(
    code: &[u8],
    scratch: &'a mut Vec<u8>,
    most: usize,
    is_kept: &mut bool,
) -> Result<&'a [u8], CompressionError> {
    let length = huffman::decode(code, scratch, most)?;
    let text = scratch.get(..length);
    *is_kept &= text.is_some();
    Ok(text.unwrap_or_default())
}

#[inline]
fn hand_over(field: Field<'_>, limit: usize, sink: &mut impl Sink) {
    if field.name.len() + field.value.len() <= limit { sink.field(field) } else { sink.too_large() }
}
