//! Both ends of the proxies: a backend that says what arrived, and a client that sends what it is told, byte for byte.

use std::{
    io::{self, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use leno_testkit::ports::free;
use serde_json::{Value, json};

/// Starts an HTTP/1.1 server that answers every request with what arrived, in the header `x-echo`.
pub(super) fn backend(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind(free()).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || while echo(name, &stream).is_ok_and(|more| more) {});
        }
    });
    address
}

/// Answers one request; whether there was one.
fn echo(name: &str, stream: &TcpStream) -> io::Result<bool> {
    // One byte at a time would be slow, and a reader that is kept would take the next request's bytes: the client sends
    // one request after the other, so nothing is lost.
    let mut reader = BufReader::new(stream);
    let Some((line, headers)) = head(&mut reader)? else { return Ok(false) };
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let echo = json!({"backend": name, "method": method, "target": target, "headers": headers});
    let mut stream = stream;
    stream.write_all(format!("HTTP/1.1 200 OK\r\nx-echo: {echo}\r\ncontent-length: 0\r\n\r\n").as_bytes())?;
    Ok(true)
}

type Head = (String, Vec<(String, String)>);

/// First line and headers, names in lower case; `None` at the end.
fn head(reader: &mut impl io::BufRead) -> io::Result<Option<Head>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut headers = Vec::new();
    loop {
        let mut field = String::new();
        reader.read_line(&mut field)?;
        let Some((name, value)) = field.split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    Ok(Some((line.trim_end().to_owned(), headers)))
}

/// One connection, opened again when the other side has closed it.
pub(super) struct Client {
    address: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// What the backend saw, where one was reached.
    pub(super) fn echo(&self) -> Option<Value> {
        self.header("x-echo").map(|text| serde_json::from_str(text).unwrap())
    }
}

impl Client {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { address, stream: None }
    }

    /// Sends a request without a body and reads the answer.
    pub(super) fn send(&mut self, request: &str) -> Answer {
        let mut stream = self.stream.take().unwrap_or_else(|| {
            let stream = TcpStream::connect(self.address).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            BufReader::new(stream)
        });
        stream.get_mut().write_all(request.as_bytes()).unwrap();
        let head = head(&mut stream).unwrap_or_else(|error| panic!("{error} after {request:?}"));
        let (line, headers) = head.unwrap_or_else(|| panic!("no answer to {request:?}"));
        let status = line.split(' ').nth(1).unwrap().parse().unwrap();
        let answer = Answer { status, headers };
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        if !request.starts_with("HEAD ") {
            stream.read_exact(&mut vec![0; length]).unwrap();
        }
        if answer.header("connection") != Some("close") {
            self.stream = Some(stream);
        }
        answer
    }
}
