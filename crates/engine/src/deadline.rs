//! Deadlines as headers carry them: read strictly, and written as what is left.
//!
//! A value that isn't one is no deadline; it goes on as it is, and whoever serves the request judges it.

use std::time::Duration;

/// What a gRPC timeout may have at most: eight digits (gRPC over HTTP/2, "Timeout").
const GRPC_DIGITS: usize = 8;

/// The header of gRPC's deadline.
pub const GRPC_TIMEOUT: &str = "grpc-timeout";

/// The header in which a proxy tells the next how long it waits, in milliseconds.
pub const EXPECTED_TIMEOUT: &str = "x-envoy-expected-rq-timeout-ms";

/// Reads `grpc-timeout`: one to eight digits and a unit.
#[must_use]
pub fn read_grpc(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.len() > GRPC_DIGITS {
        return None;
    }
    let count = number(digits)?;
    Some(match unit {
        b'H' => Duration::from_secs(count * 3600),
        b'M' => Duration::from_secs(count * 60),
        b'S' => Duration::from_secs(count),
        b'm' => Duration::from_millis(count),
        b'u' => Duration::from_micros(count),
        b'n' => Duration::from_nanos(count),
        _ => return None,
    })
}

/// Writes `grpc-timeout` in the finest unit that has room, never longer than `left`.
#[must_use]
pub fn write_grpc(left: Duration) -> String {
    let units = [
        (left.as_nanos(), 'n'),
        (left.as_micros(), 'u'),
        (left.as_millis(), 'm'),
        (u128::from(left.as_secs()), 'S'),
        (u128::from(left.as_secs() / 60), 'M'),
        (u128::from(left.as_secs() / 3600), 'H'),
    ];
    let fitting = units.into_iter().find(|(count, _)| *count < 10_u128.pow(8));
    let (count, unit) = fitting.unwrap_or((99_999_999, 'H'));
    format!("{count}{unit}")
}

/// Reads a number of milliseconds, as Envoy's headers have it; 0 is `Some(Duration::ZERO)`.
#[must_use]
pub fn read_milliseconds(value: &[u8]) -> Option<Duration> {
    number(value).map(Duration::from_millis)
}

/// The number of milliseconds to write; at least one, since 0 would mean none.
#[must_use]
pub fn milliseconds(left: Duration) -> u64 {
    u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// Digits only, as many as fit in any case.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    digits.iter().try_fold(0, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10).then(|| number * 10 + u64::from(digit))
    })
}

/// The nearest of several deadlines.
#[must_use]
pub fn nearest(times: impl IntoIterator<Item = Option<Duration>>) -> Option<Duration> {
    times.into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_timeouts_are_read_strictly() {
        let cases: [(&str, Option<Duration>); 16] = [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("3S", Some(Duration::from_secs(3))),
            ("4m", Some(Duration::from_millis(4))),
            ("5u", Some(Duration::from_micros(5))),
            ("6n", Some(Duration::from_nanos(6))),
            ("0S", Some(Duration::ZERO)),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("100000000n", None),
            ("", None),
            ("S", None),
            ("5", None),
            ("-5S", None),
            ("+5S", None),
            ("5 S", None),
            ("5s", None),
        ];
        for (text, expected) in cases {
            assert_eq!(read_grpc(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_and_never_longer() {
        for nanoseconds in [0, 1, 99_999_999, 100_000_000, 1_234_567_891, 86_400_000_000_000, u64::MAX] {
            let left = Duration::from_nanos(nanoseconds);
            let read = read_grpc(write_grpc(left).as_bytes()).unwrap();
            assert!(read <= left && left - read <= left / 1_000_000, "{left:?} {read:?}");
        }
        assert_eq!(write_grpc(Duration::MAX), "99999999H");
        assert_eq!(milliseconds(Duration::from_micros(10)), 1);
    }

    #[test]
    fn milliseconds_are_digits() {
        let texts = ["0", "15", "1e3", "", " 5", "5ms", "9999999999999999999"];
        let read: Vec<_> = texts.map(|text| read_milliseconds(text.as_bytes())).into();
        let none = None::<Duration>;
        assert_eq!(
            read,
            [Some(Duration::ZERO), Some(Duration::from_millis(15)), none, none, none, none, none]
        );
        assert_eq!(nearest([None, read[1], read[0]]), read[0]);
    }
}
