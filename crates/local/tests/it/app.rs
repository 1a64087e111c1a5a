//! What runs as a workload, or inside a workload's world.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    time::Duration,
};

use crate::{escapes, world::eventually};

const TIMEOUT: Duration = Duration::from_secs(5);

/// Runs an application role and returns its exit code.
pub(crate) fn run(words: &[&str]) -> i32 {
    match words {
        ["serve", port] => serve(port, "ok"),
        ["unwell", port] => serve(port, "unwell"),
        ["idle"] => idle(),
        ["crash", code] => code.parse().unwrap(),
        ["crash-once", marker] => crash_once(marker),
        ["say", text @ ..] => {
            println!("{}", text.join(" "));
            0
        }
        ["connect", address] => connect(address),
        ["ask-dns"] => ask_dns(),
        ["send-udp", address] => send_udp(address),
        ["file", path] => {
            print!("{}", fs::read_to_string(path).unwrap());
            0
        }
        ["list", path] => list(path),
        ["forks"] => forks(),
        ["attempt", name, rest @ ..] => escapes::attempt(name, rest),
        other => panic!("no app {other:?}"),
    }
}

/// A minimal HTTP server: 200 for everything, 500 while the file `/tmp/unwell` exists.
fn serve(port: &str, word: &str) -> i32 {
    println!("{word} {port}");
    let listener = TcpListener::bind(("127.0.0.1", port.parse().unwrap())).unwrap();
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let status = if fs::exists("/tmp/unwell").unwrap() { "500 Unwell" } else { "200 OK" };
        let mut buffer = [0; 1024];
        // Checks of the port only connect.
        if stream.read(&mut buffer).is_ok_and(|length| length > 0) {
            let _told = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        }
    }
    0
}

fn idle() -> i32 {
    println!("idle");
    loop {
        std::thread::park();
    }
}

/// Crashes when it runs for the first time.
fn crash_once(marker: &str) -> i32 {
    if fs::File::create_new(marker).is_ok() {
        eprintln!("crashing");
        return 3;
    }
    idle()
}

/// Prints what the other side says first.
fn connect(address: &str) -> i32 {
    let mut stream = TcpStream::connect_timeout(&address.parse().unwrap(), TIMEOUT).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    print!("{text}");
    0
}

/// Asks the first name server of `resolv.conf`, as the C library would.
fn ask_dns() -> i32 {
    let resolv = fs::read_to_string("/etc/resolv.conf").unwrap();
    let server = resolv.lines().find_map(|line| line.strip_prefix("nameserver ")).unwrap();
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_read_timeout(Some(TIMEOUT)).unwrap();
    socket.connect((server, 53)).unwrap();
    socket.send(b"?").unwrap();
    let mut buffer = [0; 16];
    let length = socket.recv(&mut buffer).unwrap();
    println!("{}", String::from_utf8_lossy(&buffer[..length]));
    0
}

fn send_udp(address: &str) -> i32 {
    let socket = UdpSocket::bind(if address.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" }).unwrap();
    match socket.send_to(b"?", address) {
        Ok(_) => println!("sent"),
        Err(error) => println!("{:?}", error.kind()),
    }
    0
}

fn list(path: &str) -> i32 {
    let mut names: Vec<String> =
        fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    println!("{}", names.join(" "));
    0
}

/// Leaves orphans, which end with their world.
fn forks() -> i32 {
    let own = std::env::current_exe().unwrap();
    for _ in 0..3 {
        let script = format!("{} play app idle & exit 0", own.display());
        assert!(std::process::Command::new("/bin/sh").args(["-c", &script]).status().unwrap().success());
    }
    eventually("orphans run", || {
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let count =
            processes.filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok()).count();
        // The first process, this one, and three orphans.
        (count >= 5).then_some(())
    });
    idle()
}
