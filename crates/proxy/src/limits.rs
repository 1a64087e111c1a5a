//! Every limit of the proxy, with its reason.

use std::time::Duration;

/// Bytes that a TLS session outside the mesh holds encrypted for a peer that doesn't read (rustls' default), unless more are
/// written at once.
pub(crate) const SESSION_QUEUE: usize = 64 * 1024;

/// How long an accepted connection may stay silent before the destination is dialled as opaque as well
/// (server-first protocols). Long enough for a local client to write its first bytes, short enough not to be felt.
pub const DETECT_SILENCE: Duration = Duration::from_millis(50);

/// How long an inbound peer may take for its first bytes, its TLS handshake and its `Open`. A peer that is slower
/// holds a descriptor for nothing.
pub const HANDSHAKE: Duration = Duration::from_secs(10);

/// Handshakes that a core computes before it looks after everything else again. One costs about 0.3 ms of CPU with
/// ML-KEM, so they delay others by little more than a millisecond. Peers that are waited for don't count.
pub const HANDSHAKES_AT_ONCE: usize = 4;

/// How long a new question to the control plane may take before the request fails as `NotDiscovered`.
pub const DISCOVERY: Duration = Duration::from_secs(5);

/// Default time to connect to an endpoint (Istio's `connectTimeout`).
pub const CONNECT: Duration = Duration::from_secs(10);

/// How long an attempt to connect is under way before the next address is tried beside it (RFC 8305 §8).
pub const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Timers of requests that a core keeps for others. What is beyond them is made and set anew.
pub const ALARMS_KEPT: usize = 64;

/// How long a pooled upstream connection may idle. Shorter than any server's usual idle timeout.
pub const POOL_IDLE: Duration = Duration::from_secs(60);

/// How long a pooled connection may have idled to carry a request that cannot be repeated: applications close idle
/// connections after 2 to 5 seconds, and the close may be on its way.
pub const POOL_IDLE_UNREPEATABLE: Duration = Duration::from_millis(1500);

/// Idle connections kept per destination and core. More than this many are rarely idle at once in a sidecar.
pub const POOL_IDLE_PER_KEY: usize = 128;

/// Connections accepted and alive per process, over all listeners. Each costs two descriptors, and the usual hard
/// limit of a container is 65,536 or more. Where there are fewer descriptors, it is half of what
/// [`FILES_RESERVED`] leaves.
pub const CONNECTIONS: usize = 16_384;

/// Descriptors that aren't for connections: listeners on each core, event queues, the control plane, logs, admin.
pub const FILES_RESERVED: u64 = 64;

/// Connections per core that have not begun anything. One in a handshake holds some 30 KiB.
pub const SILENT_PER_CORE: usize = 2048;

/// How long an idle connection keeps its place when others need it. Clients reuse their connections within less.
pub const IDLE_KEPT: Duration = Duration::from_secs(5);

/// When places run out, this part of them is freed at once: looking for those that nobody needs takes a look at all.
pub const CUT_AT_ONCE: usize = 64;

/// Streams of one HTTP/2 connection to an endpoint before another connection is opened: as many as fit into its window
/// when all of their readers are slow.
pub const STREAMS_PER_CONNECTION: usize = leno_http::limits::H2_UPSTREAM_STREAMS;

/// Streams of one HBONE connection before another one to the same peer is opened. Each is a whole connection of an
/// application: with many on one, a lost packet, a slow reader or one core at the other end holds up all of them, and a
/// handshake for every 32 costs next to nothing.
pub const TUNNELS_PER_CONNECTION: usize = 32;

/// Receive window of one HBONE stream. It takes the place of the kernel's window of a TCP connection, which grows to a
/// few MiB where the way is long: at a round trip of 10 ms this still carries 50 MB/s. What it lets a slow reader hold is
/// counted on the budget.
pub const TUNNEL_WINDOW: u32 = 512 * 1024;

/// Receive window of an HBONE connection that carries little, as a peer opened it: four streams whose readers are slow
/// before the others wait for them, and half a window, which may be free without having been announced.
pub const TUNNEL_CONNECTION_WINDOW: u32 = 4 * TUNNEL_WINDOW + TUNNEL_WINDOW / 2;

/// Receive window of one that carries more, reserved from the budget, and of those that this proxy opens: the windows of
/// all [`TUNNELS_PER_CONNECTION`], and one more, since half of one may be free without having been announced.
pub const TUNNEL_GROWN_WINDOW: u32 = 33 * TUNNEL_WINDOW;

