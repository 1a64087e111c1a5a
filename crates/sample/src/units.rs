//! Durations and rates as people write them on a command line.

use std::time::Duration;

/// Why a text is no duration.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is no duration: write a number and us, ms, s, m or h, such as 250ms")]
pub(crate) struct NotADuration(String);

/// Parses `250us`, `200ms`, `1.5s`, `2m`, `1h`. A bare `0` is allowed; other bare numbers lack a unit.
pub(crate) fn duration(text: &str) -> Result<Duration, NotADuration> {
    let refuse = || NotADuration(text.to_owned());
    let trimmed = text.trim();
    if trimmed == "0" {
        return Ok(Duration::ZERO);
    }
    let digits = trimmed.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(refuse)?;
    let (number, unit) = trimmed.split_at(digits);
    let scale = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(refuse()),
    };
    let seconds = number.trim().parse::<f64>().map_err(|_not_a_number| refuse())? * scale;
    Duration::try_from_secs_f64(seconds).map_err(|_out_of_range| refuse())
}

/// A probability between 0 and 1.
pub(crate) fn probability(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err(format!("{text:?} is no probability between 0 and 1")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, expected) in [
            ("0", Some(Duration::ZERO)),
            ("250us", Some(Duration::from_micros(250))),
            ("200ms", Some(Duration::from_millis(200))),
            ("1.5s", Some(Duration::from_millis(1500))),
            ("2m", Some(Duration::from_secs(120))),
            ("1h", Some(Duration::from_secs(3600))),
            ("5", None),
            ("s", None),
            ("-1s", None),
            ("1e400s", None),
            ("1d", None),
            ("", None),
        ] {
            assert_eq!(duration(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn probabilities() {
        assert_eq!(probability("0.25"), Ok(0.25));
        for text in ["-0.1", "1.1", "NaN", "often"] {
            assert!(probability(text).is_err(), "{text}");
        }
    }
}
