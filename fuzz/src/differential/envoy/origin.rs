//! The applications behind Envoy.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::task::spawn_local;

use super::process::Address;
use super::wire::{self, As};

/// Answers to be given, by the number in the request's target.
pub(super) type Answers = Rc<RefCell<HashMap<u64, Vec<u8>>>>;

/// Listens, and serves each connection.
#[allow(clippy::disallowed_methods, reason = "applications of a comparison, which end with it")]
fn listen<F: Future<Output = ()> + 'static>(
    address: &Address,
    serve: impl Fn(UnixStream) -> F + 'static,
) -> io::Result<()> {
    let listener = address.listen()?;
    spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            spawn_local(serve(stream));
        }
    });
    Ok(())
}

/// Answers each request with what it saw of it.
pub(super) fn mirror(address: &Address) -> io::Result<()> {
    listen(address, async |mut stream: UnixStream| {
        let mut bytes = Vec::new();
        loop {
            while let Some(read) = wire::message(&bytes, As::Request, false) {
                bytes.drain(..read.used);
                let body = wire::packed(&read.message);
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                // The answer to HEAD tells in a field, since it has no body.
                let answer = if read.message.first == "HEAD" {
                    let seen: String = body.iter().map(|byte| format!("{byte:02x}")).collect();
                    format!("HTTP/1.1 200 OK\r\nx-seen: {seen}\r\ncontent-length: 0\r\n\r\n").into_bytes()
                } else {
                    [head.as_bytes(), &body].concat()
                };
                if stream.write_all(&answer).await.is_err() {
                    return;
                }
            }
            if !matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
                return;
            }
        }
    })
}

/// Answers each request with the bytes that are laid ready for it, and closes.
pub(super) fn scripted(address: &Address, answers: Answers) -> io::Result<()> {
    listen(address, move |mut stream: UnixStream| {
        let answers = Rc::clone(&answers);
        async move {
            let mut bytes = Vec::new();
            while !bytes.ends_with(b"\r\n\r\n") {
                if !matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
                    return;
                }
            }
            let head = String::from_utf8_lossy(&bytes);
            let number =
                head.split(['/', ' ']).nth(2).and_then(|number| number.parse().ok()).unwrap_or_default();
            let answer = answers.borrow_mut().remove(&number).unwrap_or_default();
            let _sent = stream.write_all(&answer).await;
            let _closed = stream.shutdown().await;
            // Until Envoy is done with it: a reset could overtake the bytes.
            while matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
                bytes.clear();
            }
        }
    })
}
