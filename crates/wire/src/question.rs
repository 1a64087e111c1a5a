//! Questions as resource names: `name:reviews`, `address:10.0.0.1:80`, `address:[fd00::1]:80`, `workload:default/web-0`.

use std::net::SocketAddr;

use leno_model::name::WorkloadName;
use leno_model::unit::Question;

use crate::key::{is_object_name, object_name};
use crate::malformed::Malformed;

/// Longest name that is asked for, in bytes (RFC 1035 §2.3.4).
const MAX_NAME_BYTES: usize = 253;

/// The resource name of a question's answer.
#[must_use]
pub fn name(question: &Question) -> String {
    match question {
        Question::Name(name) => format!("name:{name}"),
        Question::Address(ip, port) => format!("address:{}", SocketAddr::new(*ip, *port)),
        Question::Workload(name) => format!("workload:{name}"),
    }
}

/// The question of a resource name.
///
/// # Errors
/// When it is not one that [`is_askable`].
pub fn parse(text: &str) -> Result<Question, Malformed> {
    let question = match text.split_once(':') {
        Some(("name", name)) => Question::Name(name.into()),
        Some(("address", address)) => {
            let address: SocketAddr = address.parse().map_err(Malformed::new)?;
            Question::Address(address.ip(), address.port())
        }
        Some(("workload", name)) => {
            let (namespace, name) = object_name(name)?;
            Question::Workload(WorkloadName { namespace, name })
        }
        _ => {
            return Err(Malformed::new(
                "a question is name:HOST, address:IP:PORT or workload:NAMESPACE/NAME",
            ));
        }
    };
    if is_askable(&question) { Ok(question) } else { Err(Malformed::new("not a host name or address")) }
}

/// Whether anything could have that name or address: a host name in lower case without a trailing dot, a port that
/// is not 0, a namespace and name as objects have them. Anything else needs no question.
#[must_use]
pub fn is_askable(question: &Question) -> bool {
    match question {
        Question::Name(name) => {
            name.len() <= MAX_NAME_BYTES && name.split('.').all(|label| is_label(label.as_bytes()))
        }
        Question::Address(_, port) => *port != 0,
        Question::Workload(name) => {
            [&name.namespace, &name.name].into_iter().all(|part| is_object_name(part))
        }
    }
}

fn is_label(label: &[u8]) -> bool {
    let valid = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    (1..=63).contains(&label.len()) && label.iter().all(valid)
}
