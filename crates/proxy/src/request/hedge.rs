//! Two tries side by side: the first good answer counts, and the other try is dropped.

use std::future::Future;
use std::pin::Pin;

/// Which of two tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    First,
    Second,
}

/// Runs both until one ends well, or the last of them ends.
pub(super) async fn race<T>(
    mut first: Pin<&mut (impl Future<Output = T> + ?Sized)>,
    mut second: Pin<&mut (impl Future<Output = T> + ?Sized)>,
    is_good: impl Fn(Which, &T) -> bool,
) -> (Which, T) {
    let (mut first_runs, mut second_runs) = (true, true);
    loop {
        tokio::select! {
            biased;
            end = &mut first, if first_runs => {
                if !second_runs || is_good(Which::First, &end) {
                    return (Which::First, end);
                }
                first_runs = false;
            }
            end = &mut second, if second_runs => {
                if !first_runs || is_good(Which::Second, &end) {
                    return (Which::Second, end);
                }
                second_runs = false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::pin::pin;

    use super::*;

    #[tokio::test]
    async fn the_first_good_end_counts_else_the_last() {
        let is_good = |_which, end: &u32| *end > 0;
        let won = race(pin!(pending::<u32>()), pin!(ready(1)), is_good).await;
        assert_eq!(won, (Which::Second, 1));
        let won = race(pin!(ready(0)), pin!(ready(2)), is_good).await;
        assert_eq!(won, (Which::Second, 2), "a bad end leaves the other to it");
        let won = race(pin!(ready(0)), pin!(ready(0)), is_good).await;
        assert_eq!(won, (Which::Second, 0), "both are bad");
    }
}
