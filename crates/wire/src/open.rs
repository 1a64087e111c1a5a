//! The first flight of `leno/1`: what a client wants of the connection, sent without waiting for anything.
//!
//! On the wire it is a length (4 bytes, big-endian, at most [`MAX_OPEN_BYTES`]) and that many bytes of protobuf; the
//! connection's own bytes follow at once. On an opaque connection the server's first byte is a [`Verdict`]; on HTTP
//! connections refusals are ordinary responses.
//!
//! What a client says about itself ([`Source`]) is a claim: good for metrics, and for nothing else that the control
//! plane doesn't confirm of the identity which the client has proved.

use std::net::IpAddr;
use std::sync::Arc;

use leno_model::failure::Failure;
use leno_model::labels::Labels;
use leno_model::name::Host;
use prost::Message;

use crate::convert::read;
use crate::limits::{MAX_OPEN_BYTES, MAX_OPEN_LABELS, MAX_OPEN_TEXT};
use crate::malformed::Malformed;
use crate::proto::transport;

#[cfg(test)]
mod tests;

/// ALPN name of the transport. The version is in it.
pub const ALPN: &[u8] = b"leno/1";

/// What the client wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// The workload's address.
    pub ip: IpAddr,
    /// The workload's port.
    pub port: u16,
    /// The service host by which it was chosen.
    pub service: Option<Host>,
    /// What follows.
    pub protocol: Protocol,
    /// The caller as it describes itself.
    pub source: Source,
    /// Where the caller runs, if it says so.
    pub machine: Option<Machine>,
}

/// A machine, told to those who know the boot id of its kernel, and to nobody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// A number of the client's choice, another for each connection.
    pub salt: u64,
    /// A digest of where the connection leads and of the salt, keyed with the boot id.
    pub code: u64,
}

/// What is spoken after the first flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.x.
    Http1,
    /// HTTP/2, from its preface on.
    Http2,
    /// Opaque bytes; the server's side begins with a [`Verdict`].
    Opaque,
}

/// The caller as it describes itself: a claim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its workload's name.
    pub workload: Arc<str>,
    /// The deployment it belongs to.
    pub owner: Arc<str>,
    /// Its cluster.
    pub cluster: Arc<str>,
    /// Labels that metrics read.
    pub labels: Labels,
}

/// The first byte that a server sends on an opaque connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The application's bytes follow. On the wire 0.
    Accepted,
    /// Nothing follows.
    Refused(Refusal),
}

/// Why an opaque connection is refused. The numbers are the wire's and never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Refusal {
    /// The first flight is not an `Open`.
    Malformed = 1,
    /// Policy denies the connection.
    Denied = 2,
    /// The address or port is not one that is served here.
    Forbidden = 3,
    /// The application could not be reached.
    Unreachable = 4,
    /// The application was not reached in time.
    Timeout = 5,
    /// A limit is reached.
    Overload = 6,
    /// The proxy is about to end.
    Draining = 7,
    /// The server has no identity or policy to decide by.
    NotReady = 8,
    /// Anything else.
    Internal = 9,
}

/// What the bytes received so far are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// The beginning of an `Open`: at least this many more bytes are needed.
    NeedMore(usize),
    /// An `Open`, and how many bytes it took; what follows them is the connection's.
    Open(Box<Open>, usize),
    /// Not an `Open`.
    Refused(Malformed),
}

/// The length in front of the message.
const PREFIX_BYTES: usize = 4;

impl Open {
    /// The first flight. Whatever of what the source says of itself breaks a limit is left out, the labels before all of
    /// it, so that the flight always fits.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut message = self.write();
        if message.encoded_len() > MAX_OPEN_BYTES
            && let Some(source) = &mut message.source
        {
            source.labels.clear();
        }
        if message.encoded_len() > MAX_OPEN_BYTES {
            message.source = None;
        }
        let length = u32::try_from(message.encoded_len()).unwrap_or(u32::MAX);
        let mut flight = Vec::with_capacity(PREFIX_BYTES + message.encoded_len());
        flight.extend_from_slice(&length.to_be_bytes());
        flight.extend_from_slice(&message.encode_to_vec());
        flight
    }

    /// Reads a first flight from the bytes received so far.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Decoded {
        let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX_BYTES>() else {
            return Decoded::NeedMore(PREFIX_BYTES - bytes.len());
        };
        let length = usize::try_from(u32::from_be_bytes(*prefix)).unwrap_or(usize::MAX);
        if length > MAX_OPEN_BYTES {
            return Decoded::Refused(Malformed::new(format_args!(
                "{length} bytes long; the most is {MAX_OPEN_BYTES}"
            )));
        }
        let Some(content) = rest.get(..length) else {
            return Decoded::NeedMore(length - rest.len());
        };
        match transport::Open::decode(content).map_err(Malformed::new).and_then(Self::read) {
            Ok(open) => Decoded::Open(Box::new(open), PREFIX_BYTES + length),
            Err(error) => Decoded::Refused(error),
        }
    }

    fn write(&self) -> transport::Open {
        transport::Open {
            ip: match self.ip {
                IpAddr::V4(ip) => ip.octets().to_vec(),
                IpAddr::V6(ip) => ip.octets().to_vec(),
            },
            port: self.port.into(),
            service: self.service.as_ref().map_or_else(String::new, ToString::to_string),
            protocol: match self.protocol {
                Protocol::Http1 => transport::Protocol::Http1,
                Protocol::Http2 => transport::Protocol::Http2,
                Protocol::Opaque => transport::Protocol::Opaque,
            }
            .into(),
            source: Some(self.source.write()),
            machine: self.machine.map(|Machine { salt, code }| transport::Machine { salt, code }),
        }
    }

    fn read(from: transport::Open) -> Result<Self, Malformed> {
        let protocol = match transport::Protocol::try_from(from.protocol) {
            Ok(transport::Protocol::Http1) => Protocol::Http1,
            Ok(transport::Protocol::Http2) => Protocol::Http2,
            Ok(transport::Protocol::Opaque) => Protocol::Opaque,
            Ok(transport::Protocol::Unspecified) | Err(_) => return Err(Malformed::missing("protocol")),
        };
        let service = match from.service.as_str() {
            "" => None,
            name => Some(read::host(name).map_err(|error| error.in_field("service"))?),
        };
        Ok(Self {
            ip: read::ip(&from.ip).map_err(|error| error.in_field("ip"))?,
            port: read::port(from.port).map_err(|error| error.in_field("port"))?,
            service,
            protocol,
            source: Source::read(from.source.unwrap_or_default()).map_err(|e| e.in_field("source"))?,
            machine: from.machine.map(|transport::Machine { salt, code }| Machine { salt, code }),
        })
    }
}

