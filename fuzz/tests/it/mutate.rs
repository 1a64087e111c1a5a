//! Inputs from inputs: small damage at random places, reproducible by its seed.

use std::fs;

use crate::corpus::root;

/// Longest input that is made.
const MOST: usize = 16 * 1024;

/// Bytes at which parsers decide.
const TELLING: &[u8] = b"\0\x01\x7f\x80\xff\r\n\t :;,/.-_%0aA{}[]\"'#&*|>";

/// Makes inputs.
pub(crate) struct Mutator {
    random: fastrand::Rng,
    seeds: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
}

impl Mutator {
    pub(crate) fn new(seed: u64, seeds: Vec<Vec<u8>>, words: Vec<Vec<u8>>) -> Self {
        Self { random: fastrand::Rng::with_seed(seed), seeds, words }
    }

    /// The next input.
    pub(crate) fn next(&mut self) -> Vec<u8> {
        let mut input = self.seed();
        for _ in 0..1 << self.random.u32(0..4) {
            self.damage(&mut input);
        }
        input.truncate(MOST);
        input
    }

    fn seed(&mut self) -> Vec<u8> {
        self.random.choice(&self.seeds).cloned().unwrap_or_default()
    }

    /// A range of `bytes`, mostly a short one.
    fn range(&mut self, bytes: &[u8]) -> std::ops::Range<usize> {
        let start = self.random.usize(0..=bytes.len());
        let most = if self.random.u8(0..4) == 0 { bytes.len() } else { 16 };
        start..bytes.len().min(start + self.random.usize(0..=most))
    }

    fn damage(&mut self, input: &mut Vec<u8>) {
        let at = self.random.usize(0..=input.len());
        let end = input.len();
        match self.random.u32(0..12) {
            0 if at < end => input[at] ^= 1 << self.random.u32(0..8),
            1 if at < end => input[at] = self.random.u8(..),
            2 if at < end => input[at] = *self.random.choice(TELLING).unwrap(),
            3 if at < end => input[at] = input[at].wrapping_add(self.random.u8(0..8)).wrapping_sub(4),
            4 => {
                let range = self.range(input);
                input.drain(range);
            }
            5 => {
                let range = self.range(input);
                let copy = input[range].to_vec();
                input.splice(at..at, copy);
            }
            6 => {
                let byte = *self.random.choice(TELLING).unwrap();
                input.insert(at, byte);
            }
            7 | 8 => {
                let word = self.random.choice(&self.words).cloned().unwrap_or_default();
                let over = if self.random.bool() { word.len() } else { 0 };
                input.splice(at..end.min(at + over), word);
            }
            9 => {
                let other = self.seed();
                let range = self.range(&other);
                input.splice(at..at, other[range].iter().copied());
            }
            10 => {
                let other = self.seed();
                let from = self.random.usize(0..=other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            _ => input.truncate(at),
        }
    }
}

/// The words of a target's dictionary, in libFuzzer's form: one in quotes per line, bytes as `\xNN`.
pub(crate) fn dictionary(target: &str) -> Vec<Vec<u8>> {
    let text = fs::read_to_string(root().join("dictionaries").join(target).with_extension("dict"));
    let text = text.unwrap_or_default();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| word(line).unwrap_or_else(|| panic!("{target}.dict: {line}"))).collect()
}

fn word(line: &str) -> Option<Vec<u8>> {
    let mut rest = line.strip_prefix('"')?.strip_suffix('"')?;
    let mut word = Vec::new();
    while let Some(first) = rest.chars().next() {
        if let Some(hex) = rest.strip_prefix("\\x") {
            word.push(u8::from_str_radix(hex.get(..2)?, 16).ok()?);
            rest = &hex[2..];
        } else if let Some(escaped) = rest.strip_prefix('\\') {
            let byte = *escaped.as_bytes().first().filter(|byte| b"\\\"".contains(byte))?;
            word.push(byte);
            rest = &escaped[1..];
        } else {
            word.extend_from_slice(first.encode_utf8(&mut [0; 4]).as_bytes());
            rest = &rest[first.len_utf8()..];
        }
    }
    Some(word)
}

#[test]
fn words_are_read_as_libfuzzer_reads_them() {
    assert_eq!(word(r#""a\x0d\x0a\"\\b""#), Some(b"a\r\n\"\\b".to_vec()));
    for wrong in ["a", "\"a", r#""\n""#, r#""\x1""#] {
        assert_eq!(word(wrong), None, "{wrong}");
    }
}
