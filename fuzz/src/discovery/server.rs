//! Requests from a proxy that may say anything.
//!
//! Whatever it says, the session counts only what is well-formed and within its limits; what it sends is well-formed,
//! bounded and ends; and what is sent to a proxy that tells the truth and takes it leads to what the catalog says.

use std::sync::Arc;

use leno_model::unit::{Answer, Question};
use leno_wire::proto::discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use leno_wire::server::session::{Action, Event, Session};
use leno_wire::server::{Catalog, Client};
use leno_wire::{Encoded, Key, Kind, Unit, limits};
use prost::Message;

use super::{messages, sample};
use crate::Outcome;

/// Checks one input: the requests of one stream.
pub fn run(data: &[u8]) -> Outcome {
    let world = World::new();
    let mut session = Session::new(Client {
        subject: "workload:default/web-0".parse().expect("a proxy's id"),
        identity: None,
        version: "1".into(),
    });
    let mut acked = None;
    for request in messages::<DeltaDiscoveryRequest>(data) {
        for action in session.handle(Event::Request(request)) {
            match action {
                Action::Close(_) => return Outcome::Refused,
                Action::Acked(snapshot) => {
                    assert_eq!(snapshot, world.snapshot(), "a snapshot that was never sent");
                    acked = Some(snapshot);
                }
                Action::Refused(snapshot, rejections) => {
                    assert_eq!(snapshot, world.snapshot());
                    assert!((1..=limits::MAX_REJECTIONS).contains(&rejections.len()));
                }
            }
        }
        if !send(&mut session, &world, &mut acked) {
            return Outcome::Refused;
        }
        assert_eq!(session.acked(), acked, "acknowledged by nobody");
        let held = session.held();
        assert!(held.len() <= limits::MAX_HELD);
        for key in held.keys() {
            assert_eq!(Key::parse(key.kind(), &key.name()).as_ref(), Ok(key));
        }
        if acked.is_some() && session.pending().is_none() && session.rejections().is_empty() {
            for key in world.resident(session.client()) {
                let unit = world.unit(&key, session.client());
                assert_eq!(held.get(&key).copied(), unit.map(|unit| unit.version()), "{key} isn't there");
            }
        }
    }
    Outcome::accepted_if(session.is_open())
}

/// Takes whatever the session has to send. False when it gives up the stream.
fn send(session: &mut Session, world: &World, acked: &mut Option<u64>) -> bool {
    for _ in 0..100 {
        let (response, actions) = session.next_response(world);
        for action in actions {
            match action {
                Action::Acked(snapshot) => *acked = Some(snapshot),
                Action::Close(_) => return false,
                Action::Refused(..) => panic!("refused by nobody"),
            }
        }
        let Some(response) = response else { return true };
        assert!(session.is_open(), "an answer before the end of the opening");
        is_well_formed(&response);
    }
    panic!("responses without end");
}

fn is_well_formed(response: &DeltaDiscoveryResponse) {
    assert!(response.encoded_len() <= limits::MAX_MESSAGE_BYTES);
    assert!(!response.nonce.is_empty());
    let Some(kind) = Kind::from_type_url(&response.type_url) else { return };
    for name in &response.removed_resources {
        assert!(Key::parse(kind, name).is_ok(), "{name}");
    }
    for resource in &response.resources {
        let key = Key::parse(kind, &resource.name).expect("a name");
        let content = resource.resource.as_ref().expect("content");
        assert!(Unit::decode(&key, &content.value).is_ok(), "{key}");
    }
}

/// A small mesh.
struct World(Vec<(Key, Arc<Encoded>)>);

impl World {
    fn new() -> Self {
        let ready = |(key, content): (Key, Vec<u8>)| {
            let unit = Unit::decode(&key, &content).expect("a unit");
            (key, Arc::new(Encoded::new(&unit).expect("sendable")))
        };
        let units = sample::units().into_iter().filter(|(key, _)| key.kind() != Kind::Answer);
        Self(units.map(ready).collect())
    }
}

impl Catalog for World {
    fn snapshot(&self) -> u64 {
        7
    }

    fn resident(&self, _: &Client) -> Vec<Key> {
        self.0
            .iter()
            .map(|(key, _)| key.clone())
            .filter(|key| [Kind::Mesh, Kind::Workload].contains(&key.kind()))
            .collect()
    }

    fn answer(&self, question: &Question, _: &Client) -> Answer {
        match question {
            Question::Name(name) if name.starts_with("reviews") => {
                Answer::Service(sample::HOST.parse().expect("a host"))
            }
            Question::Name(name) => Answer::Absent { under: name.clone() },
            Question::Address(..) | Question::Workload(_) => {
                Answer::Absent { under: leno_wire::question::name(question).into() }
            }
        }
    }

    fn unit(&self, key: &Key, _: &Client) -> Option<Arc<Encoded>> {
        self.0.iter().find(|(own, _)| own == key).map(|(_, unit)| unit.clone())
    }
}
