//! What reading needs everywhere: places in errors, shared texts, and the small types.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use leno_model::fault::WHOLE;
use leno_model::labels::Labels;
use leno_model::name::Host;
use leno_model::spiffe::SpiffeId;

use crate::malformed::Malformed;
use crate::proto::units;

/// Texts seen so far, so that a label or namespace that a thousand endpoints share is in memory once.
#[derive(Debug, Default)]
pub(crate) struct Interner(HashSet<Arc<str>>);

/// The text, shared with every equal one read before.
pub(crate) fn interned(text: &str, texts: &mut Interner) -> Arc<str> {
    if let Some(known) = texts.0.get(text) {
        return known.clone();
    }
    let new: Arc<str> = text.into();
    texts.0.insert(new.clone());
    new
}

/// Puts an error into the field it happened in.
pub(super) trait Within<T> {
    /// In this field.
    fn within(self, field: &'static str) -> Result<T, Malformed>;
}

impl<T> Within<T> for Result<T, Malformed> {
    fn within(self, field: &'static str) -> Self {
        self.map_err(|error| error.in_field(field))
    }
}

impl<T> Within<T> for Option<T> {
    /// A field that must be there.
    fn within(self, field: &'static str) -> Result<T, Malformed> {
        self.ok_or_else(|| Malformed::missing(field))
    }
}

/// Reads every element of a field, in order.
pub(super) fn each<S, T>(
    field: &'static str,
    items: Vec<S>,
    mut read: impl FnMut(S) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let mut all = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        all.push(read(item).map_err(|error| error.in_element(field, index))?);
    }
    Ok(all)
}

/// Refuses elements that are not in ascending order of their key, or that share one.
pub(super) fn ascending<T, K: Ord>(
    field: &'static str,
    items: &[T],
    key: impl Fn(&T) -> K,
) -> Result<(), Malformed> {
    if items.is_sorted_by(|a, b| key(a) < key(b)) {
        Ok(())
    } else {
        Err(Malformed::new("not in ascending order, or given twice").in_field(field))
    }
}

/// A port that can be dialled.
pub(crate) fn port(number: u32) -> Result<u16, Malformed> {
    match u16::try_from(number) {
        Ok(port) if port != 0 => Ok(port),
        _ => Err(Malformed::new(format_args!("{number} is not a port"))),
    }
}

/// A text that has at least one character.
pub(super) fn some_text(text: &str, texts: &mut Interner) -> Result<Arc<str>, Malformed> {
    if text.is_empty() { Err(Malformed::new("empty")) } else { Ok(interned(text, texts)) }
}

/// A host in its canonical spelling.
pub(crate) fn host(text: &str) -> Result<Host, Malformed> {
    let host: Host = text.parse().map_err(|error| Malformed::new(format_args!("{text:?}: {error}")))?;
    if host.as_str() == text {
        Ok(host)
    } else {
        Err(Malformed::new(format_args!("{text:?} is not in lower case, or has a trailing dot")))
    }
}

/// A host, or none where the text is empty.
pub(super) fn optional_host(text: &str) -> Result<Option<Host>, Malformed> {
    if text.is_empty() { Ok(None) } else { host(text).map(Some) }
}

/// A SPIFFE id.
pub(super) fn identity(text: &str) -> Result<SpiffeId, Malformed> {
    text.parse().map_err(|error| Malformed::new(format_args!("{text:?}: {error}")))
}

/// An address of 4 or 16 bytes.
pub(crate) fn ip(bytes: &[u8]) -> Result<IpAddr, Malformed> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        Ok(v4.into())
    } else if let Ok(v6) = <[u8; 16]>::try_from(bytes) {
        Ok(v6.into())
    } else {
        Err(Malformed::new(format_args!("{} bytes are not an IP address", bytes.len())))
    }
}

/// The bytes of an address.
pub(super) fn write_ip(ip: &IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// A CIDR.
pub(super) fn net(text: &str) -> Result<IpNet, Malformed> {
    text.parse().map_err(|_invalid| Malformed::new(format_args!("{text:?} is not a CIDR")))
}

pub(super) fn status(number: u32) -> Result<u16, Malformed> {
    u16::try_from(number).map_err(|_large| Malformed::new(format_args!("{number} is not a status")))
}

/// A status that the proxy may answer with itself.
pub(super) fn answer_status(number: u32) -> Result<u16, Malformed> {
    match u16::try_from(number) {
        Ok(status) if (200..=599).contains(&status) => Ok(status),
        _ => Err(Malformed::new("must be 200 to 599")),
    }
}

/// A share of requests, in millionths.
pub(super) fn share(number: u32) -> Result<u32, Malformed> {
    match number {
        0..=WHOLE => Ok(number),
        _ => Err(Malformed::new(format_args!("{number} is more than all"))),
    }
}

/// Nanoseconds; beyond 584 years, as many as there are.
pub(super) fn write_duration(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Labels as pairs by ascending key.
pub(super) fn write_labels(labels: &Labels) -> Vec<units::Pair> {
    labels.0.iter().map(|(key, value)| write_pair(key, value)).collect()
}

/// Labels from pairs by ascending key.
pub(super) fn labels(
    field: &'static str,
    pairs: Vec<units::Pair>,
    texts: &mut Interner,
) -> Result<Labels, Malformed> {
    ascending(field, &pairs, |pair| pair.key.clone())?;
    Ok(pairs.into_iter().map(|pair| (interned(&pair.key, texts), interned(&pair.value, texts))).collect())
}

/// One pair.
pub(super) fn write_pair(key: &str, value: &str) -> units::Pair {
    units::Pair { key: key.to_owned(), value: value.to_owned() }
}
