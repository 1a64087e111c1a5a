//! HTTP/1 as a plain recipient reads it: line by line, by the letter of RFC 9112, with copies everywhere.

use super::Lines;

/// A message's head.
#[derive(Debug)]
pub(crate) struct Head {
    /// The three parts of the first line; the last one may have spaces in it.
    pub(crate) first: [String; 3],
    /// Names in lower case, values without surrounding blanks.
    pub(crate) fields: Lines,
    /// Bytes that it took.
    pub(crate) len: usize,
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(usize),
    Chunked,
    /// Neither is said.
    Unsaid,
    /// Two things are said.
    Unclear,
}

/// What stands where a body should.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Complete { data: Vec<u8>, trailers: Lines, used: usize },
    Partial { data: Vec<u8> },
    Malformed,
}

/// The head that the bytes begin with; none where it isn't complete or isn't one.
pub(crate) fn head(bytes: &[u8]) -> Option<Head> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let mut lines = split(bytes.get(..end)?);
    let first = String::from_utf8_lossy(lines.next()?).into_owned();
    let mut parts = first.splitn(3, ' ').map(str::to_owned);
    let first = [parts.next()?, parts.next()?, parts.next().unwrap_or_default()];
    let fields = lines.map(field).collect::<Option<Vec<_>>>()?;
    Some(Head { first, fields, len: end + 4 })
}

/// Pieces between line ends. A CR or LF on its own is part of a piece, where [`field`] finds it.
fn split(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut is_over = false;
    std::iter::from_fn(move || {
        if is_over {
            return None;
        }
        let (line, rest) = match bytes.windows(2).position(|two| two == b"\r\n") {
            Some(at) => (&bytes[..at], &bytes[at + 2..]),
            None => {
                is_over = true;
                (bytes, &[][..])
            }
        };
        bytes = rest;
        Some(line)
    })
}

fn field(line: &[u8]) -> Option<(String, Vec<u8>)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let is_token = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    let is_text = |b: &u8| *b == b'\t' || (*b >= b' ' && *b != 0x7f);
    if name.is_empty() || !name.iter().all(is_token) || !value.iter().all(is_text) {
        return None;
    }
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    Some((name, value.trim_ascii().to_vec()))
}

impl Head {
    /// Every value of a field.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.fields.iter().filter(move |(own, _)| own == name).map(|(_, value)| value.as_slice())
    }

    /// How the body ends.
    pub(crate) fn framing(&self) -> Framing {
        let lengths: Vec<&[u8]> = self.all("content-length").collect();
        let codings: Vec<&[u8]> = self.all("transfer-encoding").collect();
        match (lengths.as_slice(), codings.as_slice()) {
            ([], []) => Framing::Unsaid,
            ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") => Framing::Chunked,
            ([length], []) => {
                let is_number = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
                let number = std::str::from_utf8(length).ok().and_then(|text| text.parse().ok());
                number.filter(|_| is_number).map_or(Framing::Unclear, Framing::Length)
            }
            _ => Framing::Unclear,
        }
    }

    /// The options of all `Connection` lines, in lower case.
    pub(crate) fn options(&self) -> Vec<String> {
        let values = self.all("connection").map(String::from_utf8_lossy);
        let options = values.flat_map(|value| value.split(',').map(str::to_owned).collect::<Vec<_>>());
        options.map(|option| option.trim().to_ascii_lowercase()).collect()
    }

    /// The fields that go on: not those of the connection, nor those that it names, nor the length.
    pub(crate) fn end_to_end(&self) -> Lines {
        const HOP_BY_HOP: [&str; 9] = [
            "connection",
            "content-length",
            "host",
            "http2-settings",
            "keep-alive",
            "proxy-connection",
            "te",
            "transfer-encoding",
            "upgrade",
        ];
        let options = self.options();
        let goes_on = |(name, _): &&(String, Vec<u8>)| {
            !HOP_BY_HOP.contains(&name.as_str()) && !options.iter().any(|option| option == name)
        };
        self.fields.iter().filter(goes_on).cloned().collect()
    }
}

/// The body of so many bytes.
pub(crate) fn sized(bytes: &[u8], length: usize) -> Body {
    match bytes.get(..length) {
        Some(data) => Body::Complete { data: data.to_vec(), trailers: Vec::new(), used: length },
        None => Body::Partial { data: bytes.to_vec() },
    }
}

/// The chunked body (RFC 9112 §7.1) that the bytes begin with.
pub(crate) fn chunked(bytes: &[u8]) -> Body {
    let mut data = Vec::new();
    let mut at = 0;
    loop {
        let Some(line_len) = bytes[at..].windows(2).position(|two| two == b"\r\n") else {
            return if is_size_start(&bytes[at..]) { Body::Partial { data } } else { Body::Malformed };
        };
        let Some(size) = size(&bytes[at..at + line_len]) else { return Body::Malformed };
        at += line_len + 2;
        if size == 0 {
            return last(&bytes[at..], data, at);
        }
        let chunk = &bytes[at..bytes.len().min(at.saturating_add(size))];
        data.extend_from_slice(chunk);
        at += chunk.len();
        match &bytes[at..] {
            [] | [b'\r'] => return Body::Partial { data },
            [b'\r', b'\n', ..] if chunk.len() == size => at += 2,
            _ => return Body::Malformed,
        }
    }
}

/// The size in a chunk's first line: hex digits, perhaps with extensions behind them.
fn size(line: &[u8]) -> Option<usize> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
    let is_extension = |b: &u8| *b == b'\t' || (*b >= b' ' && *b != 0x7f);
    let is_number = (1..=15).contains(&digits.len()) && digits.iter().all(u8::is_ascii_hexdigit);
    if !is_number || !line[digits.len()..].iter().all(is_extension) {
        return None;
    }
    usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Whether more bytes could make the first line of a chunk of this.
fn is_size_start(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_suffix(b"\r").filter(|rest| size(rest).is_some()).unwrap_or(bytes);
    bytes.is_empty() || size(bytes).is_some()
}

fn last(bytes: &[u8], data: Vec<u8>, before: usize) -> Body {
    let mut trailers = Vec::new();
    let mut at = 0;
    loop {
        let Some(line_len) = bytes[at..].windows(2).position(|two| two == b"\r\n") else {
            return Body::Partial { data };
        };
        let line = &bytes[at..at + line_len];
        at += line_len + 2;
        if line.is_empty() {
            return Body::Complete { data, trailers, used: before + at };
        }
        match field(line) {
            Some(field) => trailers.push(field),
            None => return Body::Malformed,
        }
    }
}
