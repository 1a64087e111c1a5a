//! Metrics as Prometheus reads them: its text format 0.0.4, or OpenMetrics 1.0 where the scraper asks for it.
//!
//! Invariants: one `# TYPE` per family and its series together; label sets escaped; a histogram's `+Inf` bucket equals
//! its count, because both are the sum of the same reading.

use std::fmt::Write as _;
use std::mem;

use crate::labels::escape_help;
use crate::registry::{Desc, Reading, Value};

mod merge;

pub use merge::{Source, merge};

#[cfg(test)]
mod tests;

/// How metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// The format that an `Accept` header asks for. OpenMetrics only where it is named and not liked less than plain
    /// text: whoever accepts anything gets text, which everybody reads.
    pub fn accepted(accept: &str) -> Self {
        let (mut open, mut text) = (None, None);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            let quality = parts
                .find_map(|parameter| parameter.strip_prefix("q="))
                .map_or(1.0, |q| q.parse::<f32>().unwrap_or(0.0));
            let slot = match media.to_ascii_lowercase().as_str() {
                "application/openmetrics-text" => &mut open,
                "text/plain" | "text/*" => &mut text,
                _ => continue,
            };
            *slot = Some(quality.max(slot.unwrap_or(0.0)));
        }
        match open {
            Some(open) if open > 0.0 && open >= text.unwrap_or(0.0) => Self::OpenMetrics,
            _ => Self::Text,
        }
    }

    /// The `Content-Type` to answer with.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Renders families and their series.
#[derive(Debug)]
pub(crate) struct Encoder {
    format: Format,
    text: String,
}

impl Encoder {
    pub(crate) fn new(format: Format) -> Self {
        Self { format, text: String::new() }
    }

    /// How many bytes are rendered and not taken.
    pub(crate) fn len(&self) -> usize {
        self.text.len()
    }

    /// Takes what is rendered.
    pub(crate) fn take(&mut self) -> String {
        mem::take(&mut self.text)
    }

    /// Starts a family.
    pub(crate) fn family(&mut self, desc: &Desc) {
        let open = self.format == Format::OpenMetrics;
        // In OpenMetrics a counter's family has the name without the suffix.
        let name = if open { desc.name.strip_suffix("_total").unwrap_or(desc.name) } else { desc.name };
        let help = escape_help(desc.help, open);
        let kind = desc.kind.as_str();
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    /// A series of the family.
    pub(crate) fn series(&mut self, desc: &Desc, reading: &Reading) {
        match &reading.value {
            Value::Count(value) => {
                self.name(desc.name, "", reading, None);
                self.line(format_args!(" {value}"));
            }
            Value::Number(value) => {
                self.name(desc.name, "", reading, None);
                self.line(format_args!(" {value}"));
            }
            Value::Histogram { counts, sum } => self.histogram(desc, reading, counts, *sum),
        }
    }

    /// What comes behind all families.
    pub(crate) fn end(&mut self) {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
    }

    fn histogram(&mut self, desc: &Desc, reading: &Reading, counts: &[u64], sum: u64) {
        let buckets = desc.buckets();
        let mut total = 0;
        for (i, count) in counts.iter().enumerate() {
            total += count;
            let le = buckets.le.get(i).copied().unwrap_or(f64::INFINITY);
            self.name(desc.name, "_bucket", reading, Some(le));
            self.line(format_args!(" {total}"));
        }
        self.name(desc.name, "_sum", reading, None);
        let sum = buckets.shown(sum);
        self.line(format_args!(" {sum}"));
        self.name(desc.name, "_count", reading, None);
        self.line(format_args!(" {total}"));
    }

    fn name(&mut self, name: &str, suffix: &str, reading: &Reading, le: Option<f64>) {
        self.text.push_str(name);
        self.text.push_str(suffix);
        let mut separator = '{';
        for part in [&*reading.labels, &reading.class].into_iter().filter(|part| !part.is_empty()) {
            self.text.push(separator);
            self.text.push_str(part);
            separator = ',';
        }
        if let Some(le) = le {
            self.text.push(separator);
            self.text.push_str("le=\"");
            self.bound(le);
            self.text.push('"');
            separator = ',';
        }
        if separator == ',' {
            self.text.push('}');
        }
    }

    /// A bucket's bound. OpenMetrics wants numbers that tell they are not whole ones: `1.0`, and from a million on
    /// `1.8e+06` (§ Canonical Numbers).
    fn bound(&mut self, le: f64) {
        let _infallible = if le.is_infinite() {
            self.text.write_str("+Inf")
        } else if self.format == Format::Text {
            write!(self.text, "{le}")
        } else if le >= 1e6 {
            let exponent = le.log10().floor();
            let mantissa = le / 10f64.powf(exponent);
            write!(self.text, "{mantissa}e+{exponent:02}")
        } else {
            write!(self.text, "{le:?}")
        };
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        let _infallible = self.text.write_fmt(line);
        self.text.push('\n');
    }
}
