//! The roles of this binary: Leno's parts as the real binary wires them, and fakes of what the mesh starts.

use std::{
    fs,
    io::{self, Write},
    net::{TcpListener, UdpSocket},
    os::{fd::OwnedFd, unix::net::UnixStream as StdUnixStream},
    path::PathBuf,
};

use leno_capture::{process, socket};
use leno_local::{
    client,
    handoff::{self, Sidecar},
    up::{self, Arguments, Options, Program},
    vault::{self, Frame},
};
use leno_runtime::LocalRuntime;
use tokio::{io::AsyncWriteExt, net::UnixStream};

use crate::{app, escapes, world::PLAY};

/// Plays a role and returns the exit code.
pub(crate) fn play(role: &[String]) -> i32 {
    let words: Vec<&str> = role.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["up"] => report(run_up()),
        ["supervisor", handoff::BOOTSTRAP_ARGUMENT, fd] => {
            report(leno_local::supervisor::main(fd.parse().unwrap()))
        }
        ["init", handoff::BOOTSTRAP_ARGUMENT, fd] => report(leno_local::init::main(fd.parse().unwrap())),
        ["janitor", handoff::BOOTSTRAP_ARGUMENT, fd] => {
            report(leno_local::janitor::main(fd.parse().unwrap()))
        }
        ["sidecar", handoff::BOOTSTRAP_ARGUMENT, fd] => fake_sidecar(fd.parse().unwrap()),
        ["control", handoff::BOOTSTRAP_ARGUMENT, fd] => fake_control(fd.parse().unwrap()),
        ["status"] => {
            report(client::status("m").map(|status| println!("{}", serde_json::to_string(&status).unwrap())))
        }
        ["logs", workload] => report(client::logs("m", vec![(*workload).to_owned()], false, None, |line| {
            let line = line.unwrap();
            println!("{:?} {}", line.stream, line.text);
            true
        })),
        ["restart", workload] => report(client::restart("m", workload)),
        ["down"] => report(client::down("m")),
        ["exec", workload, words @ ..] => {
            let exec = client::Exec {
                words: words.iter().map(|word| (*word).to_owned()).collect(),
                ..Default::default()
            };
            match client::exec("m", workload, exec) {
                Ok(code) => code,
                Err(error) => report::<()>(Err(error)),
            }
        }
        ["app", words @ ..] => app::run(words),
        ["outside", name, rest @ ..] => escapes::attempt(name, rest),
        other => panic!("no role {other:?}"),
    }
}

fn report<T>(result: Result<T, impl std::error::Error>) -> i32 {
    let Err(error) = result else { return 0 };
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    eprintln!("{text}");
    70
}

fn run_up() -> Result<(), up::Error> {
    let directory = PathBuf::from(std::env::var_os("LENO_TEST").unwrap());
    let file = directory.join("project/mesh.json");
    let part = |name: &str| [PLAY, name].map(Into::into).to_vec();
    up::run(Options {
        mode: leno_local::mesh::Mode::Isolated,
        mesh: serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap(),
        directory: directory.join("project"),
        protected: vec![file, directory.join("project/config")],
        arguments: Arguments {
            supervisor: part("supervisor"),
            init: part("init"),
            janitor: part("janitor"),
            sidecar: part("sidecar"),
        },
        programs: vec![Program {
            name: "control".to_owned(),
            takes_over: false,
            arguments: part("control"),
            document: Box::new(|context, handover| {
                fs::write(context.state.join("ca.key"), "secret").unwrap();
                Ok(serde_json::json!({"vault": handover.vault()}))
            }),
        }],
        renewal: handoff::Renewal::default(),
        terminal: Box::new(io::stdout()),
        print: up::Print::Plain,
        metrics: None,
        observer: Box::new(|_status, _context| {}),
        in_effect: Box::new(|_context| Box::pin(async { Vec::new() })),
        edits: None,
    })
}

#[derive(serde::Deserialize)]
struct ControlDocument {
    vault: i32,
}

/// Says that it is ready, and ends when told to drain.
fn fake_control(bootstrap: i32) -> i32 {
    let document: ControlDocument = handoff::take(bootstrap).unwrap();
    let vault = handoff::adopt(document.vault).unwrap();
    LocalRuntime::new().unwrap().block_on(async {
        let mut stream = open_vault(vault);
        vault::write(&mut stream, &Frame::Ready).await.unwrap();
        while let Some(frame) = vault::read(&mut stream).await.unwrap() {
            if frame == Frame::Drain {
                return;
            }
        }
    });
    0
}

fn open_vault(fd: OwnedFd) -> UnixStream {
    let stream = StdUnixStream::from(fd);
    stream.set_nonblocking(true).unwrap();
    UnixStream::from_std(stream).unwrap()
}

/// Tells every captured connection where it was going, answers every DNS question with `dns`, and counts its
/// starts in the vault.
fn fake_sidecar(bootstrap: i32) -> i32 {
    let document: Sidecar = handoff::take(bootstrap).unwrap();
    process::set_name("sidecar").unwrap();
    let adopt = |fds: &[i32]| fds.iter().map(|&fd| handoff::adopt(fd).unwrap()).collect::<Vec<_>>();
    let vault = handoff::adopt(document.vault).unwrap();
    let (outbound, dns_udp) = (adopt(&document.sockets.outbound), adopt(&document.sockets.dns_udp));
    let inbound = handoff::adopt(document.sockets.inbound).unwrap();
    for listener in outbound.into_iter().map(TcpListener::from) {
        listener.set_nonblocking(false).unwrap();
        leno_runtime::spawn_thread("outbound", move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let original = socket::original_destination(&stream).unwrap();
                // A client that only connects may be gone.
                let _told = writeln!(stream, "captured {original}");
            }
        })
        .unwrap();
    }
    for socket in dns_udp.into_iter().map(UdpSocket::from) {
        socket.set_nonblocking(false).unwrap();
        leno_runtime::spawn_thread("dns", move || {
            let mut buffer = [0; 512];
            while let Ok((_, from)) = socket.recv_from(&mut buffer) {
                socket.send_to(b"dns", from).unwrap();
            }
        })
        .unwrap();
    }
    LocalRuntime::new().unwrap().block_on(async move {
        let mut stream = open_vault(vault);
        let mut starts = 0_u8;
        loop {
            match vault::read(&mut stream).await.unwrap() {
                Some(Frame::Put { name, blob }) if name == "starts" => starts = blob[0],
                Some(Frame::End) => break,
                other => panic!("unexpected {other:?}"),
            }
        }
        starts += 1;
        println!("sidecar start {starts} of {}", document.workload.name);
        let count = Frame::Put { name: "starts".to_owned(), blob: vec![starts] };
        vault::write(&mut stream, &count).await.unwrap();
        vault::write(&mut stream, &Frame::Ready).await.unwrap();
        stream.flush().await.unwrap();
        drop(inbound);
        // Told to drain, or the supervisor is gone.
        vault::read(&mut stream).await.unwrap();
    });
    0
}
