//! The stock protocol: lines over TCP, where the server speaks first.
//!
//! ```text
//! S: STOCK/1 stock v1            greeting: protocol, service, version
//! C: COUNT 3
//! S: OK 3 count=9 sold=143 shelf=D2
//! C: BYE
//! S: BYE                         and the server closes
//! ```
//! What isn't understood is answered by a line that starts with `ERR`. Lines end with LF; a CR before it is ignored.

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};

use crate::books;
use crate::limits;

/// First word of the greeting.
pub(crate) const GREETING: &str = "STOCK/1";

/// Why a conversation ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StockError {
    #[error("the stock connection failed")]
    Io(#[from] std::io::Error),
    #[error("the stock service closed the connection")]
    Closed,
    #[error("a line is longer than {} bytes", limits::LINE_BYTES)]
    Long,
    #[error("expected a greeting that starts with {GREETING:?}, got {0:?}")]
    Greeting(String),
    #[error("stock answered {0:?}")]
    Refused(String),
}

/// Reads one line without its end; `None` at a clean end of the stream. Not cancel-safe.
pub(crate) async fn read_line(io: &mut (impl AsyncBufRead + Unpin)) -> Result<Option<String>, StockError> {
    let mut line = Vec::new();
    loop {
        let available = io.fill_buf().await?;
        if available.is_empty() {
            return if line.is_empty() { Ok(None) } else { Err(StockError::Closed) };
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let taken = end.unwrap_or(available.len());
        line.extend_from_slice(available.get(..taken).unwrap_or_default());
        io.consume(end.map_or(taken, |end| end + 1));
        if line.len() > limits::LINE_BYTES {
            return Err(StockError::Long);
        }
        if end.is_some() {
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
        }
    }
}

/// What the server says next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Line(String),
    Bye,
}

/// The server's reply to one line.
pub(crate) fn reply(line: &str) -> Reply {
    let mut words = line.split_ascii_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some("COUNT"), Some(id), None) => Reply::Line(count(id)),
        (Some("BYE"), None, None) => Reply::Bye,
        (Some("COUNT"), ..) => Reply::Line("ERR usage: COUNT BOOK".to_owned()),
        _ => Reply::Line("ERR unknown command; COUNT BOOK or BYE".to_owned()),
    }
}

fn count(id: &str) -> String {
    match id.parse().ok().and_then(books::find) {
        Some(book) => format!("OK {} count={} sold={} shelf={}", book.id, book.copies, book.sold, book.shelf),
        None => "ERR no such book".to_owned(),
    }
}

/// Service and version in a greeting.
pub(crate) fn greeted(line: &str) -> Result<(&str, &str), StockError> {
    let mut words = line.split_ascii_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some(GREETING), Some(service), Some(version)) => Ok((service, version)),
        _ => Err(StockError::Greeting(line.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies() {
        for (line, expected) in [
            ("COUNT 3", "OK 3 count=9 sold=143 shelf=D2"),
            ("COUNT 99", "ERR no such book"),
            ("COUNT three", "ERR no such book"),
            ("COUNT", "ERR usage: COUNT BOOK"),
            ("COUNT 1 2", "ERR usage: COUNT BOOK"),
            ("", "ERR unknown command; COUNT BOOK or BYE"),
            ("GET / HTTP/1.1", "ERR unknown command; COUNT BOOK or BYE"),
        ] {
            assert_eq!(reply(line), Reply::Line(expected.to_owned()), "{line}");
        }
        assert_eq!(reply("BYE"), Reply::Bye);
    }

    #[test]
    fn greetings() {
        assert_eq!(greeted("STOCK/1 stock v2").unwrap(), ("stock", "v2"));
        for line in ["", "STOCK/1", "STOCK/2 stock v1", "SSH-2.0-x y z"] {
            assert!(greeted(line).is_err(), "{line}");
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn lines() {
        let mut input: &[u8] = b"one\r\ntwo\n\nlast";
        let mut read = Vec::new();
        while let Ok(Some(line)) = read_line(&mut input).await {
            read.push(line);
        }
        assert_eq!(read, ["one", "two", ""]);
        let long = vec![b'x'; limits::LINE_BYTES + 1];
        assert!(matches!(read_line(&mut long.as_slice()).await, Err(StockError::Long)));
        assert!(matches!(read_line(&mut &b"half"[..]).await, Err(StockError::Closed)));
    }
}
