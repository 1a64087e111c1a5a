//! Times as RFC 3339 writes them, in UTC and with milliseconds.

use std::cell::Cell;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Shows a time as `2026-11-25T08:09:10.123Z`. What lies before 1970 shows as its begin, what lies after 9999 as its end:
/// years have four digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp(pub SystemTime);

const DAY: u64 = 86_400;

/// The last millisecond of the year 9999.
const LAST: Duration = Duration::from_millis(253_402_300_799_999);

impl Timestamp {
    /// The text, in ASCII. All but the milliseconds is mostly that of the last one.
    pub(super) fn text(self) -> [u8; 24] {
        thread_local! {
            static LAST_SECOND: Cell<Option<(u64, [u8; 24])>> = const { Cell::new(None) };
        }
        let since = self.0.duration_since(UNIX_EPOCH).unwrap_or_default().min(LAST);
        let mut text = match LAST_SECOND.get() {
            Some((second, text)) if second == since.as_secs() => text,
            _ => {
                let text = second(since.as_secs());
                LAST_SECOND.set(Some((since.as_secs(), text)));
                text
            }
        };
        put(&mut text, 23, 3, since.subsec_millis().into());
        text
    }
}

/// The text of a second since 1970.
fn second(since: u64) -> [u8; 24] {
    let (days, second) = (since / DAY, since % DAY);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let mut text = *b"0000-00-00T00:00:00.000Z";
    put(&mut text, 4, 4, year);
    for (end, value) in [(7, month), (10, day), (13, hour), (16, minute), (19, second)] {
        put(&mut text, end, 2, value);
    }
    text
}

/// Puts a number into so many digits before `end`.
fn put(text: &mut [u8; 24], end: usize, width: usize, value: u64) {
    let mut left = value;
    for digit in text.iter_mut().take(end).rev().take(width) {
        *digit = b'0' + (left % 10) as u8;
        left /= 10;
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.text()))
    }
}

/// Days in 400 years, after which the Gregorian calendar repeats.
const ERA: u64 = 146_097;

/// The date `days` after 1970-01-01.
///
/// Years are counted from March, so that the day a leap year adds is a year's last one. Then day `d` of an era lies in
/// the year that remains when the leap days before it (every 4 years, not every 100, but every 400) are taken out,
/// and months have 153 days in every five.
fn date(days: u64) -> (u64, u64, u64) {
    // Days from 0000-03-01 to 1970-01-01.
    let days = days + 719_468;
    let (era, day) = (days / ERA, days % ERA);
    let year = (day - day / 1_460 + day / 36_524 - day / (ERA - 1)) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + carry, month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn examples() {
        for (millis, shown) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_606_339_578_409, "2020-11-25T21:26:18.409Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
            (253_402_300_800_000, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Timestamp(UNIX_EPOCH + Duration::from_millis(millis)).to_string(), shown);
        }
        assert_eq!(
            Timestamp(UNIX_EPOCH - Duration::from_secs(1)).to_string(),
            Timestamp(UNIX_EPOCH).to_string()
        );
    }

    proptest! {
        #[test]
        fn agrees_with_a_calendar(millis in 0..253_402_300_799_999u64) {
            let shown = Timestamp(UNIX_EPOCH + Duration::from_millis(millis)).to_string();
            let expected = jiff::Timestamp::from_millisecond(millis as i64).unwrap();
            prop_assert_eq!(shown, format!("{expected:.3}"));
        }
    }
}
