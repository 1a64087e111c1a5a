//! What the process uses, under the names that Prometheus' own client libraries give it, and its tasks by name.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use leno_runtime::Tasks;
use leno_runtime::process::Usage;

use crate::Registry;
use crate::labels;
use crate::metric::Kind;
use crate::registry::{Collect, Desc, Reading, Value};

const fn desc(name: &'static str, help: &'static str, kind: Kind, labels: &'static [&'static str]) -> Desc {
    Desc { name, help, kind, labels, buckets: None }
}

const CPU: Desc =
    desc("process_cpu_seconds_total", "User and system CPU time in seconds.", Kind::Counter, &[]);
const RSS: Desc = desc("process_resident_memory_bytes", "Resident memory.", Kind::Gauge, &[]);
const RSS_ANON: Desc = desc(
    "leno_process_anonymous_memory_bytes",
    "Resident memory without file and shared pages.",
    Kind::Gauge,
    &[],
);
const OPEN_FILES: Desc = desc("process_open_fds", "Open file descriptors.", Kind::Gauge, &[]);
const THREADS: Desc = desc("process_threads", "Threads.", Kind::Gauge, &[]);
const STARTED: Desc =
    desc("process_start_time_seconds", "When the process started, in seconds since 1970.", Kind::Gauge, &[]);
const TASKS: Desc = desc("leno_tasks_running", "Tasks that exist.", Kind::Gauge, &["task"]);
const TASKS_STARTED: Desc = desc("leno_tasks_started_total", "Tasks started.", Kind::Counter, &["task"]);
const TASKS_PANICKED: Desc =
    desc("leno_tasks_panicked_total", "Tasks that ended in a panic.", Kind::Counter, &["task"]);

/// Registers the process's metrics and those of the current thread's tasks. Once per registry, when the process
/// starts.
pub fn register(registry: &Registry) {
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    registry.register(&[CPU, RSS, RSS_ANON, OPEN_FILES, THREADS, STARTED], Arc::new(Process { started }));
    registry.register(&[TASKS, TASKS_STARTED, TASKS_PANICKED], Arc::new(Counts(Tasks::current())));
}

struct Process {
    started: f64,
}

impl Collect for Process {
    fn collect(&self, desc: &Desc) -> Vec<Reading> {
        let of_usage: fn(&Usage) -> f64 = match desc.name {
            name if name == STARTED.name => return vec![Reading::alone(Value::Number(self.started))],
            name if name == CPU.name => |usage| usage.cpu.as_secs_f64(),
            name if name == RSS.name => |usage| usage.rss as f64,
            name if name == RSS_ANON.name => |usage| usage.rss_anon as f64,
            name if name == OPEN_FILES.name => |usage| usage.open_files as f64,
            _ => |usage| usage.threads as f64,
        };
        // Without /proc there is nothing to show, which is what the absence of a series says.
        let usage = Usage::read().ok();
        usage.map(|usage| Reading::alone(Value::Number(of_usage(&usage)))).into_iter().collect()
    }
}

struct Counts(Tasks);

impl Collect for Counts {
    fn collect(&self, desc: &Desc) -> Vec<Reading> {
        let readings = self.0.counts().into_iter().map(|count| {
            let mut task = String::new();
            labels::push(&mut task, "task", count.name);
            let value = match desc.name {
                name if name == TASKS.name => Value::Number(count.running as f64),
                name if name == TASKS_STARTED.name => Value::Count(count.started),
                _ => Value::Count(count.panicked),
            };
            Reading { labels: task.into(), class: String::new(), value }
        });
        readings.collect()
    }
}
