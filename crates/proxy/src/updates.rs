//! Takes the control plane's updates into effect, and gives back what nobody uses.

use std::sync::Arc;
use std::time::Duration;

use leno_model::unit::Question;
use leno_runtime::readiness::Pending;
use leno_wire::client::Updates;
use leno_wire::state::State;

use crate::core::Shared;
use crate::limits::{IDLE_INTERVAL, STATE_INTERVAL, SUBSCRIPTION_IDLE};
use crate::trust::Trust;
use crate::vault::{Blobs, Vault};
use crate::view::Answered;

/// The blob that holds the configuration.
const STATE_BLOB: &str = "state";

/// The configuration that an earlier process left.
pub(crate) fn restore(blobs: &Blobs) -> Option<State> {
    let state = State::decode(blobs.get(STATE_BLOB)?);
    state
        .inspect_err(
            |error| tracing::warn!(%error, "the configuration in the supervisor's keeping cannot be used"),
        )
        .ok()
}

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
        // Who hears of the change may ask discovery for its state, which has acknowledged updates only.
        ack.applied();
        shared.changed.send_modify(|count| *count += 1);
        tracing::debug!(snapshot, "an update is in effect");
    }
    drop(first);
}

/// Gives idle questions back to the control plane, for ever.
pub(crate) async fn tend(shared: Arc<Shared>) {
    let mut ticks = leno_runtime::time::interval(IDLE_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for question in idle(&shared, SUBSCRIPTION_IDLE) {
            shared.discovery.forget(question).await;
        }
    }
}

/// Gives the configuration into the supervisor's keeping whenever it has changed: at once, then at most once in
/// [`STATE_INTERVAL`]. What is not kept yet is missing to a process that starts while the control plane is away.
pub(crate) async fn keep(shared: Arc<Shared>, vault: Arc<Vault>) {
    let (mut changes, mut kept) = (shared.changed.subscribe(), 0);
    loop {
        match changes.wait_for(|count| *count != kept).await {
            Ok(count) => kept = *count,
            Err(_closed) => return,
        }
        let Some(state) = shared.discovery.state().await else { return };
        if let Err(error) = vault.put(STATE_BLOB, &state.encode()).await {
            tracing::warn!(%error, "the supervisor did not take the configuration into its keeping");
        }
        leno_runtime::time::sleep(STATE_INTERVAL).await;
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
