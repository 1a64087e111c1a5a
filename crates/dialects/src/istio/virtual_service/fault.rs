//! `fault`: delays and aborts, with Istio's rules of what they need.

use std::time::Duration;

use leno_model::fault::{Abort, AbortStatus, Delay, FaultInjection};

use crate::codes;
use crate::percent;
use crate::yaml::{Fields, Value};

/// The names of gRPC's statuses, by number.
const GRPC_STATUSES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

pub(super) fn read(value: &Value<'_>) -> Option<FaultInjection> {
    let fields = value.fields()?;
    if !fields.has("delay") && !fields.has("abort") {
        value.report_with(codes::REQUIRED, "the fault has neither delay nor abort", "add one of them");
    }
    let delay = fields.object("delay").map(delay);
    let abort = fields.object("abort").map(abort);
    fields.finish();
    Some(FaultInjection { delay: delay.flatten(), abort: abort.flatten() })
}

fn delay(fields: Fields<'_>) -> Option<Delay> {
    let fixed = match fields.has("exponentialDelay") {
        true => fields.value("fixedDelay"),
        false => fields.required("fixedDelay"),
    };
    let time = fixed.and_then(|value| {
        let time = value.duration()?;
        if time < Duration::from_millis(1) {
            value.invalid("is shorter than a millisecond", "write a longer time");
        }
        Some(time)
    });
    let older = fields.value("percent").and_then(|percent| percent::share(&percent));
    let share = share(&fields, older);
    fields.finish();
    Some(Delay { share, time: time? })
}

fn abort(fields: Fields<'_>) -> Option<Abort> {
    fields.at_most_one(&["httpStatus", "grpcStatus"]);
    let http = fields.value("httpStatus").map(|status| {
        let status = u16::try_from(status.integer(200, 599)?).ok()?;
        Some(AbortStatus::Http(status))
    });
    let grpc = fields.value("grpcStatus").map(|status| grpc_status(&status).map(AbortStatus::Grpc));
    let status = match http.or(grpc) {
        Some(status) => status,
        None if fields.has("http2Error") => None,
        None => {
            let message = format_args!("{} has neither httpStatus nor grpcStatus", fields.path());
            fields.report_with(codes::REQUIRED, message, "add one of them");
            None
        }
    };
    let share = share(&fields, None);
    fields.finish();
    Some(Abort { share, status: status? })
}

fn grpc_status(value: &Value<'_>) -> Option<u8> {
    let text = value.text()?;
    let position = GRPC_STATUSES.iter().position(|name| *name == text);
    if position.is_none() {
        value.invalid(
            "is not the name of a gRPC status",
            "write one in capitals, such as UNAVAILABLE or RESOURCE_EXHAUSTED",
        );
    }
    u8::try_from(position?).ok()
}

/// The share of the requests. Without one there are none, as in Istio.
fn share(fields: &Fields<'_>, older: Option<u32>) -> u32 {
    let given = fields.object("percentage").map(|percentage| {
        let share = percentage.value("value").and_then(|value| percent::share(&value));
        percentage.finish();
        share.unwrap_or_default()
    });
    if given.is_none() && older.is_none() {
        let message = format_args!("{} has no effect: it has no percentage, which is 0 then", fields.path());
        fields.report_with(codes::INEFFECTIVE, message, "add percentage.value, from 0 to 100");
    }
    given.or(older).unwrap_or_default()
}
