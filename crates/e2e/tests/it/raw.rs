//! Clients that send exactly the bytes they are told to, which no library would.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// What came back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    /// 0 where the connection or stream was cut without an answer.
    pub(crate) status: u16,
    body: Vec<u8>,
}

impl Answer {
    /// What the application says about the request; nothing where it didn't see one.
    pub(crate) fn seen(&self, what: &str) -> Option<String> {
        let text = String::from_utf8_lossy(&self.body);
        let json = text.get(text.find('{')?..=text.rfind('}')?)?;
        serde_json::from_str::<Value>(json).ok()?.get(what)?.as_str().map(str::to_owned)
    }
}

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// What comes back of five bytes.
pub(crate) fn echoed(to: SocketAddr) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b"hello")?;
    stream.shutdown(Shutdown::Write)?;
    let mut back = Vec::new();
    stream.read_to_end(&mut back)?;
    Ok(back)
}

/// `GET target` over HTTP/1.1, with these bytes as its header lines.
pub(crate) fn http1(to: SocketAddr, target: &[u8], lines: &[u8]) -> Answer {
    let mut stream = connect(to);
    let request = [b"GET ", target, b" HTTP/1.1\r\n", lines, b"connection: close\r\n\r\n"].concat();
    let mut text = Vec::new();
    // Who refuses may do so before it has read everything.
    let _refused = stream.write_all(&request);
    if let Err(error) = stream.read_to_end(&mut text) {
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{}", target.escape_ascii());
    }
    let head = text.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let Some(head) = head else { return Answer::default() };
    let status = std::str::from_utf8(&text[9..12]).unwrap().parse().unwrap();
    Answer { status, body: text[head + 4..].to_vec() }
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;

/// A request over HTTP/2 with prior knowledge, with exactly these fields (RFC 9113), none of them compressed.
pub(crate) fn http2(to: SocketAddr, fields: &[(&[u8], &[u8])]) -> Answer {
    let mut stream = connect(to);
    let mut block = Vec::new();
    for (name, value) in fields {
        // RFC 7541 §6.2.2: a literal field without indexing, its name not in the table.
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127, "its length fits one byte");
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text);
        }
    }
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    bytes.extend(frame(HEADERS, END_STREAM | 4, 1, &block));
    let _refused = stream.write_all(&bytes);
    exchange(&mut stream).unwrap_or_default()
}

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, stream];
    frame.extend_from_slice(payload);
    frame
}

/// Reads until the answer is complete or the request is refused.
fn exchange(stream: &mut TcpStream) -> io::Result<Answer> {
    let mut answer = Answer::default();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let mut payload =
            vec![0; usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])];
        stream.read_exact(&mut payload)?;
        match head[3] {
            SETTINGS if head[4] == 0 => stream.write_all(&frame(SETTINGS, 1, 0, &[]))?,
            HEADERS if answer.status == 0 => answer.status = status(&payload),
            DATA => answer.body.extend_from_slice(&payload),
            RESET | GOAWAY if answer.status == 0 => return Ok(Answer::default()),
            RESET | GOAWAY => return Ok(answer),
            _ => {}
        }
        if matches!(head[3], HEADERS | DATA) && head[4] & END_STREAM != 0 {
            return Ok(answer);
        }
    }
}

/// The status, which is the first field: one of the table, or the table's name with a value of its own.
fn status(block: &[u8]) -> u16 {
    match *block {
        [0x88, ..] => 200,
        [0x8c, ..] => 400,
        [0x8d, ..] => 404,
        [0x8e, ..] => 500,
        [0x48 | 0x08 | 0x18, length, ref rest @ ..] => {
            let value = &rest[..usize::from(length & 0x7f)];
            if length & 0x80 == 0 {
                std::str::from_utf8(value).unwrap().parse().unwrap()
            } else {
                digits(value)
            }
        }
        _ => panic!("no status at the beginning of {block:?}"),
    }
}

/// Three digits in Huffman's code (RFC 7541 appendix B): 0 to 2 have five bits, the others six.
fn digits(bytes: &[u8]) -> u16 {
    let mut bits = bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| u16::from(byte >> at & 1)));
    let mut number = 0;
    for _digit in 0..3 {
        let mut code = (0..5).fold(0, |code, _| code << 1 | bits.next().unwrap());
        if code > 2 {
            code = (code << 1 | bits.next().unwrap()) - 0b01_1001 + 3;
        }
        number = number * 10 + code;
    }
    number
}

#[test]
fn statuses_are_read_as_they_are_written() {
    assert_eq!(status(&[0x88]), 200);
    assert_eq!(status(b"\x08\x03403"), 403);
    // 403 is 011010 00000 011001, padded with ones.
    assert_eq!(status(&[0x48, 0x83, 0b0110_1000, 0b0000_1100, 0b1111_1111]), 403);
    assert_eq!(digits(&[0b0110_1100, 0b0000_1100, 0b1111_1111]), 503);
}
