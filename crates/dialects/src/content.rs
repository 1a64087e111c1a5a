//! The hash by which a change of an object is noticed (64-bit FNV-1a).
//!
//! Places are part of it, since they are part of what is told about an object. It is no protection against anybody
//! who wants two texts to be equal.

use crate::yaml::{Kind, Node};

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// The hash of a text.
pub(crate) fn of_text(text: &str) -> u64 {
    bytes(OFFSET, text.as_bytes())
}

/// The hash of a tree with its places.
pub(crate) fn of_node(node: &Node) -> u64 {
    let mut hash = OFFSET;
    let mut rest = vec![node];
    while let Some(node) = rest.pop() {
        hash = number(number(hash, node.at.line), node.at.column);
        match &node.kind {
            Kind::Null => hash = bytes(hash, b"n"),
            Kind::Scalar(scalar) => {
                hash = bytes(hash, &[b's', scalar.style as u8]);
                hash = text(hash, &scalar.text);
            }
            Kind::List(items) => {
                hash = bytes(hash, b"l");
                rest.extend(items);
            }
            Kind::Mapping(entries) => {
                hash = bytes(hash, b"m");
                for entry in entries {
                    hash = text(hash, &entry.key);
                }
                rest.extend(entries.iter().map(|entry| &entry.value));
            }
        }
    }
    hash
}

fn number(hash: u64, number: u32) -> u64 {
    bytes(hash, &number.to_le_bytes())
}

/// A text with an end that is in no UTF-8, so that two texts are not taken for one.
fn text(hash: u64, text: &str) -> u64 {
    bytes(bytes(hash, text.as_bytes()), &[0xff])
}

fn bytes(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME))
}
