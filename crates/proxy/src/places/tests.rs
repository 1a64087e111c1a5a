//! Who keeps a place when there are too few.

use std::time::Duration;

use leno_telemetry::Registry;
use tokio::time::timeout;

use super::*;

fn places(most: usize) -> Rc<Places> {
    Places::new(most, Load::new(&Registry::new(), most, 0, || 0))
}

/// Whether the connection of a place was closed.
fn is_cut(place: &Place) -> bool {
    !place.state.places.taken.borrow().contains_key(&place.state.id)
}

async fn take(places: &Rc<Places>) -> Place {
    timeout(Duration::from_secs(10), places.take()).await.expect("a place")
}

#[tokio::test]
async fn the_oldest_that_has_said_nothing_goes_first() {
    let places = places(2);
    let first = take(&places).await;
    let second = take(&places).await;
    let _third = take(&places).await;
    assert!(is_cut(&first) && !is_cut(&second));
    timeout(Duration::from_secs(10), first.serve(std::future::pending())).await.expect("it is over");
    let _fourth = take(&places).await;
    assert!(is_cut(&second));
    assert_eq!((places.taken.borrow().len(), places.silent.get()), (2, 2));
}

#[tokio::test]
async fn one_with_something_under_way_keeps_its_place_and_others_wait() {
    let places = places(1);
    let (begun, ended) = (Rc::new(Notify::new()), Rc::new(Notify::new()));
    let place = take(&places).await;
    let serving = {
        let (begun, ended) = (Rc::clone(&begun), Rc::clone(&ended));
        async move {
            let _busy = busy();
            begun.notify_one();
            ended.notified().await;
        }
    };
    let connection = place.serve(serving);
    tokio::pin!(connection);
    tokio::select! {
        () = &mut connection => panic!("it goes on"),
        () = begun.notified() => {}
    }
    assert_eq!(places.silent.get(), 0);
    assert!(timeout(ACCEPT_PAUSE * 3, places.take()).await.is_err(), "there is no place");
    ended.notify_one();
    let (next, ()) = tokio::join!(take(&places), connection);
    assert!(!is_cut(&next));
}

#[test]
fn an_idle_one_is_kept_for_a_while() {
    let places = places(1);
    let place = places.give();
    STATE.sync_scope(Rc::clone(&place.state), || drop(busy()));
    assert_eq!(places.cut(), 0);
    place.state.since.set(Instant::now().checked_sub(IDLE_KEPT).expect("a clock that began before"));
    assert_eq!(places.cut(), 1);
    assert!(is_cut(&place));
}

#[tokio::test]
async fn tunnels_have_as_many_places_as_connections_and_take_none_of_theirs() {
    let places = places(2);
    let held = (places.tunnel(), places.tunnel());
    assert!(held.0.is_some() && held.1.is_some() && places.tunnel().is_none());
    let _connection = take(&places).await;
    drop(held);
    assert!(places.tunnel().is_some());
}
