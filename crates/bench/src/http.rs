//! One GET over HTTP/1.1, for the first answer and for idle connections. Load comes from `leno-sample`.

use std::{
    io::{BufRead, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use crate::limits;

/// Sends one request, reads the whole answer, which must be a success, and returns the open connection.
pub(crate) fn get(address: SocketAddr, path: &str, limit: Duration) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    (&stream).write_all(request(path).as_bytes())?;
    answer(BufReader::new((&stream).take(limits::ANSWER_BYTES)))?;
    Ok(stream)
}

/// The request.
pub(crate) fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", limits::HOST)
}

/// Reads the whole answer, which must be a success.
pub(crate) fn answer(mut reader: impl BufRead) -> Result<()> {
    let length = head(&mut reader)?;
    let read = std::io::copy(&mut reader.take(length), &mut std::io::sink())?;
    if read != length {
        bail!("closed within an answer");
    }
    Ok(())
}

/// Reads the head; the length of the body.
fn head(reader: &mut impl BufRead) -> Result<u64> {
    let (mut status, mut length, mut line) = (None, None, String::new());
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            bail!("closed before the answer's head was complete");
        }
        let text = line.trim_end();
        match (&status, text.split_once(':')) {
            (None, _) => status = Some(text.to_owned()),
            (Some(_), Some((name, value))) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse::<u64>().ok();
            }
            _ if text.is_empty() => break,
            _ => {}
        }
    }
    let status = status.unwrap_or_default();
    if !status.starts_with("HTTP/1.1 200") {
        bail!("answered {status:?}");
    }
    length.context("the answer has no length")
}

/// Opens connections that have each done one request, so that every proxy on the way holds its state.
pub(crate) fn idle(address: SocketAddr, path: &str, connections: u16) -> Result<Vec<TcpStream>> {
    let open = |number| {
        get(address, path, limits::SLACK)
            .with_context(|| format!("can't open idle connection {number} of {connections}"))
    };
    (1..=connections).map(open).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read() {
        for (bytes, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", Ok(7)),
            ("HTTP/1.1 200 OK\r\n\r\n", Err("no length")),
            ("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n", Err("503")),
            ("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n", Err("closed")),
            ("", Err("closed")),
        ] {
            let read = head(&mut bytes.as_bytes()).map_err(|error| error.to_string());
            match expected {
                Ok(length) => assert_eq!(read.unwrap(), length),
                Err(part) => assert!(read.clone().unwrap_err().contains(part), "{read:?}"),
            }
        }
    }
}
