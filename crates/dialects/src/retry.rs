//! What dialects share about sending requests again: conditions by name, and what annotations declare.

use std::time::Duration;

use leno_model::retry::{Condition, Conditions, RepeatRule};
use leno_model::route::{Action, Rule};

use crate::codes;
use crate::envelope::Context;
use crate::table::Field;
use crate::yaml::{Value, parse_duration};

/// Declares that every request of the object's routes may be sent more than once without harm.
const REPEATABLE: &str = "leno.dev/repeatable";

/// How long an answer may take to begin before a repeatable request is sent to a second endpoint as well.
const HEDGE_AFTER: &str = "leno.dev/hedge-after";

/// What may be repeated in the whole mesh; on the root namespace.
const REPEAT: &str = "leno.dev/repeat";

/// The annotations of routes.
pub(crate) const OF_ROUTES: &[Field] = &[Field::text(REPEATABLE), Field::duration(HEDGE_AFTER)];

/// The annotations of namespaces.
pub(crate) const OF_NAMESPACES: &[Field] = &[Field::choice(REPEAT, &["safe", "any"])];

/// Names in `retryOn` that ask for nothing: they are about protocols that Leno doesn't speak upstream.
const EMPTY_CONDITIONS: &[&str] = &["http3-post-connect-failure"];

/// Gives rules what the object's annotations declare.
pub(crate) fn declare(context: &Context<'_>, rules: &mut [Rule]) {
    let repeatable = context.annotation(REPEATABLE).and_then(truth).unwrap_or_default();
    let hedge_after = context.annotation(HEDGE_AFTER).and_then(duration);
    for rule in rules {
        if let Action::Forward(forward) = &mut rule.action {
            forward.repeatable = repeatable;
            forward.hedge_after = hedge_after;
        }
    }
}

/// What a namespace declares for the whole mesh, if it is the root namespace.
pub(crate) fn mesh_wide(context: &Context<'_>) -> Option<RepeatRule> {
    let value = context.annotation(REPEAT)?;
    let rule = match value.text()? {
        "safe" => RepeatRule::Safe,
        "any" => RepeatRule::Any,
        _ => {
            value.invalid(
                "is neither safe nor any",
                "write safe (the default), or any to repeat as Istio does",
            );
            return None;
        }
    };
    let root = &context.options.root_namespace;
    if context.name() != root {
        let message = "the annotation has no effect here: it is about the whole mesh";
        value.report_with(codes::INEFFECTIVE, message, format!("put it on the namespace {root}"));
        return None;
    }
    Some(rule)
}

fn truth(value: &Value<'_>) -> Option<bool> {
    match value.text()? {
        "true" => Some(true),
        "false" => Some(false),
        _ => {
            value.invalid("is neither \"true\" nor \"false\"", "write \"true\" or \"false\", in quotes");
            None
        }
    }
}

fn duration(value: &Value<'_>) -> Option<Duration> {
    let duration = parse_duration(value.text()?).filter(|duration| !duration.is_zero());
    if duration.is_none() {
        value.invalid("is not a time", "write a time such as 50ms");
    }
    duration
}

/// Reads `retryOn`: names of conditions and statuses, with commas between.
pub(crate) fn conditions(value: &Value<'_>) -> Option<(Conditions, Vec<u16>)> {
    let (mut on, mut statuses) = (Conditions::NONE, Vec::new());
    for word in value.text()?.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        if let Some(condition) = Condition::from_name(word) {
            on = on.with(condition);
        } else if let Some(status) = word.parse().ok().filter(|status| (100..600).contains(status)) {
            on = on.with(Condition::RetriableStatusCodes);
            statuses.push(status);
        } else if EMPTY_CONDITIONS.contains(&word) {
            value.report(codes::INEFFECTIVE, format_args!("{word} never happens: Leno doesn't speak HTTP/3"));
        } else {
            let names: Vec<&str> = Condition::ALL.into_iter().map(Condition::name).collect();
            let hint = format!("write statuses and names among {}", names.join(", "));
            value.invalid(format_args!("has {word:?}, which is no condition"), hint);
            return None;
        }
    }
    Some((on, statuses))
}

/// A number of tries after the first; none where it is less than one.
pub(crate) fn attempts(value: &Value<'_>) -> Option<u32> {
    let given = value.integer(i64::from(i32::MIN), i64::from(i32::MAX))?;
    Some(u32::try_from(given).unwrap_or_default())
}
