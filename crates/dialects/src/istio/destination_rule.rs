//! DestinationRule.

mod fields;
mod hash;
mod outlier;
mod pool;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use leno_model::destination::{Balancer, Destination, ProxyProtocol, Subset, TlsMode, TrafficPolicy, Warmup};
use leno_model::retry::RetryBudget;

use super::host::{export_to, service_host};
use crate::codes;
use crate::envelope::{API_VERSION, Context, KIND, META, STATUS};
use crate::kinds::Kind;
use crate::object::{DestinationSettings, Object};
use crate::percent;
use crate::table::{Field, Shape};
use crate::yaml::{Fields, Value};

/// Destination settings.
pub(crate) static DESTINATION_RULE: Kind = Kind {
    group: "networking.istio.io",
    name: "DestinationRule",
    versions: &["v1", "v1beta1", "v1alpha3"],
    namespaced: true,
    shape: Shape::Object(&[API_VERSION, KIND, META, Field::object("spec", fields::SPEC), STATUS]),
    annotations: outlier::ANNOTATIONS,
    protects: true,
    read,
};

fn read(context: &Context<'_>, fields: &Fields<'_>) -> Option<Object> {
    let spec = fields.required("spec")?.fields()?;
    let host = spec.required("host").and_then(|host| service_host(&host, context));
    let (mut policy, ports) = policy_with_ports(&spec);
    let subsets = subsets(&spec, context);
    let visible_in = export_to(&spec, context);
    spec.finish();
    if context.damaged {
        policy.tls = Some(TlsMode::Mesh);
    }
    let mut destination = Destination { policy, ports, subsets, origin: Some(context.origin(context.at)) };
    outlier::declare(context, &mut destination);
    Some(Object::Destination(Box::new(DestinationSettings {
        namespace: context.namespace().clone(),
        host: host?,
        visible_in,
        destination,
    })))
}

type PolicyWithPorts = (TrafficPolicy, Vec<(u16, TrafficPolicy)>);

fn policy_with_ports(holder: &Fields<'_>) -> PolicyWithPorts {
    let Some(fields) = holder.object("trafficPolicy") else { return PolicyWithPorts::default() };
    let policy = policy(&fields);
    let mut ports: PolicyPorts = Vec::new();
    for item in fields.items("portLevelSettings") {
        let Some((port, policy)) = port_policy(&item) else { continue };
        if ports.iter().any(|(known, _)| *known == port) {
            item.report(
                codes::INEFFECTIVE,
                format_args!("port {port} already has settings above, which count"),
            );
        } else {
            ports.push((port, policy));
        }
    }
    ports.sort_by_key(|(port, _)| *port);
    fields.finish();
    (policy, ports)
}

type PolicyPorts = Vec<(u16, TrafficPolicy)>;

fn port_policy(item: &Value<'_>) -> Option<(u16, TrafficPolicy)> {
    let fields = item.fields()?;
    let port = fields.required("port").and_then(|port| port.fields()).and_then(|port| {
        let number = port.required("number").and_then(|number| number.port());
        port.finish();
        number
    });
    let policy = policy(&fields);
    fields.finish();
    Some((port?, policy))
}

fn policy(fields: &Fields<'_>) -> TrafficPolicy {
    let (balancer, warmup) = fields.object("loadBalancer").map(balancing).unwrap_or_default();
    let mut policy = TrafficPolicy {
        balancer,
        warmup,
        tls: fields.value("tls").as_ref().map(tls::read),
        retry_budget: fields.object("retryBudget").map(retry_budget),
        outlier: fields.object("outlierDetection").map(outlier::read),
        proxy_protocol: fields.object("proxyProtocol").map(proxy_protocol),
        ..TrafficPolicy::default()
    };
    if let Some(fields) = fields.object("connectionPool") {
        pool::read(fields, &mut policy);
    }
    policy
}

/// The header that connections begin with; version 1 where nothing else is said.
fn proxy_protocol(fields: Fields<'_>) -> ProxyProtocol {
    let version = fields.choice("version");
    fields.finish();
    match version {
        Some("V2") => ProxyProtocol::V2,
        _ => ProxyProtocol::V1,
    }
}

