//! The static table (RFC 7541 Appendix A).

use crate::head::words;

/// Entries of the static table; the first of the dynamic one has the next index.
pub(super) const LEN: usize = 61;

/// An entry, whose name may have others before it.
pub(super) struct Entry {
    pub(super) name: &'static [u8],
    pub(super) value: &'static [u8],
    /// The first index of the same name.
    pub(super) known: u8,
}

/// The entry of an index, which counts from 1.
#[inline]
pub(super) fn entry(index: usize) -> Option<&'static Entry> {
    ENTRIES.get(index.wrapping_sub(1))
}

/// The first index of a name in lower case that hashes to `hash`; 0 if the table doesn't have it.
#[inline]
#[allow(clippy::indexing_slicing, reason = "a byte is below 256")]
pub(super) fn index_of(name: &[u8], hash: u64) -> u8 {
    let index = SLOTS[slot(hash, SLOTS_MIX)];
    match entry(index.into()) {
        Some(entry) if words::are_same(entry.name, name) => index,
        _ => 0,
    }
}

/// The index of a pseudo-header field with one of the values that the table has.
#[inline]
pub(super) fn index_of_pseudo(name: &[u8], value: &[u8]) -> Option<u8> {
    Some(match (name, value) {
        (b":status", b"200") => 8,
        (b":method", b"GET") => 2,
        (b":method", b"POST") => 3,
        (b":scheme", b"http") => 6,
        (b":scheme", b"https") => 7,
        (b":path", b"/") => 4,
        (b":path", b"/index.html") => 5,
        (b":status", b"204") => 9,
        (b":status", b"206") => 10,
        (b":status", b"304") => 11,
        (b":status", b"400") => 12,
        (b":status", b"404") => 13,
        (b":status", b"500") => 14,
        _ => return None,
    })
}

/// The one field that isn't a pseudo-header field and has a value in the table.
pub(super) const ACCEPT_ENCODING: u8 = 16;

#[allow(clippy::indexing_slicing, reason = "in a constant, an index out of range doesn't compile")]
static ENTRIES: [Entry; LEN] = {
    let mut entries = [const { Entry { name: b"", value: b"", known: 0 } }; LEN];
    let (mut at, mut known) = (0, 0);
    while at < LEN {
        let (name, value) = TABLE[at];
        if at == 0 || !is_same(name, TABLE[at - 1].0) {
            known = index(at);
        }
        entries[at] = Entry { name, value, known };
        at += 1;
    }
    entries
};

/// Where the hashes of the names point to, without two at one place.
static SLOTS: [u8; 256] = FOUND.1;
const SLOTS_MIX: u64 = FOUND.0;

#[allow(clippy::indexing_slicing, reason = "in a constant, an index out of range doesn't compile")]
const FOUND: (u64, [u8; 256]) = {
    let mut hashes = [0; LEN];
    let mut at = 0;
    while at < LEN {
        hashes[at] = words::hash(0, TABLE[at].0);
        at += 1;
    }
    let mut mix = 1;
    loop {
        let mut slots = [0; 256];
        let mut at = 0;
        while at < LEN {
            if at == 0 || hashes[at] != hashes[at - 1] {
                let place = slot(hashes[at], mix);
                if slots[place] != 0 {
                    break;
                }
                slots[place] = index(at);
            }
            at += 1;
        }
        if at == LEN {
            break (mix, slots);
        }
        mix += 2;
    }
};

const fn slot(hash: u64, mix: u64) -> usize {
    (hash.wrapping_mul(mix) >> 56) as usize
}

#[allow(clippy::cast_possible_truncation, reason = "at most 61")]
const fn index(at: usize) -> u8 {
    at as u8 + 1
}

#[allow(clippy::indexing_slicing, reason = "in a constant, an index out of range doesn't compile")]
const fn is_same(a: &[u8], b: &[u8]) -> bool {
    let mut at = 0;
    while at < a.len() && at < b.len() && a[at] == b[at] {
        at += 1;
    }
    at == a.len() && at == b.len()
}

const TABLE: [(&[u8], &[u8]); LEN] = [
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b""),
    (b"accept-ranges", b""),
    (b"accept", b""),
    (b"access-control-allow-origin", b""),
    (b"age", b""),
    (b"allow", b""),
    (b"authorization", b""),
    (b"cache-control", b""),
    (b"content-disposition", b""),
    (b"content-encoding", b""),
    (b"content-language", b""),
    (b"content-length", b""),
    (b"content-location", b""),
    (b"content-range", b""),
    (b"content-type", b""),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"expect", b""),
    (b"expires", b""),
    (b"from", b""),
    (b"host", b""),
    (b"if-match", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"if-range", b""),
    (b"if-unmodified-since", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"max-forwards", b""),
    (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""),
    (b"range", b""),
    (b"referer", b""),
    (b"refresh", b""),
    (b"retry-after", b""),
    (b"server", b""),
    (b"set-cookie", b""),
    (b"strict-transport-security", b""),
    (b"transfer-encoding", b""),
    (b"user-agent", b""),
    (b"vary", b""),
    (b"via", b""),
    (b"www-authenticate", b""),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_found_at_its_first_place() {
        for (at, (name, value)) in TABLE.iter().enumerate() {
            let first = TABLE.iter().position(|(other, _)| other == name).unwrap() + 1;
            assert_eq!(usize::from(index_of(name, words::hash(0, name))), first);
            let found = entry(at + 1).unwrap();
            assert_eq!((found.name, found.value, usize::from(found.known)), (*name, *value, first));
            if name.starts_with(b":") && !value.is_empty() {
                assert_eq!(index_of_pseudo(name, value).map(usize::from), Some(at + 1));
            }
        }
        assert!(entry(0).is_none() && entry(LEN + 1).is_none());
        for name in ["", "x", ":methods", "Accept", "content-lengtH"] {
            assert_eq!(index_of(name.as_bytes(), words::hash(0, name.as_bytes())), 0, "{name}");
        }
    }
}
