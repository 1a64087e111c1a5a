//! `outlierDetection`, and the annotations that add to it what Istio has no field for.

use leno_model::destination::{Destination, TrafficPolicy};
use leno_model::outlier::OutlierDetection;

use crate::codes;
use crate::envelope::Context;
use crate::table::Field;
use crate::yaml::{Fields, Value};

/// How many standard deviations below the average a success rate ejects.
const SUCCESS_RATE: &str = "leno.dev/outlier-success-rate";

/// How many times as slow as the median ejects.
const LATENCY: &str = "leno.dev/outlier-latency";

/// The annotations.
pub(super) const ANNOTATIONS: &[Field] = &[Field::text(SUCCESS_RATE), Field::text(LATENCY)];

/// Reads the field. What isn't given has Istio's value.
pub(super) fn read(fields: Fields<'_>) -> OutlierDetection {
    let default = OutlierDetection::default();
    let count = |name: &str| fields.value(name).and_then(|count| count.unsigned());
    let time = |name: &str| fields.value(name).and_then(|time| super::at_least_a_millisecond(&time));
    let percent = |name: &str| {
        let percent = fields.value(name).and_then(|percent| percent.integer(0, 100));
        percent.and_then(|percent| u32::try_from(percent).ok())
    };
    let split = fields.boolean("splitExternalLocalOriginErrors").unwrap_or_default();
    let local = fields.value("consecutiveLocalOriginFailures");
    if let Some(local) = local.as_ref().filter(|_| !split) {
        let hint = "set splitExternalLocalOriginErrors to true, or remove the field";
        local.report_with(codes::INEFFECTIVE, "failures to connect are counted with the 5xx answers", hint);
    }
    let local = local.and_then(|local| local.unsigned()).filter(|count| *count > 0);
    let statuses: Vec<u16> =
        fields.items("outlierDetectionHttpErrorCodes").iter().filter_map(status).collect();
    let outlier = OutlierDetection {
        server_errors: count("consecutive5xxErrors").unwrap_or(default.server_errors),
        gateway_errors: count("consecutiveGatewayErrors").unwrap_or(default.gateway_errors),
        local_failures: split.then(|| local.unwrap_or(5)),
        statuses: statuses.into(),
        interval: time("interval").unwrap_or(default.interval),
        base: time("baseEjectionTime").unwrap_or(default.base),
        // 0 is "not set" in Istio.
        most_percent: percent("maxEjectionPercent")
            .filter(|percent| *percent > 0)
            .unwrap_or(default.most_percent),
        least_healthy_percent: percent("minHealthPercent").unwrap_or(default.least_healthy_percent),
        success_rate: None,
        latency: None,
    };
    fields.finish();
    outlier
}

fn status(value: &Value<'_>) -> Option<u16> {
    value.integer(100, 599).and_then(|status| u16::try_from(status).ok())
}

/// Adds what annotations declare wherever the object has outlier detection.
pub(super) fn declare(context: &Context<'_>, destination: &mut Destination) {
    let annotations = [context.annotation(SUCCESS_RATE), context.annotation(LATENCY)];
    let [success_rate, latency] = annotations.each_ref().map(|value| thousandths(value.as_ref()?));
    let Destination { policy, ports, subsets, .. } = destination;
    let of_subsets = subsets.iter_mut().flat_map(|subset| {
        std::iter::once(&mut subset.policy).chain(subset.ports.iter_mut().map(|(_, policy)| policy))
    });
    let policies =
        std::iter::once(policy).chain(ports.iter_mut().map(|(_, policy)| policy)).chain(of_subsets);
    let mut any = false;
    for outlier in policies.filter_map(|TrafficPolicy { outlier, .. }| outlier.as_mut()) {
        any = true;
        outlier.success_rate = success_rate;
        outlier.latency = latency;
    }
    for value in annotations.iter().flatten().filter(|_| !any) {
        let hint = "add outlierDetection to a trafficPolicy, with Istio's defaults if it is empty";
        value.report_with(
            codes::INEFFECTIVE,
            "the object has no outlierDetection that it could add to",
            hint,
        );
    }
}

/// A positive number as thousandths, in quotes as all annotations.
fn thousandths(value: &Value<'_>) -> Option<u32> {
    let number = value.text()?.parse::<f64>().ok().filter(|number| (0.001..=1000.0).contains(number));
    if number.is_none() {
        value.invalid("is not a number from 0.001 to 1000", "write a number in quotes, such as \"3\"");
    }
    super::scaled(number?, 1000.0)
}
