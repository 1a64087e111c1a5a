//! How proxies write their access logs.

use clap::ValueEnum;
use leno_telemetry::access::Format;

/// The form of an access log's lines: Istio's default text, or its default keys as JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum AccessLog {
    /// Istio's default text
    #[default]
    Text,
    /// One JSON object a line, with Istio's default keys
    Json,
}

impl AccessLog {
    /// As an argument.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

impl From<AccessLog> for Format {
    fn from(format: AccessLog) -> Self {
        match format {
            AccessLog::Text => Self::Text,
            AccessLog::Json => Self::Json,
        }
    }
}
