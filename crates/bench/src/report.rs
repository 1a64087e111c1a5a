//! The result: JSON for programs, a table for people.

mod machine;
mod table;

use std::{
    collections::BTreeMap,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value, json};

use crate::{contestant::Name, limits, options::Options, output, rounds::Figures, statistics::Summary};

/// What has been found so far.
#[derive(Debug)]
pub(crate) struct Report {
    figures: BTreeMap<Name, Figures>,
    absent: BTreeMap<Name, String>,
    failures: Vec<String>,
    notes: Vec<String>,
    begun: SystemTime,
}

impl Report {
    pub(crate) fn new(options: &Options) -> Self {
        let mut notes = Vec::new();
        if options.quick {
            notes.push("quick: shows that the harness works; the figures mean nothing".to_owned());
        }
        if cfg!(debug_assertions) {
            notes.push("our own programs are a debug build".to_owned());
        }
        Self {
            figures: BTreeMap::new(),
            absent: BTreeMap::new(),
            failures: Vec::new(),
            notes,
            begun: SystemTime::now(),
        }
    }

    /// The figures of a contestant.
    pub(crate) fn of(&mut self, name: Name) -> &mut Figures {
        self.figures.entry(name).or_default()
    }

    pub(crate) fn absent(&mut self, name: Name, reason: String) {
        output::error(&format!("{} can't take part: {reason}", name.text()));
        self.absent.insert(name, reason);
    }

    pub(crate) fn failed(&mut self, name: Name, failure: &anyhow::Error) {
        let failure = format!("{}: {failure:#}", name.text());
        output::error(&failure);
        self.failures.push(failure);
    }

    pub(crate) fn note(&mut self, note: String) {
        output::error(&note);
        self.notes.push(note);
    }

    /// Writes and prints everything. An error when some turn failed.
    pub(crate) fn finish(self, options: &Options, folder: &Path) -> Result<()> {
        let summaries = self.summaries();
        let path = options.output.clone().unwrap_or_else(|| folder.join("bench.json"));
        let text = serde_json::to_string_pretty(&self.json(options, &summaries)?)?;
        std::fs::write(&path, text + "\n").with_context(|| format!("can't write {}", path.display()))?;
        output::line(&table::table(&summaries));
        for ratio in ratios(&summaries) {
            output::line(&ratio.text());
        }
        for note in &self.notes {
            output::line(&format!("note: {note}"));
        }
        for (name, reason) in &self.absent {
            output::line(&format!("note: without {}: {reason}", name.text()));
        }
        output::line(&format!("written to {}", path.display()));
        match self.failures.len() {
            0 => Ok(()),
            failures => bail!("{failures} turns failed:\n{}", self.failures.join("\n")),
        }
    }

    fn summaries(&self) -> Summaries {
        let of = |figures: &Figures| {
            let values = figures.0.iter();
            values.filter_map(|(figure, values)| Some((figure.clone(), Summary::of(values)?))).collect()
        };
        let measured = self.figures.iter().filter(|(_, figures)| !figures.0.is_empty());
        measured.map(|(name, figures)| (*name, of(figures))).collect()
    }

    fn json(&self, options: &Options, summaries: &Summaries) -> Result<Value> {
        let mut contestants = Map::new();
        for (name, figures) in &self.figures {
            let mut fields = Map::new();
            for (figure, values) in &figures.0 {
                let summary = summaries.get(name).and_then(|of| of.get(figure));
                let mut field = serde_json::to_value(summary)?;
                if let Some(field) = field.as_object_mut() {
                    field.insert("values".to_owned(), json!(values));
                }
                fields.insert(figure.clone(), field);
            }
            contestants.insert(name.text().to_owned(), Value::Object(fields));
        }
        let ratios: Map<String, Value> =
            ratios(summaries).into_iter().map(|ratio| (ratio.name.to_owned(), json!(ratio.value))).collect();
        Ok(json!({
            "begun_unix": self.begun.duration_since(UNIX_EPOCH)?.as_secs(),
            "machine": machine::describe(),
            "setup": {
                "rounds": options.rounds(),
                "seconds_per_load": options.duration().as_secs_f64(),
                "body_bytes": limits::BODY_BYTES,
                "rate_per_second": limits::RATE,
                "connections": options.connections(),
                "transfer_bytes": options.transfer(),
                "grpc": {
                    "connections": limits::GRPC_CONNECTIONS,
                    "streams_per_connection": limits::GRPC_STREAMS,
                    "messages_per_stream": limits::GRPC_MESSAGES,
                    "window": limits::GRPC_WINDOW,
                    "note_bytes": limits::GRPC_NOTE_BYTES,
                },
                "idle_connections": options.idle_connections(),
                "counted_requests": options.counted_requests(),
                "access_log": options.access_log,
                "everything": options.everything,
            },
            "contestants": contestants,
            "ratios": ratios,
            "absent": self.absent.iter().map(|(name, reason)| (name.text(), reason)).collect::<BTreeMap<_, _>>(),
            "failures": self.failures,
            "notes": self.notes,
        }))
    }
}

