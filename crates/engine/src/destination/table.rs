//! Which endpoint a key leads to: a ring of points, or Maglev's table.
//!
//! Both depend on nothing but the endpoints' uids and weights, so all proxies with the same endpoints agree. They are
//! made when endpoints change, never by a request.

use leno_model::hash::HashTable;

use crate::limits::PROBES;
use crate::rng::mix;

/// A table.
#[derive(Debug)]
pub(crate) enum Table {
    /// Points by ascending hash, with the endpoint of each.
    Ring(Vec<(u64, u32)>),
    /// The endpoint of each place.
    Maglev(Vec<u32>),
}

impl Table {
    /// The table of endpoints, by uid and weight; a weight of 0 counts as 1.
    pub(crate) fn new<'u>(kind: HashTable, endpoints: impl Iterator<Item = (&'u str, u32)>) -> Self {
        let endpoints: Vec<(u64, u64)> =
            endpoints.map(|(uid, weight)| (hash(uid.as_bytes()), u64::from(weight.max(1)))).collect();
        match kind {
            HashTable::Ring { minimum } => Self::Ring(ring(&endpoints, u64::from(minimum))),
            HashTable::Maglev { size } => Self::Maglev(maglev(&endpoints, u64::from(size))),
        }
    }

    /// The endpoints for a key, by position: the one that it leads to, then those that would have it next. Some come more
    /// than once, and after enough of them not all have to.
    pub(crate) fn order(&self, key: u64) -> impl Iterator<Item = usize> {
        let (ring, maglev) = match self {
            Self::Ring(points) => (points.as_slice(), &[][..]),
            Self::Maglev(places) => (&[][..], places.as_slice()),
        };
        let start = ring.partition_point(|(point, _)| *point < key);
        let (before, after) = ring.split_at_checked(start).unwrap_or_default();
        let points = after.iter().chain(before).map(|(_, endpoint)| *endpoint);
        let probes = std::iter::successors(Some(key), |key| Some(mix(key.wrapping_add(1)))).take(PROBES);
        let places = probes.filter_map(move |key| {
            let place = key.checked_rem(u64::try_from(maglev.len()).ok()?)?;
            maglev.get(usize::try_from(place).ok()?).copied()
        });
        points.chain(places).filter_map(|endpoint| usize::try_from(endpoint).ok())
    }
}

/// Hashes bytes, the same everywhere and for ever: FNV-1a, whose bits are then mixed.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let fnv = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    mix(bytes.iter().fold(0xcbf2_9ce4_8422_2325, fnv))
}

/// As many points for each unit of weight as make the ring large enough. Their number is a power of two: it stays the
/// same while a few endpoints come and go, so that the points of the others stay where they are.
fn ring(endpoints: &[(u64, u64)], minimum: u64) -> Vec<(u64, u32)> {
    let total = endpoints.iter().map(|(_, weight)| *weight).sum::<u64>().max(1);
    let most = u64::from(HashTable::MOST_POINTS);
    let each = minimum
        .min(most)
        .div_ceil(total)
        .next_power_of_two()
        .min(most.checked_div(total).unwrap_or_default());
    let count = |weight: u64| match each {
        // More weight than points.
        0 => u64::try_from(u128::from(weight) * u128::from(most) / u128::from(total)).unwrap_or(0).max(1),
        each => weight * each,
    };
    let mut points = Vec::new();
    for (position, (seed, weight)) in (0_u32..).zip(endpoints) {
        points.extend((0..count(*weight)).map(|number| (mix(seed ^ mix(number)), position)));
    }
    points.sort_unstable();
    points
}

/// Which places an endpoint wishes for, and how often it is its turn.
struct Wishes {
    next: u64,
    /// How far apart they are.
    skip: u64,
    weight: u64,
    /// Weight by which it is behind.
    owed: u64,
}

