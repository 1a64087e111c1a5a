//! Differences that are meant, each with its reason. Everything else is a finding.
//!
//! That we refuse what another takes can't mislead anybody behind us, so those are told apart by the rule alone: a rule
//! that isn't here hasn't been thought about for this peer. What we take and another doesn't, and what both take and
//! read differently, is told apart by the message itself.

use super::Difference;
use super::message::{Message, Reading};

/// Who else reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// hyper, in this process.
    Hyper,
    /// Envoy, over sockets.
    Envoy,
}

/// A difference that is meant.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Short, for counting.
    pub name: &'static str,
    /// Who differs from us.
    pub peers: &'static [Peer],
    kind: Kind,
    /// Why that is right.
    pub why: &'static str,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// We refuse by one of these rules, and the other doesn't.
    Stricter(&'static [&'static str]),
    /// We take a message of which this holds, and the other doesn't take any.
    Laxer(fn(&Message, &[u8]) -> bool),
    /// Both take it, and this holds of the two.
    Meaning(fn(&Message, &Message) -> bool),
}

const HYPER: &[Peer] = &[Peer::Hyper];
const ENVOY: &[Peer] = &[Peer::Envoy];
const BOTH: &[Peer] = &[Peer::Hyper, Peer::Envoy];

const fn stricter(
    name: &'static str,
    peers: &'static [Peer],
    rules: &'static [&'static str],
    why: &'static str,
) -> Known {
    Known { name, peers, kind: Kind::Stricter(rules), why }
}

/// All of them.
pub const KNOWN: &[Known] = &[
    stricter(
        "line ends and control characters",
        BOTH,
        &["BareLf", "BareCr", "Control", "Fold"],
        "RFC 9112 §2.2 and §5.2 let recipients take a bare LF for a line end, blanks for control characters and for folds. \
         Those that don't see another message.",
    ),
    stricter(
        "first lines",
        BOTH,
        &["RequestLine", "Method", "Version", "StatusLine"],
        "One empty line before a request, none before an answer, single blanks, a reason that may be missing, methods of at most \
         24 letters, HTTP/1.0 and HTTP/1.1, and no PRI, which is how HTTP/2 begins.",
    ),
    stricter(
        "targets",
        BOTH,
        &["Target"],
        "The four forms of RFC 9112 §3.2, http and https, without fragments: others are read by everybody in their own way.",
    ),
    stricter(
        "hosts",
        BOTH,
        &["HostInvalid", "HostMismatch", "HostMissing", "HostRepeated"],
        "RFC 9112 §3.2: exactly one, host and port and nothing else, and the target's if that names one. Policies and routes \
         depend on it.",
    ),
    stricter(
        "field names",
        BOTH,
        &["FieldName", "BlankBeforeColon"],
        "Tokens, and a colon at once (RFC 9112 §5.1). content_length and transfer_encoding are what CGI-like interfaces can't \
         tell from the real ones.",
    ),
    stricter(
        "two lengths",
        BOTH,
        &["LengthAndEncoding", "LengthRepeated", "LengthInvalid"],
        "RFC 9112 §6.3 lets recipients prefer the coding, or merge lengths that agree. Each is what smuggling begins with, and no \
         client needs it. Lengths are at most 19 digits, below 2^63.",
    ),
    stricter(
        "transfer codings",
        BOTH,
        &["Encoding", "EncodingInHttp10"],
        "Exactly chunked, and not in HTTP/1.0 (RFC 9112 §6.1): a list could be read to its first or to its last member.",
    ),
    stricter(
        "chunks",
        BOTH,
        &["ChunkSize", "ChunkExtension", "ChunkEnd"],
        "One to 15 hex digits and no blanks, extensions without control characters and of at most 256 bytes (RFC 9112 §7.1).",
    ),
    stricter(
        "trailers",
        BOTH,
        &["TrailerField", "TrailersTooLarge"],
        "Fields that set framing, routing or who is asking (RFC 9110 §6.5.1), which recipients might merge into the head.",
    ),
    stricter("answers' bodies", BOTH, &["the body"], "The rules for chunks and trailers, in an answer."),
    stricter(
        "options of the connection",
        BOTH,
        &["ConnectionOption"],
        "Connection names a field that others rely on (RFC 9110 §7.6.1): taken off, it would be gone behind us.",
    ),
    stricter(
        "expectations",
        BOTH,
        &["Expectation"],
        "Exactly 100-continue, once (RFC 9110 §10.1.1): who reads another one waits while others don't.",
    ),
    stricter(
        "tunnels",
        BOTH,
        &["Switch", "ConnectBody"],
        "101 that nobody asked for (RFC 9110 §7.8), and CONNECT with a body (§9.3.6).",
    ),
    stricter(
        "bodies where there are none",
        BOTH,
        &["BodyAnnounced"],
        "1xx and 204 with a length or a coding (RFC 9110 §8.6): who believes it waits for what isn't there, or takes the next \
         answer for it.",
    ),
    stricter(
        "too much",
        BOTH,
        &["HeadTooLarge", "TooManyFields", "Informational"],
        "Limits of size, which are everybody's own.",
    ),
    Known {
        name: "characters that no URI may hold",
        peers: HYPER,
        kind: Kind::Laxer(|message, _| {
            message.target.contains(['"', '<', '>', '`', '\\', '^', '{', '|', '}'])
        }),
        why: "Printable ASCII that RFC 3986 §2 leaves out, and that clients send. It is one byte for one byte to everybody, or is \
              refused.",
    },
    Known {
        name: "a request without a host",
        peers: ENVOY,
        kind: Kind::Laxer(|message, _| message.host.is_empty() && !message.target.is_empty()),
        why: "HTTP/1.0 needs none (RFC 9112 §3.2). Envoy takes one only where it is told which host is meant.",
    },
    Known {
        name: "QUERY",
        peers: ENVOY,
        kind: Kind::Laxer(|message, _| message.first == "QUERY"),
        why: "Envoy refuses this method although it is told to take all; its body is framed like any other's.",
    },
    Known {
        name: "fields that Connection names, in answers",
        peers: ENVOY,
        kind: Kind::Meaning(|own, other| {
            let fields = own.fields.iter().all(|field| other.fields.contains(field));
            let is_rest = Message { fields: Vec::new(), ..own.clone() }
                .means(&Message { fields: Vec::new(), ..other.clone() });
            own.first.parse::<u16>().is_ok() && fields && is_rest
        }),
        why: "They end with the connection (RFC 9110 §7.6.1). Envoy takes them off requests only.",
    },
    Known {
        name: "an absolute target without a path",
        peers: BOTH,
        kind: Kind::Meaning(|own, other| {
            let is_query = own.target == format!("/{}", other.target) && other.target.starts_with('?');
            let is_server = own.first == "OPTIONS" && own.target == "*" && other.target == "/";
            let is_rest = Message { target: String::new(), ..own.clone() }
                .means(&Message { target: String::new(), ..other.clone() });
            (is_query || is_server) && is_rest
        }),
        why: "`http://a?b` is `/?b` (RFC 9110 §4.2.3), and OPTIONS of `http://a` is about the server as a whole, `*` (RFC 9112 \
              §3.2.4). hyper leaves the empty path to who uses it.",
    },
    Known {
        name: "a length of zero in more than one digit, where there is no body",
        peers: ENVOY,
        kind: Kind::Laxer(|message, input| {
            let has_none = message.first == "204" || input.get(9) == Some(&b'1');
            let is_answer = message.first.parse::<u16>().is_ok();
            is_answer && has_none && input.split(|byte| *byte == b'\n').any(is_zeros)
        }),
        why: "1xx and 204 may have no length (RFC 9110 §8.6), and we both take one of zero, which says nothing wrong, and take it \
              off. Envoy knows zero by its one digit; 00 is a length as well (`1*DIGIT`), and the same.",
    },
    Known {
        name: "a query without a path",
        peers: ENVOY,
        kind: Kind::Laxer(|message, input| {
            message.target.starts_with("/?") && input.windows(3).any(|three| three == b"://")
        }),
        why: "`http://a?b` once more: Envoy's path is then `?b`, for which it has no route.",
    },
];

