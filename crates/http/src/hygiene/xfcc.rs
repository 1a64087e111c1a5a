//! `x-forwarded-client-cert`: whose certificates a request has come with, as Envoy writes it.
//!
//! Elements stand in the order of the hops, separated by commas; each holds `Key=value` pairs. Only a hop whose own
//! connection was mutual TLS may forward what earlier hops said.

use std::fmt;

use super::starts_with;
use crate::head::{InvalidField, Known, RequestHead, Value};
use crate::limits::XFCC_BYTES;

/// The field's name.
pub const NAME: &str = "x-forwarded-client-cert";

const FIELD: Known = Known::new(NAME);

/// What becomes of the field: Envoy's `forward_client_cert_details`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// It is removed.
    #[default]
    Sanitize,
    /// It is forwarded if the client presented a certificate.
    ForwardOnly,
    /// The client's certificate is appended to it. Istio's default for sidecars.
    AppendForward,
    /// It is replaced by the client's certificate. Istio's default for gateways.
    SanitizeSet,
    /// It is forwarded in any case.
    AlwaysForwardOnly,
}

/// One hop's certificates.
#[derive(Clone, Copy, Debug, Default)]
pub struct Element<'a> {
    /// The server's own URI SAN: its SPIFFE id.
    pub by: &'a str,
    /// SHA-256 of the client's certificate, in hex.
    pub hash: &'a str,
    /// The client's subject; always written, and in quotes. Empty for SVIDs.
    pub subject: &'a str,
    /// The client's URI SAN: its SPIFFE id.
    pub uri: &'a str,
    /// The client's DNS SANs.
    pub dns: &'a [&'a str],
}

/// An [`Element`] as a field value, which is the same for every request of a connection; or why it can't be one.
#[derive(Clone, Debug)]
pub struct Written(Result<Value, InvalidField>);

impl Element<'_> {
    /// The element as text, to be made once per connection.
    #[must_use]
    pub fn write(&self) -> Written {
        Written(Value::new(self.to_string().as_bytes()))
    }
}

/// A value that is quoted where it has to be.
struct Quoted<'a>(&'a str, bool);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(text, always) = self;
        if !always && !text.contains([',', ';', '=', '"']) {
            return f.write_str(text);
        }
        f.write_str("\"")?;
        for (at, part) in text.split('"').enumerate() {
            if at > 0 {
                f.write_str("\\\"")?;
            }
            f.write_str(part)?;
        }
        f.write_str("\"")
    }
}

impl fmt::Display for Element<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "By={};Hash={}", Quoted(self.by, false), self.hash)?;
        write!(f, ";Subject={};URI={}", Quoted(self.subject, true), Quoted(self.uri, false))?;
        for name in self.dns {
            write!(f, ";DNS={}", Quoted(name, false))?;
        }
        Ok(())
    }
}

/// Applies `mode` to a request. `presented` is the client's verified certificate, if the connection had one.
///
/// # Errors
/// [`InvalidField::Value`] if the element can't be a field value; the field is removed then.
pub fn apply(head: &mut RequestHead, mode: Mode, presented: Option<&Written>) -> Result<(), InvalidField> {
    let fields = head.fields_mut();
    // Look-alikes are never anyone's but the client's.
    fields.remove_where(|name| name.len() == NAME.len() && name.contains(&b'_') && starts_with(name, NAME));
    let element = match (mode, presented) {
        (Mode::AlwaysForwardOnly, _) | (Mode::ForwardOnly, Some(_)) => return Ok(()),
        (Mode::Sanitize, _) | (_, None) => {
            fields.remove(NAME);
            return Ok(());
        }
        (Mode::AppendForward | Mode::SanitizeSet, Some(Written(element))) => element,
    };
    let before = fields.joined(NAME).filter(|before| mode == Mode::AppendForward && !before.is_empty());
    let chain = match (before, element) {
        // A chain that has grown beyond reason says nothing; the last hop's word is the one that counts.
        (Some(before), Ok(element)) if before.len() + element.as_bytes().len() < XFCC_BYTES => {
            Some([&before, &b","[..], element.as_bytes()].concat())
        }
        _ => None,
    };
    fields.remove(NAME);
    match (chain, element) {
        (Some(chain), _) => fields.put(FIELD, &chain),
        (None, Ok(element)) => {
            fields.put_value(FIELD, element);
            Ok(())
        }
        (None, Err(invalid)) => Err(*invalid),
    }
}
