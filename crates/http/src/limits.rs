//! Every limit of this crate, each with its reason. Those that a deployment may want to change are the defaults of
//! the configuration types; the others are fixed.

use std::time::Duration;

/// Bytes of a message head, request or status line included. Envoy's default (`max_request_headers_kb`: 60).
pub const HEAD_BYTES: usize = 60 * 1024;

/// Bytes of an incomplete head that a connection may hold without asking the budget. Nearly all heads are smaller.
pub const HEAD_FREE: usize = 8 * 1024;

/// Field lines of a message head or trailer section. Envoy's default (`max_headers_count`: 100).
pub const HEAD_FIELDS: usize = 100;

/// Fields that one head's `Connection` may name: each is looked for among all fields, and a head has room for
/// thousands of names. Real ones name one or two.
pub const CONNECTION_OPTIONS: usize = 32;

/// Bytes of a method. The longest registered ones (`VERSION-CONTROL`, `UPDATEREDIRECTREF`) have fewer; a longer one
/// is more likely another protocol.
pub const METHOD_BYTES: usize = 24;

/// Bytes of an authority: a DNS name has at most 253, an address in brackets fewer, a port 6.
pub const AUTHORITY_BYTES: usize = 512;

/// Bytes of a trailer section. Trailers carry a status and a checksum, not documents.
pub const TRAILER_BYTES: usize = 8 * 1024;

/// Bytes of one chunk's size line, extensions included. Extensions are of no known use, and long ones only cost time.
pub const CHUNK_LINE_BYTES: usize = 256;

/// Hex digits of a chunk size: sizes below 2^60, so that no sum overflows.
pub const CHUNK_SIZE_DIGITS: usize = 15;

/// Chunk extension bytes allowed per body byte received, above [`CHUNK_EXTENSION_FREE`]: a sender of one-byte chunks
/// with long extensions must not buy reads for nothing.
pub const CHUNK_EXTENSION_RATIO: u64 = 1;

/// Chunk extension bytes that a body may have before [`CHUNK_EXTENSION_RATIO`] counts.
pub const CHUNK_EXTENSION_FREE: u64 = 16 * 1024;

/// Interim (1xx) responses before a final one. One or two occur; more is a loop.
pub const INFORMATIONAL: usize = 16;

/// Size of the buffers that bytes are relayed in: half of a TLS record less than two, one jemalloc size class, and
/// large enough that a system call's cost vanishes.
pub const RELAY_BUFFER: usize = 16 * 1024;

/// Relay buffers that one core keeps for reuse (256 KiB); beyond these they go back to the allocator.
pub const RELAY_BUFFERS_KEPT: usize = 16;

/// Size of the buffers of whoever has filled a smaller one: four TLS records, and a quarter of the system calls.
pub const BULK_BUFFER: usize = 4 * RELAY_BUFFER;

/// The same of these (256 KiB).
pub const BULK_BUFFERS_KEPT: usize = 4;

/// Size of the buffers that TLS records are read to by whoever has filled a smaller one: four full records of TLS 1.3 (RFC
/// 8446 §5.2), so that the reads of a transfer end where records do.
pub const RECORDS_BUFFER: usize = 4 * (16 * 1024 + 22);

/// The same of these (256 KiB).
pub const RECORDS_BUFFERS_KEPT: usize = 4;

/// Bytes that an HTTP/1 body is read in by whoever has filled a bulk buffer. They make slow readers dear, so they are
/// reserved from what the budget can spare.
pub const LARGE_BUFFER: usize = 4 * BULK_BUFFER;

/// The same of these (512 KiB): a transfer has one, unless its receiver keeps it waiting.
pub const LARGE_BUFFERS_KEPT: usize = 2;

/// Room of the buffers that heads and small frames are written to: nearly every head, with [`COALESCE`] bytes behind it.
pub const TEXT_BUFFER: usize = 4 * 1024;

/// Such buffers that one core keeps for reuse (128 KiB): only what is being written holds one.
pub const TEXT_BUFFERS_KEPT: usize = 32;

/// Bytes that a connection reads ahead of the exchange that it serves: pipelined requests wait in the kernel instead.
pub const READ_AHEAD: usize = RELAY_BUFFER;

