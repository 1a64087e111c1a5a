//! Timers: tokio's, made where they cost requests nothing.
//!
//! A runtime that has timers looks at the clock and at its timers before and after each wait, which is a good part of
//! what a short request costs. So the runtimes of data cores have none: what a core sets is kept, and fires, on one thread
//! for the process. Elsewhere the functions here are tokio's own, and tests can pause their time.
//!
//! Invariant: what may run on a data core sets its timers by these functions. `cargo xtask tidy` checks it.

use std::cell::RefCell;
use std::future::IntoFuture;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::time::{Instant, Interval, Sleep, Timeout};

/// The process's thread of timers, once there is one. It ends with the process: a timer may outlive its core.
static TIMERS: Mutex<Option<Handle>> = Mutex::new(None);

thread_local! {
    /// Where this thread's timers are kept, if its own runtime has none.
    static ELSEWHERE: RefCell<Option<Handle>> = const { RefCell::new(None) };
}

/// Has the current thread's timers kept on the thread of timers, which is started where there is none.
///
/// # Errors
/// When that thread can't be had.
pub(crate) fn keep_elsewhere() -> io::Result<()> {
    let mut timers = TIMERS.lock().unwrap_or_else(PoisonError::into_inner);
    let handle = match &*timers {
        Some(handle) => handle.clone(),
        None => timers.insert(start()?).clone(),
    };
    ELSEWHERE.set(Some(handle));
    Ok(())
}

fn start() -> io::Result<Handle> {
    let runtime = Builder::new_current_thread().enable_time().build()?;
    let handle = runtime.handle().clone();
    thread::Builder::new()
        .name("timers".to_owned())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
    Ok(handle)
}

/// Makes a timer where this thread's timers are kept.
fn set<T>(make: impl FnOnce() -> T) -> T {
    ELSEWHERE.with_borrow(|elsewhere| {
        let _entered = elsewhere.as_ref().map(Handle::enter);
        make()
    })
}

/// [`tokio::time::sleep`].
#[track_caller]
pub fn sleep(time: Duration) -> Sleep {
    set(|| tokio::time::sleep(time))
}

/// [`tokio::time::sleep_until`].
#[track_caller]
pub fn sleep_until(deadline: Instant) -> Sleep {
    set(|| tokio::time::sleep_until(deadline))
}

/// [`tokio::time::timeout`].
#[track_caller]
pub fn timeout<F: IntoFuture>(time: Duration, future: F) -> Timeout<F::IntoFuture> {
    let future = future.into_future();
    set(|| tokio::time::timeout(time, future))
}

/// [`tokio::time::timeout_at`].
pub fn timeout_at<F: IntoFuture>(deadline: Instant, future: F) -> Timeout<F::IntoFuture> {
    let future = future.into_future();
    set(|| tokio::time::timeout_at(deadline, future))
}

/// [`tokio::time::interval`].
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    set(|| tokio::time::interval(period))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;
    use crate::{Core, Cores, LocalRuntime, spawn_local};

    const SOON: Duration = Duration::from_millis(20);

    #[test]
    fn timers_of_cores_fire() {
        let (tell, told) = sync_channel(2);
        let cores = Cores::start(2, move |core: Core| async move {
            let began = Instant::now();
            sleep(SOON).await;
            sleep_until(Instant::now() + SOON).await;
            assert!(timeout(SOON, std::future::pending::<()>()).await.is_err());
            assert!(timeout_at(Instant::now() + SOON, std::future::pending::<()>()).await.is_err());
            assert_eq!(timeout(10 * SOON, async { 7 }).await, Ok(7));
            let mut ticks = interval(SOON);
            for _ in 0..3 {
                ticks.tick().await;
            }
            tell.send((core.index, began.elapsed())).unwrap();
        });
        assert_eq!(cores.unwrap().join(), Ok(()));
        let mut took: Vec<_> = told.iter().collect();
        took.sort_unstable();
        let indices: Vec<_> = took.iter().map(|(index, _)| *index).collect();
        assert_eq!(indices, [0, 1]);
        assert!(took.iter().all(|(_, took)| *took >= 6 * SOON), "{took:?}");
    }

    #[test]
    fn a_timer_may_outlive_its_core() {
        let (tell, told) = sync_channel(1);
        let cores = Cores::start(1, move |_core| async move {
            let mut set = Box::pin(sleep(SOON));
            let _pending = timeout(Duration::ZERO, &mut set).await;
            spawn_local("forgotten", sleep(10 * SOON)).detach();
            tell.send(set).unwrap();
        });
        assert_eq!(cores.unwrap().join(), Ok(()));
        let set = told.recv().unwrap();
        LocalRuntime::new().unwrap().block_on(async {
            assert!(timeout(100 * SOON, set).await.is_ok());
        });
    }

    #[tokio::test(start_paused = true)]
    async fn elsewhere_time_can_be_paused() {
        let began = std::time::Instant::now();
        sleep(Duration::from_secs(3600)).await;
        assert!(began.elapsed() < Duration::from_secs(60));
    }
}
