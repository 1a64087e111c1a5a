//! Percentages, read as whole millionths so that nothing that a user can write is lost or drifts.

use leno_model::fault::WHOLE;

use crate::yaml::Value;

/// A percentage from 0 to 100, in millionths.
pub(crate) fn share(value: &Value<'_>) -> Option<u32> {
    let given = value.number()?;
    if !(0.0..=100.0).contains(&given) {
        value.invalid("is not a percentage", "write a number from 0 to 100");
        return None;
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
    let share = (given * f64::from(WHOLE / 100)).round() as u32;
    Some(share)
}
