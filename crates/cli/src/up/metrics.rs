//! Where the metrics of the whole mesh are served.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::str::FromStr;

use anyhow::Context as _;

/// Istio's port for merged metrics, which scrape configurations know.
const DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 15020);

/// Where, or that nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Metrics {
    /// Nowhere.
    Off,
    /// At an address; port 0 is any free one.
    At(SocketAddr),
}

impl FromStr for Metrics {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let port = text.parse().map(|port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let address = port.or_else(|_no_port| text.parse::<SocketAddr>());
        address.map(Self::At).map_err(|_neither| "write ADDRESS:PORT, a port of 127.0.0.1, or off".to_owned())
    }
}

/// Opens the port. One that was asked for must be had; the default one is done without, since the first mesh of a
/// machine has it.
pub(super) fn listen(metrics: Option<Metrics>) -> anyhow::Result<Option<TcpListener>> {
    match metrics {
        Some(Metrics::Off) => Ok(None),
        Some(Metrics::At(address)) => {
            let listener = TcpListener::bind(address);
            Ok(Some(listener.with_context(|| format!("cannot serve --metrics {address}"))?))
        }
        None => match TcpListener::bind(DEFAULT) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                tracing::warn!("{DEFAULT} is taken, so metrics are not served; choose a port with --metrics");
                Ok(None)
            }
            listener => Ok(Some(listener.with_context(|| format!("cannot serve metrics at {DEFAULT}"))?)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_port_an_address_or_off() {
        for (text, expected) in [
            ("off", Metrics::Off),
            ("9090", Metrics::At("127.0.0.1:9090".parse().unwrap())),
            ("0.0.0.0:0", Metrics::At("0.0.0.0:0".parse().unwrap())),
            ("[::1]:9090", Metrics::At("[::1]:9090".parse().unwrap())),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for wrong in ["", "on", "localhost:9090", "127.0.0.1", "70000", ":9090"] {
            assert!(wrong.parse::<Metrics>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_port_that_was_asked_for_must_be_had() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = taken.local_addr().unwrap();
        let error = listen(Some(Metrics::At(address))).unwrap_err().to_string();
        assert!(error.contains(&address.to_string()), "{error}");
        assert!(listen(Some(Metrics::Off)).unwrap().is_none());
    }
}
