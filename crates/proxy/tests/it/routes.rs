//! Routes to the service of these tests.

use leno_model::route::{Action, Backend, Forward, HeaderEdits, MatchOrder, RouteTable, Rule, Target};

use crate::world::{deny, host};

/// Everything to the service; nothing is limited or repeated.
pub(crate) fn forward() -> Forward {
    let backend = Backend {
        target: Target::Service { host: host(), port: Some(80), subset: None },
        weight: 1,
        request_headers: HeaderEdits::default(),
        response_headers: HeaderEdits::default(),
        origin: deny(Vec::new()).origin,
    };
    Forward { backends: vec![backend], ..Forward::default() }
}

/// One rule for all requests.
pub(crate) fn table(forward: Forward) -> RouteTable {
    let rule = Rule {
        name: None,
        origin: deny(Vec::new()).origin,
        matches: Vec::new(),
        priority: 0,
        action: Action::Forward(forward),
        request_headers: HeaderEdits::default(),
        response_headers: HeaderEdits::default(),
    };
    RouteTable { order: MatchOrder::FirstMatch, rules: vec![rule] }
}
