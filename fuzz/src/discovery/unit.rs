//! Units: what is read can be written, equal units have equal bytes, and a unit has one name.
//!
//! The input is the number of a kind, the length of a name, the name, and the unit's bytes.

use leno_wire::{Encoded, Key, Kind, Unit, Version};

use crate::Outcome;

/// Checks one input.
pub fn run(data: &[u8]) -> Outcome {
    let Some(([kind, length], rest)) = data.split_first_chunk::<2>() else { return Outcome::Refused };
    let kind = Kind::ALL[usize::from(*kind) % Kind::ALL.len()];
    let (name, content) = rest.split_at(usize::from(*length).min(rest.len()));
    let Ok(name) = std::str::from_utf8(name) else { return Outcome::Refused };
    let Ok(key) = Key::parse(kind, name) else { return Outcome::Refused };
    assert_eq!((key.kind(), key.name().as_str()), (kind, name), "a name has one spelling");
    let Ok(unit) = Unit::decode(&key, content) else { return Outcome::Refused };
    check(&key, &unit);
    Outcome::Accepted
}

/// What holds for every unit that was read.
pub(crate) fn check(key: &Key, unit: &Unit) {
    assert_eq!(unit.key(), *key, "another unit than its name says");
    let bytes = unit.encode();
    let again = Unit::decode(key, &bytes);
    assert_eq!(again.as_ref(), Ok(unit), "it doesn't survive");
    assert_eq!(again.map(|again| again.encode()), Ok(bytes.clone()), "one unit, two encodings");
    let references = unit.references();
    assert!(references.is_sorted_by(|a, b| a < b), "references are there once");
    let encoded = Encoded::new(unit).expect("what was read can be sent");
    assert_eq!((encoded.content(), encoded.version()), (&bytes, Version::of(&bytes)));
    assert_eq!(encoded.references(), references);
}
