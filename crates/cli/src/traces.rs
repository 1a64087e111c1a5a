//! Flags about traces, and OpenTelemetry's variables, which count where no flag says otherwise.

use anyhow::{Context as _, bail};
use leno_model::secret::SecretBytes;
use leno_proxy::traces::{Collector, Endpoint, Protocol, Settings};
use leno_telemetry::propagation::{Format, Propagation};
use leno_telemetry::sampling::Sampler;

use crate::words;

/// Which requests are traced, and who is told.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Tracing {
    /// Send spans of requests to this OpenTelemetry collector, http://HOST:PORT; a service of the mesh is reached as such.
    /// By default OTEL_EXPORTER_OTLP_ENDPOINT, or nobody is told and trace headers pass as they are
    #[arg(long, value_name = "URL")]
    trace_endpoint: Option<String>,
    /// What is spoken to the collector, grpc or http/protobuf; grpc by default
    #[arg(long, value_name = "PROTOCOL", value_parser = protocol)]
    trace_protocol: Option<Protocol>,
    /// How many of 100 traces are recorded where no caller has decided; all by default
    #[arg(long, value_name = "PERCENT", value_parser = words::percent)]
    trace_sampling: Option<f64>,
    /// Formats of trace context, of w3c, b3 and b3multi, in the order in which they are believed; w3c by default
    #[arg(long, value_name = "FORMAT", value_delimiter = ',', value_parser = format)]
    trace_propagation: Vec<Format>,
}

fn protocol(text: &str) -> Result<Protocol, String> {
    Protocol::named(text).ok_or_else(|| "write grpc or http/protobuf".to_owned())
}

fn format(text: &str) -> Result<Format, String> {
    Format::named(text).ok_or_else(|| "write w3c, b3 or b3multi".to_owned())
}