/// Body bytes up to which a head and its body are copied into one buffer rather than written as a vector.
pub const COALESCE: usize = 1024;

/// Bytes of a request's body that are kept for another try. Most requests that are worth repeating have less, and
/// uploads that don't must not fill the budget.
pub const REPLAY_BYTES: usize = 64 * 1024;

/// What keeping one frame costs beside its bytes, so that a body of many tiny frames counts for what it takes.
pub const REPLAY_FRAME: usize = 64;

/// Bytes of a request's body that wait for one of its mirrors. A mirror's connection is made while the original's body
/// goes up; what comes in some milliseconds has room, and a mirror that can't keep up is to end soon.
pub const COPY_BYTES: usize = 256 * 1024;

/// Bytes of a request's body that are reserved of the budget at a time while they are kept.
pub const REPLAY_STEP: usize = 4 * 1024;

/// Bytes of an unread request body that are read and dropped to keep a connection; beyond, closing is cheaper.
pub const DRAIN_BODY: u64 = 64 * 1024;

/// Time for a client to send a whole request head (Envoy's edge profile: 60 s; Apache: 20–40 s).
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(60);

/// Time that a server connection may be without a request. Envoy's and Istio's default is one hour.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(3600);

/// How long a draining HTTP/1 connection must have been idle to be closed: a client that keeps it busy sends its next
/// request sooner, and is told by the answer that it is the last.
pub const LEAVE_TIME: Duration = Duration::from_secs(1);

/// Time that a closing connection goes on reading, so that the answer isn't lost to a reset (RFC 9112 §9.6).
pub const LINGER_TIME: Duration = Duration::from_secs(2);

/// Bytes that a closing connection reads and drops at most.
pub const LINGER_BYTES: usize = 256 * 1024;

/// Streams that a peer may have open on one HTTP/2 connection. RFC 9113 §6.5.2 advises no fewer than 100.
pub const H2_STREAMS: u32 = 256;

/// Receive window of one HTTP/2 stream: what one slow reader can make the proxy hold. At a round trip of 1 ms it
/// still carries 128 MB/s.
pub const H2_STREAM_WINDOW: u32 = 128 * 1024;

/// Receive window that every HTTP/2 connection has: four stalled streams before the others stall with them (and half a
/// stream's window, which may be free without having been announced), and what one connection can make the proxy hold
/// without asking the budget.
pub const H2_CONNECTION_WINDOW: u32 = 4 * H2_STREAM_WINDOW + H2_STREAM_WINDOW / 2;

/// Receive window of an HTTP/2 connection that carries more than that, reserved from the budget: enough for 40 MB/s
/// at a round trip of 50 ms.
pub const H2_GROWN_WINDOW: u32 = 4 * H2_CONNECTION_WINDOW;

/// Streams of one HTTP/2 connection to an upstream. Their windows are added up to the connection's, so that streams
/// whose readers are slow never stall the others.
pub const H2_UPSTREAM_STREAMS: usize = 100;

/// Receive window of one HTTP/2 stream from an upstream: at 1 ms of round trip it still carries 64 MB/s, and it is
/// what a slow reader makes the proxy hold.
pub const H2_UPSTREAM_STREAM_WINDOW: u32 = 64 * 1024;

/// Receive window of an HTTP/2 connection to an upstream: the windows of all its streams, and one more, since half of
/// one may be free without having been announced.
pub const H2_UPSTREAM_CONNECTION_WINDOW: u32 = 101 * H2_UPSTREAM_STREAM_WINDOW;

/// Bytes of each stream's answer from an upstream, head and trailers, that aren't reserved from the budget: most answers
/// have less. Those of streams whose readers are slow stay counted, and must not make the others fail.
pub const H2_UPSTREAM_HEAD_FREE: usize = 1024;

/// Body bytes that one HTTP/2 connection may queue for a peer that doesn't read, whatever windows the peer grants.
pub const H2_QUEUE: usize = 256 * 1024;

/// Part of [`H2_QUEUE`] that isn't reserved from the budget.
pub const H2_QUEUE_FREE: usize = 64 * 1024;

