//! Every bound and size of the benchmark, with its reason.

use std::time::Duration;

/// Buffer of the bare relay and direction: what the proxies of this field use.
pub(crate) const RELAY_BUFFER: usize = 16 << 10;

/// Connections of the relay at a time; the benchmark never opens half as many.
pub(crate) const RELAY_CONNECTIONS: usize = 8192;

/// How long a contestant may take until its first answer. Envoy needs a second; a debug build under load more.
pub(crate) const START: Duration = Duration::from_secs(30);

/// The same under an instrumenting emulator, which is some fifty times slower.
pub(crate) const START_EMULATED: Duration = Duration::from_secs(180);

/// Time between two tries to get the first answer.
pub(crate) const START_POLL: Duration = Duration::from_millis(50);

/// How long a process may take to end after SIGTERM before it is killed.
pub(crate) const STOP: Duration = Duration::from_secs(15);

/// What a tool or load run may take beyond its own duration.
pub(crate) const SLACK: Duration = Duration::from_secs(30);

/// Longest time for one transfer, and for the requests under the emulator.
pub(crate) const TRANSFER: Duration = Duration::from_secs(120);

/// After the start and before the idle memory is read, so that one-time work is over.
pub(crate) const SETTLE: Duration = Duration::from_millis(500);

/// The answer's body on every request but the transfer: a small JSON document's size.
pub(crate) const BODY_BYTES: u64 = 1024;

/// Requests per second of the open loop: far from any contestant's limit, so that it shows latency and not queues.
pub(crate) const RATE: u32 = 1000;

/// Runs of the open loop in each round, and transfers. Where the scheduler places the processes lasts for about a run, and
/// moves the median latency by a third, and a transfer's speed by a tenth.
pub(crate) const RUNS: u16 = 5;

/// Connections of the closed loop, and the one by which CPU is compared.
pub(crate) const CONNECTIONS: [u16; 3] = [1, 32, 128];

/// See [`CONNECTIONS`].
pub(crate) const COMPARED: u16 = 32;

/// Connections of the gRPC load: two for each worker of a proxy.
pub(crate) const GRPC_CONNECTIONS: u16 = 4;

/// Streams on each of them at a time, 16 in all.
pub(crate) const GRPC_STREAMS: u16 = 4;

/// Messages of a stream, enough that its begin and its end cost nothing beside them.
pub(crate) const GRPC_MESSAGES: u32 = 1000;

/// Messages of a stream that may be unanswered: it flows, and queues stay short.
pub(crate) const GRPC_WINDOW: u16 = 8;

/// Of each message, the part that is there for its size; with the rest it has 127 bytes, as has its answer.
pub(crate) const GRPC_NOTE_BYTES: u32 = 120;

/// Largest file below `/proc` that is read.
pub(crate) const PROC_BYTES: u64 = 64 << 10;

/// Lines of a contestant's log that an error quotes.
pub(crate) const LOG_LINES: usize = 12;

/// Largest answer that the harness reads itself.
pub(crate) const ANSWER_BYTES: u64 = 1 << 20;

/// What every request names as its host.
pub(crate) const HOST: &str = "server:8080";

/// Where the server listens, in its namespace.
pub(crate) const SERVER_PORT: u16 = 8080;

/// Where the client's proxy listens, on loopback.
pub(crate) const CLIENT_PROXY_PORT: u16 = 15001;

/// Where the server's proxy listens, on the cable.
pub(crate) const SERVER_PROXY_PORT: u16 = 15008;

/// Time between two readings of the soak's proxies.
pub(crate) const SOAK_SAMPLES: Duration = Duration::from_secs(5);

/// Time between two things that happen during the soak: the one before has had its effects.
pub(crate) const SOAK_EVENTS: Duration = Duration::from_secs(7);

/// How long a process is frozen: longer than the time limits of requests, shorter than anybody's patience.
pub(crate) const SOAK_FROZEN: Duration = Duration::from_secs(2);

/// The resolution of the soak's times.
pub(crate) const SOAK_POLL: Duration = Duration::from_millis(200);

/// After the start and before the soak's first reading: one-time work is over, its connections are closed.
pub(crate) const SOAK_REST: Duration = Duration::from_secs(8);

/// How long everything may take to be gone after the load. Kept connections rest for 60 s and are swept every 10.
pub(crate) const SOAK_QUIET: Duration = Duration::from_secs(120);

/// Growth of memory once warm that is none: a part of what there is, and what an allocator's pages come to.
pub(crate) const SOAK_GROWTH: f64 = 0.05;

/// See [`SOAK_GROWTH`].
pub(crate) const SOAK_GROWTH_BYTES: f64 = 1024.0 * 1024.0;
