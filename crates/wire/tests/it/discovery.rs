//! Units, answers, changes and reconnects, over every transport.

use std::time::Duration;

use leno_model::unit::Answer;
use leno_wire::client::AskError;
use leno_wire::state::State;
use leno_wire::{Key, Rejection};

use crate::world::{Control, Mesh, Proxy, Way, host, name, soon, web};

/// Over plaintext TCP nobody can prove anything, so nobody is let in.
fn ways() -> impl Iterator<Item = Way> {
    Way::ALL.into_iter().filter(|way| *way != Way::Tcp)
}

#[tokio::test]
async fn a_proxy_gets_what_it_asks_for_and_nothing_else() {
    for way in ways() {
        let control = Control::start(way, Mesh::of(1, &[("a", 1), ("b", 1)])).await;
        let mut proxy = Proxy::start(control.endpoint(), None);
        assert_eq!(proxy.take().await.snapshot, 1);
        assert_eq!(proxy.ask(name("a")).await, Answer::Service(host("a")));
        assert_eq!(
            proxy.keys(),
            ["MeshSettings mesh", "EndpointUnit a", "HostUnit a"].map(String::from).into()
        );
        assert_eq!(proxy.ask(name("c")).await, Answer::Absent { under: "c".into() });
        control.session(|session| session.acked == Some(1) && session.held.len() == 5).await;
        let [session] = <[_; 1]>::try_from(control.hub.registry().sessions()).unwrap();
        assert_eq!(session.client.identity, (way != Way::Memory).then(web), "{way:?}");
        assert_eq!(session.client.subject.to_string(), "workload:default/web-0");
    }
}

#[tokio::test]
async fn changes_reach_those_whom_they_concern() {
    for way in ways() {
        let control = Control::start(way, Mesh::of(1, &[("a", 1), ("b", 1)])).await;
        let mut proxy = Proxy::start(control.endpoint(), None);
        proxy.take().await;
        proxy.ask(name("a")).await;
        // Nothing of it is held: the snapshot is in effect without a word.
        control.set(Mesh::of(2, &[("a", 1), ("b", 2)]));
        control.session(|session| session.acked == Some(2)).await;
        control.set(Mesh::of(3, &[("a", 2), ("b", 2)]));
        let update = proxy.take().await;
        assert_eq!((update.snapshot, update.changed.len(), update.removed.len()), (3, 1, 0), "{way:?}");
        assert_eq!(update.changed[0].key(), Key::Endpoints(host("a")));
        control.session(|session| session.acked == Some(3)).await;
        proxy.discovery.forget(name("a")).await;
        let update = proxy.take().await;
        assert_eq!(update.removed, [Key::Endpoints(host("a")), Key::Host(host("a"))]);
        assert_eq!(update.answers, [(name("a"), None)]);
    }
}

#[tokio::test]
async fn an_answer_comes_after_its_update_is_in_effect() {
    let control = Control::start(Way::Unix, Mesh::of(1, &[("a", 1)])).await;
    let mut proxy = Proxy::start(control.endpoint(), None);
    proxy.take().await;
    let discovery = proxy.discovery.clone();
    let ask =
        leno_runtime::spawn(
            "test.ask",
            async move { discovery.ask(name("a"), Duration::from_secs(20)).await },
        );
    let (update, ack) = proxy.next().await;
    assert_eq!(update.answers, [(name("a"), Some(Answer::Service(host("a"))))]);
    assert!(!ask.is_finished());
    ack.applied();
    assert_eq!(soon(ask).await.unwrap(), Ok(Answer::Service(host("a"))));
}

#[tokio::test]
async fn a_lost_control_plane_is_found_again_and_sends_only_what_changed() {
    for way in ways().filter(|way| *way != Way::Memory) {
        let mut control = Control::start(way, Mesh::of(1, &[("a", 1), ("b", 1)])).await;
        let mut proxy = Proxy::start(control.endpoint(), None);
        proxy.take().await;
        proxy.ask(name("a")).await;
        proxy.ask(name("b")).await;
        control.stop().await;
        assert!(proxy.connected(false).await.is_some());
        // What is known stays known; what is not is not found out.
        assert_eq!(proxy.ask(name("a")).await, Answer::Service(host("a")));
        let late = proxy.discovery.ask(name("c"), Duration::from_millis(50)).await;
        assert_eq!(late, Err(AskError::TimedOut));
        control.set(Mesh::of(7, &[("a", 1), ("b", 2), ("c", 1)]));
        control.serve().await;
        let update = proxy.take().await;
        assert_eq!(update.snapshot, 7, "{way:?}");
        let changed: Vec<String> = update.changed.iter().map(|unit| unit.key().to_string()).collect();
        assert_eq!(changed, ["EndpointUnit b", "EndpointUnit c", "HostUnit c"]);
        assert_eq!(proxy.connected(true).await, None);
        assert_eq!(proxy.ask(name("c")).await, Answer::Service(host("c")));
    }
}

