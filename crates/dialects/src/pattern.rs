//! Regular expressions in configuration.

use leno_model::text::{Pattern, PatternError};

use crate::yaml::Value;

/// Reads a regular expression; `value` is where it stands.
pub(crate) fn read(text: &str, value: &Value<'_>) -> Option<Pattern> {
    match Pattern::new(text) {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            value.invalid(format_args!("is refused: {}", reason(&error)), "write RE2 syntax");
            None
        }
    }
}

/// The reason in one line. The regex crate draws a picture first and gives the reason in its last line.
fn reason(error: &PatternError) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}
