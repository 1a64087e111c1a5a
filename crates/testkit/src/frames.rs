//! HTTP/2 by hand (RFC 9113 §4.1, RFC 7541), for what no library would send.
//!
//! Fields are written as literals without indexing and without Huffman's code, so that neither side's tables change.

/// The client's preface with empty settings.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Kinds of frames (RFC 9113 §6).
pub const DATA: u8 = 0;
/// See [`DATA`].
pub const HEADERS: u8 = 1;
/// See [`DATA`].
pub const RST_STREAM: u8 = 3;
/// See [`DATA`].
pub const SETTINGS: u8 = 4;
/// See [`DATA`].
pub const GOAWAY: u8 = 7;

/// A flag of DATA and HEADERS; of SETTINGS it is ACK.
pub const END_STREAM: u8 = 1;
/// A flag of HEADERS.
pub const END_HEADERS: u8 = 4;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream.
    pub stream: u32,
    /// What it carries.
    pub payload: Vec<u8>,
}

impl Frame {
    /// As it goes over the wire. Payloads have less than 2^24 bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let [_, length @ ..] = u32::try_from(self.payload.len()).unwrap_or(u32::MAX).to_be_bytes();
        [&length[..], &[self.kind, self.flags], &self.stream.to_be_bytes(), &self.payload].concat()
    }

    /// The frame that the bytes begin with, and what it takes of them.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let (&[a, b, c, kind, flags, s0, s1, s2, s3], rest) = bytes.split_first_chunk::<9>()?;
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        let payload = rest.get(..length)?.to_vec();
        let stream = u32::from_be_bytes([s0, s1, s2, s3]) & 0x7fff_ffff;
        Some((Self { kind, flags, stream, payload }, 9 + length))
    }

    /// The error code of RST_STREAM or GOAWAY, by name.
    #[must_use]
    pub fn error(&self) -> Option<&'static str> {
        let at = match self.kind {
            RST_STREAM => 0,
            GOAWAY => 4,
            _ => return None,
        };
        let code = self.payload.get(at..at + 4)?.try_into().map(u32::from_be_bytes).ok()?;
        Some(ERRORS.get(code as usize).copied().unwrap_or("unknown"))
    }

    /// The status in a HEADERS frame whose first field it is, as encoders put it.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match *self.payload {
            [0x88, ..] => Some(200),
            [0x89, ..] => Some(204),
            [0x8b, ..] => Some(304),
            [0x8c, ..] => Some(400),
            [0x8d, ..] => Some(404),
            [0x8e, ..] => Some(500),
            [0x48 | 0x08 | 0x18, length, ref rest @ ..] => {
                let value = rest.get(..usize::from(length & 0x7f))?;
                if length & 0x80 == 0 { std::str::from_utf8(value).ok()?.parse().ok() } else { digits(value) }
            }
            _ => None,
        }
    }
}

/// RFC 9113 §7.
const ERRORS: [&str; 14] = [
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
];

/// Three digits in Huffman's code (RFC 7541 appendix B): 0 to 2 have five bits, the others six.
fn digits(bytes: &[u8]) -> Option<u16> {
    let mut bits = bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| u16::from(byte >> at & 1)));
    let mut number = 0;
    for _digit in 0..3 {
        let mut code = 0;
        for _bit in 0..5 {
            code = code << 1 | bits.next()?;
        }
        if code > 2 {
            code = (code << 1 | bits.next()?).checked_sub(0b01_1001)? + 3;
        }
        number = number * 10 + code;
    }
    Some(number)
}

/// Fields as a block (RFC 7541 §6.2.2), exactly as they are.
#[must_use]
pub fn block(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            integer(text.len(), &mut block);
            block.extend_from_slice(text);
        }
    }
    block
}

/// An integer with a prefix of seven bits (RFC 7541 §5.1).
fn integer(value: usize, block: &mut Vec<u8>) {
    let Some(mut left) = value.checked_sub(127) else { return block.push(value.to_le_bytes()[0]) };
    block.push(127);
    while left >= 128 {
        block.push(left.to_le_bytes()[0] | 0x80);
        left >>= 7;
    }
    block.push(left.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(payload: &[u8]) -> Frame {
        Frame { kind: HEADERS, flags: 0, stream: 1, payload: payload.to_vec() }
    }

    #[test]
    fn statuses_are_read_as_they_are_written() {
        assert_eq!(headers(&[0x88]).status(), Some(200));
        assert_eq!(headers(b"\x08\x03403").status(), Some(403));
        // 403 is 011010 00000 011001, padded with ones.
        assert_eq!(headers(&[0x48, 0x83, 0b0110_1000, 0b0000_1100, 0xff]).status(), Some(403));
        assert_eq!(headers(&[0x48, 0x83, 0b0110_1100, 0b0000_1100, 0xff]).status(), Some(503));
        assert_eq!(headers(b"\x48\x84").status(), None);
    }

    #[test]
    fn frames_are_read_as_they_are_written() {
        let frame = headers(&block(&[(b"a", &[b'x'; 300])]));
        let bytes = [frame.bytes(), vec![0]].concat();
        assert_eq!(Frame::read(&bytes), Some((frame, bytes.len() - 1)));
        assert_eq!(block(&[(b"a", &[b'x'; 300])]).get(3..6), Some(&[127, 0xad, 0x01][..]));
    }
}