/// Largest HTTP/2 frame accepted; the protocol's least maximum (RFC 9113 §4.2) keeps streams fair to each other.
pub const H2_FRAME: u32 = 16 * 1024;

/// Bytes that an HTTP/2 connection reads at once: one frame of the largest size beside the rest of another, and most of
/// what a busy peer has sent meanwhile.
pub const H2_READ_BUFFER: usize = 2 * RELAY_BUFFER + 1024;

/// Bytes queued for a peer in answer to its frames (heads, PING, SETTINGS, resets) above which it isn't read from until
/// it has read them: what some hundred requests cause.
pub const H2_ANSWERS: usize = 64 * 1024;

/// Frames that a header block may be in. Four hold the largest head that is accepted, and who sends it in crumbs buys
/// work for nothing (CVE-2024-27316).
pub const H2_BLOCK_FRAMES: usize = 32;

/// Frames that ask for nothing (SETTINGS, PRIORITY, empty DATA, those of unknown types, bodies and heads for streams that have ended),
/// above which the connection is closed, unless they are forgotten at [`H2_IDLE_FRAMES_PER_SECOND`]. A browser sends a
/// handful per request.
pub const H2_IDLE_FRAMES: f64 = 10_000.0;

/// See [`H2_IDLE_FRAMES`].
pub const H2_IDLE_FRAMES_PER_SECOND: f64 = 2000.0;

/// Resets of streams that were being served, above which the connection is closed, unless they are forgotten at
/// [`H2_RESETS_PER_SECOND`]. A page that is left takes back some hundred requests at most.
pub const H2_RESETS: f64 = 500.0;

/// See [`H2_RESETS`]. Each costs about as much as a request, which a client may send much more often than this.
pub const H2_RESETS_PER_SECOND: f64 = 50.0;

/// Streams reset here because the peer broke the rules, above which the connection is closed (CVE-2025-8671), unless they
/// are forgotten at [`H2_ERROR_RESETS_PER_SECOND`].
pub const H2_ERROR_RESETS: f64 = 100.0;

/// See [`H2_ERROR_RESETS`].
pub const H2_ERROR_RESETS_PER_SECOND: f64 = 10.0;

/// Streams reset here whose late frames are passed over; those of others that have ended are answered (RFC 9113 §5.1).
pub const H2_RESET_STREAMS: usize = 256;

/// Quiet time after which an HTTP/2 connection is probed by PING.
pub const H2_PING_INTERVAL: Duration = Duration::from_secs(30);

/// Time within which a PING must be answered.
pub const H2_PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Bytes of a line of the PROXY protocol's version 1: what its specification says that suffices (§2.1).
pub const PROXY_LINE_BYTES: usize = 107;

/// Bytes behind the head of version 2 of the PROXY protocol: both addresses, and values that may hold a client's
/// certificate. The specification asks for 520 at least (§2.2).
pub const PROXY_BINARY_BYTES: usize = 8 * 1024;

/// Bytes that detection looks at before it calls the stream opaque. A ClientHello with a post-quantum key share
/// has about 1,800; 16 KiB is the largest TLS record.
pub const DETECT_BYTES: usize = 16 * 1024 + 5;

/// Buffered body bytes that one process may hold for replays, mirrors and waiting requests together.
pub const BUFFERED_BYTES: usize = 64 * 1024 * 1024;

/// How long a message whose reader stalls is kept when the budget has no room for what it holds. A reader that means
/// well has paused for less, in a process that has come to its limits.
pub const STALL_PATIENCE: Duration = Duration::from_secs(1);

/// How long a message may stall while the budget is short. TCP gives up on a silent peer after about as long.
pub const STALL_LONG: Duration = Duration::from_secs(30);

/// Bytes of a `grpc-message` or reply body that local replies carry.
pub const REPLY_BYTES: usize = 1024;

/// Bytes of an `x-forwarded-client-cert` value that is appended to; a longer one is cut off at the front.
pub const XFCC_BYTES: usize = 16 * 1024;

/// Elements of `x-forwarded-for` read from the right to find the client.
pub const FORWARDED_HOPS: usize = 32;
