//! Takes the control plane's updates into effect, and gives back what nobody uses.

use std::sync::Arc;
use std::time::Duration;

use leno_model::unit::Question;
use leno_runtime::readiness::Pending;
use leno_wire::client::Updates;

use crate::core::Shared;
use crate::limits::{STATE_INTERVAL, SUBSCRIPTION_IDLE};
use crate::trust::Trust;
use crate::vault::Vault;
use crate::view::Answered;

/// The blob that holds the configuration.
pub(crate) const STATE_BLOB: &str = "state";

/// Applies updates until discovery ends. `first` is released by the first one that tells the proxy what it is.
pub(crate) async fn apply(shared: Arc<Shared>, trust: Arc<Trust>, mut updates: Updates, first: Pending) {
    let mut first = Some(first);
    while let Some((update, ack)) = updates.next().await {
        let snapshot = update.snapshot;
        let view =
            Arc::new(shared.view.load().after(update, &shared.states, shared.began.elapsed().as_secs()));
        if !view.bundles.is_empty()
            && let Err(error) = trust.bundles(view.bundles.values())
        {
            tracing::error!(%error, "the roots of trust cannot be used; the last ones stay");
        }
        if view.inbound.is_some() || view.gateway.is_some() {
            first = None;
        }
        // Every core takes the newest view for its next decision, so this is when it is in effect.
        shared.view.store(view);
        shared.changed.send_modify(|count| *count += 1);
        ack.applied();
        tracing::debug!(snapshot, "an update is in effect");
    }
    drop(first);
}

/// Gives idle questions back to the control plane, and the configuration into the supervisor's keeping when it changed.
pub(crate) async fn tend(shared: Arc<Shared>, vault: Option<Arc<Vault>>) {
    let mut kept = None;
    let mut ticks = tokio::time::interval(STATE_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for question in idle(&shared, SUBSCRIPTION_IDLE) {
            shared.discovery.forget(question).await;
        }
        let changes = *shared.changed.borrow();
        let Some(vault) = vault.as_ref().filter(|_| kept != Some(changes) && changes > 0) else { continue };
        let Some(state) = shared.discovery.state().await else { return };
        match vault.put(STATE_BLOB, &state.encode()).await {
            Ok(()) => kept = Some(changes),
            Err(error) => {
                tracing::warn!(%error, "the supervisor did not take the configuration into its keeping");
                if error.kind() == std::io::ErrorKind::InvalidInput {
                    // The same will be too large again.
                    kept = Some(changes);
                }
            }
        }
    }
}

fn idle(shared: &Shared, limit: Duration) -> Vec<Question> {
    let now = shared.began.elapsed().as_secs();
    let view = shared.view.load();
    let is_idle = |answered: &Answered| {
        if answered.is_in_use() {
            answered.touch(now);
        }
        now.saturating_sub(answered.used()) >= limit.as_secs()
    };
    view.answers
        .iter()
        .filter(|(_, answered)| is_idle(answered))
        .map(|(question, _)| question.clone())
        .collect()
}
