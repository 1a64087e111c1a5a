//! DNS packets: a question is what a plain reader finds in the packet, and every answer is one to it, within its limit.

use leno_proxy::dns::message::{Known, Parsed, parse};

use crate::Outcome;

const RESPONSE: u8 = 0x80;
const TRUNCATED: u8 = 0x02;

/// Checks one input.
pub fn run(data: &[u8]) -> Outcome {
    let question = match parse(data) {
        Parsed::Drop => return Outcome::Refused,
        Parsed::Reply(reply) => {
            assert!(data.get(2).is_some_and(|flags| flags & RESPONSE == 0), "an answer is answered");
            answers(data, &reply);
            return Outcome::Refused;
        }
        Parsed::Ask(question) => question,
    };
    if let Some(name) = name(&data[12..]) {
        assert_eq!(question.name, name, "another name than was asked for");
    }
    assert!(!question.name.bytes().any(|byte| byte.is_ascii_uppercase()), "names are compared in lower case");
    let limit = question.udp_limit();
    assert!((512..=1232).contains(&limit), "{limit} bytes");
    let many = (0..=255).map(|last| [10, 0, 0, last].into()).chain(["fd00::1".parse().expect("an address")]);
    for known in
        [Known::Addresses(Vec::new()), Known::Addresses(many.collect()), Known::Absent, Known::Unavailable]
    {
        let short = question.answer(&known, limit);
        let whole = question.answer(&known, usize::from(u16::MAX));
        assert!(short.len() <= limit, "{} bytes where {limit} are taken", short.len());
        answers(data, &short);
        answers(data, &whole);
        assert!(short == whole || short[2] & TRUNCATED != 0, "cut without saying so");
        let code = whole[3] & 0x0f;
        match known {
            Known::Addresses(_) => assert_eq!(code, 0),
            Known::Absent => assert_eq!((code, answered(&whole)), (3, 0)),
            Known::Unavailable => assert_eq!((code, answered(&whole)), (2, 0)),
        }
    }
    let truncated = question.truncated();
    answers(data, &truncated);
    assert!(truncated[2] & TRUNCATED != 0 && answered(&truncated) == 0, "nobody would ask again");
    Outcome::Accepted
}

/// A response to that request.
fn answers(request: &[u8], response: &[u8]) {
    assert!(response.len() >= 12, "no header");
    assert_eq!(request[..2], response[..2], "another id");
    assert!(response[2] & RESPONSE != 0, "not a response");
}

fn answered(response: &[u8]) -> u16 {
    u16::from_be_bytes([response[6], response[7]])
}

/// A name of plain labels in lower case; none for one that is compressed or that a text would have to escape.
fn name(mut bytes: &[u8]) -> Option<String> {
    let mut labels = Vec::new();
    loop {
        let (length, rest) = bytes.split_first()?;
        if *length == 0 {
            return Some(labels.join("."));
        }
        let (label, after) = rest.split_at_checked(usize::from(*length)).filter(|_| *length < 64)?;
        let is_plain = label.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte))
            && !label.starts_with(b"-");
        labels.push(String::from_utf8(label.to_ascii_lowercase()).ok().filter(|_| is_plain)?);
        bytes = after;
    }
}
