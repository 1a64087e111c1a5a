//! Which of its route's mirrors get a copy of a request.
//!
//! Each is drawn for itself, as with Envoy: two mirrors of 50 % get a copy each of half the requests, not one of all.

use leno_model::route::Mirror;

use crate::explain::{Event, Explain};
use crate::fault::drawn;
use crate::rng::mix;

/// What makes the draw between backends another one for each mirror.
const MIRROR: u64 = 0x6d_69_72_72_6f_72;

/// The mirrors of a request: those that were drawn of those that there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mirrors<'r> {
    all: &'r [Mirror],
    draw: u64,
}

impl<'r> Mirrors<'r> {
    /// Draws. `draw` is uniform over all 64-bit numbers.
    #[must_use]
    pub fn draw(all: &'r [Mirror], draw: u64, explain: &mut impl Explain) -> Self {
        let mirrors = Self { all, draw };
        for (mirror, drawn) in mirrors.each() {
            explain.tell(|| Event::Mirror {
                origin: mirror.origin.clone(),
                target: mirror.target.clone(),
                share: mirror.share,
                drawn,
            });
        }
        mirrors
    }

    /// Those that get a copy.
    pub fn drawn(self) -> impl Iterator<Item = &'r Mirror> {
        self.each().filter(|(_, drawn)| *drawn).map(|(mirror, _)| mirror)
    }

    fn each(self) -> impl Iterator<Item = (&'r Mirror, bool)> {
        (0..).zip(self.all).map(move |(number, mirror): (u64, _)| {
            let draw = mix(self.draw ^ mix(MIRROR.wrapping_add(number)));
            (mirror, drawn(mirror.share, draw))
        })
    }
}

#[cfg(test)]
mod tests {
    use leno_model::fault::WHOLE;
    use leno_model::route::Target;

    use super::*;
    use crate::explain::{Silent, Transcript};
    use crate::rng::Rng;
    use crate::testing::origin;

    fn mirror(share: u32) -> Mirror {
        let target = Target::Service { host: "shadow".parse().unwrap(), port: None, subset: None };
        Mirror { target, share, origin: origin(1) }
    }

    #[test]
    fn each_mirror_has_its_share_and_knows_nothing_of_the_others() {
        let all = [WHOLE, 0, WHOLE / 2, WHOLE / 2, WHOLE / 100].map(mirror);
        let mut rng = Rng::new(7);
        let (mut counts, mut both) = ([0_u32; 5], 0_u32);
        for _ in 0..100_000 {
            let mirrors = Mirrors::draw(&all, rng.draw(), &mut Silent);
            let drawn: Vec<bool> = mirrors.each().map(|(_, drawn)| drawn).collect();
            assert_eq!(mirrors.drawn().count(), drawn.iter().filter(|drawn| **drawn).count());
            for (count, drawn) in counts.iter_mut().zip(&drawn) {
                *count += u32::from(*drawn);
            }
            both += u32::from(drawn[2] && drawn[3]);
        }
        assert_eq!((counts[0], counts[1]), (100_000, 0));
        assert!((49_000..51_000).contains(&counts[2]) && (49_000..51_000).contains(&counts[3]), "{counts:?}");
        assert!((850..1_150).contains(&counts[4]), "{counts:?}");
        assert!((24_000..26_000).contains(&both), "{both}");
    }

    #[test]
    fn a_listener_hears_of_every_mirror_and_changes_nothing() {
        let all = [WHOLE / 2, WHOLE / 2, 0].map(mirror);
        for draw in 0..64 {
            let mut transcript = Transcript::default();
            let told = Mirrors::draw(&all, mix(draw), &mut transcript);
            assert_eq!(told, Mirrors::draw(&all, mix(draw), &mut Silent));
            assert_eq!(transcript.events.len(), 3);
            let is_drawn = |event: &&Event| matches!(event, Event::Mirror { drawn: true, .. });
            assert_eq!(transcript.events.iter().filter(is_drawn).count(), told.drawn().count());
        }
    }
}
