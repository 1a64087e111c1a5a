//! The limits of this crate, each with its reason.

use std::time::Duration;

/// Series per family of Leno's own metrics. Their labels name closed sets or configured objects; more series than this
/// mean that something unbounded became a label.
pub const SERIES_PER_FAMILY: usize = 1_000;

/// Series of Istio's HTTP metrics, and separately of the TCP ones. One HTTP series takes 0.5 KiB per core that uses it,
/// its pair's labels 1.5 KiB, and a scrape 67 lines of about 0.9 KiB, so a full set is already hard on Prometheus.
pub const TRAFFIC_SERIES: usize = 4_000;

/// Pairs of source and destination that Istio's metrics tell apart.
pub const TRAFFIC_PAIRS: usize = 2_000;

/// Outcomes (status code, flags, gRPC status) told apart per pair of source and destination. Codes come from
/// upstreams, which can send any; ordinary traffic stays under a dozen.
pub const CLASSES_PER_PAIR: usize = 64;

/// How long a series that nothing holds and that didn't change is kept. Longer than any usual scrape interval and
/// alert window, so nobody misses its last value.
pub const SERIES_IDLE: Duration = Duration::from_secs(3600);

/// Bytes of a label's value; longer ones are cut. Host names have at most 253, SPIFFE ids at most 2,048.
pub const LABEL_VALUE: usize = 2_048;

/// Bytes of an exposition that are rendered at once, and a series more. All of it is 240 MiB with [`TRAFFIC_SERIES`],
/// and a megabyte in a small mesh, which a proxy of a few MiB must not hold because somebody looks.
pub const EXPOSITION_PIECE: usize = 16 * 1024;

/// Bytes of one field of an access record; longer ones are cut and end in `...`. Paths and user agents are the only
/// fields that clients make long, and what helps to find a request is at their beginning.
pub const ACCESS_FIELD: usize = 4 * 1024;

/// Bytes of access records that wait for the disk: about 2,000 records, so that a hiccup of some 100 ms at full load
/// loses nothing, while a disk that stands still costs this much memory and no more.
pub const ACCESS_BACKLOG: usize = 1024 * 1024;

/// Bytes of waiting access records that wake the writer before [`ACCESS_FLUSH`] has passed.
pub const ACCESS_CHUNK: usize = 64 * 1024;

/// How long an access record may wait for others before it is written. Short enough for somebody who watches the
/// file, long enough for one write to carry many records.
pub const ACCESS_FLUSH: Duration = Duration::from_millis(100);

/// Bytes of the buffer that is kept for encoding; a record that needed more gives its memory back.
pub const ACCESS_SCRATCH: usize = 16 * 1024;

/// Those who may watch a process's traffic at the same time. Each costs an encoding per record.
pub const TAPS: usize = 8;

/// Records that wait for one watcher. One that reads slower loses records, and learns how many.
pub const TAP_QUEUE: usize = 256;

/// Members of a `tracestate` (W3C Trace Context §3.3.1.1).
pub const TRACESTATE_MEMBERS: usize = 32;

/// Bytes of a `tracestate` that are carried on. The specification asks for at least 512; a longer one is dropped
/// whole, since cutting it could split what belongs together.
pub const TRACESTATE_BYTES: usize = 8 * 1024;

/// Bytes of a text in a span; longer ones are cut. Istio's limit for paths, `maxPathTagLength`, is 256.
pub const SPAN_VALUE: usize = 256;

/// Bytes of the changing part of a span's name.
pub const SPAN_NAME: usize = 128;

/// Events of a span. There is one for each further try, and no policy allows many.
pub const SPAN_EVENTS: usize = 16;

/// Bytes of spans that wait for the collector, those that are under way included: some 2,000 spans, so a second or
/// more of full sampling at the rate of a busy sidecar. A collector that is gone costs this much memory and no more.
pub const TRACE_BACKLOG: usize = 2 * 1024 * 1024;

/// Bytes of spans in one export. Collectors take 4 MiB by default (gRPC's limit of messages).
pub const TRACE_BATCH: usize = 256 * 1024;

/// How long a span waits for others. Short enough for somebody who looks for the trace of what was just tried.
pub const TRACE_FLUSH: Duration = Duration::from_secs(1);

/// How long an export may take (the default of `OTEL_EXPORTER_OTLP_TIMEOUT`).
pub const TRACE_EXPORT: Duration = Duration::from_secs(10);

/// The pause before the first repetition of an export; each further one is twice as long.
pub const TRACE_PAUSE: Duration = Duration::from_millis(500);

/// The longest pause between exports, whatever the collector says.
pub const TRACE_PAUSE_LONGEST: Duration = Duration::from_secs(30);

/// How long a batch is offered to a collector that can't take it. Older spans are of less use than new ones, for which
/// they make room.
pub const TRACE_PATIENCE: Duration = Duration::from_secs(60);

/// How long the spans that are left may take when the process ends.
pub const TRACE_FINISH: Duration = Duration::from_secs(2);

/// Bytes of the buffer that is kept for encoding.
pub const TRACE_SCRATCH: usize = 8 * 1024;
