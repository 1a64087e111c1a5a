//! What the figures were taken on.

use serde_json::{Value, json};

/// Processor, cores, kernel and congestion control; what can't be found out is null.
pub(super) fn describe() -> Value {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let line = |path: &str| read(path).map(|text| text.trim().to_owned());
    let model = read("/proc/cpuinfo").and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    json!({
        "processor": model,
        "cores": std::thread::available_parallelism().ok(),
        "kernel": line("/proc/sys/kernel/osrelease"),
        "congestion_control": line("/proc/sys/net/ipv4/tcp_congestion_control"),
    })
}
