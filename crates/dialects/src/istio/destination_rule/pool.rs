//! `connectionPool`.

use std::time::Duration;

use leno_model::destination::TrafficPolicy;
use leno_model::pool::{ConnectionPool, Keepalive, Ping, Upgrade};

use super::at_least_a_millisecond;
use crate::yaml::Fields;

/// Reads the field into a policy.
pub(super) fn read(fields: Fields<'_>, policy: &mut TrafficPolicy) {
    let mut pool = ConnectionPool::default();
    if let Some(tcp) = fields.object("tcp") {
        policy.connect_timeout = time(&tcp, "connectTimeout");
        pool.connections = limit(&tcp, "maxConnections");
        pool.lifetime = time(&tcp, "maxConnectionDuration");
        pool.opaque_idle = tcp.duration("idleTimeout");
        pool.keepalive = tcp.object("tcpKeepalive").map(keepalive);
        tcp.finish();
    }
    if let Some(http) = fields.object("http") {
        policy.max_retries = limit(&http, "maxRetries");
        pool.pending = limit(&http, "http1MaxPendingRequests");
        pool.requests = limit(&http, "http2MaxRequests");
        pool.requests_per_connection = limit(&http, "maxRequestsPerConnection");
        pool.streams = limit(&http, "maxConcurrentStreams");
        pool.http_idle = http.duration("idleTimeout");
        pool.ping = http.object("http2KeepAlive").and_then(ping);
        let as_client = http.boolean("useClientProtocol").unwrap_or_default();
        pool.upgrade = match http.choice("h2UpgradePolicy") {
            _ if as_client => Some(Upgrade::AsClient),
            Some("UPGRADE") => Some(Upgrade::Http2),
            Some("DO_NOT_UPGRADE") => Some(Upgrade::Never),
            _ => None,
        };
        http.finish();
    }
    fields.finish();
    policy.pool = Some(pool);
}

/// A limit, where 0 is "not set" as in Istio.
fn limit(fields: &Fields<'_>, name: &str) -> Option<u32> {
    let most = fields.value(name)?.integer(0, i64::from(i32::MAX))?;
    u32::try_from(most).ok().filter(|most| *most > 0)
}

fn time(fields: &Fields<'_>, name: &str) -> Option<Duration> {
    fields.value(name).and_then(|value| at_least_a_millisecond(&value))
}

/// Without an interval nobody is asked.
fn ping(fields: Fields<'_>) -> Option<Ping> {
    let interval = fields.required("interval").and_then(|value| at_least_a_millisecond(&value));
    let timeout = time(&fields, "timeout");
    fields.finish();
    Some(Ping { interval: interval?, timeout })
}

fn keepalive(fields: Fields<'_>) -> Keepalive {
    let keepalive = Keepalive {
        idle: fields.duration("time"),
        interval: fields.duration("interval"),
        probes: fields.value("probes").and_then(|probes| probes.unsigned()),
    };
    fields.finish();
    keepalive
}
