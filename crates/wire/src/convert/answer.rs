//! Answers to questions.

use leno_model::unit::Answer;

use super::read::{host, identity, ip, optional_host, some_text, write_ip};
use super::{Interner, Within, each};
use crate::malformed::Malformed;
use crate::proto::units;
use crate::proto::units::answer::Kind;

pub(super) fn write(answer: &Answer) -> units::Answer {
    let kind = match answer {
        Answer::Service(host) => Kind::Service(host.to_string()),
        Answer::Endpoint { host, uid } => Kind::Endpoint(units::EndpointAnswer {
            host: host.as_ref().map_or_else(String::new, ToString::to_string),
            uid: uid.to_string(),
        }),
        Answer::Workload { identity, addresses } => Kind::Workload(units::WorkloadAnswer {
            identity: identity.as_str().to_owned(),
            addresses: addresses.iter().map(write_ip).collect(),
        }),
        Answer::Absent { under } => Kind::Absent(under.to_string()),
    };
    units::Answer { kind: Some(kind) }
}

pub(super) fn read(answer: units::Answer, texts: &mut Interner) -> Result<Answer, Malformed> {
    Ok(match answer.kind.within("kind")? {
        Kind::Service(name) => Answer::Service(host(&name).within("service")?),
        Kind::Endpoint(endpoint) => Answer::Endpoint {
            host: optional_host(&endpoint.host).within("endpoint.host")?,
            uid: some_text(&endpoint.uid, texts).within("endpoint.uid")?,
        },
        Kind::Workload(workload) => Answer::Workload {
            identity: identity(&workload.identity).within("workload.identity")?,
            addresses: each("workload.addresses", workload.addresses, |bytes| ip(&bytes))?,
        },
        Kind::Absent(under) => Answer::Absent { under: some_text(&under, texts).within("absent")? },
    })
}
