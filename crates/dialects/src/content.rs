//! The hash by which a change of an object is noticed.
//!
//! Places are part of it, since they are part of what is told about an object. It is no protection against anybody
//! who wants two texts to be equal. A secret's hash is keyed anew in every process, so that one that is shown
//! somewhere does not help to guess the secret.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::LazyLock;

use crate::yaml::{Kind, Node};

/// The hash of a text that is not well-formed. It may hold a secret.
pub(crate) fn of_text(text: &str) -> u64 {
    let mut hasher = KEY.build_hasher();
    hasher.write(text.as_bytes());
    hasher.finish()
}

/// The hash of a tree with its places.
pub(crate) fn of_node(node: &Node, secret: bool) -> u64 {
    if secret {
        let mut hasher = KEY.build_hasher();
        add(&mut hasher, node);
        hasher.finish()
    } else {
        let mut hasher = Fnv(Fnv::OFFSET);
        add(&mut hasher, node);
        hasher.finish()
    }
}

static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);

fn add(hasher: &mut impl Hasher, node: &Node) {
    let mut rest = vec![node];
    while let Some(node) = rest.pop() {
        hasher.write(&node.at.line.to_le_bytes());
        hasher.write(&node.at.column.to_le_bytes());
        match &node.kind {
            Kind::Null => hasher.write(b"n"),
            Kind::Scalar(scalar) => {
                hasher.write(&[b's', scalar.style as u8]);
                add_text(hasher, &scalar.text);
            }
            Kind::List(items) => {
                hasher.write(b"l");
                rest.extend(items);
            }
            Kind::Mapping(entries) => {
                hasher.write(b"m");
                entries.iter().for_each(|entry| add_text(hasher, &entry.key));
                rest.extend(entries.iter().map(|entry| &entry.value));
            }
        }
    }
}

/// A text with an end that is in no UTF-8, so that two texts are not taken for one.
fn add_text(hasher: &mut impl Hasher, text: &str) {
    hasher.write(text.as_bytes());
    hasher.write(&[0xff]);
}

/// FNV-1a of 64 bits: the same in every process and release.
struct Fnv(u64);

impl Fnv {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(Self::PRIME);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
