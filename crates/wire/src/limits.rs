//! Every limit of the crate, with its reason.

use std::time::Duration;

/// Largest single resource. A host with 5,000 endpoints of the usual size is about 1 MiB.
pub const MAX_RESOURCE_BYTES: usize = 4 << 20;

/// A response is cut here and continued in another one, so that a large batch flows in pieces.
pub const RESPONSE_BYTES: usize = 256 << 10;

/// Counted for a resource beside its content: its name, version and type.
pub const RESOURCE_FRAME_BYTES: usize = 256;

/// Largest message accepted on a stream: one resource of the largest size, and its frame.
pub const MAX_MESSAGE_BYTES: usize = MAX_RESOURCE_BYTES + RESPONSE_BYTES;

/// Largest batch that a proxy stages before its commit. The whole configuration of a mesh of 10,000 services is less.
pub const MAX_BATCH_BYTES: usize = 64 << 20;

/// Most resources that one proxy holds, and that a session tracks.
pub const MAX_HELD: usize = 65_536;

/// Most hosts that do not exist although one proxy's routes name them. They are listed in one commit.
pub const MAX_ABSENT_REFERENCES: usize = 16_384;

/// Largest message that the control plane accepts: a request of [`REQUEST_NAMES`] names, or a refusal.
pub const MAX_REQUEST_BYTES: usize = 1 << 20;

/// Time in which a proxy must have said what it holds, from the beginning of its stream.
pub const OPENING_TIMEOUT: Duration = Duration::from_secs(30);

/// Most questions that one proxy has open at a time, answered ones included. A proxy asks for what its workload calls.
pub const MAX_QUESTIONS: usize = 16_384;

/// Most questions without an answer. Beyond it new ones fail at once: the control plane is away or the workload scans.
pub const MAX_PENDING_QUESTIONS: usize = 1_024;

/// Most callers that wait for answers.
pub const MAX_WAITERS: usize = 8_192;

/// Names in one request; keeps a request well below [`MAX_MESSAGE_BYTES`].
pub const REQUEST_NAMES: usize = 1_000;

/// "Nothing has that name" answers that are kept: enough for a resolver's search list over a workload's names.
pub const MAX_ABSENT: usize = 1_024;

/// How long such an answer is kept unused. While it is kept its question stays subscribed, so it is corrected as soon
/// as it stops being true. Without a control plane to ask again nothing expires.
pub const ABSENT_TTL: Duration = Duration::from_secs(60);

/// Commands from data cores to the control task that wait. Senders wait when it is full.
pub const COMMANDS: usize = 256;

/// First pause before a lost control plane is dialled again; doubled each time.
pub const BACKOFF_FIRST: Duration = Duration::from_millis(100);

/// Longest pause: a control plane that returns is found within 5 s, and 1,000 proxies ask for 500 connections/s.
pub const BACKOFF_MAX: Duration = Duration::from_secs(3);

/// A stream that lived this long was healthy: the next pause is short again.
pub const BACKOFF_RESET: Duration = Duration::from_secs(10);

/// Time for connecting and the TLS handshake.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Time in which a connection to the control plane must finish its TLS handshake.
pub const ACCEPT_TIMEOUT: Duration = Duration::from_secs(10);

/// Time in which a caller on a connection must have proved who it is. Strangers cannot hold places for longer.
pub const PROOF_TIMEOUT: Duration = Duration::from_secs(20);

/// HTTP/2 ping interval on discovery connections: a dead peer is noticed even when nothing changes.
pub const PING_INTERVAL: Duration = Duration::from_secs(15);

/// Time in which a ping must be answered.
pub const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// HTTP/2 streams per connection: a proxy needs a discovery stream and now and then a certificate.
pub const MAX_STREAMS: u32 = 16;

/// HTTP/2 window. Small, since what waits in it is memory of both sides.
pub const WINDOW_BYTES: u32 = 256 << 10;

/// Bytes that a connection buffers to send; more wait in their streams.
pub const SEND_BUFFER_BYTES: usize = 64 << 10;

/// Headers of a request or response of the control plane. A token is the largest part.
pub const MAX_HEADER_BYTES: u32 = 16 << 10;

/// Pause when the system refuses another connection.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Time for connections to end when the control plane stops.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections that the control plane accepts at a time.
pub const MAX_CONNECTIONS: usize = 16_384;

/// Time for a certificate request.
pub const CERTIFICATE_TIMEOUT: Duration = Duration::from_secs(10);

/// Largest certificate request. A CSR is below 2 KiB.
pub const MAX_CSR_BYTES: usize = 16 << 10;

/// Largest message of the certificate service: a CSR and metadata that nobody reads.
pub const MAX_CERTIFICATE_REQUEST_BYTES: usize = 64 << 10;

/// Largest certificate chain accepted.
pub const MAX_CERTIFICATE_RESPONSE_BYTES: usize = 256 << 10;

/// Largest answer about the control plane's status: 65,536 objects of a kilobyte.
pub const MAX_STATUS_BYTES: usize = 64 << 20;

/// Longest bearer token.
pub const MAX_TOKEN_BYTES: usize = 8 << 10;

/// Rejections that are told in one refusal; more come with the next batch.
pub const MAX_REJECTIONS: usize = 64;

/// Longest reason of a rejection, in bytes.
pub const MAX_REASON_BYTES: usize = 512;

/// Longest `Open`, in bytes, without its length prefix.
pub const MAX_OPEN_BYTES: usize = 4_096;

/// Labels in an `Open`; metrics read four of them.
pub const MAX_OPEN_LABELS: usize = 16;

/// Longest text in an `Open`, in bytes.
pub const MAX_OPEN_TEXT: usize = 253;

/// Longest path of a Unix socket (`sun_path` without its end mark).
pub const MAX_UNIX_PATH: usize = 107;

/// How long a question without an answer is kept after its last caller gave up: a late answer still serves the next.
pub const PENDING_TTL: Duration = Duration::from_secs(30);