#[tokio::test]
async fn a_refusal_names_the_unit_and_holds_up_nothing_else() {
    for way in ways() {
        let control = Control::start(way, Mesh::of(1, &[("a", 1), ("b", 1)])).await;
        let mut proxy = Proxy::start(control.endpoint(), None);
        proxy.take().await;
        proxy.ask(name("a")).await;
        proxy.ask(name("b")).await;
        control.set(Mesh::of(2, &[("a", 2), ("b", 2)]));
        let (update, ack) = proxy.next().await;
        assert_eq!(update.changed.len(), 2);
        let rejection = Rejection { key: Key::Endpoints(host("a")), reason: "ports[0]: not today".into() };
        ack.rejected(vec![rejection.clone()]);
        let update = proxy.take().await;
        assert_eq!(
            update.changed.iter().map(leno_wire::Unit::key).collect::<Vec<_>>(),
            [Key::Endpoints(host("b"))]
        );
        control
            .session(|session| session.acked == Some(2) && session.rejections == [rejection.clone()])
            .await;
        control.set(Mesh::of(3, &[("a", 3), ("b", 2)]));
        let update = proxy.take().await;
        assert_eq!(
            update.changed.iter().map(leno_wire::Unit::key).collect::<Vec<_>>(),
            [Key::Endpoints(host("a"))]
        );
        control.session(|session| session.acked == Some(3) && session.rejections.is_empty()).await;
    }
}

#[tokio::test]
async fn an_update_that_is_dropped_comes_again() {
    let control = Control::start(Way::Unix, Mesh::of(1, &[("a", 1)])).await;
    let mut proxy = Proxy::start(control.endpoint(), None);
    let (first, ack) = proxy.next().await;
    drop(ack);
    assert_eq!(proxy.take().await, first);
    control.session(|session| session.acked == Some(1)).await;
}

#[tokio::test]
async fn a_proxy_starts_from_its_last_state_without_a_control_plane() {
    let control = Control::start(Way::Unix, Mesh::of(5, &[("a", 1)])).await;
    let mut proxy = Proxy::start(control.endpoint(), None);
    proxy.take().await;
    proxy.ask(name("a")).await;
    let blob = soon(proxy.discovery.state()).await.unwrap().encode();
    drop(proxy);

    let mut endpoint = control.remote();
    endpoint.address = leno_wire::transport::Address::Unix(control.directory.join("nobody"));
    let restored = State::decode(&blob).unwrap();
    let mut alone = Proxy::start(leno_wire::transport::Endpoint::Remote(endpoint), Some(restored.clone()));
    assert_eq!(alone.take().await.snapshot, 5);
    assert_eq!(alone.ask(name("a")).await, Answer::Service(host("a")));
    assert!(
        alone
            .connected(false)
            .await
            .unwrap()
            .starts_with("the control plane cannot be reached: cannot connect")
    );

    // With one, nothing that is known comes again.
    let mut proxy = Proxy::start(control.endpoint(), Some(restored));
    proxy.take().await;
    control.session(|session| session.held.len() == 4 && session.acked == Some(5)).await;
    control.set(Mesh::of(6, &[("a", 2)]));
    assert_eq!(proxy.take().await.changed.len(), 1);
}

#[tokio::test]
async fn the_state_has_every_update_that_was_acknowledged() {
    let control = Control::start(Way::Unix, Mesh::of(1, &[("a", 1)])).await;
    let mut proxy = Proxy::start(control.endpoint(), None);
    proxy.take().await;
    proxy.ask(name("a")).await;
    for generation in 2..20 {
        control.set(Mesh::of(generation.into(), &[("a", generation)]));
        assert_eq!(proxy.take().await.snapshot, u64::from(generation));
        assert_eq!(soon(proxy.discovery.state()).await.unwrap().snapshot, u64::from(generation));
    }
}

#[tokio::test]
async fn a_slow_proxy_skips_what_it_could_not_take() {
    let control = Control::start(Way::UnixTls, Mesh::of(1, &[("a", 1)])).await;
    let mut proxy = Proxy::start(control.endpoint(), None);
    proxy.take().await;
    proxy.ask(name("a")).await;
    control.set(Mesh::of(2, &[("a", 2)]));
    let (_, ack) = proxy.next().await;
    for generation in 3..200 {
        control.set(Mesh::of(generation.into(), &[("a", generation)]));
    }
    ack.applied();
    assert_eq!(proxy.take().await.snapshot, 199);
    control.session(|session| session.acked == Some(199) && session.pending.is_none()).await;
}

#[tokio::test]
async fn large_meshes_come_in_pieces_and_as_one_update() {
    // Names of static life are what the test's catalog is made of.
    let names: Vec<&'static str> = (0..3_000).map(|i| &*format!("s{i}.test").leak()).collect();
    let services: Vec<(&'static str, u32)> = names.iter().map(|name| (*name, 1)).collect();
    let control = Control::start(Way::Unix, Mesh::of(1, &services)).await;
    let mut proxy = Proxy::start(control.endpoint(), None);
    proxy.take().await;
    let asks: Vec<_> = names
        .iter()
        .copied()
        .take(1_000)
        .map(|service| {
            let discovery = proxy.discovery.clone();
            leno_runtime::spawn("test.ask", async move {
                discovery.ask(name(service), Duration::from_secs(20)).await
            })
        })
        .collect();
    let mut updates = 0;
    while proxy.units.len() < 2_001 {
        proxy.take().await;
        updates += 1;
    }
    for ask in asks {
        assert!(matches!(soon(ask).await.unwrap(), Ok(Answer::Service(_))));
    }
    assert!(updates < 100, "{updates} updates");
}
