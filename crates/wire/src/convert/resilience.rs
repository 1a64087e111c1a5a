//! Limits of connections, ejection of outliers, slow start.

use std::time::Duration;

use leno_model::destination::Warmup;
use leno_model::outlier::OutlierDetection;
use leno_model::pool::{ConnectionPool, Keepalive, Ping, Upgrade};

use super::each;
use super::read::{status, write_duration};
use crate::malformed::Malformed;
use crate::proto::units;

pub(super) fn write_warmup(warmup: &Warmup) -> units::Warmup {
    units::Warmup {
        duration: write_duration(warmup.duration),
        minimum: warmup.minimum,
        aggression: warmup.aggression,
    }
}

pub(super) const fn read_warmup(from: units::Warmup) -> Warmup {
    Warmup {
        duration: Duration::from_nanos(from.duration),
        minimum: from.minimum,
        aggression: from.aggression,
    }
}

pub(super) fn write_pool(pool: &ConnectionPool) -> units::ConnectionPool {
    units::ConnectionPool {
        connections: pool.connections,
        pending: pool.pending,
        requests: pool.requests,
        requests_per_connection: pool.requests_per_connection,
        streams: pool.streams,
        lifetime: pool.lifetime.map(write_duration),
        opaque_idle: pool.opaque_idle.map(write_duration),
        http_idle: pool.http_idle.map(write_duration),
        keepalive: pool.keepalive.map(|keepalive| units::Keepalive {
            idle: keepalive.idle.map(write_duration),
            interval: keepalive.interval.map(write_duration),
            probes: keepalive.probes,
        }),
        ping: pool.ping.map(|ping| units::Ping {
            interval: write_duration(ping.interval),
            timeout: ping.timeout.map(write_duration),
        }),
        upgrade: pool.upgrade.map(|upgrade| {
            match upgrade {
                Upgrade::Never => units::Upgrade::Never,
                Upgrade::Http2 => units::Upgrade::Http2,
                Upgrade::AsClient => units::Upgrade::AsClient,
            }
            .into()
        }),
    }
}

pub(super) fn read_pool(from: &units::ConnectionPool) -> Result<ConnectionPool, Malformed> {
    let upgrade = match from.upgrade.map(units::Upgrade::try_from) {
        None => None,
        Some(Ok(units::Upgrade::Never)) => Some(Upgrade::Never),
        Some(Ok(units::Upgrade::Http2)) => Some(Upgrade::Http2),
        Some(Ok(units::Upgrade::AsClient)) => Some(Upgrade::AsClient),
        Some(Ok(units::Upgrade::Unspecified) | Err(_)) => return Err(Malformed::missing("upgrade")),
    };
    Ok(ConnectionPool {
        connections: from.connections,
        pending: from.pending,
        requests: from.requests,
        requests_per_connection: from.requests_per_connection,
        streams: from.streams,
        lifetime: from.lifetime.map(Duration::from_nanos),
        opaque_idle: from.opaque_idle.map(Duration::from_nanos),
        http_idle: from.http_idle.map(Duration::from_nanos),
        keepalive: from.keepalive.as_ref().map(|keepalive| Keepalive {
            idle: keepalive.idle.map(Duration::from_nanos),
            interval: keepalive.interval.map(Duration::from_nanos),
            probes: keepalive.probes,
        }),
        ping: from.ping.as_ref().map(|ping| Ping {
            interval: Duration::from_nanos(ping.interval),
            timeout: ping.timeout.map(Duration::from_nanos),
        }),
        upgrade,
    })
}

pub(super) fn write_outlier(outlier: &OutlierDetection) -> units::OutlierDetection {
    units::OutlierDetection {
        server_errors: outlier.server_errors,
        gateway_errors: outlier.gateway_errors,
        local_failures: outlier.local_failures,
        statuses: outlier.statuses.iter().map(|status| (*status).into()).collect(),
        interval: write_duration(outlier.interval),
        base: write_duration(outlier.base),
        most_percent: outlier.most_percent,
        least_healthy_percent: outlier.least_healthy_percent,
        success_rate: outlier.success_rate,
        latency: outlier.latency,
    }
}

pub(super) fn read_outlier(from: units::OutlierDetection) -> Result<OutlierDetection, Malformed> {
    Ok(OutlierDetection {
        server_errors: from.server_errors,
        gateway_errors: from.gateway_errors,
        local_failures: from.local_failures,
        statuses: each("statuses", from.statuses, status)?.into(),
        interval: Duration::from_nanos(from.interval),
        base: Duration::from_nanos(from.base),
        most_percent: from.most_percent,
        least_healthy_percent: from.least_healthy_percent,
        success_rate: from.success_rate,
        latency: from.latency,
    })
}
