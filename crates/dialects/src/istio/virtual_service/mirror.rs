//! `mirror` and `mirrors`: where copies of requests go.

use leno_model::fault::WHOLE;
use leno_model::route::Mirror;

use super::action::target;
use crate::codes;
use crate::envelope::Context;
use crate::percent;
use crate::yaml::{Fields, Value};

/// Names of the share of the single mirror, the one that counts first.
const SHARES: [&str; 3] = ["mirrorPercentage", "mirrorPercent", "mirror_percent"];

/// Reads the mirrors of an entry of `http`. Those that get nothing aren't kept.
pub(super) fn read(fields: &Fields<'_>, context: &Context<'_>) -> Vec<Mirror> {
    fields.at_most_one(&["mirror", "mirrors"]);
    let single = fields.value("mirror").and_then(|destination| {
        Some(Mirror {
            target: target(&destination, context)?,
            share: WHOLE,
            origin: context.origin(destination.at()),
        })
    });
    let share = single_share(fields);
    let single = single.map(|mirror| Mirror { share: share.unwrap_or(WHOLE), ..mirror });
    if !fields.has("mirror")
        && let Some(value) = SHARES.iter().find_map(|name| fields.value(name))
    {
        value.report_with(codes::INEFFECTIVE, "has no effect without mirror", "add mirror, or remove it");
    }
    let several = fields.items("mirrors");
    let several = several.iter().filter_map(|item| several_item(item, context));
    single.into_iter().chain(several).filter(|mirror| mirror.share > 0).collect()
}

fn single_share(fields: &Fields<'_>) -> Option<u32> {
    let percentage = fields.object("mirrorPercentage").map(percentage);
    let older = ["mirrorPercent", "mirror_percent"].map(|name| fields.value(name));
    let [older, oldest] = older.map(|value| value.and_then(|value| percent::share(&value)));
    percentage.or(older).or(oldest)
}

fn several_item(item: &Value<'_>, context: &Context<'_>) -> Option<Mirror> {
    let fields = item.fields()?;
    let target = fields.required("destination").and_then(|destination| target(&destination, context));
    let share = fields.object("percentage").map_or(WHOLE, percentage);
    fields.finish();
    Some(Mirror { target: target?, share, origin: context.origin(item.at()) })
}

/// A percentage that is given; without a value it is 0, as in Istio.
fn percentage(fields: Fields<'_>) -> u32 {
    let share = fields.value("value").and_then(|value| percent::share(&value));
    fields.finish();
    share.unwrap_or_default()
}
