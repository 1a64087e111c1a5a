//! What an onlooker between sidecars sees: TLS 1.3, and with the keys of a test the identities of both ends.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::{Shutdown, TcpListener},
    os::unix::{
        fs::{MetadataExt as _, chown},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
};

use leno_testkit::mesh::{Declaration, Mesh, eventually, free_port};

use crate::tls::{self, KeyLog};

/// By this word the application's bytes are told from others.
const SECRET: &str = "a-secret-of-the-application";

/// X25519MLKEM768.
const POST_QUANTUM: u16 = 0x11ec;

#[test]
fn a_relay_on_every_mesh_socket_sees_only_tls_and_with_the_keys_both_identities() {
    let name = "recorded";
    let host = host_server();
    let published = free_port();
    let mesh = Declaration::new(name)
        .leno(Path::new(env!("CARGO_BIN_EXE_leno-with-key-log")))
        .spec(&format!(
            "services:
  - {{name: hello, port: 80, protocol: http, publish: {published}}}
  - {{name: echo, port: 7000}}
workloads:
  - {{service: hello, command: [leno-sample, serve, hello, '--listen=http://:80']}}
  - {{service: echo, command: [leno-sample, serve, echo, '--listen=echo://:7000']}}
  - {{name: caller, hostAccess: [{host}], command: [sleep, infinity]}}"
        ))
        .start();
    let relays = relays(&mesh, name);
    let sockets: Vec<&str> = relays.keys().map(String::as_str).collect();
    assert_eq!(sockets, ["caller.in", "echo.in", "egress.sock", "hello.in"], "every socket of the mesh");

    let secret = format!("X-Secret: {SECRET}");
    let mut visitor = mesh.program("leno-sample");
    visitor.args(["call", "-H", &secret]).arg(format!("http://127.0.0.1:{published}/"));
    called(visitor.output());
    called(Ok(mesh.sample("caller", &["call", "-H", &secret, "http://hello/"])));
    called(Ok(mesh.sample("caller", &["call", "echo://echo:7000", "-d", SECRET])));
    let outside = format!("http://host.leno.internal:{host}/");
    called(Ok(mesh.sample("caller", &["call", "-H", &secret, &outside])));

    let keys = KeyLog::read(&mesh.folder().join("run/keys.log"));
    let expected = [
        ("hello.in", "gateway", "hello"),
        ("hello.in", "caller", "hello"),
        ("echo.in", "caller", "echo"),
        ("egress.sock", "caller", "gateway"),
    ];
    for (socket, client, server) in expected {
        eventually(&format!("{client} calls {server}"), || seen(&relays[socket], &keys, client, server));
    }
    assert!(relays["caller.in"].lock().unwrap().is_empty(), "nobody calls who serves nothing");
}

fn called(output: std::io::Result<std::process::Output>) {
    let output = output.unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// One connection of these has both identities and carried the secret; all of them are TLS with post-quantum keys.
fn seen(recorded: &Recorded, keys: &KeyLog, client: &str, server: &str) -> Result<(), String> {
    let identity = |account: &str| vec![format!("spiffe://cluster.local/ns/default/sa/{account}")];
    let mut found = Vec::new();
    for connection in recorded.lock().unwrap().iter() {
        let Connection { sent, received } = &*connection.lock().unwrap();
        for bytes in [sent, received] {
            assert!(!has_secret(bytes), "the secret is in clear");
        }
        let opened = tls::open(sent, received, keys);
        assert_eq!(opened.group, POST_QUANTUM);
        found.push((
            opened.client == identity(client),
            opened.server == identity(server),
            has_secret(&opened.sent) && !opened.received.is_empty(),
        ));
    }
    if found.contains(&(true, true, true)) { Ok(()) } else { Err(format!("{found:?}")) }
}

fn has_secret(bytes: &[u8]) -> bool {
    bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes())
}

/// Both directions of a connection.
#[derive(Default)]
struct Connection {
    sent: Vec<u8>,
    received: Vec<u8>,
}

type Recorded = Arc<Mutex<Vec<Arc<Mutex<Connection>>>>>;

/// Puts a relay in front of each socket by which proxies of the mesh reach each other, by its name.
fn relays(mesh: &Mesh, name: &str) -> BTreeMap<String, Recorded> {
    let runtime = mesh.folder().join("run/leno").join(name);
    let inbound = fs::read_dir(runtime.join("s")).unwrap().map(|entry| entry.unwrap().path());
    let inbound = inbound.filter(|path| path.extension().is_some_and(|extension| extension == "in"));
    let sockets: Vec<PathBuf> = inbound.chain([runtime.join("egress.sock")]).collect();
    let named = |path: PathBuf| (path.file_name().unwrap().to_str().unwrap().to_owned(), relay(&path));
    sockets.into_iter().map(named).collect()
}

/// Listens in a socket's place and hands everything on to it, under another name.
fn relay(path: &Path) -> Recorded {
    let moved = path.with_extension("moved");
    fs::rename(path, &moved).unwrap();
    let listener = UnixListener::bind(path).unwrap();
    let owner = fs::metadata(&moved).unwrap();
    chown(path, Some(owner.uid()), Some(owner.gid())).unwrap();
    let recorded = Recorded::default();
    let connections = Arc::clone(&recorded);
    // Ends with the test's process.
    thread::spawn(move || {
        for client in listener.incoming() {
            let (client, server) = (client.unwrap(), UnixStream::connect(&moved).unwrap());
            let connection = Arc::new(Mutex::new(Connection::default()));
            connections.lock().unwrap().push(Arc::clone(&connection));
            let (back, forth) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            let sent = Arc::clone(&connection);
            thread::spawn(move || {
                copy(client, forth, |bytes| sent.lock().unwrap().sent.extend_from_slice(bytes))
            });
            thread::spawn(move || {
                copy(server, back, |bytes| connection.lock().unwrap().received.extend_from_slice(bytes));
            });
        }
    });
    recorded
}

fn copy(mut from: UnixStream, mut to: UnixStream, record: impl Fn(&[u8])) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        record(&buffer[..length]);
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    // Half of it may be gone already.
    let _closed = to.shutdown(Shutdown::Write);
}

/// A server of this machine, outside the mesh; returns its port.
fn host_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // Ends with the test's process.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            let mut buffer = [0; 4096];
            while !head.ends_with(b"\r\n\r\n") {
                let length = stream.read(&mut buffer).unwrap_or(0);
                if length == 0 {
                    break;
                }
                head.extend_from_slice(&buffer[..length]);
            }
            // Whoever went away wants no answer.
            let _gone =
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi");
        }
    });
    port
}