/// Whether the line is a length of zero in more than one digit.
fn is_zeros(line: &[u8]) -> bool {
    let colon = line.iter().position(|byte| *byte == b':').unwrap_or_default();
    let (name, value) = line.split_at(colon);
    let value = value.get(1..).unwrap_or_default().trim_ascii();
    name.eq_ignore_ascii_case(b"content-length") && value.len() > 1 && value.iter().all(|byte| *byte == b'0')
}

/// Whether it is no finding that this peer takes what we refuse by this rule.
#[must_use]
pub fn is_meant(peer: Peer, rule: &str) -> bool {
    let is_rule = |known: &Known| matches!(known.kind, Kind::Stricter(rules) if rules.contains(&rule));
    KNOWN.iter().any(|known| known.peers.contains(&peer) && is_rule(known))
}

/// The reason for a difference, where there is one.
#[must_use]
pub fn explain(
    peer: Peer,
    input: &[u8],
    ours: &Reading,
    difference: &Difference<'_>,
) -> Option<&'static Known> {
    let holds = |known: &&Known| match (known.kind, difference) {
        (Kind::Stricter(rules), Difference::OnlyTheyTake(_)) => rules.contains(&ours.refused()),
        (Kind::Laxer(holds), Difference::OnlyWeTake(own) | Difference::SentRefused(own)) => holds(own, input),
        (Kind::Meaning(holds), Difference::Meaning(own, other) | Difference::SentMeaning(own, other)) => {
            holds(own, other)
        }
        _ => false,
    };
    KNOWN.iter().filter(|known| known.peers.contains(&peer)).find(holds)
}
