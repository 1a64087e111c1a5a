//! Answers clients (`leno status`, `logs`, `restart`, `exec`, `down`) on the mesh's control socket.
//!
//! Whoever can open the socket may do everything; the directory around it is the user's alone, and what
//! the kernel says of the peer is checked besides.

use std::{cell::Cell, io, os::fd::OwnedFd, rc::Rc};

use leno_capture::descriptor;
use rustix::process::Signal;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Interest},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};

use super::{Mesh, Shared, edit, member, output::Ring};
use crate::{
    directory,
    limits::{CLIENT_WAIT, CLIENTS, MESSAGE_BYTES},
    link::{End, Order},
    protocol::{Answer, Envelope, Line, Passed, Request, VERSION},
};

/// Opens the control socket.
pub(super) fn listen(mesh: &Mesh) -> io::Result<UnixListener> {
    let path = mesh.context.runtime.join("up.sock");
    directory::check_socket_path(&path).map_err(io::Error::other)?;
    UnixListener::bind(path)
}

/// Serves clients for ever.
pub(super) async fn serve(mesh: Rc<Mesh>, listener: UnixListener) {
    let clients = Rc::new(Cell::new(0_usize));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors: others will end soon.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            continue;
        };
        if clients.get() >= CLIENTS || !is_ours(&stream) {
            continue;
        }
        clients.set(clients.get() + 1);
        let (mesh, clients) = (Rc::clone(&mesh), Rc::clone(&clients));
        let serving = leno_runtime::spawn_local("client", async move {
            // A client that is gone needs no answer.
            let _gone = answer(&mesh, stream).await;
            clients.set(clients.get() - 1);
        });
        serving.detach();
    }
}

/// Whether the peer is this user, or root.
fn is_ours(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
}

async fn answer(mesh: &Rc<Mesh>, stream: UnixStream) -> io::Result<()> {
    let received = timeout(CLIENT_WAIT, receive(&stream)).await;
    let (read, mut write) = stream.into_split();
    let (request, streams) = match received {
        Ok(Ok(received)) => received,
        Ok(Err(error)) => return fail(&mut write, &error.to_string()).await,
        Err(_elapsed) => return fail(&mut write, "the request took too long to arrive").await,
    };
    match request {
        Request::Status => tell(&mut write, &Answer::Status(mesh.status())).await,
        Request::Logs { workloads, follow, lines } => match sources(mesh, &workloads) {
            Ok(sources) => logs(mesh, &sources, follow, lines, &mut write).await,
            Err(reason) => fail(&mut write, &reason).await,
        },
        Request::Restart { workload } => {
            if let Some(program) = mesh.program(&workload) {
                return match program.renewed().await {
                    Ok(()) => tell(&mut write, &Answer::Done).await,
                    Err(reason) => fail(&mut write, &reason).await,
                };
            }
            let members = mesh.find(&workload);
            if members.is_empty() {
                return fail(&mut write, &unknown(mesh, &workload)).await;
            }
            if members.iter().any(|member| !member.is_supervised()) {
                return fail(&mut write, "its supervisor is just starting; try again").await;
            }
            leno_runtime::spawn_local("restart", edit::restart(Rc::clone(mesh), members)).detach();
            tell(&mut write, &Answer::Done).await
        }
        Request::Exec { .. } => exec(mesh, request, streams, read, &mut write).await,
        Request::Down => {
            mesh.stop.send_replace(true);
            tell(&mut write, &Answer::Done).await?;
            // The connection ends with this process.
            std::future::pending().await
        }
    }
}

fn unknown(mesh: &Mesh, name: &str) -> String {
    let members = mesh.context.members();
    let mut names: Vec<&str> = members.iter().map(|member| member.replica.workload.as_str()).collect();
    names.dedup();
    format!("no workload {name:?} in mesh {:?}; there are: {}", mesh.context.mesh, names.join(", "))
}

async fn tell(write: &mut OwnedWriteHalf, answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer).map_err(io::Error::other)?;
    line.push(b'\n');
    write.write_all(&line).await
}

async fn fail(write: &mut OwnedWriteHalf, reason: &str) -> io::Result<()> {
    tell(write, &Answer::Failed(reason.to_owned())).await
}

