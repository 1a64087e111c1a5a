//! Retry policies and budgets.

use std::time::Duration;

use leno_model::retry::{Condition, RetryBudget, RetryPolicy};

use super::read::{status, write_duration};
use super::text::matched_header;
use super::{Interner, each};
use crate::malformed::Malformed;
use crate::proto::units;

pub(super) fn write_policy(policy: &RetryPolicy) -> units::RetryPolicy {
    units::RetryPolicy {
        attempts: policy.attempts,
        on: policy.on.iter().map(|condition| condition.name().to_owned()).collect(),
        statuses: policy.statuses.iter().map(|status| (*status).into()).collect(),
        headers: policy.headers.iter().map(ToString::to_string).collect(),
        backoff: write_duration(policy.backoff),
        skip_previous: policy.skip_previous,
    }
}

pub(super) fn read_policy(from: units::RetryPolicy, texts: &mut Interner) -> Result<RetryPolicy, Malformed> {
    let on = each("on", from.on, |name| {
        Condition::from_name(&name).ok_or_else(|| Malformed::new(format_args!("{name:?} is not a condition")))
    })?;
    Ok(RetryPolicy {
        attempts: from.attempts,
        on: on.into_iter().collect(),
        statuses: each("statuses", from.statuses, status)?,
        headers: each("headers", from.headers, |name| matched_header(&name, texts))?,
        backoff: Duration::from_nanos(from.backoff),
        skip_previous: from.skip_previous,
    })
}

pub(super) fn write_budget(budget: &RetryBudget) -> units::RetryBudget {
    units::RetryBudget {
        share: budget.share,
        minimum: budget.minimum,
        interval: budget.interval.map(write_duration),
    }
}

pub(super) fn read_budget(from: units::RetryBudget) -> RetryBudget {
    RetryBudget {
        share: from.share,
        minimum: from.minimum,
        interval: from.interval.map(Duration::from_nanos),
    }
}
