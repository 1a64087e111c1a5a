//! HTTP/1: heads, bodies, and what goes on to the next server.

pub mod body;
pub(crate) mod naive;
pub(crate) mod peer;
pub mod relay;
pub mod request;
pub mod response;

use bytes::Bytes;
use leno_http::head::{Fields, Framing, RequestHead};
use leno_model::request::RequestView;

/// Names and values of fields.
pub(crate) type Lines = Vec<(String, Vec<u8>)>;

/// The input in two pieces, the cut chosen by the input itself, so that a run can be repeated.
fn halves(data: &[u8]) -> Vec<Bytes> {
    let sum = data.iter().fold(7_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    let (first, second) = data.split_at(sum % (data.len() + 1));
    [first, second].into_iter().filter(|half| !half.is_empty()).map(Bytes::copy_from_slice).collect()
}

/// The input byte by byte, as far as that doesn't take too long; the rest in one piece.
fn drops(data: &[u8]) -> Vec<Bytes> {
    let (drops, rest) = data.split_at(data.len().min(512));
    let drops = drops.chunks(1).chain([rest]).filter(|piece| !piece.is_empty());
    drops.map(Bytes::copy_from_slice).collect()
}

/// Field lines with names in lower case, in order, without the length, which framing tells.
pub(crate) fn lines(fields: &Fields) -> Lines {
    let lines = fields.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.to_vec()));
    lines.filter(|(name, _)| name != "content-length").collect()
}

/// A length of zero and no body mean the same.
pub(crate) fn plain(framing: Framing) -> Framing {
    if framing == Framing::Length(0) { Framing::None } else { framing }
}

/// Everything that a request's head says, in a form that can be compared.
pub(crate) fn meaning(head: &RequestHead) -> impl PartialEq + std::fmt::Debug + use<> {
    (
        (head.method().to_owned(), head.target().to_owned(), head.authority().to_owned()),
        (lines(head.fields()), plain(head.framing())),
        (head.connect().clone(), head.expects_continue()),
    )
}
