//! DNS messages without I/O: a question out of a packet, an answer into one.
//!
//! Names of the mesh are answered here and never forwarded. A type that Leno has no data for is answered NODATA at
//! once, since clients ask for A, AAAA and HTTPS together and wait for the slowest.

use std::net::IpAddr;

use hickory_proto::op::{Edns, Message, MessageType, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA};
use hickory_proto::rr::{DNSClass, RData, Record, RecordType};

use crate::limits::{DNS_TTL, DNS_UDP_BYTES};

/// Largest answer over UDP with EDNS: what passes any path without fragments (DNS flag day 2020).
const EDNS_BYTES: u16 = 1232;

/// A question that can be looked up.
#[derive(Debug)]
pub struct Question {
    request: Message,
    /// The name, lower-case, without the trailing dot.
    pub name: String,
}

/// What is known of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// It is of the mesh and has these addresses.
    Addresses(Vec<IpAddr>),
    /// It would be of the mesh, and does not exist.
    Absent,
    /// The control plane did not say in time.
    Unavailable,
}

/// How a packet is to be handled.
#[derive(Debug)]
pub enum Parsed {
    /// Look the name up.
    Ask(Box<Question>),
    /// Send this answer.
    Reply(Vec<u8>),
    /// Too broken to answer, or itself an answer.
    Drop,
}

/// Reads a request.
pub fn parse(packet: &[u8]) -> Parsed {
    let Ok(request) = Message::from_vec(packet) else {
        return match packet {
            // The id and the flags are there: say that the rest is not understood.
            [high, low, flags, _, ..] if flags & 0x80 == 0 => encode(&Message::error_msg(
                u16::from_be_bytes([*high, *low]),
                OpCode::Query,
                ResponseCode::FormErr,
            )),
            _ => Parsed::Drop,
        };
    };
    if request.metadata.message_type != MessageType::Query {
        return Parsed::Drop;
    }
    if request.metadata.op_code != OpCode::Query {
        return refuse(&request, ResponseCode::NotImp);
    }
    let [query] = request.queries.as_slice() else {
        return refuse(&request, ResponseCode::FormErr);
    };
    if request.edns.as_ref().is_some_and(|edns| edns.version() != 0) {
        return refuse(&request, ResponseCode::BADVERS);
    }
    if query.query_class() != DNSClass::IN {
        return refuse(&request, ResponseCode::Refused);
    }
    let name = query.name().to_lowercase().to_ascii();
    let name = name.strip_suffix('.').unwrap_or(&name).to_owned();
    Parsed::Ask(Box::new(Question { request, name }))
}

impl Question {
    /// The answer as a packet of at most `limit` bytes; a longer one is marked truncated, so that the client asks
    /// again over TCP.
    pub fn answer(&self, known: &Known, limit: usize) -> Vec<u8> {
        let mut response = self.response(match known {
            Known::Addresses(_) => ResponseCode::NoError,
            Known::Absent => ResponseCode::NXDomain,
            Known::Unavailable => ResponseCode::ServFail,
        });
        response.metadata.authoritative = !matches!(known, Known::Unavailable);
        if let (Known::Addresses(addresses), [query]) = (known, self.request.queries.as_slice()) {
            let wanted = query.query_type();
            for address in addresses {
                let data = match address {
                    IpAddr::V4(ip) if matches!(wanted, RecordType::A | RecordType::ANY) => RData::A(A(*ip)),
                    IpAddr::V6(ip) if matches!(wanted, RecordType::AAAA | RecordType::ANY) => {
                        RData::AAAA(AAAA(*ip))
                    }
                    _ => continue,
                };
                response.add_answer(Record::from_rdata(query.name().clone(), DNS_TTL, data));
            }
        }
        let whole = response.to_vec().unwrap_or_default();
        if whole.len() <= limit { whole } else { response.truncate().to_vec().unwrap_or_default() }
    }

    /// The answer that sends the client to TCP.
    pub fn truncated(&self) -> Vec<u8> {
        self.response(ResponseCode::NoError).truncate().to_vec().unwrap_or_default()
    }

