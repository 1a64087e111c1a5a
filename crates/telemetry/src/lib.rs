//! What a Leno process tells about itself and its traffic: metrics, access records, trace context.
//!
//! - [`registry`], [`metric`], [`family`], [`exposition`]: metrics and how Prometheus reads them.
//! - [`istio`]: Istio's standard metrics with their exact names, labels and buckets.
//! - [`access`]: one record per request or connection, as text or JSON, in Istio's default formats.
//! - [`propagation`]: trace context on requests, as W3C ([`trace`]) and Zipkin ([`b3`]) write it; [`sampling`]: which
//!   traces are recorded; [`span`], [`otlp`], [`export`]: spans and their way to a collector; [`id`]: request, trace and span ids.
//! - [`tap`]: live copies of access records for whoever watches.
//! - [`load`]: how near the process is to its limits.
//! - [`process`]: what the process itself uses; [`mod@reference`]: the metrics' reference page.
//!
//! Invariants: telemetry never delays or fails a request; what it can't keep it drops and counts. Nothing here decides
//! where a request goes. Credentials are not fields of anything here.

pub mod access;
pub mod b3;
pub mod export;
pub mod exposition;
pub mod family;
pub mod faults;
pub mod id;
pub mod istio;
pub mod limits;
pub mod load;
pub mod metric;
pub mod mirrors;
pub mod otlp;
pub mod process;
pub mod propagation;
pub mod reference;
pub mod registry;
pub mod retries;
pub mod sampling;
pub mod span;
pub mod tap;
pub mod trace;
pub mod tunnels;
pub mod upstreams;

mod labels;

pub use access::AccessRecord;
pub use family::Family;
pub use metric::{Buckets, Counter, Gauge, Histogram};
pub use registry::{Registry, Shard};