impl Source {
    fn write(&self) -> transport::Source {
        let fit = |text: &str| if text.len() > MAX_OPEN_TEXT { String::new() } else { text.to_owned() };
        let labels = self.labels.0.iter().filter(|(key, value)| key.len().max(value.len()) <= MAX_OPEN_TEXT);
        transport::Source {
            namespace: fit(&self.namespace),
            workload: fit(&self.workload),
            owner: fit(&self.owner),
            cluster: fit(&self.cluster),
            labels: labels
                .take(MAX_OPEN_LABELS)
                .map(|(key, value)| transport::Label { key: key.to_string(), value: value.to_string() })
                .collect(),
        }
    }

    fn read(from: transport::Source) -> Result<Self, Malformed> {
        if from.labels.len() > MAX_OPEN_LABELS {
            return Err(Malformed::new(format_args!("more than {MAX_OPEN_LABELS}")).in_field("labels"));
        }
        let mut labels = Labels::default();
        for (index, label) in from.labels.iter().enumerate() {
            let pair = text(&label.key).and_then(|key| Ok((key, text(&label.value)?)));
            let (key, value) = pair.map_err(|error| error.in_element("labels", index))?;
            if labels.0.insert(key, value).is_some() {
                return Err(Malformed::new("given twice").in_element("labels", index));
            }
        }
        Ok(Self {
            namespace: text(&from.namespace).map_err(|error| error.in_field("namespace"))?,
            workload: text(&from.workload).map_err(|error| error.in_field("workload"))?,
            owner: text(&from.owner).map_err(|error| error.in_field("owner"))?,
            cluster: text(&from.cluster).map_err(|error| error.in_field("cluster"))?,
            labels,
        })
    }
}

/// A text that may become a metric label: short, and printable so that it cannot break a log line.
fn text(text: &str) -> Result<Arc<str>, Malformed> {
    if text.len() > MAX_OPEN_TEXT {
        return Err(Malformed::new(format_args!("longer than {MAX_OPEN_TEXT} bytes")));
    }
    if text.chars().any(char::is_control) {
        return Err(Malformed::new("has a control character"));
    }
    Ok(text.into())
}

impl Verdict {
    /// The byte on the wire.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::Accepted => 0,
            Self::Refused(refusal) => refusal as u8,
        }
    }

    /// The verdict of a byte; one that is unknown here is a refusal all the same.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Self {
        Self::Refused(match byte {
            0 => return Self::Accepted,
            1 => Refusal::Malformed,
            2 => Refusal::Denied,
            3 => Refusal::Forbidden,
            4 => Refusal::Unreachable,
            5 => Refusal::Timeout,
            6 => Refusal::Overload,
            7 => Refusal::Draining,
            8 => Refusal::NotReady,
            _ => Refusal::Internal,
        })
    }
}

impl Refusal {
    /// The refusal that tells this failure.
    #[must_use]
    pub const fn of(failure: Failure) -> Self {
        match failure {
            Failure::BadRequest | Failure::DownstreamProtocol => Self::Malformed,
            Failure::Denied | Failure::NoPeerIdentity => Self::Denied,
            Failure::ForbiddenDestination => Self::Forbidden,
            Failure::ConnectFailed | Failure::UpstreamClosed | Failure::UpstreamRefused => Self::Unreachable,
            Failure::ConnectTimeout | Failure::UpstreamTimeout => Self::Timeout,
            Failure::Overflow | Failure::Overload => Self::Overload,
            Failure::Draining => Self::Draining,
            Failure::NoIdentity | Failure::IdentityExpired | Failure::NotDiscovered => Self::NotReady,
            _ => Self::Internal,
        }
    }

    /// The failure that the client records.
    #[must_use]
    pub const fn failure(self) -> Failure {
        match self {
            Self::Malformed | Self::Internal => Failure::UpstreamProtocol,
            Self::Denied => Failure::Denied,
            Self::Forbidden => Failure::ForbiddenDestination,
            Self::Unreachable => Failure::ConnectFailed,
            Self::Timeout => Failure::ConnectTimeout,
            Self::Overload => Failure::Overload,
            Self::Draining => Failure::UpstreamRefused,
            Self::NotReady => Failure::UpstreamRefused,
        }
    }
}
