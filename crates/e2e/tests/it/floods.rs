//! Floods against one real proxy, with well-behaved clients beside them.
//!
//! Each flood lasts a few seconds. Meanwhile clients over HTTP/1.1 and HTTP/2 see no error and no long wait, memory stays
//! within what the proxy's limits add up to, and afterwards a fresh client is served at once. What would pass without
//! any defence (a machine is quick enough for many a flood) is backed by an assertion that the defence took effect.

mod attackers;
mod clients;
mod frames;
mod world;

use std::net::SocketAddr;
use std::time::Duration;

use attackers::{Account, Flood};
use clients::Clients;
use world::{Peak, Proxy, World};

use crate::alone;

/// How long floods last at least.
const FLOOD: Duration = Duration::from_secs(3);

const MIB: f64 = 1048576.0;

/// What a flood may add to the proxy's memory besides the budget of buffered bytes: connections, streams, tasks.
const SLACK: f64 = 96.0 * MIB;

/// Runs `flood` against `target`'s port beside clients of the proxy that they use, and checks what must always hold.
/// Goes on beyond the usual time until it was `enough`. Returns the flood's own account, and the most that was seen of the proxy.
fn flood(
    proxy: &Proxy,
    target: SocketAddr,
    clients: &Clients,
    enough: &dyn Fn() -> bool,
    flood: Flood,
) -> (Account, Peak) {
    let _alone = alone();
    let before = proxy.memory();
    let running = clients.start(proxy.port());
    let watch = proxy.watch();
    let account = attackers::run(target, FLOOD, enough, flood);
    let peak = watch.stop();
    let during = running.stop();
    eprintln!("{account:?}, {during:?}, {} MiB before, peak {peak:?}", before / MIB);
    during.assert_well_served();
    assert!(peak.buffered <= peak.budget, "{peak:?}");
    assert!(
        peak.memory <= before + peak.budget + SLACK,
        "it grew from {} MiB to {} MiB",
        before / MIB,
        peak.memory / MIB
    );
    proxy.assert_normal_within(Duration::from_secs(5));
    (account, peak)
}

#[test]
fn resets_of_streams() {
    let world = World::new();
    let proxy = world.edge(None);
    let (account, _) = flood(&proxy, proxy.port(), &Clients::all(), &|| true, attackers::resets);
    // A connection is closed after some ten thousand bytes of this, which is one read.
    assert!(account.ended >= 8 && account.sent / account.connections.max(1) < 20_000, "{account:?}");
}

#[test]
fn resets_of_streams_that_are_being_served() {
    let world = World::new();
    let proxy = world.edge(None);
    let (account, _) = flood(&proxy, proxy.port(), &Clients::all(), &|| true, attackers::late_resets);
    assert!(account.ended >= 2 && account.sent / account.connections.max(1) < 1500, "{account:?}");
}

#[test]
fn continuation_without_end() {
    let world = World::new();
    let proxy = world.edge(None);
    let (account, _) = flood(&proxy, proxy.port(), &Clients::all(), &|| true, attackers::continuation);
    assert!(account.ended >= 8 && account.sent / account.connections.max(1) < 4 << 20, "{account:?}");
}

#[test]
fn large_heads_that_are_never_finished() {
    let world = World::new();
    let proxy = world.edge(None);
    let (account, _) = flood(&proxy, proxy.port(), &Clients::all(), &|| true, attackers::long_heads);
    // The budget is smaller than all of them together.
    assert!(account.refused > 0, "{account:?}");
}

#[test]
fn heads_that_unpack_to_a_thousand_times_their_size() {
    let world = World::new();
    let proxy = world.edge(None);
    let (account, peak) = flood(&proxy, proxy.port(), &Clients::all(), &|| true, attackers::packed_heads);
    assert_eq!(account.sent, 3000, "{account:?}");
    // They would hold 150 MiB, so most of the budget was used, and the rest of them refused.
    assert!(peak.buffered > peak.budget * 0.75, "{peak:?}");
}

#[test]
fn readers_that_do_not_read() {
    let world = World::new();
    let proxy = world.edge(None);
    // The budget has room for a thousand stalled streams, and there are more: the rest is cut off.
    let cut = || proxy.metric("istio_requests_total", r#"response_flags="OM""#) > 0.0;
    flood(&proxy, proxy.port(), &Clients::all(), &cut, attackers::slow_readers);
    assert!(cut());
}

#[test]
fn more_connections_than_descriptors() {
    let world = World::new();
    let proxy = world.edge(Some(256));
    // Whoever connects afresh may be late for a place that many fight for; who is connected keeps it.
    let (account, _) =
        flood(&proxy, proxy.port(), &Clients::connected(), &|| true, attackers::idle_connections);
    assert!(account.connections > 1000, "{account:?}");
    assert!(proxy.metric("leno_connections_cut_total", r#"state="silent""#) > 100.0);
}

#[test]
fn handshakes_that_are_never_finished() {
    let world = World::new();
    let (proxy, server) = world.pair();
    let (account, _) = flood(&proxy, server.port(), &Clients::all(), &|| true, attackers::handshakes);
    assert!(account.sent > 500, "{account:?}");
    server.assert_memory_below(SLACK);
}
