//! Requests of one key, which go to one endpoint.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use leno_model::destination::Balancer;
use leno_model::hash::{ConsistentHash, CookieKey, HashKey, HashTable};
use leno_model::retry::{Condition, RetryPolicy};
use leno_model::route::Forward;
use leno_model::service::Protocol;
use leno_model::unit::HostUnit;
use leno_wire::Unit;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::app;
use crate::apps::{App, Does};
use crate::ask::ask;
use crate::routes::{forward, routed};
use crate::world::{OWN, World, soon};

const RING: HashTable = HashTable::Ring { minimum: 1024 };

fn keyed(protocol: Protocol, targets: &[SocketAddr], key: HashKey, forward: Forward) -> [Unit; 2] {
    let [Unit::Host(unit), endpoints] = routed(protocol, targets, forward) else { panic!("a host") };
    let mut unit = HostUnit::clone(&unit);
    unit.destination.policy.balancer = Some(Balancer::Hash(Arc::new(ConsistentHash { key, table: RING })));
    [Unit::Host(Arc::new(unit)), endpoints]
}

fn user() -> HashKey {
    HashKey::Header("x-user".into())
}

async fn four() -> [App; 4] {
    let app = || App::new(Protocol::Http, Does::Answer(200));
    [app().await, app().await, app().await, app().await]
}

/// Who has had more requests since.
fn grown(apps: &[App], before: &[usize]) -> Vec<usize> {
    let grown = apps.iter().map(App::hits).zip(before).enumerate();
    grown.filter(|(_, (hits, before))| hits > before).map(|(position, _)| position).collect()
}

#[tokio::test]
async fn requests_of_a_key_go_to_one_endpoint_whatever_the_proxy() {
    let apps = four().await;
    let targets = apps.each_ref().map(|app| app.address);
    let mut homes: Vec<Vec<usize>> = Vec::new();
    for _proxy in 0..2 {
        let world = World::new();
        let web = world.web(keyed(Protocol::Http, &targets, user(), forward()), 1).await;
        let mut home = Vec::new();
        for user in 0..12 {
            let before: Vec<usize> = apps.iter().map(App::hits).collect();
            for _ in 0..3 {
                assert_eq!(ask(web, "GET", &format!("x-user: {user}\r\n"), "").await.status, 200);
            }
            let grown = grown(&apps, &before);
            assert_eq!(grown.len(), 1, "user {user} went to {grown:?}");
            home.extend(grown);
        }
        homes.push(home);
    }
    assert_eq!(homes[0], homes[1], "two proxies disagree");
    assert!(apps.iter().filter(|app| app.hits() > 0).count() > 1);
}

#[tokio::test]
async fn a_client_without_a_cookie_is_given_one_that_brings_it_back() {
    let apps = four().await;
    let targets = apps.each_ref().map(|app| app.address);
    let cookie = CookieKey {
        name: "home".into(),
        ttl: Some(Duration::from_secs(60)),
        path: Some("/".into()),
        attributes: Vec::new(),
    };
    let world = World::new();
    let web = world.web(keyed(Protocol::Http, &targets, HashKey::Cookie(cookie), forward()), 1).await;
    let got = ask(web, "GET", "", "").await;
    let given = got.head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a cookie");
    let (pair, rest) = given.split_once(';').unwrap();
    assert_eq!(rest, " Max-Age=60; Path=/; HttpOnly");
    let before: Vec<usize> = apps.iter().map(App::hits).collect();
    for _ in 0..6 {
        let got = ask(web, "GET", &format!("cookie: other=1; {pair}\r\n"), "").await;
        assert!(got.status == 200 && !got.head.contains("set-cookie"), "{got:?}");
    }
    let first = apps.iter().position(|app| !app.seen().is_empty() && app.hits() > 6).expect("one got all");
    assert_eq!(grown(&apps, &before), [first]);
}

/// Requests of a key stay with their endpoint when they are tried again, unless the policy says otherwise.
#[tokio::test]
async fn another_try_stays_unless_it_is_told_to_go() {
    for (skip_previous, bad_hits) in [(None, 3), (Some(false), 3), (Some(true), 1)] {
        let bad = App::new(Protocol::Http, Does::Answer(503)).await;
        let good = App::new(Protocol::Http, Does::Answer(200)).await;
        let on = [Condition::ServerError].into_iter().collect();
        let retry = Some(RetryPolicy { on, skip_previous, ..RetryPolicy::IMPLICIT });
        let world = World::new();
        let routes = Forward { retry, ..forward() };
        let units = keyed(Protocol::Http, &[bad.address, good.address], user(), routes);
        let web = world.web(units, 1).await;
        let mut met = false;
        for user in 0..64 {
            let before = bad.hits();
            let got = ask(web, "GET", &format!("x-user: {user}\r\n"), "").await;
            let hits = bad.hits() - before;
            if hits > 0 {
                assert_eq!((hits, got.status == 200), (bad_hits, bad_hits == 1), "{skip_previous:?}");
                met = true;
                break;
            }
        }
        assert!(met, "no key led to the bad endpoint");
    }
}

#[tokio::test]
async fn opaque_connections_go_by_their_address() {
    let named = |name: &'static str| {
        app::serving(OWN, move |mut stream: TcpStream| async move {
            let _gone = stream.write_all(name.as_bytes()).await;
        })
    };
    let (one, other) = (named("1").await, named("2").await);
    let world = World::new();
    let web = world.web(keyed(Protocol::Tcp, &[one, other], HashKey::SourceIp, forward()), 1).await;
    let mut first = None;
    for _ in 0..8 {
        let mut stream = TcpStream::connect(web).await.unwrap();
        let mut name = [0];
        soon(stream.read_exact(&mut name)).await.unwrap();
        assert_eq!(*first.get_or_insert(name), name);
    }
}
