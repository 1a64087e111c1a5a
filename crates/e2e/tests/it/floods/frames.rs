//! HTTP/2 by hand (RFC 9113 §4.1, RFC 7541).

/// The client's preface with empty settings.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The block of `GET path` at the authority `web`, which leaves the table as it is; less than 127 bytes of path.
pub(super) fn get(path: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x86, 0x01, 3];
    block.extend(b"web");
    block.extend([0x04, u8::try_from(path.len()).unwrap()]);
    block.extend(path.as_bytes());
    block
}

pub(super) fn headers(stream: u32, flags: u8, block: &[u8]) -> Vec<u8> {
    frame(HEADERS, flags, stream, block)
}

pub(super) fn continuation(stream: u32, block: &[u8]) -> Vec<u8> {
    frame(CONTINUATION, 0, stream, block)
}

/// With the code CANCEL.
pub(super) fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())
}

/// Settings and an update that grant every window there is.
pub(super) fn all_windows() -> Vec<u8> {
    let most = 0x7fff_ffff_u32.to_be_bytes();
    let mut bytes = frame(SETTINGS, 0, 0, &[&[0, 4][..], &most].concat());
    bytes.extend(frame(WINDOW_UPDATE, 0, 0, &0x7fff_0000_u32.to_be_bytes()));
    bytes
}

/// A field that isn't put into the table, `length` bytes of value, at least 127.
pub(super) fn literal(name: u8, length: usize) -> Vec<u8> {
    let mut block = vec![0x00, 1, name];
    block.extend(integer(length));
    block.extend(std::iter::repeat_n(b'v', length));
    block
}

/// A field that is put into the table, from where index 62 (the byte 0xbe) repeats it.
pub(super) fn inserted(name: u8, length: usize) -> Vec<u8> {
    let mut block = literal(name, length);
    block[0] = 0x40;
    block
}

/// An integer of at least 127 with a prefix of seven bits (RFC 7541 §5.1).
fn integer(value: usize) -> Vec<u8> {
    let mut left = value - 127;
    let mut bytes = vec![0x7f];
    while left >= 128 {
        bytes.push(u8::try_from(left % 128).unwrap() | 0x80);
        left /= 128;
    }
    bytes.push(u8::try_from(left).unwrap());
    bytes
}
