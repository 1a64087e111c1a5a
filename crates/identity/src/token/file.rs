//! The token registry as text, one record a line: selector, digest, expiry in Unix seconds, uses, identity.

use std::time::{Duration, UNIX_EPOCH};

use super::{Record, Selector, Tokens, Uses};
use crate::clock;
use crate::error::Error;
use crate::limits::MAX_TOKENS;
use crate::octets::{Hex, from_hex};
use crate::state::StateDirectory;

const FILE: &str = "tokens";

impl Tokens {
    /// Reads the registry of a state directory; empty when there is none.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::State`] or [`Error::TooMany`].
    pub fn load(directory: &StateDirectory) -> Result<Self, Error> {
        let Some(bytes) = directory.read(FILE)? else { return Ok(Self::default()) };
        let wrong = |problem| Error::State { path: directory.file(FILE), problem };
        let text = std::str::from_utf8(&bytes).map_err(|_detail| wrong("not UTF-8"))?;
        let mut tokens = Self::default();
        for line in text.lines() {
            let (selector, record) = parse(line).ok_or_else(|| wrong("not a record of a join token"))?;
            tokens.0.insert(selector, record);
        }
        if tokens.0.len() > MAX_TOKENS {
            let subject = directory.file(FILE).display().to_string();
            return Err(Error::TooMany { subject, what: "outstanding join tokens", limit: MAX_TOKENS });
        }
        Ok(tokens)
    }

    /// Keeps the registry. Save after each change and before acting on it: a token good for once must stay used.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn save(&self, directory: &StateDirectory) -> Result<(), Error> {
        let mut records: Vec<_> = self.0.iter().collect();
        records.sort_by_key(|(selector, _)| **selector);
        let mut text = String::new();
        for (selector, record) in records {
            let uses = match record.uses {
                Uses::Once => "once",
                Uses::Many => "many",
            };
            let expires = clock::unix_seconds(record.expires);
            let (selector, digest, id) = (Hex(&selector.0), Hex(&record.digest), &record.id);
            text.push_str(&format!("{selector} {digest} {expires} {uses} {id}\n"));
        }
        directory.write(FILE, text.as_bytes())
    }
}

fn parse(line: &str) -> Option<(Selector, Record)> {
    let mut fields = line.split(' ');
    let selector = Selector(from_hex(fields.next()?)?);
    let digest = from_hex(fields.next()?)?;
    let expires = UNIX_EPOCH.checked_add(Duration::from_secs(fields.next()?.parse().ok()?))?;
    let uses = match fields.next()? {
        "once" => Uses::Once,
        "many" => Uses::Many,
        _ => return None,
    };
    let id = fields.next()?.parse().ok()?;
    fields.next().is_none().then_some((selector, Record { digest, id, expires, uses }))
}
