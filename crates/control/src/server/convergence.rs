//! How long it takes until a snapshot is in effect in a proxy.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use leno_wire::server::{Catalog as _, Registry, SessionReport};
use tokio::sync::watch;

use crate::catalog::Catalog;
use crate::limits::{HISTORY, MEASURE};
use crate::metrics::Metrics;

/// When what led to each snapshot was heard of, and which one each session has.
#[derive(Debug, Default)]
struct Progress {
    published: VecDeque<(u64, Instant)>,
    acked: HashMap<u64, u64>,
}

impl Progress {
    fn publish(&mut self, number: u64, at: Instant) {
        if self.published.back().is_none_or(|(last, _)| *last < number) {
            self.published.push_back((number, at));
        }
        while self.published.len() > HISTORY {
            self.published.pop_front();
        }
    }

    /// Microseconds from the oldest change that a session has newly in effect, for each session that has one. A session's
    /// first snapshot is no change.
    fn advance(&mut self, sessions: &[SessionReport], now: Instant) -> Vec<u64> {
        let mut took = Vec::new();
        let mut acked = HashMap::with_capacity(sessions.len());
        for session in sessions {
            let Some(newest) = session.acked else { continue };
            acked.insert(session.id, newest);
            let Some(before) = self.acked.get(&session.id) else { continue };
            let oldest = self.published.iter().find(|(number, _)| number > before && *number <= newest);
            let since = oldest.map(|(_, at)| now.saturating_duration_since(*at).as_micros());
            took.extend(since.map(|micros| u64::try_from(micros).unwrap_or(u64::MAX)));
        }
        self.acked = acked;
        took
    }
}

/// Measures until cancelled.
pub(super) async fn watch(sessions: Registry, mut catalogs: watch::Receiver<Arc<Catalog>>, metrics: Metrics) {
    let mut progress = Progress::default();
    let mut changes = sessions.changes();
    loop {
        {
            let newest = catalogs.borrow_and_update();
            progress.publish(newest.snapshot(), newest.since());
        }
        let now = sessions.sessions();
        for micros in progress.advance(&now, Instant::now()) {
            metrics.converged(micros);
        }
        metrics.sessions(&now);
        tokio::select! {
            Ok(()) = changes.changed() => {}
            Ok(()) = catalogs.changed() => {}
            else => return,
        }
        tokio::time::sleep(MEASURE).await;
        changes.mark_unchanged();
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use leno_wire::server::Client;

    use super::*;

    fn session(id: u64, acked: Option<u64>) -> SessionReport {
        SessionReport {
            id,
            client: Client {
                subject: "workload:default/a".parse().unwrap(),
                identity: None,
                version: "1".into(),
            },
            connected_at: SystemTime::UNIX_EPOCH,
            acked,
            pending: None,
            rejections: Vec::new(),
            held: Arc::default(),
        }
    }

    #[test]
    fn time_counts_from_the_oldest_change_that_is_new() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut progress = Progress::default();
        progress.publish(1, at(0));
        assert!(progress.advance(&[session(1, Some(1)), session(2, None)], at(5)).is_empty());
        progress.publish(2, at(10));
        progress.publish(3, at(20));
        assert_eq!(progress.advance(&[session(1, Some(3)), session(2, Some(3))], at(50)), [40_000]);
        assert!(progress.advance(&[session(1, Some(3)), session(2, Some(3))], at(60)).is_empty());
    }
}