impl Tracing {
    /// What the proxy is told; `None` where it takes no part. `variable` reads the environment.
    pub(crate) fn settings(
        self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> anyhow::Result<Option<Settings>> {
        let given = |name: &str| variable(name).filter(|value| !value.is_empty());
        // What is about traces alone comes first.
        let export = |name: &str| {
            given(&format!("OTEL_EXPORTER_OTLP_TRACES_{name}"))
                .or_else(|| given(&format!("OTEL_EXPORTER_OTLP_{name}")))
        };
        let is_off = given("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
            || given("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none");
        let protocol = match (self.trace_protocol, export("PROTOCOL")) {
            (Some(protocol), _) => protocol,
            (None, Some(name)) => Protocol::named(&name).with_context(|| {
                format!("OTEL_EXPORTER_OTLP_PROTOCOL is {name:?}; write grpc or http/protobuf")
            })?,
            (None, None) => Protocol::default(),
        };
        let text = match self.trace_endpoint {
            Some(text) => text,
            None if is_off => return Ok(None),
            None => match (given("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), given("OTEL_EXPORTER_OTLP_ENDPOINT"))
            {
                (Some(exact), _) => exact,
                // Common to all signals: each has a path below it.
                (None, Some(common)) => format!("{}/v1/traces", common.trim_end_matches('/')),
                (None, None) => return Ok(None),
            },
        };
        let endpoint = Endpoint::parse(&text, protocol).with_context(|| {
            format!(
                "{text:?} is no address of a collector (--trace-endpoint or OTEL_EXPORTER_OTLP_ENDPOINT); \
                     write http://HOST:PORT"
            )
        })?;
        let headers = export("HEADERS").map_or_else(|| Ok(Vec::new()), |list| headers(&list))?;
        let roots = export("CERTIFICATE").map(Into::into);
        let attributes =
            given("OTEL_RESOURCE_ATTRIBUTES").map_or_else(|| Ok(Vec::new()), |list| pairs(&list))?;
        let ratio = match self.trace_sampling {
            Some(percent) => percent / 100.0,
            None => sampler(given("OTEL_TRACES_SAMPLER"), given("OTEL_TRACES_SAMPLER_ARG"))?,
        };
        let propagation = match (Propagation::of(self.trace_propagation), given("OTEL_PROPAGATORS")) {
            (Some(propagation), _) => propagation,
            (None, Some(names)) => propagators(&names)?,
            (None, None) => Propagation::default(),
        };
        Ok(Some(Settings {
            propagation,
            sampler: Sampler::of(ratio),
            collector: Some(Collector { endpoint, headers, by_egress: false, roots }),
            service: given("OTEL_SERVICE_NAME"),
            attributes,
        }))
    }
}

/// `KEY=VALUE,…` with percent-encoded values.
fn pairs(list: &str) -> anyhow::Result<Vec<(String, String)>> {
    let pairs = list.split(',').filter(|pair| !pair.trim().is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').context("a list of KEY=VALUE is wanted")?;
        Ok((key.trim().to_owned(), decoded(value.trim())))
    });
    pairs.collect()
}

/// Never shows a value: it may be a credential.
fn headers(list: &str) -> anyhow::Result<Vec<(String, SecretBytes)>> {
    let pairs = pairs(list).context("OTEL_EXPORTER_OTLP_HEADERS can't be read")?;
    let secret =
        |(name, value): (String, String)| (name.to_ascii_lowercase(), SecretBytes::new(value.as_bytes()));
    Ok(pairs.into_iter().map(secret).collect())
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The share of traces that are recorded where no caller has decided.
fn sampler(name: Option<String>, argument: Option<String>) -> anyhow::Result<f64> {
    match name.as_deref() {
        None | Some("parentbased_always_on") => Ok(1.0),
        Some("parentbased_always_off") => Ok(0.0),
        Some("parentbased_traceidratio") => {
            let text = argument.unwrap_or_else(|| "1".to_owned());
            let ratio = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
            ratio.with_context(|| format!("OTEL_TRACES_SAMPLER_ARG is {text:?}; write a number from 0 to 1"))
        }
        Some(other) => bail!(
            "OTEL_TRACES_SAMPLER is {other:?}, but a proxy follows its caller; write parentbased_always_on, \
             parentbased_always_off or parentbased_traceidratio"
        ),
    }
}

fn propagators(names: &str) -> anyhow::Result<Propagation> {
    let mut formats = Vec::new();
    for name in names.split(',').map(str::trim) {
        match name {
            "tracecontext" => formats.push(Format::W3c),
            // It passes through as any header does.
            "baggage" | "none" | "" => {}
            other => match Format::named(other).filter(|format| *format != Format::W3c) {
                Some(format) => formats.push(format),
                None => {
                    bail!("OTEL_PROPAGATORS names {other:?}; known are tracecontext, baggage, b3 and b3multi")
                }
            },
        }
    }
    Ok(Propagation::of(formats).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn settings(flags: Tracing, variables: &[(&str, &str)]) -> anyhow::Result<Option<Settings>> {
        let variables: BTreeMap<_, _> = variables.iter().copied().collect();
        flags.settings(|name| variables.get(name).map(|value| (*value).to_owned()))
    }

    #[test]
    fn without_a_collector_there_is_no_part_in_traces() {
        assert!(settings(Tracing::default(), &[]).unwrap().is_none());
        let off = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c"), ("OTEL_SDK_DISABLED", "true")];
        assert!(settings(Tracing::default(), &off).unwrap().is_none());
    }

    #[test]
    fn opentelemetrys_variables_count() {
        let made = settings(
            Tracing::default(),
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:1/base"),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
                ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20x,a=b"),
                ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
                ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
                ("OTEL_PROPAGATORS", "b3,tracecontext,baggage"),
                ("OTEL_SERVICE_NAME", "edge"),
                ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod"),
            ],
        );
        let made = made.unwrap().unwrap();
        let collector = made.collector.unwrap();
        assert_eq!((collector.endpoint.path.as_str(), collector.endpoint.port), ("/base/v1/traces", 1));
        assert_eq!(collector.headers.len(), 2);
        assert_eq!(collector.headers[0].0, "authorization");
        assert_eq!(collector.headers[0].1.expose(), b"Bearer x");
        assert_eq!(made.sampler, Sampler::of(0.25));
        assert_eq!(made.propagation.formats().collect::<Vec<_>>(), [Format::B3, Format::W3c]);
        assert_eq!(made.service.as_deref(), Some("edge"));
        assert_eq!(made.attributes, [("deployment.environment.name".to_owned(), "prod".to_owned())]);
    }

    #[test]
    fn flags_come_first() {
        let flags = Tracing {
            trace_endpoint: Some("http://other".to_owned()),
            trace_protocol: Some(Protocol::Grpc),
            trace_sampling: Some(5.0),
            trace_propagation: vec![Format::B3Multi],
        };
        let variables = [
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            ("OTEL_PROPAGATORS", "tracecontext"),
        ];
        let made = settings(flags, &variables).unwrap().unwrap();
        let endpoint = made.collector.unwrap().endpoint;
        assert_eq!((endpoint.host.as_str(), endpoint.port), ("other", 4317));
        assert_eq!(made.sampler, Sampler::of(0.05));
        assert_eq!(made.propagation.formats().collect::<Vec<_>>(), [Format::B3Multi]);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c");
        for wrong in [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "c:4317"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
            ("OTEL_TRACES_SAMPLER", "always_on"),
            ("OTEL_PROPAGATORS", "jaeger"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "secret"),
        ] {
            let error = settings(Tracing::default(), &[endpoint, wrong]).unwrap_err();
            assert!(!format!("{error:#}").contains("secret"));
        }
    }
}
