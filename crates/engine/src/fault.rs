//! Which faults of its route a request gets.
//!
//! Whether it is delayed and whether it is aborted are independent of each other and of the backend that is drawn, as
//! with Envoy: with a delay of 10 % and an abort of 10 %, one request in a hundred has both. Nothing is waited for here.

use std::time::Duration;

use leno_model::fault::{AbortStatus, FaultInjection, WHOLE};

use crate::explain::{Event, Explain, Fault};
use crate::rng::{below, mix};

/// What makes one draw several that have nothing to do with each other.
const DELAY: u64 = 0x64_65_6c_61_79;
const ABORT: u64 = 0x61_62_6f_72_74;

/// What is injected into one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Injected {
    /// It waits for so long first.
    pub delay: Option<Duration>,
    /// Then it is answered with this instead of being sent on.
    pub abort: Option<AbortStatus>,
}

/// Draws the faults of one request. `draw` is uniform over all 64-bit numbers.
#[must_use]
pub fn inject(faults: Option<&FaultInjection>, draw: u64, explain: &mut impl Explain) -> Injected {
    let Some(FaultInjection { delay, abort }) = faults else { return Injected::default() };
    let mut is_drawn = |fault, share, salt| {
        let drawn = drawn(share, mix(draw ^ salt));
        explain.tell(|| Event::Fault { fault, share, drawn });
        drawn
    };
    Injected {
        delay: delay
            .filter(|delay| is_drawn(Fault::Delay(delay.time), delay.share, DELAY))
            .map(|delay| delay.time),
        abort: abort
            .filter(|abort| is_drawn(Fault::Abort(abort.status), abort.share, ABORT))
            .map(|abort| abort.status),
    }
}

/// Whether a draw falls into a share of all, in millionths.
pub(crate) fn drawn(share: u32, draw: u64) -> bool {
    below(draw, u64::from(WHOLE)) < u64::from(share)
}

#[cfg(test)]
mod tests {
    use leno_model::fault::{Abort, Delay};
    use proptest::prelude::*;

    use super::*;
    use crate::explain::{Silent, Transcript};
    use crate::rng::Rng;
    use crate::testing::cases;

    const TIME: Duration = Duration::from_millis(3);
    const STATUS: AbortStatus = AbortStatus::Http(418);

    fn faults(delay: Option<u32>, abort: Option<u32>) -> FaultInjection {
        FaultInjection {
            delay: delay.map(|share| Delay { share, time: TIME }),
            abort: abort.map(|share| Abort { share, status: STATUS }),
        }
    }

    /// How many of `count` requests are delayed, aborted, and both.
    fn shares(faults: &FaultInjection, count: u32) -> [u32; 3] {
        let mut rng = Rng::new(11);
        let mut shares = [0; 3];
        for _ in 0..count {
            let injected = inject(Some(faults), rng.draw(), &mut Silent);
            let (delayed, aborted) = (injected.delay == Some(TIME), injected.abort == Some(STATUS));
            shares[0] += u32::from(delayed);
            shares[1] += u32::from(aborted);
            shares[2] += u32::from(delayed && aborted);
        }
        shares
    }

    #[test]
    fn faults_have_their_shares_and_know_nothing_of_each_other() {
        let [delayed, aborted, both] = shares(&faults(Some(100_000), Some(300_000)), 100_000);
        assert!((9_500..10_500).contains(&delayed), "{delayed}");
        assert!((29_300..30_700).contains(&aborted), "{aborted}");
        assert!((2_750..3_250).contains(&both), "{both} of about 3,000");
        // A hundredth of a percent is told from nothing.
        let [delayed, aborted, _] = shares(&faults(Some(100), Some(0)), 1_000_000);
        assert!((60..140).contains(&delayed) && aborted == 0, "{delayed} {aborted}");
    }

    #[test]
    fn nothing_and_everything_are_exact() {
        assert_eq!(inject(None, 5, &mut Silent), Injected::default());
        assert_eq!(shares(&faults(Some(0), Some(0)), 1000), [0, 0, 0]);
        assert_eq!(shares(&faults(Some(WHOLE), Some(WHOLE)), 1000), [1000, 1000, 1000]);
        assert_eq!(shares(&faults(None, None), 1000), [0, 0, 0]);
    }

    /// The salts alone would leave draws in step if they weren't mixed.
    #[test]
    fn faults_know_nothing_of_the_backend() {
        let all = faults(None, Some(500_000));
        let mut rng = Rng::new(3);
        let mut aborted = [0_u32; 2];
        for _ in 0..20_000 {
            let draw = rng.draw();
            let backend = usize::try_from(below(draw, 2)).unwrap();
            aborted[backend] += u32::from(inject(Some(&all), draw, &mut Silent).abort.is_some());
        }
        assert!(aborted.iter().all(|count| (4_700..5_300).contains(count)), "{aborted:?}");
    }

    proptest! {
        #![proptest_config(cases(256))]

        /// A listener changes nothing, and is told of each fault there is.
        #[test]
        fn what_is_told_is_what_is_done(
            delay in prop::option::of(0..=WHOLE), abort in prop::option::of(0..=WHOLE), draw: u64,
        ) {
            let faults = faults(delay, abort);
            let mut transcript = Transcript::default();
            let told = inject(Some(&faults), draw, &mut transcript);
            prop_assert_eq!(told, inject(Some(&faults), draw, &mut Silent));
            let drawn: Vec<bool> = transcript.events.iter().map(|event| match event {
                Event::Fault { drawn, .. } => *drawn,
                other => panic!("{other:?}"),
            }).collect();
            let expected: Vec<bool> = [delay.map(|_| told.delay.is_some()), abort.map(|_| told.abort.is_some())]
                .into_iter().flatten().collect();
            prop_assert_eq!(drawn, expected);
        }
    }
}
