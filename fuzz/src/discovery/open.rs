//! The first flight of `leno/1`: read the same however it arrives, and what is read can be written.

use leno_wire::limits::MAX_OPEN_BYTES;
use leno_wire::open::{Decoded, Open, Verdict};

use crate::Outcome;

/// Checks one input.
pub fn run(data: &[u8]) -> Outcome {
    let whole = Open::decode(data);
    let step = data.len() / 64 + 1;
    for cut in (0..data.len()).step_by(step) {
        match (Open::decode(&data[..cut]), &whole) {
            (Decoded::NeedMore(more), Decoded::Open(_, taken)) => {
                assert!(more > 0 && cut + more <= *taken, "{more} after {cut} of {taken}");
            }
            (Decoded::Open(early, used), Decoded::Open(open, taken)) => {
                assert_eq!((&early, used), (open, *taken))
            }
            (Decoded::NeedMore(more), _) => assert!(more > 0 && cut + more <= MAX_OPEN_BYTES + 4, "{more}"),
            (Decoded::Refused(_), Decoded::Refused(_)) => {}
            (part, whole) => panic!("{part:?} after {cut} bytes, but in the end {whole:?}"),
        }
    }
    if let [byte, ..] = data {
        let verdict = Verdict::from_byte(*byte);
        assert_eq!(verdict == Verdict::Accepted, *byte == 0, "only one byte accepts");
        assert_eq!(Verdict::from_byte(verdict.byte()), verdict);
    }
    match whole {
        Decoded::Open(open, taken) => {
            assert!(taken <= data.len() && taken <= MAX_OPEN_BYTES + 4, "more than there is");
            assert!(open.port != 0, "no port");
            let flight = open.encode();
            assert_eq!(Open::decode(&flight), Decoded::Open(open, flight.len()), "it doesn't survive");
            Outcome::Accepted
        }
        Decoded::NeedMore(more) => {
            assert!(more > 0 && data.len() + more <= MAX_OPEN_BYTES + 4, "{more} more");
            Outcome::Refused
        }
        Decoded::Refused(_) => Outcome::Refused,
    }
}
