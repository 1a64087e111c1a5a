//! Metrics as Prometheus reads them: its text format 0.0.4, or OpenMetrics 1.0 where the scraper asks for it.
//!
//! Invariants: one `# TYPE` per family and its series together; label sets escaped; a histogram's `+Inf` bucket equals
//! its count, because both are the sum of the same reading.

use std::fmt::Write as _;
use std::io;

use crate::labels::escape_help;
use crate::limits::EXPOSITION_CHUNK;
use crate::metric::Buckets;
use crate::registry::Desc;

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

/// Writes families and their series. [`Collect`](crate::registry::Collect) implementations use it; label sets are given
/// in rendered parts (`a="b",c="d"`), of which empty ones are left out.
pub struct Encoder<'a> {
    format: Format,
    text: String,
    out: &'a mut dyn io::Write,
    failed: Option<io::Error>,
}

impl<'a> Encoder<'a> {
    pub(crate) fn new(format: Format, out: &'a mut dyn io::Write) -> Self {
        Self { format, text: String::new(), out, failed: None }
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

    /// A counter's value.
    pub fn counter(&mut self, desc: &Desc, labels: &[&str], value: u64) {
        self.name(desc.name, "", labels, None);
        self.line(format_args!(" {value}"));
    }

    /// The value of a counter of something that isn't whole, such as seconds.
    pub fn counter_f64(&mut self, desc: &Desc, labels: &[&str], value: f64) {
        self.gauge(desc, labels, value);
    }

    /// A gauge's value.
    pub fn gauge(&mut self, desc: &Desc, labels: &[&str], value: f64) {
        self.name(desc.name, "", labels, None);
        self.line(format_args!(" {value}"));
    }

    /// A histogram: its counts per bucket (not cumulative, the last one beyond all bounds) and the sum in base units.
    pub fn histogram(&mut self, desc: &Desc, labels: &[&str], buckets: &Buckets, counts: &[u64], sum: u64) {
        let mut total = 0;
        for (i, count) in counts.iter().enumerate() {
            total += count;
            self.name(
                desc.name,
                "_bucket",
                labels,
                Some(buckets.le.get(i).copied().unwrap_or(f64::INFINITY)),
            );
            self.line(format_args!(" {total}"));
        }
        self.name(desc.name, "_sum", labels, None);
        let sum = buckets.shown(sum);
        self.line(format_args!(" {sum}"));
        self.name(desc.name, "_count", labels, None);
        self.line(format_args!(" {total}"));
    }

    pub(crate) fn finish(mut self) -> io::Result<()> {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.flush();
        self.failed.map_or(Ok(()), Err)
    }

    fn name(&mut self, name: &str, suffix: &str, labels: &[&str], le: Option<f64>) {
        self.text.push_str(name);
        self.text.push_str(suffix);
        let mut separator = '{';
        for part in labels.iter().filter(|part| !part.is_empty()) {
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
        if self.text.len() >= EXPOSITION_CHUNK {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.failed.is_none() {
            self.failed = self.out.write_all(self.text.as_bytes()).err();
        }
        self.text.clear();
    }
}
