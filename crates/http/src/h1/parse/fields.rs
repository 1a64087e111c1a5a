//! The field section of a head, and the fields that mean something to the codec.

use super::connection::Options;
use super::line::{FieldLine, Next, field_line};
use super::{Limits, Refusal, Stop, length};
use crate::head::Version;
use crate::head::spans::{Kind, Line, Lines, Name, Span};
use crate::head::words::is_named;

/// Lines that a head is expected to have; more make the vector grow.
const EXPECTED_LINES: usize = 20;

/// A field section as ranges, and what its framing and connection fields say.
#[derive(Debug, Default)]
pub(super) struct Section {
    pub(super) lines: Lines,
    pub(super) options: Options,
    pub(super) length: Option<u64>,
    pub(super) chunked: bool,
    pub(super) host: Option<Span>,
    pub(super) upgrade: Option<Span>,
    pub(super) expect: Option<Span>,
    pub(super) te_trailers: bool,
}

impl Section {
    /// Reads the lines that begin at `start`, up to the empty one; also returns the position after that.
    pub(super) fn read(bytes: &[u8], start: usize, limits: Limits) -> Result<(Self, usize), Stop> {
        let mut section = Self { lines: Lines::with_capacity(EXPECTED_LINES), ..Self::default() };
        let mut at = start;
        loop {
            let line = match field_line(bytes, at)? {
                Next::End(end) if end > limits.bytes => return Err(Refusal::HeadTooLarge.into()),
                Next::End(end) => return Ok((section, end)),
                Next::Field(line) => line,
            };
            if section.lines.len() >= limits.fields {
                return Err(Refusal::TooManyFields.into());
            }
            let value = Span::new(line.value_start, line.value_start + line.value.len());
            let kind = section.classify(&line, value)?;
            if line.name.len() > usize::from(u16::MAX) {
                return Err(Refusal::HeadTooLarge.into());
            }
            section.lines.push(Line::new(Span::new(at, at).start, Name::of(line.name), value, kind));
            at = line.next;
        }
    }

    /// Takes in what the line means to the codec, and decides whether it stays a field.
    fn classify(&mut self, line: &FieldLine<'_>, span: Span) -> Result<Kind, Refusal> {
        let FieldLine { name, value, .. } = *line;
        // The first letter, in lower case, tells nearly all names from those below; comparing them costs more.
        let first = name.first().map_or(0, |first| first | 0x20);
        match (name.len(), first) {
            (2, b't') if is_named(name, b"te") => {
                self.te_trailers |=
                    value.split(|b| *b == b',').any(|v| v.trim_ascii().eq_ignore_ascii_case(b"trailers"));
                return Ok(Kind::Gone);
            }
            (4, b'h') if is_named(name, b"host") => {
                if self.host.replace(span).is_some() {
                    return Err(Refusal::HostRepeated);
                }
                return Ok(Kind::Gone);
            }
            (6, b'e') if is_named(name, b"expect") => {
                let repeated = self.expect.replace(span).is_some();
                if repeated || !value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(Refusal::Expectation);
                }
            }
            (7, b'u') if is_named(name, b"upgrade") => {
                self.upgrade.get_or_insert(span);
                return Ok(Kind::Gone);
            }
            (10, b'c') if is_named(name, b"connection") => {
                self.options.add(value, line.value_start)?;
                return Ok(Kind::Gone);
            }
            (10, b'k') if is_named(name, b"keep-alive") => return Ok(Kind::Gone),
            (14, b'c') if is_named(name, b"content-length") => {
                if self.length.replace(length(value)?).is_some() {
                    return Err(Refusal::LengthRepeated);
                }
                return Ok(Kind::Managed);
            }
            (14, b'h') if is_named(name, b"http2-settings") => return Ok(Kind::Gone),
            // CGI-like interfaces can't tell these from the real ones.
            (14, b'c') if name.eq_ignore_ascii_case(b"content_length") => return Err(Refusal::FieldName),
            (17, b't') if name.eq_ignore_ascii_case(b"transfer_encoding") => return Err(Refusal::FieldName),
            (16, b'p') if is_named(name, b"proxy-connection") => return Ok(Kind::Gone),
            (17, b't') if is_named(name, b"transfer-encoding") => {
                // Several lines form one list (RFC 9110 §5.3), so a second one is another coding.
                if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Refusal::Encoding);
                }
                self.chunked = true;
                return Ok(Kind::Gone);
            }
            _ => {}
        }
        Ok(if line.is_tight() { Kind::Verbatim } else { Kind::Loose })
    }

    /// Refuses framing that can be read in two ways.
    pub(super) fn check_framing(&self, version: Version) -> Result<(), Refusal> {
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(Refusal::LengthAndEncoding),
            (true, None) if version == Version::Http10 => Err(Refusal::EncodingInHttp10),
            _ => Ok(()),
        }
    }

    /// Removes the fields that `Connection` named.
    pub(super) fn drop_nominated(&mut self, bytes: &[u8]) {
        for nominated in std::mem::take(&mut self.options.nominated) {
            let wanted = nominated.of(bytes);
            for line in self.lines.iter_mut() {
                if line.kind != Kind::Managed && line.name().of(bytes).eq_ignore_ascii_case(wanted) {
                    line.kind = Kind::Gone;
                }
            }
        }
    }

    /// Removes the fields of one name.
    pub(super) fn drop_named(&mut self, bytes: &[u8], name: &[u8]) {
        for line in self.lines.iter_mut() {
            if line.name().of(bytes).eq_ignore_ascii_case(name) {
                line.kind = Kind::Gone;
            }
        }
    }

    /// Whether the connection may carry another message (RFC 9112 §9.3).
    pub(super) fn is_persistent(&self, version: Version) -> bool {
        !self.options.close && (version != Version::Http10 || self.options.keep_alive)
    }
}
