//! OTLP's protobuf, as far as spans need it: messages are written field by field, answers are read.
//!
//! Field numbers are those of `opentelemetry/proto/trace/v1/trace.proto` and its neighbours. Nothing is written that is
//! its default. Reading is strict about lengths and skips what it doesn't know.

mod answer;

pub use answer::{Partial, partial_success, retry_delay};

/// Bytes of one message.
#[derive(Debug)]
pub(crate) struct Writer<'w>(pub(crate) &'w mut Vec<u8>);

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const LENGTH: u32 = 2;
const FIXED32: u32 = 5;

impl Writer<'_> {
    pub(crate) fn bytes(&mut self, field: u32, value: &[u8]) {
        if value.is_empty() {
            return;
        }
        self.key(field, LENGTH);
        self.raw(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    pub(crate) fn number(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.key(field, VARINT);
            self.raw(value);
        }
    }

    pub(crate) fn fixed64(&mut self, field: u32, value: u64) {
        self.key(field, FIXED64);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn fixed32(&mut self, field: u32, value: u32) {
        self.key(field, FIXED32);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// A message within this one.
    pub(crate) fn message(&mut self, field: u32, write: impl FnOnce(&mut Writer<'_>)) {
        self.key(field, LENGTH);
        let at = self.0.len();
        // Most are so short that their length takes one byte.
        self.0.push(0);
        write(&mut Writer(self.0));
        let mut length = [0; 10];
        let length = varint(self.0.len().saturating_sub(at + 1) as u64, &mut length);
        if let (Some(place), Some((first, rest))) = (self.0.get_mut(at), length.split_first()) {
            *place = *first;
            if !rest.is_empty() {
                self.0.splice(at + 1..at + 1, rest.iter().copied());
            }
        }
    }

    /// An attribute: `KeyValue { key = 1, value = 2 }`.
    pub(crate) fn text(&mut self, field: u32, key: &str, value: &str) {
        self.message(field, |pair| {
            pair.bytes(1, key.as_bytes());
            // AnyValue.string_value, which may be empty.
            pair.message(2, |any| {
                any.key(1, LENGTH);
                any.raw(value.len() as u64);
                any.0.extend_from_slice(value.as_bytes());
            });
        });
    }

    /// An attribute that is a number.
    pub(crate) fn integer(&mut self, field: u32, key: &str, value: u64) {
        self.message(field, |pair| {
            pair.bytes(1, key.as_bytes());
            // AnyValue.int_value, which may be 0.
            pair.message(2, |any| {
                any.key(3, VARINT);
                any.raw(value);
            });
        });
    }

    fn key(&mut self, field: u32, kind: u32) {
        self.raw(u64::from(field << 3 | kind));
    }

    fn raw(&mut self, value: u64) {
        let mut room = [0; 10];
        let digits = varint(value, &mut room);
        self.0.extend_from_slice(digits);
    }
}

/// A number in groups of seven bits, the lowest first.
fn varint(mut value: u64, room: &mut [u8; 10]) -> &[u8] {
    let mut used = 0;
    for byte in room.iter_mut() {
        used += 1;
        let low = u8::try_from(value & 0x7f).unwrap_or_default();
        value >>= 7;
        *byte = if value == 0 { low } else { low | 0x80 };
        if value == 0 {
            break;
        }
    }
    room.split_at(used).0
}

/// An `ExportTraceServiceRequest` with the spans of one resource: `resource` is a `Resource`, `spans` are fields of a
/// `ScopeSpans`.
pub(crate) fn request(resource: &[u8], spans: &[u8], out: &mut Vec<u8>) {
    out.reserve(resource.len() + spans.len() + 128);
    Writer(out).message(1, |resource_spans| {
        resource_spans.bytes(1, resource);
        resource_spans.message(2, |scope_spans| {
            scope_spans.message(1, |scope| {
                scope.bytes(1, b"leno");
                scope.bytes(2, env!("CARGO_PKG_VERSION").as_bytes());
            });
            scope_spans.0.extend_from_slice(spans);
        });
        resource_spans.bytes(3, SCHEMA.as_bytes());
    });
}

/// The version of the semantic conventions that names are of.
const SCHEMA: &str = "https://opentelemetry.io/schemas/1.37.0";
