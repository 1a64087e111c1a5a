//! The frames of floods.

use leno_testkit::frames::{Frame, HEADERS, RST_STREAM, SETTINGS, block};

const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    Frame { kind, flags, stream, payload: payload.to_vec() }.bytes()
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

/// A field that isn't put into the table, `length` bytes of value.
pub(super) fn literal(name: u8, length: usize) -> Vec<u8> {
    block(&[(&[name], &vec![b'v'; length])])
}

/// A field that is put into the table, from where index 62 (the byte 0xbe) repeats it.
pub(super) fn inserted(name: u8, length: usize) -> Vec<u8> {
    let mut block = literal(name, length);
    block[0] = 0x40;
    block
}
