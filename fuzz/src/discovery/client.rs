//! Responses from a control plane that may say anything.
//!
//! Whatever comes, what the proxy holds changes only with an update that it was handed and applied, as a whole; it is
//! well-formed; whatever a changed unit refers to is held or was said not to exist; and it can be kept over a restart.

use std::collections::BTreeSet;
use std::time::Instant;

use leno_wire::client::machine::{Action, Event, Machine};
use leno_wire::client::{Update, Waiter};
use leno_wire::proto::discovery::DeltaDiscoveryResponse;
use leno_wire::proto::units::Commit;
use leno_wire::state::State;
use leno_wire::{Key, Kind, Unit};
use prost::Message;

use super::{messages, unit};
use crate::Outcome;

/// Checks one input: the responses of one stream.
pub fn run(data: &[u8]) -> Outcome {
    let now = Instant::now();
    let subject = "workload:default/web-0".parse().expect("a proxy's id");
    let (mut machine, actions) = Machine::new(subject, "1".into(), None, now);
    assert!(actions.is_empty());
    let question = leno_wire::question::parse("name:reviews").expect("a question");
    let asked = machine.handle(Event::Ask(Waiter(1), question, now), now);
    assert!(asked.is_empty(), "nobody knows the answer");
    machine.handle(Event::Connected, now);
    drain(&mut machine);

    let mut is_applied = false;
    for response in messages::<DeltaDiscoveryResponse>(data) {
        let absent = absent(&response);
        let before = machine.state();
        for action in machine.handle(Event::Response(response), now) {
            match action {
                Action::Apply(update) => {
                    assert_eq!(machine.state(), before, "in effect before the proxy says so");
                    let replies = machine.handle(Event::Applied, now);
                    assert!(replies.iter().all(|action| matches!(action, Action::Reply(..))));
                    is_sound(&before, &update, &machine.state(), &absent);
                    is_applied = true;
                }
                Action::Reply(Waiter(1), Ok(_)) => {}
                Action::Reply(..) => panic!("a reply to nobody"),
                Action::Close(_) => {
                    assert_eq!(machine.state(), before, "a broken stream changes something");
                    assert!(machine.next_request().is_none(), "a request on a closed stream");
                    return Outcome::Refused;
                }
            }
        }
        drain(&mut machine);
    }
    Outcome::accepted_if(is_applied)
}

/// Sends whatever the machine has to say.
fn drain(machine: &mut Machine) {
    let mut most = 100;
    while machine.has_request() {
        assert!(machine.next_request().is_some(), "a request was announced");
        most -= 1;
        assert!(most > 0, "requests without end");
    }
    assert!(machine.next_request().is_none(), "no request was announced");
}

/// What the response, if it is a commit, says not to exist.
fn absent(response: &DeltaDiscoveryResponse) -> BTreeSet<Key> {
    let contents = response.resources.iter().filter_map(|resource| resource.resource.as_ref());
    let commits = contents.filter_map(|content| Commit::decode(content.value.clone()).ok());
    let references = commits.flat_map(|commit| commit.absent);
    references.filter_map(|it| Key::parse(Kind::from_type_url(&it.type_url)?, &it.name).ok()).collect()
}

/// The new state is the old one with the update, and the update is complete.
fn is_sound(before: &State, update: &Update, after: &State, absent: &BTreeSet<Key>) {
    let answers = update.answers.iter();
    let gone: BTreeSet<Key> = answers
        .clone()
        .filter(|(_, answer)| answer.is_none())
        .map(|(question, _)| Key::Answer(question.clone()))
        .chain(update.removed.iter().cloned())
        .collect();
    let given =
        answers.filter_map(|(question, answer)| Some(Unit::Answer(question.clone(), answer.clone()?)));
    let set: Vec<Unit> = update.changed.iter().cloned().chain(given).collect();
    let set_keys: BTreeSet<Key> = set.iter().map(Unit::key).collect();
    assert_eq!(set.len(), set_keys.len(), "a unit twice in an update");
    assert!(set_keys.is_disjoint(&gone), "a unit that changes and goes");

    let held: BTreeSet<Key> = after.units.iter().map(|(_, unit)| unit.key()).collect();
    let stays = |key: &Key| !gone.contains(key) && !set_keys.contains(key);
    let expected: BTreeSet<Key> = before
        .units
        .iter()
        .map(|(_, unit)| unit.key())
        .filter(stays)
        .chain(set_keys.iter().cloned())
        .collect();
    assert_eq!(held, expected, "what is held isn't what was said");
    for unit in &set {
        assert!(after.units.iter().any(|(_, own)| own == unit), "not what was said");
        unit::check(&unit.key(), unit);
        for reference in unit.references() {
            assert!(held.contains(&reference) || absent.contains(&reference), "{reference} is nowhere");
        }
    }
    assert_eq!(after.snapshot, update.snapshot);
    assert_eq!(State::decode(&after.encode()).as_ref(), Ok(after), "it can't be kept");
}
