//! `model` ↔ protobuf.

use bytes::Bytes;

use crate::key::Key;
use crate::malformed::Malformed;
use crate::unit::Unit;

pub(crate) fn encode(_unit: &Unit) -> Bytes {
    todo!()
}

pub(crate) fn decode(_key: &Key, _bytes: &[u8]) -> Result<Unit, Malformed> {
    todo!()
}
