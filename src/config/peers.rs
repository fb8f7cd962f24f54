use std::net::IpAddr;

use ipnet::IpNet;

/// Who is listed: by networks, or as whoever connects to a Unix socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peers {
    /// Networks.
    pub networks: Vec<IpNet>,
    /// Those who connect to a Unix socket: they have no address.
    pub unix: bool,
}

impl Peers {
    /// What stands for those who connect to a Unix socket.
    pub const UNIX: &str = "unix";

    /// Whether it lists who connects from this address; `None` is a Unix socket's.
    pub fn has(&self, peer: Option<IpAddr>) -> bool {
        peer.map_or(self.unix, |peer| self.has_address(peer))
    }

    /// Whether it lists this address.
    pub fn has_address(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_no_address_is_listed_by_a_word_only() {
        let network: Vec<IpNet> = vec!["0.0.0.0/0".parse().unwrap()];
        let (by_address, by_word) =
            (Peers { networks: network, unix: false }, Peers { networks: Vec::new(), unix: true });
        let address = Some("::ffff:10.9.0.1".parse().unwrap());
        assert!(by_address.has(address) && !by_address.has(None));
        assert!(!by_word.has(address) && by_word.has(None));
    }
}
