//! The wire form of tables, chains and rules (`linux/netfilter/nf_tables.h`).
//!
//! A rule is a list of expressions over registers: load a field, compare it, act. Every load here
//! uses register 1, so no expression depends on an earlier one but the load right before it.

use std::collections::BTreeMap;

use super::{Chain, Kind, Match, Rule, Verdict};
use crate::netlink::{ACK, APPEND, CREATE, Encoder, REQUEST};

/// `NFNL_SUBSYS_NFTABLES`.
const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEW_TABLE: u16 = SUBSYSTEM << 8;
const DELETE_TABLE: u16 = NEW_TABLE | 2;
const NEW_CHAIN: u16 = NEW_TABLE | 3;
const NEW_RULE: u16 = NEW_TABLE | 6;
/// `NFPROTO_INET`: both IP versions.
const INET: u8 = 1;

/// `NF_INET_LOCAL_OUT`.
const HOOK_OUTPUT: u32 = 3;
/// `NF_IP_PRI_NAT_DST`; on the output hook every nat chain runs at this stage.
const PRIORITY_NAT: i32 = -100;
const PRIORITY_FILTER: i32 = 0;

const REGISTER: u32 = 1;
const REGISTER_VERDICT: u32 = 0;

/// Messages of one transaction, and in words what each of them does.
pub(super) struct Batch {
    encoder: Encoder,
    sequence: u32,
    parts: BTreeMap<u32, String>,
}

impl Batch {
    pub(super) fn begin() -> Self {
        let mut batch = Self { encoder: Encoder::default(), sequence: 0, parts: BTreeMap::new() };
        batch.border(BATCH_BEGIN);
        batch
    }

    /// The finished transaction, and its parts by sequence number.
    pub(super) fn end(mut self) -> (Vec<u8>, BTreeMap<u32, String>) {
        self.border(BATCH_END);
        (self.encoder.into_bytes(), self.parts)
    }

    fn border(&mut self, kind: u16) {
        let subsystem = SUBSYSTEM.to_be_bytes();
        self.encoder.message(kind, REQUEST, self.sequence, |m| m.raw(&[0, 0, subsystem[0], subsystem[1]]));
        self.sequence += 1;
    }

    fn part(&mut self, kind: u16, flags: u16, words: String, body: impl FnOnce(&mut Encoder)) {
        self.encoder.message(kind, REQUEST | ACK | flags, self.sequence, |m| {
            m.raw(&[INET, 0, 0, 0]);
            body(m);
        });
        self.parts.insert(self.sequence, words);
        self.sequence += 1;
    }

    pub(super) fn create_table(&mut self, name: &str) {
        self.part(NEW_TABLE, CREATE, format!("table {name}"), |m| m.text(1, name));
    }

    pub(super) fn delete_table(&mut self, name: &str) {
        self.part(DELETE_TABLE, 0, format!("removing table {name}"), |m| m.text(1, name));
    }

    pub(super) fn create_chain(&mut self, table: &str, chain: &Chain) {
        let (kind, priority) = match chain.kind {
            Kind::NatOutput => ("nat", PRIORITY_NAT),
            Kind::FilterOutput => ("filter", PRIORITY_FILTER),
        };
        self.part(NEW_CHAIN, CREATE, format!("{kind} chain {}", chain.name), |m| {
            m.text(1, table);
            m.text(3, &chain.name);
            m.nested(4, |hook| {
                hook.number(1, HOOK_OUTPUT);
                hook.bytes(2, &priority.to_be_bytes());
            });
            m.text(7, kind);
        });
    }

    pub(super) fn create_rule(&mut self, table: &str, chain: &Chain, rule: &Rule) {
        let words = format!("rule {:?} -> {:?} of chain {}", rule.matches, rule.verdict, chain.name);
        self.part(NEW_RULE, CREATE | APPEND, words, |m| {
            m.text(1, table);
            m.text(2, &chain.name);
            m.nested(4, |list| {
                for condition in &rule.matches {
                    encode_match(list, condition);
                }
                encode_verdict(list, rule.verdict);
            });
        });
    }
}

fn expression(list: &mut Encoder, name: &str, data: impl FnOnce(&mut Encoder)) {
    list.nested(1, |element| {
        element.text(1, name);
        element.nested(2, data);
    });
}

fn encode_match(list: &mut Encoder, condition: &Match) {
    match condition {
        Match::Mark(mark) => {
            meta(list, META_MARK);
            equals(list, &mark.to_ne_bytes());
        }
        Match::ToV4(address, prefix) => {
            meta(list, META_FAMILY);
            equals(list, &[FAMILY_V4]);
            network(list, V4_DESTINATION, &address.octets(), *prefix);
        }
        Match::ToV6(address, prefix) => {
            meta(list, META_FAMILY);
            equals(list, &[FAMILY_V6]);
            network(list, V6_DESTINATION, &address.octets(), *prefix);
        }
        Match::Tcp => protocol(list, 6),
        Match::Udp => protocol(list, 17),
        Match::Port(port) => {
            payload(list, BASE_TRANSPORT, PORT_DESTINATION, 2);
            equals(list, &port.to_be_bytes());
        }
        Match::Established => {
            expression(list, "ct", |e| {
                e.number(1, REGISTER);
                e.number(2, CT_STATE);
            });
            masked(list, &STATES_ESTABLISHED.to_ne_bytes());
            compare(list, NOT_EQUAL, &[0; 4]);
        }
    }
}