/// Reads the request line, and the descriptors that come along.
async fn receive(stream: &UnixStream) -> io::Result<(Request, Vec<OwnedFd>)> {
    let mut line = Vec::new();
    let mut descriptors = Vec::new();
    let mut buffer = vec![0; 8192];
    while line.last() != Some(&b'\n') {
        stream.readable().await?;
        let received = stream.try_io(Interest::READABLE, || descriptor::receive(stream, &mut buffer));
        let (length, more) = match received {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            other => other?,
        };
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.extend(buffer.get(..length).unwrap_or_default());
        descriptors.extend(more);
        if line.len() > MESSAGE_BYTES || descriptors.len() > 3 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the request is too large"));
        }
    }
    let version = serde_json::from_slice::<serde_json::Value>(&line)
        .ok()
        .and_then(|value| value.get("version")?.as_u64());
    if version != Some(u64::from(VERSION)) {
        let text = format!("this mesh's leno speaks version {VERSION}; use the same leno for both");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let envelope: Envelope = serde_json::from_slice(&line)?;
    Ok((envelope.request, descriptors))
}

/// Something with lines.
enum Source {
    Member(Rc<member::Keeper>),
    Program(Rc<super::program::Keeper>),
    Notes,
}

impl Source {
    fn ring<'a>(&'a self, mesh: &'a Mesh) -> &'a Shared<Ring> {
        match self {
            Self::Member(member) => &member.log,
            Self::Program(program) => &program.log,
            Self::Notes => mesh.output.notes(),
        }
    }
}

/// Whose lines are wanted.
fn sources(mesh: &Mesh, names: &[String]) -> Result<Vec<Source>, String> {
    if names.is_empty() {
        let members = mesh.members().into_iter().map(Source::Member);
        return Ok(members.chain([Source::Notes]).collect());
    }
    let mut sources = Vec::new();
    for name in names {
        let program = mesh.programs.iter().find(|program| program.name() == name);
        let found: Vec<Source> = match program {
            Some(program) => vec![Source::Program(Rc::clone(program))],
            None => mesh.find(name).into_iter().map(Source::Member).collect(),
        };
        if found.is_empty() {
            return Err(unknown(mesh, name));
        }
        sources.extend(found);
    }
    Ok(sources)
}

async fn logs(
    mesh: &Mesh,
    sources: &[Source],
    follow: bool,
    last: Option<usize>,
    write: &mut OwnedWriteHalf,
) -> io::Result<()> {
    let mut news = mesh.output.subscribe();
    let mut seen = vec![0; sources.len()];
    let mut first_round = true;
    loop {
        news.borrow_and_update();
        let mut lines: Vec<(u64, Line)> = Vec::new();
        for (source, seen) in sources.iter().zip(&mut seen) {
            let (skipped, new) = source.ring(mesh).borrow().after(*seen);
            *seen += skipped + u64::try_from(new.len()).unwrap_or(0);
            if skipped > 0 && !first_round {
                tell(write, &Answer::Skipped(skipped)).await?;
            }
            lines.extend(new);
        }
        lines.sort_by_key(|(number, _)| *number);
        let wanted = last.filter(|_| first_round).unwrap_or(usize::MAX);
        first_round = false;
        for (_, line) in lines.split_off(lines.len().saturating_sub(wanted)) {
            tell(write, &Answer::Line(line)).await?;
        }
        if !follow || news.changed().await.is_err() {
            return Ok(());
        }
    }
}

async fn exec(
    mesh: &Mesh,
    request: Request,
    streams: Vec<OwnedFd>,
    read: OwnedReadHalf,
    write: &mut OwnedWriteHalf,
) -> io::Result<()> {
    let Request::Exec { workload, words, workdir, terminal, variables } = request else { return Ok(()) };
    let Some(member) = mesh.find(&workload).into_iter().next() else {
        return fail(write, &unknown(mesh, &workload)).await;
    };
    if streams.len() != 3 {
        return fail(write, "the standard streams are missing").await;
    }
    let (id, end) = member.expect();
    if !member.order(Order::Exec { id, words, workdir, terminal, variables }, streams).await {
        return fail(write, "its supervisor is just starting; try again").await;
    }
    let passing = pass(&member, id, read);
    tokio::pin!(passing, end);
    let end = tokio::select! {
        end = &mut end => end,
        () = &mut passing => {
            // The client is gone, and with it the reason to go on.
            member.order(Order::Signal { id, signal: Signal::KILL.as_raw() }, Vec::new()).await;
            return Ok(());
        }
    };
    match end {
        Ok(End::Code(code)) => tell(write, &Answer::Ended(code)).await,
        Ok(End::Signal(signal)) => tell(write, &Answer::Ended(128 + signal)).await,
        Ok(End::NotStarted(reason)) => fail(write, &reason).await,
        Ok(End::WorldEnded) | Err(_) => fail(write, "the workload ended, and this with it").await,
    }
}

/// Passes signals on until the client is gone.
async fn pass(member: &member::Keeper, id: u64, read: OwnedReadHalf) {
    let mut lines = BufReader::with_capacity(256, read).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Ok(Passed::Signal(signal)) = serde_json::from_str(&line) {
            member.order(Order::Signal { id, signal }, Vec::new()).await;
        }
    }
}
