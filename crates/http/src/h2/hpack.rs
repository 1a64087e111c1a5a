//! HPACK (RFC 7541): header blocks into fields and back, one [`Decoder`] and one [`Encoder`] for each connection.
//!
//! Fields pass as bytes, without being looked at as HTTP: that is the business of whoever takes them. Invariants: a table
//! that was never used takes no heap memory, and one that was takes at most twice its size; an encoder that has used its
//! table has some 1,300 bytes more. What a peer chooses can make blocks longer, and never costs more than a bounded
//! number of steps for each field and byte.

mod decode;
mod encode;
mod huffman;
mod integer;
mod statics;
mod table;

#[cfg(test)]
mod tests;

pub use decode::Decoder;
pub use encode::{Encoder, Indexing, indexing};

/// A field of a header block. Both texts are as they were sent, in any case and with any bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name.
    pub name: &'a [u8],
    /// The value.
    pub value: &'a [u8],
    /// Whoever passes the field on must not index it either (RFC 7541 §6.2.3).
    pub never_indexed: bool,
    /// The first index at which the static table has this name (RFC 7541 Appendix A), or 0 if it doesn't: the same
    /// for the same name, however it was sent.
    pub known: u8,
    /// What [`Sink::is_plain`] has said of it, now or when it came into the table.
    pub is_plain: bool,
}

/// Takes the fields of a block in their order.
pub trait Sink {
    /// Whether there is nothing in a field's texts that would have to be looked at each time that they come: it is asked
    /// before they are handed over, and remembered with what goes into the table. What isn't worth looking at isn't
    /// plain: a block of few bytes can have many long names. The static table's fields are plain without being asked about.
    fn is_plain(&self, _field: &Field<'_>) -> bool {
        false
    }

    /// The next field.
    fn field(&mut self, field: Field<'_>);

    /// In place of a field whose name and value are together above the limit.
    fn too_large(&mut self);
}

/// Why a block can't be decoded. The table's state is lost with it, and so is the connection: COMPRESSION_ERROR of
/// RFC 9113 §4.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompressionError {
    /// It ends within a field.
    Truncated,
    /// An integer is larger than any use.
    Integer,
    /// An index is in neither table.
    Index,
    /// A Huffman-coded string ends with something other than a few ones.
    Padding,
    /// A Huffman-coded string has the code for its end.
    EndOfString,
    /// A size update above what was announced.
    TableSize,
    /// A size update behind a field.
    UpdatePlace,
}

impl CompressionError {
    /// What is wrong with the block, for logs.
    #[must_use]
    pub const fn rule(self) -> &'static str {
        match self {
            Self::Truncated => "a header block that ends within a field",
            Self::Integer => "a header block with too large an integer",
            Self::Index => "a header block with an index that no table has",
            Self::Padding => "a Huffman-coded string with wrong padding",
            Self::EndOfString => "a Huffman-coded string with the symbol for its end in it",
            Self::TableSize => "a header table above the size that was announced",
            Self::UpdatePlace => "a size of the header table where none can be",
        }
    }
}
