//! The first requests of a stream: who asks, what it holds, what it wants.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use leno_model::unit::Question;

use super::staging::Held;
use crate::key::{Key, Kind, Subject};
use crate::limits;
use crate::proto::discovery::{DeltaDiscoveryRequest, Node};
use crate::protocol::COMMIT;
use crate::question;

/// The requests, in order.
pub(super) fn requests(
    subject: &Subject,
    version: &str,
    held: &BTreeMap<Key, Held>,
    wanted: &BTreeSet<Question>,
) -> VecDeque<DeltaDiscoveryRequest> {
    let mut requests = VecDeque::new();
    let of =
        |kind: Kind| DeltaDiscoveryRequest { type_url: kind.type_url(), ..DeltaDiscoveryRequest::default() };
    for kind in Kind::ALL {
        let mut request = of(kind);
        for (key, held) in held.iter().filter(|(key, _)| key.kind() == kind) {
            if request.initial_resource_versions.len() == limits::REQUEST_NAMES {
                requests.push_back(std::mem::replace(&mut request, of(kind)));
            }
            request.initial_resource_versions.insert(key.name(), held.version.to_string());
        }
        if !request.initial_resource_versions.is_empty() {
            requests.push_back(request);
        }
    }
    let names: Vec<String> = wanted.iter().map(question::name).collect();
    for names in names.chunks(limits::REQUEST_NAMES) {
        requests.push_back(DeltaDiscoveryRequest {
            resource_names_subscribe: names.to_vec(),
            ..of(Kind::Answer)
        });
    }
    requests
        .push_back(DeltaDiscoveryRequest { type_url: COMMIT.to_owned(), ..DeltaDiscoveryRequest::default() });
    if let Some(first) = requests.front_mut() {
        first.node = Some(Node {
            id: subject.to_string(),
            user_agent_name: "leno".to_owned(),
            user_agent_version: version.to_owned(),
            ..Node::default()
        });
    }
    requests
}