/// Quiet time after which the peer of an HBONE connection is probed: its streams may be silent for good reason, and
/// nobody else would find out that it is gone. As ztunnel does.
pub const TUNNEL_PING: Duration = Duration::from_secs(10);

/// First bytes looked at for detection: a ClientHello with ML-KEM is some 1,800 bytes, with many extensions more.
pub const DETECT_BYTES: usize = 16 * 1024;

/// How long opaque connections may go on after draining began.
pub const DRAIN: Duration = Duration::from_secs(10);

/// How long connections may go on in a process that another one has replaced. Nobody waits for its end, so streams and
/// long requests get longer than at an end that somebody has ordered.
pub const DRAIN_REPLACED: Duration = Duration::from_secs(60);

/// How long a replaced process lives at least. Connections that it has just accepted don't hold up a drain before they
/// have shown what they are, and nobody waits for its end.
pub const LINGER_REPLACED: Duration = Duration::from_secs(5);

/// How long each step of handing over sockets may take: reading a few descriptors from a Unix socket.
pub const TAKE_OVER_ANSWER: Duration = Duration::from_secs(5);

/// How long a process has to serve once it has the sockets. It needs its configuration and a certificate, which take
/// less than a second where the control plane runs.
pub const TAKE_OVER_READY: Duration = Duration::from_secs(30);

/// Sockets in one message of that: with their descriptors it stays far below what a Unix socket takes at once.
pub const TAKE_OVER_SOCKETS: usize = 16;

/// Messages in one conversation: more sockets than a proxy with [`CONNECTIONS`] has ports on all its cores.
pub const TAKE_OVER_MESSAGES: usize = 1024;

/// Bytes of one message: the longest path has 107, so 16 of them have some 2 KiB.
pub const TAKE_OVER_BYTES: usize = 8192;

/// How long a socket that was left is kept for a core that has not come to its port yet.
pub const TAKE_OVER_UNCLAIMED: Duration = Duration::from_secs(2);

/// Largest DNS answer over UDP without EDNS (RFC 1035 §4.2.1).
pub const DNS_UDP_BYTES: usize = 512;

/// DNS questions under way that wait for the control plane; more are answered SERVFAIL at once.
pub const DNS_WAITING: usize = 256;

/// TTL of DNS answers, in seconds (Istio's agent uses 30).
pub const DNS_TTL: u32 = 30;

/// DNS connections over TCP at once.
pub const DNS_TCP_CONNECTIONS: usize = 64;

/// Questions that nobody used for this long are given back to the control plane.
pub const SUBSCRIPTION_IDLE: Duration = Duration::from_secs(600);

/// Metric handles that a core keeps resolved. A sidecar talks to a few dozen peers; beyond this many all are resolved
/// anew, which costs a microsecond each.
pub const METRIC_HANDLES: usize = 4096;

/// Metric handles that a downstream connection keeps for the endpoints of its requests. A client's connection goes to
/// one service with few endpoints more often than not; beyond this many they are looked up in the core's table.
pub const CONNECTION_HANDLES: usize = 8;

/// Header bytes of a request or response are counted by the codec; this is the most of a path that goes to the access
/// log, where a line must stay a line.
pub const LOGGED_BYTES: usize = 2048;

/// Bytes of what is copied of a usual request for its line and its span: method, path, host, user agent, id, destination.
pub const USUAL_TEXT: usize = 320;

/// What was copied of requests that have ended is kept for so many to come on each core, up to 2 KiB each: how many are
/// under way changes by few at a time.
pub const LINES_KEPT: usize = 16;

/// TLS configurations towards the outside that are kept. More differing ones than this are made anew in turn.
pub const OUTSIDE_CONFIGURATIONS: usize = 256;

/// When a proxy counts as started, after it became ready: when the first configuration was compiled, and once more when
/// the first answers, certificates and health checks have passed.
pub const SETTLED: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(5)];

/// How often the bytes of an open opaque connection are counted. Istio's interval.
pub const TALLY_INTERVAL: Duration = Duration::from_secs(5);

/// Times that a request is sent once more to the same endpoint because a kept connection turned out to be gone. The
/// first is on a new HTTP/1 connection; an HTTP/2 one may be replaced while it is drained.
pub const STALE_TRIES: u32 = 3;

