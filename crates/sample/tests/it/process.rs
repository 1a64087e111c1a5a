//! Starting the binary and reading what it prints.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// No test waits longer than this for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A running `serve`; it is killed when the value is dropped.
pub(crate) struct Service {
    child: Child,
    /// Kept open, or the service's output would fail.
    _out: Lines<BufReader<ChildStdout>>,
    /// `127.0.0.1:PORT`, in the order of the `--listen` arguments.
    addresses: Vec<String>,
}

fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leno-sample"));
    command.kill_on_drop(true).stdin(Stdio::null());
    command
}

/// Starts a service on a free port and waits until it listens.
pub(crate) async fn serve(name: &str, arguments: &[&str]) -> Service {
    listen(name, &["http://127.0.0.1:0"], arguments).await
}

/// Starts a service with these listeners and waits until it listens on all of them.
pub(crate) async fn listen(name: &str, listeners: &[&str], arguments: &[&str]) -> Service {
    let mut command = binary();
    command.args(["serve", name]).args(arguments).stdout(Stdio::piped());
    for listener in listeners {
        command.args(["--listen", listener]);
    }
    let mut child = command.spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut addresses = Vec::new();
    while addresses.len() < listeners.len() {
        let line = tokio::time::timeout(PATIENCE, out.next_line()).await.unwrap().unwrap();
        let line = line.expect("the service ended before it listened");
        let (_, url) = line.split_once(" listens on ").unwrap();
        addresses.push(url.split_once("://").unwrap().1.to_owned());
    }
    Service { child, _out: out, addresses }
}

impl Service {
    /// The first listener's address.
    pub(crate) fn address(&self) -> &str {
        &self.addresses[0]
    }

    pub(crate) fn address_of(&self, listener: usize) -> &str {
        &self.addresses[listener]
    }

    pub(crate) fn url(&self, scheme: &str, path: &str) -> String {
        format!("{scheme}://{}{path}", self.address())
    }

    pub(crate) fn terminate(&self) {
        signal(&self.child, Signal::TERM);
    }

    /// The exit code, once the service has ended by itself.
    pub(crate) async fn ended(mut self) -> Option<i32> {
        tokio::time::timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap().code()
    }
}

fn signal(child: &Child, signal: Signal) {
    let id = child.id().and_then(|id| Pid::from_raw(id.try_into().unwrap())).expect("it has ended");
    kill_process(id, signal).unwrap();
}

/// What a client command printed.
pub(crate) struct Printed {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) error: String,
}

impl Printed {
    /// The output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("{error}: {:?} {:?}", self.out, self.error))
    }
}

/// Runs a command to its end.
pub(crate) async fn run(arguments: &[&str]) -> Printed {
    finish(start(arguments)).await
}

/// Starts a command.
pub(crate) fn start(arguments: &[&str]) -> Child {
    binary().args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Interrupts a command as Ctrl-C does.
pub(crate) fn interrupt(child: &Child) {
    signal(child, Signal::INT);
}

/// Waits for a command's end.
pub(crate) async fn finish(child: Child) -> Printed {
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap();
    Printed {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        error: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A command whose output is read while it runs.
pub(crate) struct Streaming {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Streaming {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut child = start(arguments);
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    /// The next line.
    pub(crate) async fn line(&mut self) -> String {
        let mut line = String::new();
        tokio::time::timeout(PATIENCE, self.out.read_line(&mut line)).await.unwrap().unwrap();
        assert_ne!(line, "", "the command ended early");
        line
    }

    /// The exit code, and what was printed behind the last line read.
    pub(crate) async fn rest(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        tokio::time::timeout(PATIENCE, self.out.read_to_string(&mut rest)).await.unwrap().unwrap();
        (self.child.wait().await.unwrap().code(), rest)
    }
}

/// `call URL` with JSON output: exit code, and status, headers and body.
pub(crate) async fn call(url: &str, more: &[&str]) -> (Option<i32>, Value) {
    let arguments = [&["call", url, "--output", "json"], more].concat();
    let printed = run(&arguments).await;
    (printed.code, printed.json())
}

/// The body of a good answer.
pub(crate) async fn get(url: &str, more: &[&str]) -> Value {
    let (code, answer) = call(url, more).await;
    assert_eq!(code, Some(0), "{answer:#}");
    answer["body"].clone()
}
