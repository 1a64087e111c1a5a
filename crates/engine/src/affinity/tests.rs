use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use leno_model::destination::TrafficPolicy;
use leno_model::hash::HashTable;
use leno_model::outlier::OutlierDetection;
use leno_model::service::Endpoint;

use super::*;
use crate::explain::{EndpointOutcome, Silent, Transcript};
use crate::rng::Rng;
use crate::state::{Outcome, StateTable};
use crate::testing::Request;
use crate::testing::mesh::{endpoint, host, unit};

const RING: HashTable = HashTable::Ring { minimum: 1024 };
const MAGLEV: HashTable = HashTable::Maglev { size: 251 };

fn cookie(ttl: Option<Duration>) -> HashKey {
    let attributes = vec![("SameSite".into(), "Lax".into()), ("Secure".into(), "".into())];
    HashKey::Cookie(CookieKey { name: "user".into(), ttl, path: Some("/shop".into()), attributes })
}

/// A proxy's cluster; each has its own seed.
fn cluster(key: HashKey, table: HashTable, endpoints: Vec<Endpoint>, seed: u64) -> Cluster {
    let balancer = Some(Balancer::Hash(Arc::new(ConsistentHash { key, table })));
    let outlier =
        Some(OutlierDetection { server_errors: 1, most_percent: 100, ..OutlierDetection::default() });
    let policy = TrafficPolicy { balancer, outlier, ..TrafficPolicy::default() };
    let states = StateTable::new(Instant::now(), seed);
    Cluster::compile(Arc::new(host(policy)), unit(endpoints), 80, None, &states).unwrap()
}

fn five() -> Vec<Endpoint> {
    (1..=5).map(endpoint).collect()
}

fn header() -> HashKey {
    HashKey::Header("x-user".into())
}

fn picked(cluster: &Cluster, request: &Request, draw: u64, tried: &[Arc<str>]) -> String {
    let affinity = cluster.affinity(request, None, draw, &mut Silent);
    let pick = cluster.pick_for(affinity.key, Instant::now(), draw, tried, &mut Silent);
    pick.unwrap().endpoint.uid.to_string()
}

#[test]
fn all_proxies_agree_on_a_key_s_endpoint() {
    for table in [RING, MAGLEV] {
        let proxies = [1, 2, 3].map(|seed| cluster(header(), table, five(), seed));
        let mut used = BTreeSet::new();
        let mut rng = Rng::new(4);
        for user in 0..200 {
            let request = Request::get("/").header("x-user", &format!("user-{user}"));
            let uids: BTreeSet<String> =
                proxies.iter().map(|proxy| picked(proxy, &request, rng.draw(), &[])).collect();
            assert_eq!(uids.len(), 1, "{table:?} user {user}: {uids:?}");
            used.extend(uids);
        }
        assert_eq!(used.len(), 5, "{table:?}");
    }
}

#[test]
fn each_kind_of_key_is_read() {
    let client = |text: &str| Some(text.parse::<SocketAddr>().unwrap());
    let key = |of: HashKey, request: &Request, from: Option<SocketAddr>| {
        cluster(of, RING, five(), 1).affinity(request, from, 7, &mut Silent)
    };
    let query = HashKey::Query("user".into());
    let same = [
        (header(), Request::get("/").header("x-user", "ann"), None),
        (query.clone(), Request::get("/?a=1&user=ann"), None),
        (query.clone(), Request::get("/?user=%61nn&user=bob"), None),
        (cookie(None), Request::get("/").header("cookie", "a=b; user=ann"), None),
        (cookie(None), Request::get("/").header("cookie", "user=\"ann\"; user=bob"), None),
        (cookie(None), Request::get("/").header("cookie", "a=b").header("cookie", "user=ann"), None),
    ];
    for (of, request, from) in same {
        let affinity = key(of.clone(), &request, from);
        assert_eq!(affinity, Affinity { key: Some(hash(b"ann")), set_cookie: None }, "{of:?} {request:?}");
    }
    let none = [
        (header(), Request::get("/")),
        (query.clone(), Request::get("/")),
        (query, Request::get("/?users=ann")),
        (cookie(None), Request::get("/")),
        (cookie(None), Request::get("/").header("cookie", "users=ann; user=; =ann; user")),
        (HashKey::SourceIp, Request::get("/")),
    ];
    for (of, request) in none {
        assert_eq!(key(of.clone(), &request, None), Affinity::default(), "{of:?} {request:?}");
    }
    let by_ip = |from| key(HashKey::SourceIp, &Request::get("/"), client(from)).key;
    assert_eq!(by_ip("192.0.2.1:1"), by_ip("[::ffff:192.0.2.1]:2"));
    assert_ne!(by_ip("192.0.2.1:1"), by_ip("192.0.2.2:1"));
    let opaque = |of| cluster(of, RING, five(), 1).opaque_key(client("192.0.2.1:9").map(|from| from.ip()));
    assert_eq!((opaque(HashKey::SourceIp), opaque(header())), (by_ip("192.0.2.1:1"), None));
}