/// Copies of requests that a core has under way. Each holds some KiB, and a mirror that hangs would gather all that come
/// within [`MIRROR_TIME`].
pub const MIRRORS_AT_ONCE: usize = 256;

/// How long a copy of a request may take, its answer included, where its route doesn't say less: nobody waits for it.
pub const MIRROR_TIME: Duration = Duration::from_secs(15);

/// How much of a mirror's answer is read, so that its connection can carry another request. A connection that has more
/// to say is closed.
pub const MIRROR_ANSWER_BYTES: usize = 1024 * 1024;

/// Workload ports remembered as speaking HTTP. A workload has a handful.
pub const LEARNT_PORTS: usize = 1024;

/// Names of blobs in the supervisor's keeping: the key, the certificate, the configuration, and room for more.
pub const VAULT_NAMES: usize = 16;

/// Largest blob in the supervisor's keeping. A sidecar's configuration is far smaller.
pub const VAULT_BLOB_BYTES: usize = 4 * 1024 * 1024;

/// How much of `resolv.conf` is read: its name servers come first, and few are longer than a screen.
pub const RESOLVER_FILE: u64 = 64 * 1024;

/// How long accepting rests after a failure. Descriptors come back as connections end.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Connections that the kernel may hold before they are accepted. Its own limit (`somaxconn`) is 4096 by default.
pub const BACKLOG: i32 = 4096;

/// How long the resolver outside may take. Clients ask again after 5 s.
pub const DNS_FORWARD: Duration = Duration::from_secs(4);

/// How long a DNS connection over TCP may idle (RFC 7766 §6.2.3 suggests a few seconds).
pub const DNS_TCP_IDLE: Duration = Duration::from_secs(10);

/// How often idle questions are looked for.
pub const IDLE_INTERVAL: Duration = Duration::from_secs(1);

/// The least time between two times that a changed configuration is given into the supervisor's keeping. Encoding the
/// state of one sidecar, below 1 MiB, takes a few milliseconds.
pub const STATE_INTERVAL: Duration = Duration::from_millis(100);

/// How often connections are looked at on which somebody may wait in vain for a peer's proxy. Most answers come sooner.
pub const VIGIL_TICK: Duration = Duration::from_secs(5);

/// How long a peer's proxy isn't asked again after it has shown that it moves. Asking costs both sides a handshake.
pub const VIGIL_REST: Duration = Duration::from_secs(30);

/// How often idle upstream connections are swept.
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(10);

/// Connections to the admin interface at once: a scraper, and people.
pub const ADMIN_CONNECTIONS: usize = 16;

/// How long an admin request may take, from its head until all of the answer is with the kernel. A scraper gives up
/// after ten seconds, as a rule; whoever takes longer has stopped reading, or asking, and holds one of few places.
pub const ADMIN_TIME: Duration = Duration::from_secs(60);

/// Largest body of an admin request: a question with as many headers as a request may have.
pub const ADMIN_BODY_BYTES: usize = 128 * 1024;

/// Largest answer of a collector to an export: a count and a sentence.
pub const COLLECTOR_ANSWER: usize = 64 * 1024;

/// How long a core wants to run at a time. Below what Linux gives unasked (0.7 ms with one processor, more with more), so
/// that a core that wakes needn't wait for the application's turn to end; far above what a request takes.
pub const TURNS: Duration = Duration::from_micros(500);

/// Plaintext that a session of TLS seals at once: as much as is read at once.
pub const SEALED_AT_ONCE: usize = leno_http::limits::LARGE_BUFFER;

/// Largest buffer that a core keeps for sealed records, one of them: what [`SEALED_AT_ONCE`] becomes.
pub const SEALED_KEPT: usize = SEALED_AT_ONCE + 4096;

/// Records in a row that a peer may send without any data in them, such as updates of keys. Nobody needs more than two.
pub const UNPRODUCTIVE_RECORDS: u8 = 32;

/// Alerts that change nothing, in the life of a session.
pub const WARNINGS: u8 = 4;

/// A message after a handshake: the largest are tickets, which the mesh doesn't use.
pub const POST_HANDSHAKE_BYTES: usize = 16 * 1024;

/// What a peer may send in a handshake before something is understood of it: rustls takes messages of 64 KiB.
pub const HANDSHAKE_BYTES: usize = 96 * 1024;
