//! What both sides of a stream agree on beside the messages.
//!
//! A client opens a stream with one or more requests per type that say what it holds, and a request for the commit
//! type that ends the opening. The server sends batches: responses of several types, in the order of
//! [`Kind`], all of one snapshot, then a commit. Only the commit is answered: the client repeats its
//! nonce, with an error where it refuses the batch. Until then the server sends nothing more.

use prost::Message;

use crate::key::{Key, Kind};
use crate::limits;
use crate::malformed::{Malformed, Rejection};
use crate::proto::discovery::{DeltaDiscoveryRequest, Status};
use crate::proto::google::protobuf::Any;
use crate::proto::units;

/// The type of commits.
pub(crate) const COMMIT: &str = "type.googleapis.com/leno.discovery.v1alpha1.Commit";

/// The one commit's name.
pub(crate) const COMMIT_NAME: &str = "commit";

const REJECTION: &str = "type.googleapis.com/leno.discovery.v1alpha1.Rejection";

/// `INVALID_ARGUMENT` of gRPC.
const INVALID_ARGUMENT: i32 = 3;

/// The peer breaks the protocol; the stream cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// A message's content cannot be read.
    #[error("a {type_url} message is malformed")]
    Malformed {
        /// The message's type.
        type_url: String,
        /// What is wrong with it.
        #[source]
        source: Malformed,
    },
    /// A message is well-formed but must not come here.
    #[error("{0}")]
    Unexpected(&'static str),
    /// A limit of this side is passed.
    #[error("more than {limit} {what}")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
}

impl ProtocolError {
    pub(crate) fn malformed(type_url: &str, source: Malformed) -> Self {
        Self::Malformed { type_url: type_url.to_owned(), source }
    }
}

/// The acknowledgement of a commit.
pub(crate) fn ack(nonce: &str) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: COMMIT.to_owned(),
        response_nonce: nonce.to_owned(),
        ..DeltaDiscoveryRequest::default()
    }
}

/// The refusal of a commit. What exceeds the limits is left out; it comes back with the next batch.
pub(crate) fn nack(nonce: &str, rejections: &[Rejection]) -> DeltaDiscoveryRequest {
    let told = rejections.iter().take(limits::MAX_REJECTIONS);
    let details = told.clone().map(|rejection| {
        let rejection = units::Rejection {
            type_url: rejection.key.kind().type_url(),
            name: rejection.key.name(),
            reason: shortened(&rejection.reason).to_owned(),
        };
        Any { type_url: REJECTION.to_owned(), value: rejection.encode_to_vec().into() }
    });
    let message =
        rejections.first().map_or_else(String::new, |rejection| shortened(&rejection.to_string()).to_owned());
    let status = Status { code: INVALID_ARGUMENT, message, details: details.collect() };
    DeltaDiscoveryRequest { error_detail: Some(status), ..ack(nonce) }
}

/// The rejections in a refusal.
pub(crate) fn read_rejections(status: &Status) -> Result<Vec<Rejection>, ProtocolError> {
    let read = |any: &Any| -> Result<Rejection, Malformed> {
        if any.type_url != REJECTION {
            return Err(Malformed::new("not a rejection"));
        }
        let rejection = units::Rejection::decode(any.value.clone()).map_err(Malformed::new)?;
        let kind = Kind::from_type_url(&rejection.type_url).ok_or_else(|| Malformed::missing("type_url"))?;
        let key = Key::parse(kind, &rejection.name).map_err(|error| error.in_field("name"))?;
        Ok(Rejection { key, reason: shortened(&rejection.reason).to_owned() })
    };
    let rejections: Result<_, _> = status.details.iter().take(limits::MAX_REJECTIONS).map(read).collect();
    rejections.map_err(|error| ProtocolError::malformed(REJECTION, error))
}

fn shortened(text: &str) -> &str {
    let end = text.floor_char_boundary(limits::MAX_REASON_BYTES);
    text.get(..end).unwrap_or_default()
}
