//! When endpoints that do badly are left out for a while, and how many of them may be.

use std::sync::Arc;
use std::time::Duration;

/// Outlier ejection for the endpoints of a destination.
///
/// Consecutive counts have Istio's meaning; 0 switches one off. Success rate and latency are judged once per interval.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OutlierDetection {
    /// Server errors in a row. Where failures without an answer aren't told apart, they count as such.
    pub server_errors: u32,
    /// 502, 503 and 504 in a row. Where failures without an answer aren't told apart, they count as such.
    pub gateway_errors: u32,
    /// Failures without an answer in a row, told apart from answers that are errors; `None` where they aren't.
    pub local_failures: Option<u32>,
    /// The statuses that are errors, instead of 500 and above; empty for those.
    pub statuses: Arc<[u16]>,
    /// How long success rate and latency are observed, and how soon one ejection is forgotten.
    pub interval: Duration,
    /// How long an ejection lasts, times the number of ejections that aren't forgotten.
    pub base: Duration,
    /// At most so many of a hundred endpoints are ejected at once, but always one.
    pub most_percent: u32,
    /// With fewer than so many of a hundred endpoints left, ejections are ignored; 0 is never.
    pub least_healthy_percent: u32,
    /// How many standard deviations an endpoint's success rate may be below the average, in thousandths.
    pub success_rate: Option<u32>,
    /// How many times as slow as the median an endpoint may be on average, in thousandths.
    pub latency: Option<u32>,
}

/// Istio's values where `outlierDetection` says nothing else.
impl Default for OutlierDetection {
    fn default() -> Self {
        Self {
            server_errors: 5,
            gateway_errors: 0,
            local_failures: None,
            statuses: Arc::default(),
            interval: Duration::from_secs(10),
            base: Duration::from_secs(30),
            most_percent: 10,
            least_healthy_percent: 0,
            success_rate: None,
            latency: None,
        }
    }
}
