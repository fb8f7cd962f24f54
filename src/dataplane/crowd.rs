use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedSemaphorePermit;

/// How many connections each client of a listener has, over all workers. Asked once a connection, so a lock does no
/// harm.
#[derive(Debug)]
pub(crate) struct Crowd {
    most: u32,
    there: Mutex<HashMap<IpAddr, u32>>,
}

/// One connection among a client's.
#[derive(Debug)]
pub(super) struct Seat {
    crowd: Arc<Crowd>,
    client: IpAddr,
}

/// What a connection has been given, and gives back at its end.
#[derive(Debug, Default)]
pub(super) struct Admitted {
    pub(super) by_client: Option<Seat>,
    pub(super) by_listener: Option<OwnedSemaphorePermit>,
}

impl Admitted {
    /// What is to be given back, if anything is: most listeners have no bounds.
    pub(super) fn kept(self) -> Option<Box<Self>> {
        (self.by_client.is_some() || self.by_listener.is_some()).then(|| Box::new(self))
    }
}

impl Crowd {
    pub(crate) fn new(most: u32) -> Arc<Self> {
        Arc::new(Self { most, there: Mutex::default() })
    }

    /// A place for one more connection of this client; `None` if it has as many as it may.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Seat> {
        let client = client(address);
        let mut there = self.there.lock().unwrap_or_else(PoisonError::into_inner);
        let count = there.entry(client).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Seat { crowd: self.clone(), client })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut there = self.crowd.there.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = there.entry(self.client) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// Who counts as one client: an address, or of IPv6 a network of 64 bits, as anybody has all the addresses in theirs.
fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_an_address_or_a_network_of_ipv6() {
        let crowd = Crowd::new(2);
        let enter = |address: &str| crowd.enter(address.parse().unwrap());
        let seats = [enter("10.0.0.1").unwrap(), enter("::ffff:10.0.0.1").unwrap()];
        assert!(enter("10.0.0.1").is_none() && enter("10.0.0.2").is_some());
        let _v6 = [enter("2001:db8::1").unwrap(), enter("2001:db8::ffff:2").unwrap()];
        assert!(enter("2001:db8::3").is_none() && enter("2001:db8:0:1::3").is_some());
        drop(seats);
        assert!(enter("10.0.0.1").is_some());
        assert_eq!(crowd.there.lock().unwrap().len(), 1, "who has gone takes no room");
    }
}
