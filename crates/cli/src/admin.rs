//! Asking a proxy's admin interface: HTTP over its Unix socket, one question per connection.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use leno_local::directory;
use leno_local::protocol::Status;

/// How long an answer may take: a question may wait for the control plane.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest answer taken.
const MAX_ANSWER: u64 = 64 * 1024 * 1024;

/// The admin socket of a replica, or of the mesh's gateway.
pub(crate) fn socket(mesh: &str, status: &Status, name: &str) -> anyhow::Result<PathBuf> {
    let runtime = directory::runtime(mesh);
    if status.programs.iter().any(|program| program.name == name) {
        return Ok(runtime.join(format!("{name}.admin")));
    }
    let of_workload = |replica: &&leno_local::protocol::ReplicaStatus| replica.workload == name;
    let by_name = status.replicas.iter().find(|replica| replica.name == name);
    let replica = by_name
        .or_else(|| status.replicas.iter().find(of_workload))
        .or_else(|| status.replicas.iter().find(|replica| replica.service.as_deref() == Some(name)));
    match replica {
        Some(replica) => Ok(runtime.join("s").join(format!("{}.admin", replica.name))),
        None => {
            let known: Vec<_> = status.replicas.iter().map(|replica| replica.name.as_str()).collect();
            bail!("mesh {mesh:?} has no workload {name:?}; there are {}", known.join(", "))
        }
    }
}

/// GET of a path.
pub(crate) fn get(socket: &Path, path: &str) -> anyhow::Result<String> {
    ask(socket, &format!("GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n"))
}

/// POST of a body.
pub(crate) fn post(socket: &Path, path: &str, body: &str) -> anyhow::Result<String> {
    let length = body.len();
    ask(
        socket,
        &format!(
            "POST {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        ),
    )
}

fn ask(socket: &Path, request: &str) -> anyhow::Result<String> {
    let failed = || format!("the proxy at {} does not answer; see `leno status`", socket.display());
    let mut stream = UnixStream::connect(socket).with_context(failed)?;
    stream.set_read_timeout(Some(PATIENCE)).with_context(failed)?;
    stream.write_all(request.as_bytes()).with_context(failed)?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer).with_context(failed)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").with_context(failed)?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status == "200" { Ok(body.to_owned()) } else { bail!("{}", body.trim_end()) }
}
