//! `loadBalancer.consistentHash`.

use std::sync::Arc;

use leno_model::hash::{ConsistentHash, CookieKey, HashKey, HashTable, is_cookie_byte};

use crate::codes;
use crate::http::is_header_name;
use crate::yaml::{Fields, Value};

/// Points of a ring where nothing else is said, as in Istio.
const RING: u32 = 1024;

/// Places of a Maglev table where nothing else is said.
const MAGLEV: u32 = 65_537;

const KEYS: [&str; 4] = ["httpHeaderName", "httpCookie", "useSourceIp", "httpQueryParameterName"];

pub(super) fn read(fields: Fields<'_>) -> Option<ConsistentHash> {
    fields.at_most_one(&KEYS);
    fields.at_most_one(&["ringHash", "maglev", "minimumRingSize"]);
    let key = key(&fields);
    let table = table(&fields);
    fields.finish();
    Some(ConsistentHash { key: key?, table: table? })
}

fn key(fields: &Fields<'_>) -> Option<HashKey> {
    let header = fields.value("httpHeaderName").map(|name| {
        let text = name.text()?.to_ascii_lowercase();
        if !is_header_name(&text) {
            name.invalid("is not a header name", "a header name has letters, digits and dashes");
            return None;
        }
        Some(HashKey::Header(text.into()))
    });
    let cookie = fields.object("httpCookie").map(|fields| cookie(fields).map(HashKey::Cookie));
    let query = fields.value("httpQueryParameterName").map(|name| match name.text()? {
        "" => {
            name.invalid("is no name", "write the name of a query parameter");
            None
        }
        text => Some(HashKey::Query(text.into())),
    });
    let source = fields.boolean("useSourceIp").unwrap_or_default().then_some(Some(HashKey::SourceIp));
    let key = header.or(cookie).or(query).or(source);
    if key.is_none() {
        let message = format_args!("{} names no key", fields.path());
        fields.report_with(codes::REQUIRED, message, format!("add one of {}", KEYS.join(", ")));
    }
    key?
}

fn cookie(fields: Fields<'_>) -> Option<CookieKey> {
    let name = fields.required("name").and_then(|name| {
        let text = name.text()?;
        if !is_header_name(text) {
            name.invalid("is not a cookie's name", "use letters, digits and dashes");
            return None;
        }
        Some(Arc::from(text))
    });
    let path = fields.value("path").and_then(|path| part(&path)).filter(|path| !path.is_empty());
    let ttl = fields.duration("ttl");
    let attributes = fields.items("attributes").iter().filter_map(attribute).collect();
    fields.finish();
    Some(CookieKey { name: name?, ttl, path, attributes })
}

fn attribute(item: &Value<'_>) -> Option<(Arc<str>, Arc<str>)> {
    let fields = item.fields()?;
    let name = fields.required("name").and_then(|name| {
        let text = part(&name)?;
        if text.is_empty() || text.contains('=') {
            name.invalid("is not an attribute's name", "write a name such as SameSite");
            return None;
        }
        Some(text)
    });
    let value = fields.value("value").map_or_else(|| Some(Arc::from("")), |value| part(&value));
    fields.finish();
    Some((name?, value?))
}

/// A part of the header `set-cookie` (RFC 6265 §4.1.1).
fn part(value: &Value<'_>) -> Option<Arc<str>> {
    let text = value.text()?;
    if text.len() > 1024 || !text.bytes().all(is_cookie_byte) {
        value.invalid("can't be a part of a cookie", "use visible characters without semicolons");
        return None;
    }
    Some(text.into())
}

fn table(fields: &Fields<'_>) -> Option<HashTable> {
    let older = fields.value("minimumRingSize").map(|size| points(&size));
    let ring = fields.object("ringHash").map(|fields| {
        let size = fields.value("minimumRingSize").map_or(Some(RING), |size| points(&size));
        fields.finish();
        size
    });
    let maglev = fields.object("maglev").map(|fields| {
        let size = fields.value("tableSize").map_or(Some(MAGLEV), |size| places(&size));
        fields.finish();
        size
    });
    Some(match (maglev, ring.or(older)) {
        (Some(size), _) => HashTable::Maglev { size: size? },
        (None, Some(minimum)) => HashTable::Ring { minimum: minimum? },
        (None, None) => HashTable::Ring { minimum: RING },
    })
}

fn points(value: &Value<'_>) -> Option<u32> {
    const MOST: u32 = HashTable::MOST_POINTS;
    let minimum = value.integer(0, i64::MAX)?;
    match u32::try_from(minimum) {
        Ok(0) => Some(RING),
        Ok(minimum @ ..=MOST) => Some(minimum),
        _ => {
            let message = format_args!("a ring is given {MOST} points at most");
            value.report_with(
                codes::APPROXIMATED,
                message,
                "shares are even to a fraction of a percent with those",
            );
            Some(MOST)
        }
    }
}

fn places(value: &Value<'_>) -> Option<u32> {
    let size = u32::try_from(value.integer(0, i64::from(HashTable::MAGLEV_END) - 1)?).ok()?;
    if size == 0 {
        return Some(MAGLEV);
    }
    if !is_prime(size) {
        value.invalid("is not a prime number", "choose a prime number, such as 65537");
        return None;
    }
    Some(size)
}

fn is_prime(number: u32) -> bool {
    number >= 2
        && (2..).take_while(|factor| factor * factor <= number).all(|factor| !number.is_multiple_of(factor))
}
