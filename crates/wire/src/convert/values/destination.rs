//! Arbitrary settings of destinations.

use leno_model::destination::{
    Balancer, Destination, ExternalTls, ProxyProtocol, Subset, TlsMode, TrafficPolicy, Warmup,
};
use leno_model::hash::{ConsistentHash, CookieKey, HashKey, HashTable};
use leno_model::outlier::OutlierDetection;
use leno_model::pool::{ConnectionPool, Keepalive, Ping, Upgrade};
use leno_model::retry::RetryBudget;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use super::{duration, labels, origin, port, text, word};

fn traffic_policy() -> BoxedStrategy<TrafficPolicy> {
    let balancer = prop_oneof![
        Just(Balancer::PeakEwma),
        Just(Balancer::RoundRobin),
        Just(Balancer::Random),
        consistent_hash().prop_map(|settings| Balancer::Hash(settings.into())),
    ];
    let external = (of((word(), word())), of(word()), vec(word(), 0..3), of(text()), any::<bool>()).prop_map(
        |(client, roots, subject_alt_names, sni, insecure_skip_verify)| ExternalTls {
            client,
            roots,
            subject_alt_names,
            sni,
            insecure_skip_verify,
        },
    );
    let tls = prop_oneof![
        Just(TlsMode::Auto),
        Just(TlsMode::Disable),
        Just(TlsMode::Mesh),
        external.prop_map(TlsMode::External),
    ];
    let budget = (any::<u32>(), any::<u32>(), of(duration()))
        .prop_map(|(share, minimum, interval)| RetryBudget { share, minimum, interval });
    let warmup = (duration(), any::<u32>(), any::<u32>())
        .prop_map(|(duration, minimum, aggression)| Warmup { duration, minimum, aggression });
    let settings = (of(balancer), of(tls), of(duration()), of(budget), of(any::<u32>()));
    let header = of(prop_oneof![Just(ProxyProtocol::V1), Just(ProxyProtocol::V2)]);
    (settings, of(warmup), of(connection_pool()), of(outlier_detection()), header)
        .prop_map(|(settings, warmup, pool, outlier, proxy_protocol)| {
            let (balancer, tls, connect_timeout, retry_budget, max_retries) = settings;
            TrafficPolicy {
                balancer,
                tls,
                connect_timeout,
                retry_budget,
                max_retries,
                warmup,
                pool,
                outlier,
                proxy_protocol,
            }
        })
        .boxed()
}

fn consistent_hash() -> BoxedStrategy<ConsistentHash> {
    let cookie = (word(), of(duration()), of(word()), vec((word(), word()), 0..3))
        .prop_map(|(name, ttl, path, attributes)| CookieKey { name, ttl, path, attributes });
    let key = prop_oneof![
        word().prop_map(HashKey::Header),
        cookie.prop_map(HashKey::Cookie),
        Just(HashKey::SourceIp),
        word().prop_map(HashKey::Query),
    ];
    let table = prop_oneof![
        any::<u32>().prop_map(|minimum| HashTable::Ring { minimum }),
        (0..HashTable::MAGLEV_END).prop_map(|size| HashTable::Maglev { size }),
    ];
    (key, table).prop_map(|(key, table)| ConsistentHash { key, table }).boxed()
}

fn connection_pool() -> BoxedStrategy<ConnectionPool> {
    let limits = proptest::array::uniform5(of(any::<u32>()));
    let times = proptest::array::uniform3(of(duration()));
    let keepalive = (of(duration()), of(duration()), of(any::<u32>()))
        .prop_map(|(idle, interval, probes)| Keepalive { idle, interval, probes });
    let upgrade = prop_oneof![Just(Upgrade::Never), Just(Upgrade::Http2), Just(Upgrade::AsClient)];
    let ping = (duration(), of(duration())).prop_map(|(interval, timeout)| Ping { interval, timeout });
    (limits, times, of(keepalive), of(ping), of(upgrade))
        .prop_map(|(limits, times, keepalive, ping, upgrade)| {
            let [connections, pending, requests, requests_per_connection, streams] = limits;
            let [lifetime, opaque_idle, http_idle] = times;
            ConnectionPool {
                connections,
                pending,
                requests,
                requests_per_connection,
                streams,
                lifetime,
                opaque_idle,
                http_idle,
                keepalive,
                ping,
                upgrade,
            }
        })
        .boxed()
}

fn outlier_detection() -> BoxedStrategy<OutlierDetection> {
    let counts = any::<(u32, u32, u32, u32)>();
    let optional = proptest::array::uniform3(of(any::<u32>()));
    (counts, optional, vec(any::<u16>(), 0..3), duration(), duration())
        .prop_map(|(counts, optional, statuses, interval, base)| {
            let (server_errors, gateway_errors, most_percent, least_healthy_percent) = counts;
            let [local_failures, success_rate, latency] = optional;
            OutlierDetection {
                server_errors,
                gateway_errors,
                local_failures,
                statuses: statuses.into(),
                interval,
                base,
                most_percent,
                least_healthy_percent,
                success_rate,
                latency,
            }
        })
        .boxed()
}

pub(super) fn destination() -> BoxedStrategy<Destination> {
    let ports = || vec((port(), traffic_policy()), 0..3);
    let subset = (word(), labels(), traffic_policy(), ports(), origin())
        .prop_map(|(name, labels, policy, ports, origin)| Subset { name, labels, policy, ports, origin });
    (traffic_policy(), ports(), vec(subset, 0..3), of(origin()))
        .prop_map(|(policy, ports, subsets, origin)| Destination { policy, ports, subsets, origin })
        .boxed()
}
