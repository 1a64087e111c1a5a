//! Discovery messages that break the protocol. Both sides are state machines without I/O; what they say is what the
//! peer gets as the stream's status, and what is logged.

use std::time::Instant;

use leno_wire::{
    client::machine::{Action as Done, Event as Came, Machine},
    proto::discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse},
    server::{
        Client,
        session::{Action, Event, Session},
    },
};

use crate::wrong::page::{Row, Table, text, words};

const COMMIT: &str = "type.googleapis.com/leno.discovery.v1alpha1.Commit";

pub(super) fn tables() -> [Table; 2] {
    [requests(), responses()]
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        said.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    said
}

fn requests() -> Table {
    let host = leno_wire::Kind::Host.type_url();
    let request = |url: &str| DeltaDiscoveryRequest { type_url: url.to_owned(), ..Default::default() };
    let cases = [
        ("a type that is unknown", request("type.googleapis.com/other.Thing")),
        ("an answer to no batch", DeltaDiscoveryRequest { response_nonce: "7".into(), ..request(COMMIT) }),
        (
            "an answer to something else",
            DeltaDiscoveryRequest { response_nonce: "7".into(), ..request(&host) },
        ),
        (
            "a subscription to a host",
            DeltaDiscoveryRequest { resource_names_subscribe: vec!["web".into()], ..request(&host) },
        ),
        (
            "a name that isn't one",
            DeltaDiscoveryRequest {
                initial_resource_versions: [("Not A Host".to_owned(), "1".to_owned())].into(),
                ..request(&host)
            },
        ),
    ];
    let rows = cases.into_iter().map(|(what, request)| {
        let mut session = Session::new(Client {
            subject: "workload:default/web".parse().unwrap(),
            identity: None,
            version: "1".into(),
        });
        let shown =
            format!("{} {}", request.type_url.rsplit('.').next().unwrap_or_default(), request.response_nonce);
        let mut said =
            session.handle(Event::Request(request)).into_iter().filter_map(|action| match action {
                Action::Close(error) => Some(with_causes(&error)),
                _ => None,
            });
        let said = said.next().unwrap_or_else(|| panic!("{what}: the stream goes on"));
        Row::of(vec![words(what), text(shown.trim_end()), text(said.clone()), text(said)])
    });
    Table { title: "Discovery: requests of a proxy".to_owned(), rows: rows.collect() }
}

fn responses() -> Table {
    let host = leno_wire::Kind::Host.type_url();
    let response = |url: &str| DeltaDiscoveryResponse { type_url: url.to_owned(), ..Default::default() };
    let cases = [
        ("a type that is unknown", response("type.googleapis.com/other.Thing")),
        ("a commit without its content", response(COMMIT)),
        (
            "a name that isn't one",
            DeltaDiscoveryResponse { removed_resources: vec!["Not A Host".into()], ..response(&host) },
        ),
    ];
    let rows = cases.into_iter().map(|(what, response)| {
        let now = Instant::now();
        let (mut machine, _) = Machine::new("workload:default/web".parse().unwrap(), "1".into(), None, now);
        machine.handle(Came::Connected, now);
        let before = machine.state();
        let shown = response.type_url.rsplit('.').next().unwrap_or_default().to_owned();
        let mut said =
            machine.handle(Came::Response(response), now).into_iter().filter_map(|action| match action {
                Done::Close(error) => Some(with_causes(&error)),
                _ => None,
            });
        let said = said.next().unwrap_or_else(|| panic!("{what}: the stream goes on"));
        assert_eq!(machine.state(), before, "{what}: what is held stays");
        Row::of(vec![words(what), text(shown), text("the stream ends, and begins anew"), text(said)])
    });
    Table { title: "Discovery: responses of a control plane".to_owned(), rows: rows.collect() }
}
