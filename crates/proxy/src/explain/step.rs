//! What was considered, in words.

use leno_engine::explain::{EndpointOutcome, Event, Fault, PolicyOutcome, RuleOutcome, Tries};
use leno_engine::retry::Repeatable;
use leno_model::fault::AbortStatus;
use leno_model::hash::HashKey;
use leno_model::policy::PolicyAction;

use super::Step;

impl From<Event> for Step {
    fn from(event: Event) -> Self {
        let step = |kind: &str, subject: String, won: bool, outcome: String| Self {
            kind: kind.to_owned(),
            subject,
            outcome,
            won,
        };
        match event {
            Event::Rule { origin, name, index, outcome } => {
                let name = name.map(|name| format!(" {name:?}")).unwrap_or_default();
                let index = index.map(|index| format!(" match {}", index + 1)).unwrap_or_default();
                let won = outcome == RuleOutcome::Won;
                step("rule", format!("{origin}{name}{index}"), won, rule_outcome(&outcome))
            }
            Event::Backend { origin, target, weight, total, drawn } => {
                let outcome = if drawn { "drawn" } else { "not drawn" };
                step(
                    "backend",
                    format!("{target} ({origin})"),
                    drawn,
                    format!("{outcome}, weight {weight} of {total}"),
                )
            }
            Event::Key { key, found, given } => {
                let outcome = match (found, given) {
                    (true, _) => "leads to the endpoint",
                    (false, true) => "is missing; the client is given one",
                    (false, false) => "is missing; any endpoint may be picked",
                };
                step("key", key_in_words(&key), found, outcome.to_owned())
            }
            Event::Mirror { origin, target, share, drawn } => {
                step("mirror", format!("{target} ({origin})"), drawn, share_in_words(share, drawn))
            }
            Event::Fault { fault, share, drawn } => {
                step("fault", fault_in_words(fault), drawn, share_in_words(share, drawn))
            }
            Event::Reading { path } => step("reading", path, false, "policies see this path too".to_owned()),
            Event::Policy { origin, action, dry_run, outcome } => {
                let action = match action {
                    PolicyAction::Allow => "allow",
                    PolicyAction::Deny => "deny",
                };
                let shadow = if dry_run { ", dry run" } else { "" };
                let won = outcome == PolicyOutcome::Won;
                step("policy", format!("{origin} ({action}{shadow})"), won, policy_outcome(&outcome))
            }
            Event::Tries(tries) => step("retry", tries_in_words(&tries), false, repeatable(tries.repeatable)),
            Event::Retry { tries, outcome } => {
                let outcome = match outcome {
                    Ok(pause) => format!("is followed by another after {pause:?}"),
                    Err(reason) => format!("is the last: {}", reason.text()),
                };
                step("retry", format!("try {tries}"), false, outcome)
            }
            Event::Endpoint { uid, outcome } => {
                let won = outcome == EndpointOutcome::Picked;
                step("endpoint", uid.to_string(), won, endpoint_outcome(&outcome))
            }
        }
    }
}

fn tries_in_words(tries: &Tries) -> String {
    let mut words = match tries.attempts {
        0 => "no further tries".to_owned(),
        attempts => format!("up to {attempts} further tries on {}", tries.on),
    };
    let times =
        [("timeout", tries.timeout), ("per try", tries.per_try), ("a second try after", tries.hedge_after)];
    for (name, time) in times {
        if let Some(time) = time {
            words.push_str(&format!(", {name} {time:?}"));
        }
    }
    words
}

fn repeatable(repeatable: Repeatable) -> String {
    match repeatable {
        Repeatable::No => "may have an effect, so it is repeated only if it was not processed",
        Repeatable::ByMethod => "its method changes nothing, so it may be repeated",
        Repeatable::Declared => "is declared repeatable",
        Repeatable::Mesh => "the mesh repeats everything",
    }
    .to_owned()
}

fn rule_outcome(outcome: &RuleOutcome) -> String {
    match outcome {
        RuleOutcome::Won => "matches and decides".to_owned(),
        RuleOutcome::Outranked => "matches, but stands after the winner".to_owned(),
        RuleOutcome::Lost(unmet) => format!("does not match: {unmet}"),
    }
}

fn policy_outcome(outcome: &PolicyOutcome) -> String {
    match outcome {
        PolicyOutcome::Won => "matches and decides".to_owned(),
        PolicyOutcome::Outranked => "matches, but another has decided".to_owned(),
        PolicyOutcome::NoRules => "has no rules and never matches".to_owned(),
        PolicyOutcome::Incomplete => "has a part that is not understood, and so never matches".to_owned(),
        PolicyOutcome::NotHttp => "is about HTTP and never matches opaque traffic".to_owned(),
        PolicyOutcome::Source(unmet) => format!("no source matches: {}", unmet.join(", ")),
        PolicyOutcome::Operation(unmet) => format!("no operation matches: {}", unmet.join(", ")),
        PolicyOutcome::Condition(key) => format!("a condition does not hold: {key:?}"),
    }
}

fn key_in_words(key: &HashKey) -> String {
    match key {
        HashKey::Header(name) => format!("header {name}"),
        HashKey::Cookie(cookie) => format!("cookie {}", cookie.name),
        HashKey::SourceIp => "the client's address".to_owned(),
        HashKey::Query(name) => format!("query parameter {name}"),
    }
}

fn share_in_words(share: u32, drawn: bool) -> String {
    let outcome = if drawn { "drawn" } else { "not drawn" };
    format!("{outcome}, {} % of requests", f64::from(share) / 10_000.0)
}

fn fault_in_words(fault: Fault) -> String {
    match fault {
        Fault::Delay(time) => format!("wait for {time:?}"),
        Fault::Abort(AbortStatus::Http(status)) => format!("answer with status {status}"),
        Fault::Abort(AbortStatus::Grpc(status)) => format!("answer with gRPC status {status}"),
    }
}

fn endpoint_outcome(outcome: &EndpointOutcome) -> String {
    match outcome {
        EndpointOutcome::Picked => "picked".to_owned(),
        EndpointOutcome::Costlier { cost, picked } => {
            format!("costs {cost} ns of waiting, the one picked {picked} ns")
        }
        EndpointOutcome::NotDrawn => "not drawn".to_owned(),
        EndpointOutcome::Tried => "was tried before".to_owned(),
        EndpointOutcome::Ejected { left } => {
            format!("is ejected as an outlier for {} s more", left.as_secs().max(1))
        }
        EndpointOutcome::NotReady => "is not ready".to_owned(),
        EndpointOutcome::NoPort => "does not serve the port".to_owned(),
        EndpointOutcome::NotInSubset => "is not in the subset".to_owned(),
        EndpointOutcome::Unreachable(failure) => format!("cannot be reached: {}", failure.name()),
    }
}