#[test]
fn a_client_without_the_cookie_is_given_one_that_leads_back() {
    for (ttl, age) in [(Duration::from_secs(90), "; Max-Age=90"), (Duration::ZERO, "")] {
        let cluster = cluster(cookie(Some(ttl)), RING, five(), 1);
        let first = cluster.affinity(&Request::get("/"), None, 99, &mut Silent);
        let text = first.set_cookie.clone().expect("a cookie");
        let (pair, rest) = text.split_once(';').unwrap();
        assert_eq!(format!(";{rest}"), format!("{age}; Path=/shop; SameSite=Lax; Secure; HttpOnly"));
        let again = Request::get("/").header("cookie", pair);
        let second = cluster.affinity(&again, None, 3, &mut Silent);
        assert_eq!(second, Affinity { key: first.key, set_cookie: None }, "{pair}");
    }
    let cluster = cluster(cookie(Some(Duration::ZERO)), RING, five(), 1);
    let of = |port, draw| {
        let client = Some(SocketAddr::from(([192, 0, 2, 1], port)));
        cluster.affinity(&Request::get("/"), client, draw, &mut Silent).set_cookie
    };
    assert_eq!(of(1, 5), of(1, 6), "requests of one connection agree");
    assert_ne!(of(1, 5), of(2, 5));
}

#[test]
fn without_a_key_any_endpoint_may_be_picked() {
    for table in [RING, MAGLEV] {
        let cluster = cluster(header(), table, five(), 1);
        let mut rng = Rng::new(8);
        let used: BTreeSet<String> =
            (0..200).map(|_| picked(&cluster, &Request::get("/"), rng.draw(), &[])).collect();
        assert_eq!(used.len(), 5, "{table:?}");
    }
}

/// An endpoint that is ejected or has failed the request is passed over, in the same order everywhere.
#[test]
fn the_next_in_order_stands_in() {
    for table in [RING, MAGLEV] {
        let proxies = [1, 2].map(|seed| cluster(header(), table, five(), seed));
        for user in 0..50 {
            let request = Request::get("/").header("x-user", &format!("user-{user}"));
            let mut tried: Vec<Arc<str>> = Vec::new();
            for _ in 0..5 {
                let [one, other] = [3, 77].map(|draw| {
                    let proxy = &proxies[usize::from(draw == 77)];
                    picked(proxy, &request, draw, &tried)
                });
                assert_eq!(one, other, "{table:?} user {user} after {tried:?}");
                assert!(!tried.iter().any(|uid| **uid == *one));
                tried.push(one.into());
            }
            let last = picked(&proxies[0], &request, 3, &tried);
            assert!(tried.iter().any(|uid| **uid == *last), "somebody has to");
        }
    }
    for table in [RING, MAGLEV] {
        let cluster = cluster(header(), table, five(), 1);
        let request = Request::get("/").header("x-user", "ann");
        let now = Instant::now();
        let key = cluster.affinity(&request, None, 0, &mut Silent).key;
        let pick = cluster.pick_for(key, now, 0, &[], &mut Silent).unwrap();
        let first = pick.endpoint.uid.to_string();
        pick.start().finish(now, Outcome::Status { status: 500, latency: Duration::from_millis(1) });
        let mut transcript = Transcript::default();
        let pick = cluster.pick_for(key, now, 0, &[], &mut transcript).unwrap();
        assert_ne!(*pick.endpoint.uid, *first, "{table:?}");
        let is_ejected = |event: &Event| matches!(event, Event::Endpoint { uid, outcome: EndpointOutcome::Ejected { .. } } if **uid == *first);
        assert!(transcript.events.iter().any(is_ejected), "{transcript:?}");
    }
}

#[test]
fn the_key_is_told() {
    let cluster = cluster(cookie(Some(Duration::ZERO)), RING, five(), 1);
    for (request, found, given) in
        [(Request::get("/").header("cookie", "user=ann"), true, false), (Request::get("/"), false, true)]
    {
        let mut transcript = Transcript::default();
        let told = cluster.affinity(&request, None, 5, &mut transcript);
        assert_eq!(told, cluster.affinity(&request, None, 5, &mut Silent));
        let expected = Event::Key { key: cookie(Some(Duration::ZERO)), found, given };
        assert_eq!(transcript.events, [expected]);
    }
}