/// The limits of tries after the first; what isn't given has Istio's value.
fn retry_budget(fields: Fields<'_>) -> RetryBudget {
    let default = RetryBudget::DEFAULT;
    let share = fields.value("percent").and_then(|percent| percent::share(&percent));
    let minimum = fields.value("minRetryConcurrency").and_then(|minimum| minimum.unsigned());
    let interval = fields.duration("budgetInterval").filter(|interval| !interval.is_zero());
    fields.finish();
    RetryBudget {
        share: share.unwrap_or(default.share),
        minimum: minimum.unwrap_or(default.minimum),
        interval,
    }
}

/// How an endpoint is chosen.
fn balancing(fields: Fields<'_>) -> (Option<Balancer>, Option<Warmup>) {
    fields.at_most_one(&["simple", "consistentHash"]);
    let by_key = fields.object("consistentHash").and_then(hash::read);
    let balancer = balancer(&fields).or_else(|| by_key.map(|settings| Balancer::Hash(settings.into())));
    let older = fields.value("warmupDurationSecs").and_then(|duration| at_least_a_millisecond(&duration));
    let older = older.map(|duration| Warmup { duration, minimum: 100_000, aggression: 1000 });
    let warmup = fields.object("warmup").and_then(warmup).or(older);
    fields.finish();
    (balancer, warmup)
}

fn balancer(fields: &Fields<'_>) -> Option<Balancer> {
    let simple = fields.value("simple");
    let word = simple.as_ref().and_then(|simple| simple.choice());
    let approximated = |message: &str| {
        if let Some(simple) = &simple {
            simple.report_with(
                codes::APPROXIMATED,
                format_args!("{} is done as {message}", simple.shown()),
                "nothing to do; ROUND_ROBIN and RANDOM are exact",
            );
        }
    };
    Some(match word? {
        "ROUND_ROBIN" => Balancer::RoundRobin,
        "RANDOM" => Balancer::Random,
        "PASSTHROUGH" => {
            approximated("balancing over the known endpoints; the address dialled does not count");
            Balancer::PeakEwma
        }
        _ => {
            approximated("the better of two by latency and requests under way");
            Balancer::PeakEwma
        }
    })
}

/// How endpoints that have just come are favoured less; what isn't given has Istio's value.
fn warmup(fields: Fields<'_>) -> Option<Warmup> {
    let duration = fields.required("duration").and_then(|duration| at_least_a_millisecond(&duration));
    let number = |name: &str, low: f64, high: f64| {
        let value = fields.value(name)?;
        let number = value.number()?;
        if !(low..=high).contains(&number) {
            value
                .invalid(format_args!("is not a number from {low} to {high}"), "choose one within the range");
            return None;
        }
        Some(number)
    };
    let minimum = number("minimumPercent", 0.0, 100.0).and_then(|percent| scaled(percent, 10_000.0));
    let aggression = number("aggression", 1.0, 1000.0).and_then(|aggression| scaled(aggression, 1000.0));
    fields.finish();
    Some(Warmup {
        minimum: minimum.unwrap_or(100_000),
        aggression: aggression.unwrap_or(1000),
        duration: duration?,
    })
}

/// A number that is not negative, times `factor`.
fn scaled(number: f64, factor: f64) -> Option<u32> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
    let scaled = (number * factor).round() as u64;
    u32::try_from(scaled).ok()
}

fn at_least_a_millisecond(value: &Value<'_>) -> Option<Duration> {
    let time = value.duration()?;
    if time < Duration::from_millis(1) {
        value.invalid("is shorter than a millisecond", "write a longer time");
        return None;
    }
    Some(time)
}

fn subsets(spec: &Fields<'_>, context: &Context<'_>) -> Vec<Subset> {
    let mut subsets: Vec<Subset> = Vec::new();
    for item in spec.items("subsets") {
        let Some(subset) = subset(&item, context) else { continue };
        if subsets.iter().any(|known| known.name == subset.name) {
            item.invalid(
                format_args!("has the name {} of a subset above", subset.name),
                "give each subset its own name",
            );
        } else {
            subsets.push(subset);
        }
    }
    subsets
}

fn subset(item: &Value<'_>, context: &Context<'_>) -> Option<Subset> {
    let fields = item.fields()?;
    let name = fields.required("name").and_then(|name| match name.text()? {
        "" => {
            name.invalid("is no name", "write the name that routes use for the subset");
            None
        }
        text => Some(text),
    });
    let labels = fields.labels("labels");
    let (policy, ports) = policy_with_ports(&fields);
    fields.finish();
    Some(Subset { name: Arc::from(name?), labels, policy, ports, origin: context.origin(item.at()) })
}