const META_MARK: u32 = 3;
const META_FAMILY: u32 = 15;
const META_PROTOCOL: u32 = 16;
const FAMILY_V4: u8 = 2;
const FAMILY_V6: u8 = 10;
const BASE_NETWORK: u32 = 1;
const BASE_TRANSPORT: u32 = 2;
const V4_DESTINATION: u32 = 16;
const V6_DESTINATION: u32 = 24;
const PORT_DESTINATION: u32 = 2;
const CT_STATE: u32 = 0;
/// Established (bit 1) or related (bit 2).
const STATES_ESTABLISHED: u32 = 0b110;
const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;

fn meta(list: &mut Encoder, key: u32) {
    expression(list, "meta", |e| {
        e.number(1, REGISTER);
        e.number(2, key);
    });
}

fn protocol(list: &mut Encoder, number: u8) {
    meta(list, META_PROTOCOL);
    equals(list, &[number]);
}

fn payload(list: &mut Encoder, base: u32, offset: u32, length: u32) {
    expression(list, "payload", |e| {
        e.number(1, REGISTER);
        e.number(2, base);
        e.number(3, offset);
        e.number(4, length);
    });
}

fn network(list: &mut Encoder, offset: u32, address: &[u8], prefix: u8) {
    payload(list, BASE_NETWORK, offset, u32::try_from(address.len()).unwrap_or(0));
    let mask: Vec<u8> = (0..address.len()).map(|index| mask_byte(prefix, index)).collect();
    masked(list, &mask);
    let wanted: Vec<u8> = address.iter().zip(&mask).map(|(byte, mask)| byte & mask).collect();
    equals(list, &wanted);
}

/// Byte `index` of a network mask with `prefix` leading ones.
fn mask_byte(prefix: u8, index: usize) -> u8 {
    let ones = usize::from(prefix).saturating_sub(index * 8).min(8);
    u8::try_from((0xff00_u16 >> ones) & 0xff).unwrap_or(0)
}

fn masked(list: &mut Encoder, mask: &[u8]) {
    expression(list, "bitwise", |e| {
        e.number(1, REGISTER);
        e.number(2, REGISTER);
        e.number(3, u32::try_from(mask.len()).unwrap_or(0));
        e.nested(4, |data| data.bytes(1, mask));
        e.nested(5, |data| data.bytes(1, &vec![0; mask.len()]));
    });
}

fn equals(list: &mut Encoder, value: &[u8]) {
    compare(list, EQUAL, value);
}

fn compare(list: &mut Encoder, operator: u32, value: &[u8]) {
    expression(list, "cmp", |e| {
        e.number(1, REGISTER);
        e.number(2, operator);
        e.nested(3, |data| data.bytes(1, value));
    });
}

/// `NF_ACCEPT`.
const ACCEPT: u32 = 1;
/// `NFT_REJECT_ICMPX_UNREACH` and `NFT_REJECT_ICMPX_PORT_UNREACH`: the fitting ICMP for either family.
const REJECT_ICMPX: u32 = 2;
const PORT_UNREACHABLE: u8 = 1;

fn encode_verdict(list: &mut Encoder, verdict: Verdict) {
    match verdict {
        Verdict::Accept => expression(list, "immediate", |e| {
            e.number(1, REGISTER_VERDICT);
            e.nested(2, |data| data.nested(2, |verdict| verdict.number(1, ACCEPT)));
        }),
        Verdict::Redirect(port) => {
            expression(list, "immediate", |e| {
                e.number(1, REGISTER);
                e.nested(2, |data| data.bytes(1, &port.to_be_bytes()));
            });
            expression(list, "redir", |e| e.number(1, REGISTER));
        }
        Verdict::Reject => expression(list, "reject", |e| {
            e.number(1, REJECT_ICMPX);
            e.bytes(2, &[PORT_UNREACHABLE]);
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::mask_byte;

    #[test]
    fn masks_have_prefix_leading_ones() {
        let mask = |prefix| u32::from_be_bytes(std::array::from_fn(|index| mask_byte(prefix, index)));
        for (prefix, expected) in
            [(0, 0), (1, 0x8000_0000), (8, 0xff00_0000), (20, 0xffff_f000), (32, u32::MAX), (128, u32::MAX)]
        {
            assert_eq!(mask(prefix), expected, "/{prefix}");
        }
    }
}
