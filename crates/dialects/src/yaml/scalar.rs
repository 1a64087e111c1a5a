//! What a plain scalar means (YAML 1.2 core schema §10.3.2), durations and quantities.

use std::time::Duration;

use super::node::{Scalar, Style};
use crate::limits::MAX_DURATION_SECS;

/// What a scalar means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Resolved<'t> {
    /// Text.
    Text(&'t str),
    /// A whole number.
    Integer(i64),
    /// A number that is not whole, or too large.
    Number(f64),
    /// A truth value.
    Boolean(bool),
    /// Unquoted digits with a leading zero: octal to some readers, decimal to others.
    LeadingZero(&'t str),
}

impl Scalar {
    /// What the scalar means.
    #[must_use]
    pub fn resolve(&self) -> Resolved<'_> {
        match self.style {
            Style::Plain => resolve_plain(&self.text),
            Style::Quoted | Style::Block => Resolved::Text(&self.text),
        }
    }

    /// Whether readers of YAML 1.1, `kubectl` among them, take the unquoted word for a truth value.
    #[must_use]
    pub fn is_old_boolean(&self) -> bool {
        self.style == Style::Plain
            && matches!(
                &*self.text,
                "yes" | "Yes" | "YES" | "no" | "No" | "NO" | "on" | "On" | "ON" | "off" | "Off" | "OFF"
            )
    }
}

pub(super) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

fn resolve_plain(text: &str) -> Resolved<'_> {
    match text {
        "true" | "True" | "TRUE" => return Resolved::Boolean(true),
        "false" | "False" | "FALSE" => return Resolved::Boolean(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Resolved::Number(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Resolved::Number(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Resolved::Number(f64::NAN),
        _ => {}
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Resolved::Text(text);
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        // `from_str_radix` takes a sign, YAML does not here.
        if let Some(rest) = text.strip_prefix(prefix).filter(|rest| !rest.starts_with(['+', '-'])) {
            return i64::from_str_radix(rest, radix).map_or(Resolved::Text(text), Resolved::Integer);
        }
    }
    if digits.bytes().all(|b| b.is_ascii_digit()) {
        if digits.len() > 1 && digits.starts_with('0') {
            return Resolved::LeadingZero(text);
        }
        if let Ok(number) = text.parse() {
            return Resolved::Integer(number);
        }
    }
    let number_like =
        digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    match text.parse() {
        Ok(number) if number_like => Resolved::Number(number),
        Ok(_) | Err(_) => Resolved::Text(text),
    }
}

/// A duration as Go writes it: one or more numbers, whole or decimal, each with its unit (`h`, `m`, `s`, `ms`,
/// `us`, `µs`, `ns`); or `0`. Not negative, at most a year; parts of a nanosecond are cut off.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let number_len = rest.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|len| *len > 0)?;
        let (number, tail) = rest.split_at_checked(number_len)?;
        let unit_len = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(unit_len)?;
        let nanos: u64 = match unit {
            "h" => 3_600_000_000_000,
            "m" => 60_000_000_000,
            "s" => 1_000_000_000,
            "ms" => 1_000_000,
            "us" | "µs" | "μs" => 1_000,
            "ns" => 1,
            _ => return None,
        };
        total = total.checked_add(scaled(number, nanos)?)?;
        rest = tail;
    }
    let duration = Duration::from_nanos(total);
    (duration <= Duration::from_secs(MAX_DURATION_SECS)).then_some(duration)
}

/// A decimal number times `unit`, rounded down.
fn scaled(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut total = whole.checked_mul(unit)?;
    let mut share = unit;
    for digit in fraction.chars() {
        share /= 10;
        total = total.checked_add(share.checked_mul(u64::from(digit.to_digit(10)?))?)?;
    }
    Some(total)
}

/// A Kubernetes quantity (`512Mi`, `1.5G`, `250m`), in thousandths, rounded up as Kubernetes does.
#[must_use]
pub fn parse_quantity(text: &str) -> Option<u128> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(unit_at)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let fraction = fraction.trim_end_matches('0');
    if (whole.is_empty() && fraction.is_empty()) || whole.len() > 15 || fraction.len() > 9 {
        return None;
    }
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let thousandths: u128 = match unit {
        "n" | "u" => return None,
        "m" => 1,
        "" => 1_000,
        "k" => 1_000_000,
        "M" => 1_000_000_000,
        "G" => 1_000_000_000_000,
        "T" => 1_000_000_000_000_000,
        "Ki" => 1_000 << 10,
        "Mi" => 1_000 << 20,
        "Gi" => 1_000 << 30,
        "Ti" => 1_000 << 40,
        _ => return None,
    };
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let divisor = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    Some((digits * thousandths).div_ceil(divisor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_follow_the_core_schema() {
        for (text, expected) in [
            ("true", Resolved::Boolean(true)),
            ("FALSE", Resolved::Boolean(false)),
            ("yes", Resolved::Text("yes")),
            ("0", Resolved::Integer(0)),
            ("-17", Resolved::Integer(-17)),
            ("+17", Resolved::Integer(17)),
            ("0x1F", Resolved::Integer(31)),
            ("0o17", Resolved::Integer(15)),
            ("0x-1", Resolved::Text("0x-1")),
            ("0644", Resolved::LeadingZero("0644")),
            ("1.5", Resolved::Number(1.5)),
            (".5", Resolved::Number(0.5)),
            ("1e3", Resolved::Number(1000.0)),
            ("99999999999999999999", Resolved::Number(1e20)),
            ("1.2.3.4", Resolved::Text("1.2.3.4")),
            ("10.0.0.0/8", Resolved::Text("10.0.0.0/8")),
            ("5s", Resolved::Text("5s")),
            ("-", Resolved::Text("-")),
            ("12e", Resolved::Text("12e")),
            ("infinity", Resolved::Text("infinity")),
            ("1inf", Resolved::Text("1inf")),
        ] {
            assert_eq!(resolve_plain(text), expected, "{text}");
        }
    }

    #[test]
    fn durations_are_those_of_go() {
        let ms = |n| Some(Duration::from_millis(n));
        for (text, expected) in [
            ("0", ms(0)),
            ("0s", ms(0)),
            ("5s", ms(5_000)),
            ("1h30m", ms(5_400_000)),
            ("1.5s", ms(1_500)),
            (".5s", ms(500)),
            ("500ms", ms(500)),
            ("1m0.5s", ms(60_500)),
            ("3us", Some(Duration::from_micros(3))),
            ("1.5ns", Some(Duration::from_nanos(1))),
            ("", None),
            ("5", None),
            ("s", None),
            (".s", None),
            ("-5s", None),
            ("5 s", None),
            ("5S", None),
            ("1..5s", None),
            ("1d", None),
            ("99999999999h", None),
            ("9000h", None),
            ("18446744073709551616ns", None),
        ] {
            assert_eq!(parse_duration(text), expected, "{text}");
        }
    }

    #[test]
    fn quantities_are_those_of_kubernetes() {
        for (text, expected) in [
            ("1", Some(1_000)),
            ("250m", Some(250)),
            ("0.5", Some(500)),
            ("1.0001", Some(1_001)),
            ("1Ki", Some(1_024_000)),
            ("1.5Mi", Some(1_572_864_000)),
            ("2G", Some(2_000_000_000_000)),
            ("", None),
            ("Mi", None),
            ("1MB", None),
            ("-1", None),
            ("1.2.3", None),
        ] {
            assert_eq!(parse_quantity(text), expected, "{text}");
        }
    }
}