/// Maglev's population (Eisenbud et al., NSDI 2016, §3.4), with turns by weight.
fn maglev(endpoints: &[(u64, u64)], size: u64) -> Vec<u32> {
    let heaviest = endpoints.iter().map(|(_, weight)| *weight).max().unwrap_or(1);
    let Ok(length) = usize::try_from(size) else { return Vec::new() };
    if endpoints.is_empty() || size < 2 {
        return vec![0; length.min(endpoints.len())];
    }
    let mut places: Vec<Option<u32>> = vec![None; length];
    let wishes = |(seed, weight): &(u64, u64)| Wishes {
        next: seed % size,
        skip: mix(*seed) % (size - 1) + 1,
        weight: *weight,
        owed: 0,
    };
    let mut wishes: Vec<Wishes> = endpoints.iter().map(wishes).collect();
    let (mut left, mut placed) = (length, true);
    // Of a size that isn't prime some places may be out of reach.
    while left > 0 && std::mem::take(&mut placed) {
        for (position, wish) in (0_u32..).zip(&mut wishes) {
            wish.owed += wish.weight;
            if wish.owed < heaviest || left == 0 {
                continue;
            }
            wish.owed -= heaviest;
            // A prime size and any skip reach every place.
            for _ in 0..length {
                let place = usize::try_from(wish.next).ok().and_then(|at| places.get_mut(at));
                wish.next = (wish.next + wish.skip) % size;
                if let Some(place) = place
                    && place.is_none()
                {
                    *place = Some(position);
                    left -= 1;
                    placed = true;
                    break;
                }
            }
        }
    }
    places.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::rng::Rng;
    use crate::testing::cases;

    const RING: HashTable = HashTable::Ring { minimum: 1024 };
    const MAGLEV: HashTable = HashTable::Maglev { size: 65_537 };

    fn table(kind: HashTable, endpoints: &[(String, u32)]) -> Table {
        Table::new(kind, endpoints.iter().map(|(uid, weight)| (uid.as_str(), *weight)))
    }

    fn even(count: u32) -> Vec<(String, u32)> {
        (0..count).map(|number| (format!("default/app-{number}"), 1)).collect()
    }

    /// How many of some keys each endpoint gets.
    fn shares(table: &Table, keys: u32) -> BTreeMap<usize, u32> {
        let mut rng = Rng::new(5);
        let mut shares = BTreeMap::new();
        for _ in 0..keys {
            *shares.entry(table.order(rng.draw()).next().unwrap()).or_insert(0) += 1;
        }
        shares
    }

    #[test]
    fn every_endpoint_has_its_share_by_weight() {
        let mut weighted = even(4);
        weighted[0].1 = 5;
        for (kind, spread) in [(RING, 45), (MAGLEV, 5)] {
            for (endpoints, total) in [(even(10), 10), (weighted.clone(), 8)] {
                let shares = shares(&table(kind, &endpoints), 100_000);
                for (position, (_, weight)) in endpoints.iter().enumerate() {
                    let due = 100_000 * weight / total;
                    let got = shares.get(&position).copied().unwrap_or_default();
                    assert!(got.abs_diff(due) * 100 <= due * spread, "{kind:?} {position}: {got}, due {due}");
                }
            }
        }
    }

    /// Whatever else there is: keys of an endpoint that stays mostly stay.
    #[test]
    fn few_keys_move_when_an_endpoint_goes() {
        let all = even(10);
        let fewer: Vec<_> = all.iter().filter(|(uid, _)| uid != "default/app-3").cloned().collect();
        for (kind, most) in [(RING, 0), (MAGLEV, 5_000)] {
            let (before, after) = (table(kind, &all), table(kind, &fewer));
            let mut rng = Rng::new(9);
            let mut moved = 0;
            for _ in 0..50_000 {
                let key = rng.draw();
                let had = &all[before.order(key).next().unwrap()].0;
                let has = &fewer[after.order(key).next().unwrap()].0;
                moved += u32::from(had != "default/app-3" && had != has);
            }
            assert!(moved <= most, "{kind:?}: {moved} keys moved without need");
        }
    }

    /// Leaving an endpoint out on the ring is as if it weren't there.
    #[test]
    fn who_is_next_on_the_ring_is_who_would_be_first() {
        let all = even(6);
        let ring = table(RING, &all);
        for gone in 0..6 {
            let fewer: Vec<_> =
                all.iter().enumerate().filter(|(at, _)| *at != gone).map(|(_, one)| one.clone()).collect();
            let without = table(RING, &fewer);
            let mut rng = Rng::new(3);
            for _ in 0..2_000 {
                let key = rng.draw();
                let next = ring.order(key).find(|at| *at != gone).unwrap();
                assert_eq!(all[next].0, fewer[without.order(key).next().unwrap()].0);
            }
        }
    }

    #[test]
    fn a_hash_is_the_same_for_ever() {
        // What proxies of different versions must agree on.
        let golden: Vec<u64> = ["", "a", "default/app-0"].iter().map(|text| hash(text.as_bytes())).collect();
        assert_eq!(golden, GOLDEN);
    }

    const GOLDEN: [u64; 3] = [0xf52a_15e9_a9b5_e89b, 0x02c0_bdbf_4814_20f8, 0x120c_5ec7_5da1_a2e8];

    proptest! {
        #![proptest_config(cases(64))]

        #[test]
        fn any_table_leads_to_endpoints_that_there_are(
            weights in prop::collection::vec(0..=u32::MAX, 0..9), key: u64, size in 0..200_u32, maglev: bool,
        ) {
            let kind = if maglev { HashTable::Maglev { size } } else { HashTable::Ring { minimum: size } };
            let endpoints: Vec<_> =
                weights.iter().enumerate().map(|(number, weight)| (format!("e{number}"), *weight)).collect();
            let table = table(kind, &endpoints);
            for position in table.order(key).take(50) {
                prop_assert!(position < endpoints.len());
            }
        }
    }
}
