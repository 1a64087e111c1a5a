//! `model` ↔ protobuf: one file per part of the model, each with both directions side by side.
//!
//! Writing cannot fail and is canonical: equal units become equal bytes, since their hash is their version. Reading is
//! strict: every text is parsed into its type, and what is unknown, out of range, out of order or given twice is refused
//! with its field. Nothing here decides what configuration means.

use bytes::Bytes;
use prost::Message;

use crate::key::{Key, Kind};
use crate::malformed::Malformed;
use crate::proto::units;
use crate::unit::Unit;

mod answer;
mod destination;
mod fault;
mod gateway;
mod hash;
mod host;
mod mesh;
mod origin;
mod policy;
pub(crate) mod read;
mod resilience;
mod retry;
mod route;
mod route_action;
mod route_match;
mod text;
mod workload;

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod values;

pub(crate) use read::{Interner, interned};
use read::{Within, each};

/// The canonical bytes of a unit.
pub(crate) fn encode(unit: &Unit) -> Bytes {
    match unit {
        Unit::Mesh(unit) => mesh::write_settings(unit).encode_to_vec(),
        Unit::Bundle(unit) => mesh::write_bundle(unit).encode_to_vec(),
        Unit::Endpoints(unit) => host::write_endpoints(unit).encode_to_vec(),
        Unit::Host(unit) => host::write(unit).encode_to_vec(),
        Unit::Workload(unit) => workload::write(unit).encode_to_vec(),
        Unit::Gateway(unit) => gateway::write(unit).encode_to_vec(),
        Unit::Answer(_, answer) => answer::write(answer).encode_to_vec(),
    }
    .into()
}

/// Reads the unit of this key. Texts that occur more than once, in this unit or another one read with the same
/// interner, are one in memory.
pub(crate) fn decode(key: &Key, bytes: &[u8], texts: &mut Interner) -> Result<Unit, Malformed> {
    Ok(match key.kind() {
        Kind::Mesh => Unit::Mesh(mesh::read_settings(message(bytes)?, texts)?.into()),
        Kind::Bundle => Unit::Bundle(mesh::read_bundle(message(bytes)?)?.into()),
        Kind::Endpoints => Unit::Endpoints(host::read_endpoints(message(bytes)?, texts)?.into()),
        Kind::Host => Unit::Host(host::read(message(bytes)?, texts)?.into()),
        Kind::Workload => Unit::Workload(workload::read(message(bytes)?, texts)?.into()),
        Kind::Gateway => Unit::Gateway(gateway::read(message(bytes)?, texts)?.into()),
        Kind::Answer => {
            let Key::Answer(question) = key else { return Err(Malformed::new("not an answer's name")) };
            Unit::Answer(question.clone(), answer::read(message::<units::Answer>(bytes)?, texts)?)
        }
    })
}

fn message<M: Message + Default>(bytes: &[u8]) -> Result<M, Malformed> {
    M::decode(bytes).map_err(|error| Malformed::new(format_args!("not readable: {error}")))
}
