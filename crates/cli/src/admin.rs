//! Asking a proxy's admin interface: HTTP over its Unix socket, one question per connection.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::error::Problem;

/// How long an answer may take: a question may wait for the control plane.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest answer taken.
const MAX_ANSWER: u64 = 64 * 1024 * 1024;

/// GET of a path.
pub(crate) async fn get(name: &str, socket: &Path, path: &str) -> Result<String, Problem> {
    ask(name, socket, &format!("GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n")).await
}

/// POST of a body.
pub(crate) async fn post(name: &str, socket: &Path, path: &str, body: &str) -> Result<String, Problem> {
    let length = body.len();
    let head =
        format!("POST {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\ncontent-length: {length}");
    ask(name, socket, &format!("{head}\r\n\r\n{body}")).await
}

async fn ask(name: &str, socket: &Path, request: &str) -> Result<String, Problem> {
    let silent = |source| Problem::NoAnswer { name: name.to_owned(), source };
    let answer = match timeout(PATIENCE, exchange(socket, request)).await {
        Ok(answer) => answer.map_err(silent)?,
        Err(_elapsed) => return Err(silent(io::ErrorKind::TimedOut.into())),
    };
    let (status, body) = split(&answer).ok_or_else(|| silent(io::ErrorKind::InvalidData.into()))?;
    if status == "200" {
        Ok(body.to_owned())
    } else {
        Err(Problem::Refused { name: name.to_owned(), message: body.trim_end().to_owned() })
    }
}

async fn exchange(socket: &Path, request: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Status and body of an answer.
fn split(answer: &str) -> Option<(&str, &str)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?, body))
}
