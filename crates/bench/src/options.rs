//! Arguments, and what follows from them.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Parser, Subcommand, ValueEnum};

use crate::{contestant::Name, limits};

/// Measures service-mesh proxies
#[derive(Debug, Parser)]
#[command(name = "leno-bench", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Measure and report
    Run(Options),
    /// Keep a mesh under mixed load and faults, and see whether anything grows or leaks
    Soak(crate::soak::Options),
    /// Forward every TCP connection to one address (a contestant)
    #[command(hide = true)]
    Relay(Relay),
    /// Run a command inside a network namespace, ending with the caller (a tool)
    #[command(hide = true)]
    Enter(Enter),
}

/// What to measure, and how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// One short round, to see that the harness works; its figures mean nothing
    #[arg(long)]
    pub(crate) quick: bool,
    /// Rounds; contestants take turns within each [default: 5, or 1 with --quick]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: Option<u16>,
    /// Who takes part [default: all]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAMES")]
    contestants: Vec<Name>,
    /// What to measure [default: everything]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PARTS")]
    only: Vec<Part>,
    /// Seconds of each load run [default: 3, or 0.5 with --quick]
    #[arg(long, value_parser = seconds)]
    seconds: Option<Duration>,
    /// Let every proxy but the relays write an access log in Istio's default format
    #[arg(long)]
    pub(crate) access_log: bool,
    /// Let Leno do everything that it can do to a request which it sends on once, access log included
    #[arg(long)]
    pub(crate) everything: bool,
    /// Where the figures go as JSON [default: target/bench/bench.json]
    #[arg(long)]
    pub(crate) output: Option<PathBuf>,
}

/// A group of figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Latency at a fixed rate, from an open loop
    Latency,
    /// Throughput and CPU per request of a closed loop at several numbers of connections
    Throughput,
    /// Memory idle, loaded, and per idle connection
    Memory,
    /// One large answer
    Transfer,
    /// Messages per second, and per second of processor time, in bidirectional gRPC streams
    Grpc,
    /// User instructions per request over plaintext, under callgrind
    Instructions,
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=300.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("write seconds from 0.1 to 300".to_owned()),
    }
}

impl Options {
    pub(crate) fn rounds(&self) -> u16 {
        self.rounds.unwrap_or(if self.quick { 1 } else { 5 })
    }

    /// Runs in a round of what differs from run to run.
    pub(crate) fn runs(&self) -> u16 {
        if self.quick { 1 } else { limits::RUNS }
    }

    pub(crate) fn contestants(&self) -> Vec<Name> {
        let all = Name::value_variants();
        let wanted = |name: &&Name| self.contestants.is_empty() || self.contestants.contains(name);
        all.iter().filter(wanted).copied().collect()
    }

    pub(crate) fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    /// Whether anything is wanted beside gRPC streams, for which contestants are set up apart.
    pub(crate) fn wants_requests(&self) -> bool {
        self.only != [Part::Grpc]
    }

    /// Duration of one load run.
    pub(crate) fn duration(&self) -> Duration {
        self.seconds.unwrap_or(if self.quick { Duration::from_millis(500) } else { Duration::from_secs(3) })
    }

    /// Duration of the load before the first figure: pools fill, code and pages become warm.
    pub(crate) fn warm_up(&self) -> Duration {
        self.duration().min(Duration::from_secs(1))
    }

    /// Bytes of the large answer.
    pub(crate) fn transfer(&self) -> u64 {
        if self.quick { 16 << 20 } else { 1 << 30 }
    }

    /// Idle connections whose memory is measured.
    pub(crate) fn idle_connections(&self) -> u16 {
        if self.quick { 100 } else { 2000 }
    }

    /// N; the difference between 2N and N requests leaves out what happens once, and its share in what happens a few seconds
    /// after the start is small.
    pub(crate) fn counted_requests(&self) -> u32 {
        if self.quick { 500 } else { 4000 }
    }

    pub(crate) fn connections(&self) -> &'static [u16] {
        &limits::CONNECTIONS
    }
}

/// Arguments of `relay`.
#[derive(Debug, clap::Args)]
pub(crate) struct Relay {
    #[arg(long)]
    pub(crate) listen: SocketAddr,
    #[arg(long)]
    pub(crate) connect: SocketAddr,
}

/// Arguments of `enter`.
#[derive(Debug, clap::Args)]
pub(crate) struct Enter {
    /// A file that stands for the namespace
    #[arg(long)]
    pub(crate) namespace: PathBuf,
    /// The process whose end ends the command
    #[arg(long)]
    pub(crate) owner: u32,
    #[arg(last = true, required = true)]
    pub(crate) command: Vec<std::ffi::OsString>,
}
