//! Wrong bytes on the wire, sent to a proxy that serves others meanwhile.

pub(super) mod certificates;
mod discovery;
mod h2;
pub(super) mod http1;
mod open;
mod proxy;
mod tls;

use std::path::Path;

use super::page::Section;

pub(super) fn section(leno: &Path) -> Section {
    let mut proxy = proxy::Proxy::start(leno);
    let mut tables = vec![http1::heads(&mut proxy), http1::bodies(&mut proxy), h2::table(&mut proxy)];
    tables.push(tls::table(&mut proxy));
    tables.push(open::table(&mut proxy));
    proxy.is_well();
    tables.extend(discovery::tables());
    Section {
        title: "Bytes on the wire",
        about: "Sent to a running `leno proxy`. A connection beside the wrong one is served after each of them, and nothing \
                wrong reaches the application, but for the heads of requests whose bodies turn out to be wrong. The log is the \
                access log: status, flag, details.",
        columns: &["what is wrong", "sent", "the peer gets", "the log says"],
        tables,
    }
}
