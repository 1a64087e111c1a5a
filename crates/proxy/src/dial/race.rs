//! Connecting to the first of several addresses that answers (RFC 8305 §5).
//!
//! Attempts begin in order: the next one as soon as all before it have failed, or when the last has been under way for
//! [`ATTEMPT_DELAY`]. The first that succeeds ends the others. How long all may take is the caller's business.

use std::net::SocketAddr;
use std::pin::{Pin, pin};

use leno_model::failure::Failure;

use crate::limits::ATTEMPT_DELAY;

type Racing<'r, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + 'r>>;

/// The first connection by `connect`, or the last failure of all.
pub(super) fn race<'r, T: 'r, F>(
    addresses: &'r [SocketAddr],
    connect: impl Fn(SocketAddr) -> F + Copy + 'r,
) -> Racing<'r, T>
where
    F: Future<Output = Result<T, Failure>> + 'r,
{
    Box::pin(async move {
        let Some((first, rest)) = addresses.split_first() else { return Err(Failure::ConnectFailed) };
        let mut attempt = pin!(connect(*first));
        if rest.is_empty() {
            return attempt.await;
        }
        tokio::select! {
            biased;
            result = &mut attempt => return match result {
                // More sockets are no way out of having too few.
                Ok(_) | Err(Failure::Overload) => result,
                Err(_) => race(rest, connect).await,
            },
            () = leno_runtime::time::sleep(ATTEMPT_DELAY) => {}
        }
        let mut others = race(rest, connect);
        tokio::select! {
            biased;
            result = &mut attempt => if result.is_ok() { result } else { others.await },
            result = &mut others => if result.is_ok() { result } else { attempt.await },
        }
    })
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;

    /// How an address behaves: whether it answers, and after what time; `None` is never.
    type Behaviour = Option<(bool, u64)>;

    /// Races addresses with ports 1 and on. Which won, when, and when each attempt began, in milliseconds.
    async fn raced(behaviours: &[Behaviour]) -> (Option<u16>, u64, Vec<u64>) {
        let addresses: Vec<_> =
            (1..).zip(behaviours).map(|(port, _)| SocketAddr::from(([127, 0, 0, 1], port))).collect();
        let began = Instant::now();
        let now = || u64::try_from(began.elapsed().as_millis()).unwrap();
        let begun = RefCell::new(Vec::new());
        let connect = |address: SocketAddr| {
            begun.borrow_mut().push(now());
            let behaviour = behaviours[usize::from(address.port()) - 1];
            async move {
                let Some((answers, after)) = behaviour else { return std::future::pending().await };
                tokio::time::sleep(Duration::from_millis(after)).await;
                if answers { Ok(address.port()) } else { Err(Failure::ConnectFailed) }
            }
        };
        let winner = race(&addresses, connect).await.ok();
        let took = now();
        (winner, took, begun.take())
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_that_answers_wins_and_nobody_waits_for_one_that_does_not() {
        const NO: Behaviour = Some((false, 0));
        let yes = |after| Some((true, after));
        assert_eq!(raced(&[yes(10), yes(0)]).await, (Some(1), 10, vec![0]), "in order");
        assert_eq!(
            raced(&[NO, NO, yes(5)]).await,
            (Some(3), 5, vec![0, 0, 0]),
            "a failure is no reason to wait"
        );
        assert_eq!(raced(&[None, yes(5)]).await, (Some(2), 255, vec![0, 250]));
        assert_eq!(raced(&[None, None, yes(5)]).await, (Some(3), 505, vec![0, 250, 500]));
        assert_eq!(raced(&[yes(300), None]).await, (Some(1), 300, vec![0, 250]), "the first goes on");
        assert_eq!(raced(&[yes(900), NO, yes(1)]).await, (Some(3), 251, vec![0, 250, 250]));
        assert_eq!(raced(&[Some((false, 400)), NO]).await, (None, 400, vec![0, 250]));
        assert_eq!(raced(&[]).await, (None, 0, vec![]));
    }
}