    /// The largest packet that the client takes over UDP.
    pub fn udp_limit(&self) -> usize {
        usize::from(self.request.max_payload().min(EDNS_BYTES)).max(DNS_UDP_BYTES)
    }

    fn response(&self, code: ResponseCode) -> Message {
        response(&self.request, code)
    }
}

fn response(request: &Message, code: ResponseCode) -> Message {
    let mut response = Message::response(request.metadata.id, request.metadata.op_code);
    response.metadata = Metadata::response_from_request(&request.metadata);
    response.metadata.recursion_available = true;
    response.metadata.response_code = code;
    response.add_queries(request.queries.iter().cloned());
    if request.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(EDNS_BYTES);
        edns.set_rcode_high(code.high());
        response.set_edns(edns);
    }
    response
}

fn refuse(request: &Message, code: ResponseCode) -> Parsed {
    encode(&response(request, code))
}

fn encode(message: &Message) -> Parsed {
    message.to_vec().map_or(Parsed::Drop, Parsed::Reply)
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use hickory_proto::op::Query;
    use hickory_proto::rr::Name;

    use super::*;

    fn question(name: &str, kind: RecordType) -> Question {
        let mut message = Message::query();
        message.add_query(Query::query(Name::from_str(name).unwrap(), kind));
        match parse(&message.to_vec().unwrap()) {
            Parsed::Ask(question) => *question,
            other => panic!("{other:?}"),
        }
    }

    fn answered(question: &Question, known: &Known) -> Message {
        Message::from_vec(&question.answer(known, 512)).unwrap()
    }

    #[test]
    fn addresses_are_answered_by_type() {
        let known = Known::Addresses(vec!["240.240.0.1".parse().unwrap(), "fd00::1".parse().unwrap()]);
        for (kind, count) in [
            (RecordType::A, 1),
            (RecordType::AAAA, 1),
            (RecordType::HTTPS, 0),
            (RecordType::ANY, 2),
            (RecordType::MX, 0),
        ] {
            let question = question("Reviews.Default.svc.cluster.local.", kind);
            assert_eq!(question.name, "reviews.default.svc.cluster.local");
            let response = answered(&question, &known);
            assert_eq!(response.answers.len(), count, "{kind}");
            assert_eq!(response.metadata.response_code, ResponseCode::NoError, "{kind}");
            assert_eq!(response.metadata.id, question.request.metadata.id);
        }
    }

    #[test]
    fn what_is_not_known_has_a_code() {
        let question = question("nobody.", RecordType::A);
        assert_eq!(answered(&question, &Known::Absent).metadata.response_code, ResponseCode::NXDomain);
        assert_eq!(answered(&question, &Known::Unavailable).metadata.response_code, ResponseCode::ServFail);
    }

    #[test]
    fn a_long_answer_is_truncated_over_udp_only() {
        let known = Known::Addresses((1..=100).map(|n| IpAddr::from([10, 0, 0, n])).collect());
        let question = question("many.", RecordType::A);
        let udp = answered(&question, &known);
        assert!(udp.metadata.truncation && udp.answers.is_empty());
        let tcp = Message::from_vec(&question.answer(&known, usize::from(u16::MAX))).unwrap();
        assert!(!tcp.metadata.truncation && tcp.answers.len() == 100);
    }

    #[test]
    fn broken_packets_never_get_through() {
        let whole = {
            let mut message = Message::query();
            message.add_query(Query::query(Name::from_str("a.b.").unwrap(), RecordType::A));
            message.to_vec().unwrap()
        };
        for cut in 0..whole.len() {
            assert!(!matches!(parse(&whole[..cut]), Parsed::Ask(_)), "{cut}");
        }
        let mut response = whole.clone();
        response[2] |= 0x80;
        assert!(matches!(parse(&response), Parsed::Drop));
        let mut update = whole;
        update[2] |= 5 << 3;
        assert!(matches!(parse(&update), Parsed::Reply(_)));
    }
}
