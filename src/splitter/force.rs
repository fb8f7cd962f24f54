use std::net::IpAddr;

use http::HeaderName;
use ipnet::IpNet;

/// A header by which callers at trusted addresses name the side.
///
/// A forced request is no evidence, since nobody dealt it; and it goes where it says even while the service
/// is held, so that people can see for themselves whether Kubernetes has recovered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Force {
    /// The header whose value is `helios` or `kubernetes`.
    pub header: HeaderName,
    /// The networks from which it is believed.
    pub from: Vec<IpNet>,
}

impl Force {
    /// Whether this caller's header counts.
    pub fn trusts(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        self.from.iter().any(|net| net.contains(&client))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_networks_are_trusted_also_when_written_as_mapped_addresses() {
        let force = Force {
            header: HeaderName::from_static("x-switchback-side"),
            from: vec!["10.20.0.0/16".parse().unwrap(), "fd00::/8".parse().unwrap()],
        };
        for (address, trusted) in [
            ("10.20.3.4", true),
            ("::ffff:10.20.3.4", true),
            ("10.21.0.1", false),
            ("fd00::1", true),
            ("fe80::1", false),
        ] {
            assert_eq!(force.trusts(address.parse().unwrap()), trusted, "{address}");
        }
    }
}