/// Every figure of every contestant.
pub(crate) type Summaries = BTreeMap<Name, BTreeMap<String, Summary>>;

/// One contestant beside another, or beside a fixed aim.
struct Ratio {
    name: &'static str,
    value: f64,
}

impl Ratio {
    fn text(&self) -> String {
        format!("{}: {:.2}", self.name.replace('_', " "), self.value)
    }
}

/// The comparisons that we aim by.
fn ratios(summaries: &Summaries) -> Vec<Ratio> {
    let median = |name: Name, figure: &str| Some(summaries.get(&name)?.get(figure)?.median);
    let ratio = |name, figure: &str, own, other| {
        let (own, other) = (median(own, figure)?, median(other, figure)?);
        (other > 0.0).then(|| Ratio { name, value: own / other })
    };
    let cpu = format!("closed.{}.cpu_us_per_request", limits::COMPARED);
    let crowded = |figure: &str| format!("closed.128.{figure}");
    let messages = |group: &str| format!("{group}.messages_per_cpu_second");
    let instructions = "instructions.http1.user_per_request";
    let mebibytes = |name, figure: &str| Some(Ratio { name, value: median(Name::Leno, figure)? / 1024.0 });
    [
        ratio("leno_cpu_per_request_to_envoy", &cpu, Name::Leno, Name::Envoy),
        ratio("leno_cpu_per_request_to_nginx", &cpu, Name::Leno, Name::Nginx),
        ratio("leno_cpu_per_request_to_haproxy", &cpu, Name::Leno, Name::Haproxy),
        ratio(
            "leno_cpu_per_request_at_128_to_envoy",
            &crowded("cpu_us_per_request"),
            Name::Leno,
            Name::Envoy,
        ),
        ratio("leno_throughput_at_128_to_envoy", &crowded("requests_per_second"), Name::Leno, Name::Envoy),
        ratio("leno_throughput_at_128_to_nginx", &crowded("requests_per_second"), Name::Leno, Name::Nginx),
        ratio(
            "leno_throughput_at_128_to_haproxy",
            &crowded("requests_per_second"),
            Name::Leno,
            Name::Haproxy,
        ),
        ratio("leno_grpc_messages_per_cpu_to_envoy", &messages("grpc"), Name::Leno, Name::Envoy),
        ratio("leno_grpc_messages_per_cpu_to_nginx", &messages("grpc"), Name::Leno, Name::Nginx),
        ratio("leno_grpc_messages_per_cpu_to_haproxy", &messages("grpc"), Name::Leno, Name::Haproxy),
        ratio("leno_grpc_in_turn_per_cpu_to_envoy", &messages("grpc.in_turn"), Name::Leno, Name::Envoy),
        ratio("leno_transfer_to_envoy", "transfer.mib_per_second", Name::Leno, Name::Envoy),
        ratio("leno_added_p50_to_relays", "latency.added_p50_us", Name::Leno, Name::Relays),
        ratio("envoy_added_p50_to_relays", "latency.added_p50_us", Name::Envoy, Name::Relays),
        ratio("leno_instructions_to_envoy", instructions, Name::Leno, Name::Envoy),
        mebibytes("leno_idle_rss_anon_mib", "idle.client_proxy.rss_anon_kib"),
        mebibytes("leno_idle_rss_mib", "idle.client_proxy.rss_kib"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_need_both_sides() {
        let cpu = format!("closed.{}.cpu_us_per_request", limits::COMPARED);
        let of = |value: f64| BTreeMap::from([(cpu.clone(), Summary::of(&[value]).unwrap())]);
        let mut summaries = BTreeMap::from([(Name::Leno, of(30.0))]);
        assert!(ratios(&summaries).is_empty());
        summaries.insert(Name::Envoy, of(100.0));
        let all = ratios(&summaries);
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].text(), "leno cpu per request to envoy: 0.30");
    }
}
