//! IP addresses in configuration.

use std::net::IpAddr;

use crate::yaml::Value;

/// Reads an IP address.
pub(crate) fn ip(value: &Value<'_>) -> Option<IpAddr> {
    let ip = value.text()?.parse().ok();
    if ip.is_none() {
        value.invalid("is not an IP address", "write an address such as 10.1.2.3 or fd00::1");
    }
    ip
}
