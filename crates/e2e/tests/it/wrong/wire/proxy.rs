//! A proxy alone, its application, and a client that must be served whatever others send.

use std::{
    fs,
    io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::certificates::{self, Peers};

/// Longest that an answer may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Proxy {
    child: Child,
    folder: PathBuf,
    pub(super) inbound: SocketAddr,
    pub(super) mesh: SocketAddr,
    pub(super) peers: Peers,
    /// The application's port.
    pub(super) port: u16,
    /// First lines of the requests that the application got.
    seen: Arc<Mutex<Vec<String>>>,
    healthy: BufReader<TcpStream>,
    /// How many lines of the log are told.
    read: usize,
}

impl Proxy {
    pub(super) fn start(leno: &Path) -> Self {
        let folder = PathBuf::from(format!("/var/tmp/leno-wire-{}", std::process::id()));
        let _earlier = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let peers = certificates::write(&folder);
        let (port, seen) = application();
        fs::write(folder.join("config.yaml"), config(port)).unwrap();
        let [inbound, mesh, metrics] = addresses();
        let mut command = Command::new(leno);
        command.current_dir(&folder).args(["proxy", "--config=config.yaml", "--workload=default/web"]);
        command.args(["--cert=web.pem", "--key=web.key", "--roots=root.pem", "--threads=1"]);
        command.args(["--access-log=access.log", "--access-log-format=json"]);
        command.arg(format!("--inbound={inbound}={port}")).arg(format!("--mesh={mesh}"));
        command.arg(format!("--metrics={metrics}"));
        let log = fs::File::create(folder.join("log")).unwrap();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let client = eventually("the proxy serves", || {
            assert_eq!(
                child.try_wait().unwrap(),
                None,
                "{}",
                fs::read_to_string(folder.join("log")).unwrap()
            );
            let mut client = BufReader::new(connect(inbound)?);
            get(&mut client, "/healthy").filter(|status| status.contains(" 200 ")).map(|_| client)
        });
        let mut proxy = Self { child, folder, inbound, mesh, peers, port, seen, healthy: client, read: 0 };
        // Whoever came before it was ready was refused, and that was logged before this.
        let first = || {
            let text = fs::read_to_string(proxy.folder.join("access.log")).ok()?;
            text.lines().any(|line| line.contains("/healthy\"") && line.ends_with('}')).then_some(())
        };
        eventually("the first request is logged", first);
        proxy.read = proxy.logged().len();
        proxy
    }

    /// A connection to the port of its own workload.
    pub(super) fn connect(&self) -> TcpStream {
        connect(self.inbound).expect("the proxy accepts")
    }

    /// Asserts that another connection is served as ever, and tells what is logged of the wrong one, which has ended.
    pub(super) fn log(&mut self) -> String {
        self.is_served_beside();
        self.read += 1;
        let nth = self.read - 1;
        let wrong = eventually("the access log tells", || self.logged().into_iter().nth(nth));
        told(&serde_json::from_str(&wrong).unwrap())
    }

    /// Asserts that another connection is served as ever.
    pub(super) fn is_served_beside(&mut self) {
        let status = get(&mut self.healthy, "/healthy").expect("the connection beside is served");
        assert!(status.contains(" 200 "), "{status}");
    }

    /// What the access log has so far of anything but the connection beside.
    fn logged(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.join("access.log")).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().filter(|line| !line.contains("/healthy\"")).map(str::to_owned).collect()
    }

    /// Whether the application got anything whose path begins so.
    pub(super) fn has_seen(&self, path: &str) -> bool {
        self.seen.lock().unwrap().iter().any(|line| line.contains(path))
    }

    /// Asserts that the process lives and has said nothing of a panic.
    pub(super) fn is_well(&mut self) {
        assert_eq!(self.child.try_wait().unwrap(), None, "the proxy lives");
        let said = fs::read_to_string(self.folder.join("log")).unwrap();
        assert!(!said.contains("panicked"), "{said}");
        let untold = self.logged().split_off(self.read);
        assert_eq!(untold, Vec::<String>::new(), "everything that is logged is told");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _waited = self.child.wait();
        let _gone = fs::remove_dir_all(&self.folder);
    }
}

fn told(record: &Value) -> String {
    let word = |key: &str| match &record[key] {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    };
    let details = match word("response_code_details").as_str() {
        "-" => word("connection_termination_details"),
        details => details.to_owned(),
    };
    format!("{} {} {details}", word("response_code"), word("response_flags"))
}

fn config(port: u16) -> String {
    format!(
        "apiVersion: v1
kind: Service
metadata: {{name: web}}
spec:
  selector: {{app: web}}
  ports: [{{name: http, port: 80, targetPort: {port}}}]
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: web, labels: {{leno.dev/transport: native}}}}
spec: {{address: 127.0.0.1, labels: {{app: web}}, serviceAccount: web}}
"
    )
}

/// What `look` finds, as soon as it finds something.
fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::park_timeout(Duration::from_millis(10));
    }
}

/// Addresses that nobody else listens on: of the loopback interface, and this process's own.
fn addresses() -> [SocketAddr; 3] {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let ip = IpAddr::V4(Ipv4Addr::new(127, 88, high, low.max(1)));
    let held = [0, 1, 2].map(|_| TcpListener::bind((ip, 0)).unwrap());
    held.map(|listener| listener.local_addr().unwrap())
}

fn connect(address: SocketAddr) -> Option<TcpStream> {
    let stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    Some(stream)
}

/// The status line of an answer of two bytes.
fn get(client: &mut BufReader<TcpStream>, path: &str) -> Option<String> {
    write!(client.get_mut(), "GET {path} HTTP/1.1\r\nhost: web\r\n\r\n").ok()?;
    let mut status = String::new();
    client.read_line(&mut status).ok()?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        if client.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    client.read_exact(&mut vec![0; length]).ok()?;
    Some(status)
}

/// An application that answers every request with `ok`, and remembers first lines.
fn application() -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let lines = Arc::clone(&seen);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let lines = Arc::clone(&lines);
            thread::spawn(move || serve(stream, &lines));
        }
    });
    (port, seen)
}

fn serve(stream: TcpStream, lines: &Mutex<Vec<String>>) {
    let mut stream = BufReader::new(stream);
    let mut first = String::new();
    loop {
        let mut line = String::new();
        if !matches!(stream.read_line(&mut line), Ok(1..)) {
            return;
        }
        if line != "\r\n" {
            first.push_str(&line);
            continue;
        }
        lines.lock().unwrap().push(std::mem::take(&mut first));
        if stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_err() {
            return;
        }
    }
}

/// Everything that comes until the peer ends the connection, or until `enough` says so.
pub(super) fn read_until(stream: &mut impl std::io::Read, enough: impl Fn(&[u8]) -> bool) -> (Vec<u8>, bool) {
    let mut got = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while !enough(&got) {
        assert!(Instant::now() < deadline, "no end after {:?}", got.escape_ascii().to_string());
        let mut piece = [0; 4096];
        match stream.read(&mut piece) {
            Ok(0) => return (got, true),
            Ok(count) => got.extend_from_slice(&piece[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                return (got, true);
            }
            Err(error) => panic!("{error} after {:?}", got.escape_ascii().to_string()),
        }
    }
    (got, false)
}
