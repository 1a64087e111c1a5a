//! Every bound of the sample application, with its reason.

use std::time::Duration;

/// Connections that one listener serves at a time; the next ones wait in the kernel's backlog.
pub(crate) const CONNECTIONS: usize = 8192;

/// How long the accept loop rests after an error such as "too many open files".
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Largest answer that a service or `call` holds of another one; the bookshop's own stay far below.
pub(crate) const ANSWER_BYTES: usize = 4 << 20;

/// Of an answer that isn't the bookshop's, this much is quoted in errors.
pub(crate) const EXCERPT_BYTES: usize = 200;

/// Longest value of a request header that is kept in a trail. An XFCC of a few hops fits.
pub(crate) const TRAIL_VALUE_BYTES: usize = 8 << 10;

/// Hops that a trail may have; a circle of calls would grow it without end.
pub(crate) const TRAIL_HOPS: usize = 64;

/// Idle connections kept per upstream.
pub(crate) const IDLE_CONNECTIONS: usize = 64;

/// Idle connections older than this aren't used again: well below the idle timeouts of servers, the sample's included.
pub(crate) const IDLE_AGE: Duration = Duration::from_secs(30);

/// Largest `/bytes/N`, to catch typing errors: 1 TiB.
pub(crate) const GENERATED_BYTES: u64 = 1 << 40;

/// Concurrent HTTP/2 streams that a client may open on one connection; a pool of one connection stays usable under load.
pub(crate) const STREAMS: u32 = 1000;

/// Decoded head of an HTTP/2 request: as much as proxies usually let through.
pub(crate) const HEADER_LIST_BYTES: u32 = 64 << 10;

/// Piece by which `/bytes/N` is sent.
pub(crate) const CHUNK_BYTES: usize = 64 << 10;

/// Longest `/delay/MS` and `/stream` interval.
pub(crate) const DELAY: Duration = Duration::from_secs(600);

/// Longest line of the stock protocol.
pub(crate) const LINE_BYTES: usize = 512;

/// Buffer of one raw echo connection and direction.
pub(crate) const ECHO_BYTES: usize = 16 << 10;

/// Largest WebSocket message, fragments added up.
pub(crate) const WEBSOCKET_MESSAGE_BYTES: usize = 4 << 20;

/// Largest gRPC message, as in gRPC's own default.
pub(crate) const GRPC_MESSAGE_BYTES: usize = 4 << 20;

/// Longest response head that the load generator reads.
pub(crate) const HEAD_BYTES: usize = 64 << 10;

/// Header lines of a response that the load generator reads.
pub(crate) const HEAD_LINES: usize = 100;

/// Different versions that the load generator tells apart; the rest counts as "other".
pub(crate) const VERSIONS: usize = 64;

/// Failures that a load report describes one by one.
pub(crate) const FAILURE_SAMPLES: usize = 10;

/// How long past its end a load run may catch up with requests that were due before.
pub(crate) const CATCH_UP: Duration = Duration::from_secs(1);

/// Connections times streams of a load run.
pub(crate) const WORKERS: usize = 20_000;

/// HTTP/2 windows of the clients: large enough that flow control isn't what a load run measures.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 1 << 20;

/// See [`STREAM_WINDOW_BYTES`].
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// A request that starts later than this after it was due counts as late.
pub(crate) const LATE: Duration = Duration::from_millis(1);

/// How long a closed loop's worker rests when it gets no connection, instead of trying as fast as it can.
pub(crate) const REDIAL_PAUSE: Duration = Duration::from_millis(10);
