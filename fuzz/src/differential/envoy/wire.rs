//! Strictly framed messages of HTTP/1, as Envoy writes them.

use crate::differential::message::{Message, end_to_end, sorted};
use crate::http1::naive::{self, Body, Framing};

/// A message, and what stands in its head besides.
pub(super) struct Read {
    pub(super) message: Message,
    pub(super) is_last: bool,
    /// Bytes that it took.
    pub(super) used: usize,
}

/// What a message is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum As {
    Request,
    Response,
    /// The answer to HEAD.
    Bodiless,
}

/// The message that the bytes begin with, once it is whole. `is_closed` says that no more will come.
pub(super) fn message(bytes: &[u8], read_as: As, is_closed: bool) -> Option<Read> {
    let head = naive::head(bytes)?;
    let rest = &bytes[head.len..];
    let [method, target, _] = &head.first;
    let first = if read_as == As::Request { method } else { target }.clone();
    let never =
        read_as == As::Bodiless || (read_as != As::Request && matches!(first.as_str(), "204" | "304"));
    let is_interim = read_as != As::Request && first.starts_with('1');
    let body = match head.framing() {
        _ if never || is_interim => naive::sized(rest, 0),
        Framing::Unsaid if read_as == As::Request => naive::sized(rest, 0),
        Framing::Unsaid | Framing::Unclear if is_closed => naive::sized(rest, rest.len()),
        Framing::Unsaid | Framing::Unclear => return None,
        Framing::Length(length) => naive::sized(rest, length),
        Framing::Chunked => naive::chunked(rest),
    };
    let Body::Complete { data, trailers, used } = body else { return None };
    let host = head.all("host").next().map(|host| String::from_utf8_lossy(host).into_owned());
    let is_last = head.options().iter().any(|option| option == "close");
    let message = Message {
        first,
        target: if read_as == As::Request { target.clone() } else { String::new() },
        host: if read_as == As::Request { host.unwrap_or_default() } else { String::new() },
        fields: end_to_end(head.fields.clone()),
        body: data,
        trailers: sorted(trailers),
    };
    Some(Read { message, is_last, used: head.len + used })
}

/// A message as bytes, for the way back to who wants to know.
pub(super) fn packed(message: &Message) -> Vec<u8> {
    let mut out = Vec::new();
    let mut put = |bytes: &[u8]| {
        out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(bytes);
    };
    for part in [message.first.as_bytes(), message.target.as_bytes(), message.host.as_bytes(), &message.body]
    {
        put(part);
    }
    for lines in [&message.fields, &message.trailers] {
        for (name, value) in lines {
            put(name.as_bytes());
            put(value);
        }
        put(b"");
    }
    out
}

/// The reverse; none if it isn't that.
pub(super) fn unpacked(mut bytes: &[u8]) -> Option<Message> {
    let mut take = || {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (part, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        bytes = rest;
        Some(part)
    };
    let text = |part: &[u8]| String::from_utf8_lossy(part).into_owned();
    let mut message =
        Message { first: text(take()?), target: text(take()?), host: text(take()?), ..Message::default() };
    message.body = take()?.to_vec();
    for is_trailer in [false, true] {
        loop {
            let name = take()?;
            if name.is_empty() {
                break;
            }
            let line = (text(name), take()?.to_vec());
            if is_trailer { message.trailers.push(line) } else { message.fields.push(line) }
        }
    }
    bytes.is_empty().then_some(message)
}
