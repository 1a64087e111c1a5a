use std::future::pending;

use tokio::task::yield_now;

use super::*;
use crate::LocalRuntime;

fn run<F: Future>(f: F) -> F::Output {
    LocalRuntime::new().unwrap().block_on(f)
}

#[test]
fn every_way_to_start_is_counted() {
    run(async {
        let tasks = Tasks::current();
        assert_eq!(spawn("sent", async { 1 }).await, Ok(1));
        assert_eq!(spawn_local("local", async { 2 }).await, Ok(2));
        assert_eq!(spawn_blocking("blocking", || 3).await, Ok(3));
        assert_eq!(spawn_thread("thread", || 4).unwrap().join().unwrap(), 4);
        let names: Vec<_> = tasks.counts().into_iter().map(|count| (count.name, count.started)).collect();
        assert_eq!(names, [("blocking", 1), ("local", 1), ("sent", 1), ("thread", 1)]);
        assert!(tasks.counts().iter().all(|count| count.running == 0 && count.panicked == 0));
    });
}

#[test]
fn a_dropped_task_is_cancelled_and_a_detached_one_is_not() {
    run(async {
        let tasks = Tasks::current();
        let kept = spawn_local("forever", pending::<()>());
        spawn_local("forever", pending::<()>()).detach();
        drop(spawn_local("forever", pending::<()>()));
        yield_now().await;
        assert_eq!(tasks.running("forever"), 2);
        kept.cancel().await;
        assert_eq!(tasks.running("forever"), 1);
    });
    assert_eq!(Tasks::current().running("forever"), 0, "the runtime's end ends its tasks");
}

#[test]
fn a_panic_is_counted_and_told() {
    run(async {
        let tasks = Tasks::current();
        assert_eq!(spawn_local("bad", async { panic!("number {}", 7) }).await, Err::<(), _>(Ended::Panicked));
        let told = LastPanic { task: "bad", message: "number 7".to_owned() };
        assert_eq!(tasks.last_panic(), Some(told));
        assert_eq!(tasks.counts(), [Count { name: "bad", running: 0, started: 1, panicked: 1 }]);

        assert_eq!(spawn_blocking("worse", || panic!("static")).await, Err::<(), _>(Ended::Panicked));
        assert_eq!(tasks.last_panic().map(|told| told.message), Some("static".to_owned()));
    });
}

#[test]
fn a_detached_panic_is_counted_too() {
    run(async {
        spawn_local("bad", async { panic!("nobody waits") }).detach();
        while Tasks::current().running("bad") > 0 {
            yield_now().await;
        }
        assert_eq!(Tasks::current().last_panic().map(|told| told.task), Some("bad"));
    });
}

#[test]
fn threads_share_the_register_and_strangers_do_not() {
    run(async {
        let here = Tasks::current();
        let same = spawn_thread("mine", move || Arc::ptr_eq(&Tasks::current().0, &here.0));
        assert!(same.unwrap().join().unwrap());
        let here = Tasks::current();
        let other = std::thread::spawn(move || Arc::ptr_eq(&Tasks::current().0, &here.0));
        assert!(!other.join().unwrap());
    });
}

#[test]
fn a_name_adds_a_pointer_to_a_future() {
    let plain = async { yield_now().await };
    let size = size_of_val(&plain);
    let named = Named { future: plain, running: Running::start("sized") };
    assert_eq!(size_of_val(&named), size.next_multiple_of(8) + 8);
}
