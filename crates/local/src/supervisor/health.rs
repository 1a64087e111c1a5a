//! Health checks, made where the workload is: in its network, and commands in its world.

use std::{io, net::SocketAddr, os::fd::OwnedFd, time::Instant};

use leno_capture::socket;
use rustix::process::Signal;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    sync::watch,
    time::{sleep, timeout},
};

use super::{Keeper, network::MARK, world::World};
use crate::{
    handoff::{Check, Health, Process},
    limits::{HEALTH_ANSWER_BYTES, STARTING_PATIENCE},
    link::{End, Report},
};

/// Whether the workload is well, as far as is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wellness {
    /// No check has passed yet.
    Unknown,
    Well,
    /// Checks failed as often in a row as is too often; why the last one did.
    Unwell(String),
}

/// Checks again and again, and tells of changes. Returns only when there is nothing more to check.
pub(super) async fn watch(
    keeper: &Keeper,
    world: &World,
    health: &Health,
    wellness: &watch::Sender<Wellness>,
) {
    let begun = Instant::now();
    let mut patient = true;
    let mut failures = 0;
    loop {
        let outcome = timeout(health.timeout.0, check(keeper, world, &health.check)).await;
        let outcome = outcome.unwrap_or_else(|_elapsed| Err(format!("no answer within {}", health.timeout)));
        let known = *wellness.borrow() != Wellness::Unknown;
        match outcome {
            Ok(()) => {
                failures = 0;
                set(wellness, Wellness::Well);
            }
            Err(reason) if known => {
                failures += 1;
                if failures >= health.failures {
                    set(wellness, Wellness::Unwell(reason));
                }
            }
            Err(reason) if patient && begun.elapsed() >= STARTING_PATIENCE => {
                patient = false;
                keeper.report(Report::Note(format!("not ready yet: {reason}"))).await;
            }
            Err(_still_starting) => {}
        }
        let starting = *wellness.borrow() == Wellness::Unknown;
        match (starting, health.interval) {
            (true, _) => sleep(health.starting_interval.0).await,
            (false, Some(interval)) => sleep(interval.0).await,
            (false, None) => return,
        }
    }
}

fn set(wellness: &watch::Sender<Wellness>, value: Wellness) {
    wellness.send_if_modified(|current| {
        let changed = std::mem::discriminant(current) != std::mem::discriminant(&value);
        *current = value;
        changed
    });
}

async fn check(keeper: &Keeper, world: &World, check: &Check) -> Result<(), String> {
    match check {
        Check::Tcp { port } => connect(keeper, *port).await.map(|_connected| ()),
        Check::Http { port, path } => get(connect(keeper, *port).await?, path).await,
        Check::Command { words } => command(keeper, world, words).await,
    }
}

/// Connects to a port on loopback, else on one of the workload's own addresses, past the rules.
async fn connect(keeper: &Keeper, port: u16) -> Result<TcpStream, String> {
    let loopback = ["127.0.0.1", "::1"].into_iter().filter_map(|ip| ip.parse().ok());
    let mut last = None;
    let is_captured = keeper.plan.place.is_none();
    let own = keeper.plan.replica.addresses.iter().copied().filter(|_| is_captured);
    for ip in loopback.chain(own) {
        match connect_past_rules(SocketAddr::new(ip, port), is_captured).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = last.or(Some(error)),
        }
    }
    let reason = last.map_or_else(String::new, |error| format!(": {error}"));
    Err(format!("no connection to port {port}{reason}"))
}

async fn connect_past_rules(address: SocketAddr, is_captured: bool) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if is_captured {
        socket::set_mark(&socket, MARK)?;
    }
    socket.connect(address).await
}

/// Asks for a path and looks at the status line.
async fn get(mut stream: TcpStream, path: &str) -> Result<(), String> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: leno-health\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
    let mut answer = Vec::new();
    while !answer.contains(&b'\n') && answer.len() < HEALTH_ANSWER_BYTES {
        let read = stream.read_buf(&mut answer).await.map_err(|error| error.to_string())?;
        if read == 0 {
            break;
        }
    }
    match status(&answer) {
        Some(200..400) => Ok(()),
        Some(status) => Err(format!("status {status} from {path}")),
        None => Err(format!("no HTTP answer from {path}")),
    }
}

/// The status of an HTTP/1 answer.
fn status(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|&byte| byte == b'\n').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    words.next().filter(|status| status.len() == 3)?.parse().ok()
}

async fn command(keeper: &Keeper, world: &World, words: &[String]) -> Result<(), String> {
    let null = || std::fs::File::options().read(true).write(true).open("/dev/null").map(OwnedFd::from);
    let streams = || Ok::<_, io::Error>([null()?, null()?, null()?]);
    let streams = streams().map_err(|error| error.to_string())?;
    let process = Process { words: words.to_vec(), signal_group: true, ..keeper.plan.process.clone() };
    let id = world.number();
    let killer = KillOnDrop { world, id };
    let end = world.run(id, process, &streams).await;
    std::mem::forget(killer);
    match end {
        End::Code(0) => Ok(()),
        end => Err(format!("{} {end}", words.first().map_or("", String::as_str))),
    }
}

/// Ends a check's command when its time is over.
struct KillOnDrop<'a> {
    world: &'a World,
    id: u64,
}

impl Drop for KillOnDrop<'_> {
    fn drop(&mut self) {
        self.world.signal_now(self.id, Signal::KILL.as_raw());
    }
}

#[cfg(test)]
mod tests {
    use super::status;

    #[test]
    fn statuses() {
        let cases: [(&[u8], Option<u16>); 8] = [
            (b"HTTP/1.1 200 OK\r\n", Some(200)),
            (b"HTTP/1.0 503\r\n", Some(503)),
            (b"HTTP/1.1 200", Some(200)),
            (b"HTTP/2 200\r\n", None),
            (b"SSH-2.0-x\r\n", None),
            (b"HTTP/1.1 20 OK\r\n", None),
            (b"\xff\xfe\n", None),
            (b"", None),
        ];
        for (answer, expected) in cases {
            assert_eq!(status(answer), expected, "{answer:?}");
        }
    }
}
