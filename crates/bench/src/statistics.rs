//! Several rounds of one figure.

use serde::Serialize;

/// Median and spread.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    /// (max − min) / median, in percent: how far two runs of the same thing may lie apart.
    pub(crate) spread_percent: f64,
}

impl Summary {
    /// Of at least one value.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let upper = *sorted.get(middle)?;
        let median = if sorted.len() % 2 == 1 {
            upper
        } else {
            f64::midpoint(*sorted.get(middle.checked_sub(1)?)?, upper)
        };
        let spread = if median == 0.0 { 0.0 } else { (max - min) / median.abs() * 100.0 };
        Some(Self { median, min, max, spread_percent: spread })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_spreads() {
        for (values, median, spread) in [
            (&[2.0][..], 2.0, 0.0),
            (&[3.0, 1.0, 2.0], 2.0, 100.0),
            (&[4.0, 1.0, 2.0, 3.0], 2.5, 120.0),
            (&[0.0, 0.0], 0.0, 0.0),
        ] {
            let summary = Summary::of(values).unwrap();
            assert_eq!((summary.median, summary.spread_percent), (median, spread), "{values:?}");
        }
        assert_eq!(Summary::of(&[]), None);
    }
}
