//! Keys that lead to endpoints.

use std::sync::Arc;
use std::time::Duration;

use leno_model::hash::{ConsistentHash, CookieKey, HashKey, HashTable, is_cookie_byte};

use super::read::{some_text, write_duration, write_pair};
use super::text::{marker, matched_header};
use super::{Interner, Within, each, interned};
use crate::malformed::Malformed;
use crate::proto::units;
use crate::proto::units::consistent_hash::{Key, Table};

pub(super) fn write(hash: &ConsistentHash) -> units::ConsistentHash {
    units::ConsistentHash {
        key: Some(match &hash.key {
            HashKey::Header(name) => Key::Header(name.to_string()),
            HashKey::Cookie(cookie) => Key::Cookie(units::HashCookie {
                name: cookie.name.to_string(),
                ttl: cookie.ttl.map(write_duration),
                path: cookie.path.as_ref().map(ToString::to_string),
                attributes: cookie.attributes.iter().map(|(name, value)| write_pair(name, value)).collect(),
            }),
            HashKey::SourceIp => Key::SourceIp(true),
            HashKey::Query(name) => Key::Query(name.to_string()),
        }),
        table: Some(match hash.table {
            HashTable::Ring { minimum } => Table::RingMinimum(minimum),
            HashTable::Maglev { size } => Table::MaglevSize(size),
        }),
    }
}

pub(super) fn read(from: units::ConsistentHash, texts: &mut Interner) -> Result<ConsistentHash, Malformed> {
    let key = match from.key.within("key")? {
        Key::Header(name) => HashKey::Header(matched_header(&name, texts).within("header")?),
        Key::Cookie(cookie) => HashKey::Cookie(read_cookie(cookie, texts).within("cookie")?),
        Key::SourceIp(yes) => {
            marker(yes).within("source_ip")?;
            HashKey::SourceIp
        }
        Key::Query(name) => HashKey::Query(some_text(&name, texts).within("query")?),
    };
    let table = match from.table.within("table")? {
        Table::RingMinimum(minimum) => HashTable::Ring { minimum },
        Table::MaglevSize(size) => HashTable::Maglev { size: maglev(size).within("maglev_size")? },
    };
    Ok(ConsistentHash { key, table })
}

/// A table that a proxy can make in time and hold.
fn maglev(size: u32) -> Result<u32, Malformed> {
    match size {
        0..HashTable::MAGLEV_END => Ok(size),
        _ => Err(Malformed::new(format_args!("{size} places are too many"))),
    }
}

fn read_cookie(from: units::HashCookie, texts: &mut Interner) -> Result<CookieKey, Malformed> {
    let mut part = |field, text: &str| -> Result<Arc<str>, Malformed> {
        if text.bytes().all(is_cookie_byte) {
            Ok(interned(text, texts))
        } else {
            Err(Malformed::new("has bytes that end a cookie's attribute").in_field(field))
        }
    };
    let path = from.path.map(|path| part("path", &path)).transpose()?;
    let attributes = each("attributes", from.attributes, |pair| {
        Ok((part("key", &pair.key)?, part("value", &pair.value)?))
    })?;
    let name = part("name", &from.name)?;
    Ok(CookieKey { name, ttl: from.ttl.map(Duration::from_nanos), path, attributes })
}
