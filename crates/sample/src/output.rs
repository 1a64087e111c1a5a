//! Standard output, standard error and the signals that end a command.

use std::error::Error;
use std::io::{self, Write as _};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Writes a line to standard output at once, so that whoever waits for it sees it.
pub(crate) fn line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// Writes bytes to standard output as they are.
pub(crate) fn bytes(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// Writes a line to standard error; a closed one is no reason to stop.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "leno-sample: {text}");
}

/// An error and what caused it, on one line.
pub(crate) fn in_full(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

/// SIGTERM and SIGINT.
#[derive(Debug)]
pub(crate) struct Interrupt {
    terminate: Signal,
    interrupt: Signal,
}

impl Interrupt {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for either. Cancel-safe.
    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// How a command prints its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}
