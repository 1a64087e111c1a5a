//! Names in commands and variables that stand for addresses: `${service.NAME.host}`, `.port` and `.addr` (both), and
//! `${workload.port}`.
//!
//! The same mesh file so runs in both modes: in isolated mode they are the service's own name and port, in loopback mode
//! the addresses of this one workload. Shells have no variables with dots, so nothing of theirs is touched.

use std::collections::BTreeMap;

/// What the names stand for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Names {
    /// Host and port of each service, its first port where there are several.
    pub(crate) services: BTreeMap<String, (String, u16)>,
    /// Where the workload listens.
    pub(crate) port: Option<u16>,
}

/// A text with its templates replaced.
///
/// # Errors
/// The first that stands for nothing.
pub(crate) fn expand(text: &str, names: &Names) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let end = after.find('}').filter(|_| after.starts_with("service.") || after.starts_with("workload."));
        let Some((name, left)) = end.and_then(|end| Some((after.get(..end)?, after.get(end + 1..)?))) else {
            out.push_str("${");
            rest = after;
            continue;
        };
        out.push_str(&value(name, names).ok_or_else(|| name.to_owned())?);
        rest = left;
    }
    out.push_str(rest);
    Ok(out)
}

fn value(name: &str, names: &Names) -> Option<String> {
    if name == "workload.port" {
        return names.port.map(|port| port.to_string());
    }
    let (service, what) = name.strip_prefix("service.")?.rsplit_once('.')?;
    let (host, port) = names.services.get(service)?;
    match what {
        "host" => Some(host.clone()),
        "port" => Some(port.to_string()),
        "addr" => Some(format!("{host}:{port}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_replaced_and_shells_keep_their_own() {
        let names =
            Names { services: [("web".to_owned(), ("127.1.0.2".to_owned(), 80))].into(), port: Some(8080) };
        for (text, expected) in [
            ("http://${service.web.addr}/", Ok("http://127.1.0.2:80/")),
            ("${service.web.host} ${service.web.port} ${workload.port}", Ok("127.1.0.2 80 8080")),
            ("${HOME}/${x:-service.web} $x ${", Ok("${HOME}/${x:-service.web} $x ${")),
            ("${service.cart.addr}", Err("service.cart.addr")),
            ("${service.web.name}", Err("service.web.name")),
            ("${workload.name}", Err("workload.name")),
            ("${service.web", Ok("${service.web")),
        ] {
            let expanded = expand(text, &names);
            assert_eq!(expanded.as_deref().map_err(String::as_str), expected, "{text}");
        }
        assert_eq!(expand("${workload.port}", &Names::default()), Err("workload.port".to_owned()));
    }
}
