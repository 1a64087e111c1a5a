//! What a message means, whoever read it.

use std::fmt;

use crate::http1::Lines;

/// A request or an answer.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// The method, or the status.
    pub first: String,
    /// Path and query of a request.
    pub target: String,
    /// The host of a request.
    pub host: String,
    /// The fields that go on, names in lower case, sorted by name.
    pub fields: Lines,
    /// The body.
    pub body: Vec<u8>,
    /// Its trailers, sorted by name.
    pub trailers: Lines,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} of {:?}", self.first, self.target, self.host)?;
        for (name, value) in &self.fields {
            write!(f, ", {name}: {:?}", value.escape_ascii().to_string())?;
        }
        write!(f, ", body {:?}", self.body.escape_ascii().to_string())?;
        for (name, value) in &self.trailers {
            write!(f, ", trailer {name}: {:?}", value.escape_ascii().to_string())?;
        }
        Ok(())
    }
}

impl Message {
    /// Whether that is the same message.
    #[must_use]
    pub fn means(&self, other: &Self) -> bool {
        self.first == other.first
            && self.target == other.target
            && self.host.eq_ignore_ascii_case(&other.host)
            && self.body == other.body
            && self.fields == other.fields
            && self.trailers == other.trailers
    }
}

/// What a reader makes of the bytes of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Every message that was there whole.
    pub messages: Vec<Message>,
    /// Why the rest was refused, where it was.
    pub refusal: Option<String>,
    /// Whether what comes after the last message isn't HTTP/1 any more, or the reader has closed as the messages say.
    pub is_over: bool,
}

impl Reading {
    /// Whether the reader has stopped behind so many messages without anything being wrong.
    #[must_use]
    pub fn is_over_after(&self, count: usize) -> bool {
        self.is_over && self.messages.len() == count
    }

    /// Why it was refused, as far as that is known.
    #[must_use]
    pub fn refused(&self) -> &str {
        self.refusal.as_deref().unwrap_or("incomplete")
    }
}

/// Fields that aren't part of what a message means: they belong to one connection, or frame the message.
const OF_ONE_HOP: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The fields that go on, sorted by name: not those of the connection, and none that it names.
#[must_use]
pub fn end_to_end(fields: Lines) -> Lines {
    let mut named = Vec::new();
    for (_, value) in fields.iter().filter(|(name, _)| name == "connection") {
        let options = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        named.extend(options.map(|option| String::from_utf8_lossy(option).to_ascii_lowercase()));
    }
    let goes_on =
        |(name, _): &(String, Vec<u8>)| !OF_ONE_HOP.contains(&name.as_str()) && !named.contains(name);
    sorted(fields.into_iter().filter(goes_on).collect())
}

/// Sorted by name; lines of one name keep their order.
#[must_use]
pub fn sorted(mut fields: Lines) -> Lines {
    fields.sort_by(|(one, _), (other, _)| one.cmp(other));
    fields
}
