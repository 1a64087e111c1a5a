//! DestinationRule.

mod fields;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use leno_model::destination::{Balancer, Destination, Subset, TlsMode, TrafficPolicy};
use leno_model::retry::RetryBudget;

use super::host::{export_to, service_host};
use crate::codes;
use crate::envelope::{API_VERSION, Context, KIND, META, STATUS};
use crate::kinds::Kind;
use crate::object::{DestinationSettings, Object};
use crate::table::{Field, Shape};
use crate::yaml::{Fields, Value};

/// Destination settings.
pub(crate) static DESTINATION_RULE: Kind = Kind {
    group: "networking.istio.io",
    name: "DestinationRule",
    versions: &["v1", "v1beta1", "v1alpha3"],
    namespaced: true,
    shape: Shape::Object(&[API_VERSION, KIND, META, Field::object("spec", fields::SPEC), STATUS]),
    annotations: &[],
    protects: true,
    read,
};

fn read(context: &Context<'_>, fields: &Fields<'_>) -> Option<Object> {
    let spec = fields.required("spec")?.fields()?;
    let host = spec.required("host").and_then(|host| service_host(&host, context));
    if let Some(selector) = spec.value("workloadSelector") {
        let message = "settings for some clients only are not supported yet";
        selector.report_with(
            codes::UNSUPPORTED,
            message,
            "remove it to make the settings hold for all clients",
        );
        let _understood = selector.fields().map(|selector| selector.labels("matchLabels"));
    }
    let (mut policy, ports) = policy_with_ports(&spec);
    let subsets = subsets(&spec, context);
    let visible_in = export_to(&spec, context);
    spec.finish();
    if context.damaged {
        policy.tls = Some(TlsMode::Mesh);
    }
    Some(Object::Destination(DestinationSettings {
        namespace: context.namespace().clone(),
        host: host?,
        visible_in,
        destination: Destination { policy, ports, subsets, origin: Some(context.origin(context.at)) },
    }))
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
    let (connect_timeout, max_retries) = fields.object("connectionPool").map(pool).unwrap_or_default();
    TrafficPolicy {
        balancer: fields.object("loadBalancer").and_then(balancer),
        tls: fields.value("tls").as_ref().map(tls::read),
        connect_timeout,
        retry_budget: fields.object("retryBudget").map(retry_budget),
        max_retries,
        ..TrafficPolicy::default()
    }
}

/// The limits of tries after the first; what isn't given has Istio's value.
fn retry_budget(fields: Fields<'_>) -> RetryBudget {
    let default = RetryBudget::DEFAULT;
    let share = fields.value("percent").and_then(|percent| {
        let given = percent.number()?;
        if !(0.0..=100.0).contains(&given) {
            percent.invalid("is not a percentage", "write a number from 0 to 100");
            return None;
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most a million")]
        let millionths = (given * 10_000.0).round() as u32;
        Some(millionths)
    });
    let minimum = fields.value("minRetryConcurrency").and_then(|minimum| minimum.unsigned());
    let interval = fields.duration("budgetInterval").filter(|interval| !interval.is_zero());
    fields.finish();
    RetryBudget {
        share: share.unwrap_or(default.share),
        minimum: minimum.unwrap_or(default.minimum),
        interval,
    }
}

fn balancer(fields: Fields<'_>) -> Option<Balancer> {
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
    let balancer = match word? {
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
    };
    fields.finish();
    Some(balancer)
}

/// Time to connect, and the limit of tries after the first.
fn pool(fields: Fields<'_>) -> (Option<Duration>, Option<u32>) {
    let connect = fields.object("tcp").and_then(connect_timeout);
    let retries = fields.object("http").and_then(|http| {
        let retries = http.value("maxRetries").and_then(|most| most.integer(0, i64::from(i32::MAX)));
        http.finish();
        // 0 is "not set" in Istio.
        retries.and_then(|most| u32::try_from(most).ok()).filter(|most| *most > 0)
    });
    fields.finish();
    (connect, retries)
}

fn connect_timeout(tcp: Fields<'_>) -> Option<Duration> {
    let value = tcp.value("connectTimeout");
    tcp.finish();
    let value = value?;
    let timeout = value.duration()?;
    if timeout < Duration::from_millis(1) {
        value.invalid("is shorter than a millisecond", "write a longer time");
        return None;
    }
    Some(timeout)
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
