use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use crate::model::Millis;

/// Who has failed to say who they are, lately. Pure: the time is given.
///
/// Each address may fail ten times in a minute, and once more every six seconds. Then nothing that it shows is looked at: who
/// guesses learns nothing, and cannot have us compute for nothing.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// When each client's failures will all be forgotten. Each failure puts that off by `FORGOTTEN_AFTER`.
    forgotten_at: HashMap<Client, Millis>,
}

/// A client, as far as an address tells: an IPv6 network of 64 bits is one, as whoever has one has all of its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Client(IpAddr);

/// Failures in a row that an address may have.
const MOST_FAILURES: u64 = 10;
/// After so long one of them is forgotten.
const FORGOTTEN_AFTER: Millis = Millis(60_000 / MOST_FAILURES);
/// Addresses that are remembered. Past this the one that is nearest to being forgotten is.
const MOST_CLIENTS: usize = 4_096;

/// What stands for a client: its address, or the first of an IPv6 network of 64 bits.
pub(in crate::admin) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
        }
        address => address,
    }
}

impl Client {
    pub(super) fn of(address: IpAddr) -> Self {
        Self(network(address))
    }
}

impl Attempts {
    /// Notes that a client has failed.
    pub(super) fn failed(&mut self, client: Client, now: Millis) {
        if self.forgotten_at.len() >= MOST_CLIENTS && !self.forgotten_at.contains_key(&client) {
            self.make_room(now);
        }
        let until = self.forgotten_at.entry(client).or_insert(now);
        until.0 = until.0.max(now.0) + FORGOTTEN_AFTER.0;
    }

    /// How long nothing that a client shows is looked at; `None` if it is.
    pub(super) fn shut_out(&self, client: Client, now: Millis) -> Option<Millis> {
        let until = self.forgotten_at.get(&client)?;
        let open_from = Millis(until.0.saturating_sub((MOST_FAILURES - 1) * FORGOTTEN_AFTER.0));
        Some(open_from.since(now)).filter(|wait| wait.0 > 0)
    }

    fn make_room(&mut self, now: Millis) {
        self.forgotten_at.retain(|_, until| *until > now);
        if self.forgotten_at.len() >= MOST_CLIENTS
            && let Some(nearest) = self.forgotten_at.iter().min_by_key(|(_, until)| **until)
        {
            let nearest = *nearest.0;
            self.forgotten_at.remove(&nearest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(text: &str) -> Client {
        Client::of(text.parse().unwrap())
    }

    #[test]
    fn ten_failures_shut_an_address_out_and_each_six_seconds_let_it_in_once() {
        let (mut attempts, guest) = (Attempts::default(), client("192.0.2.1"));
        for _ in 0..10 {
            assert_eq!(attempts.shut_out(guest, Millis(1_000)), None);
            attempts.failed(guest, Millis(1_000));
        }
        assert_eq!(attempts.shut_out(guest, Millis(1_000)), Some(Millis(6_000)));
        assert_eq!(attempts.shut_out(guest, Millis(6_999)), Some(Millis(1)));
        assert_eq!(attempts.shut_out(guest, Millis(7_000)), None);
        attempts.failed(guest, Millis(7_000));
        assert_eq!(attempts.shut_out(guest, Millis(7_000)), Some(Millis(6_000)));
        assert_eq!(attempts.shut_out(client("192.0.2.2"), Millis(7_000)), None, "others are not hindered");
        // After a minute of quiet all is as at the beginning.
        for _ in 0..10 {
            assert_eq!(attempts.shut_out(guest, Millis(70_000)), None);
            attempts.failed(guest, Millis(70_000));
        }
        assert!(attempts.shut_out(guest, Millis(70_000)).is_some());
    }

    #[test]
    fn at_most_ten_a_minute_and_ten_more_get_through_whenever_they_come() {
        let mut rng = fastrand::Rng::with_seed(7);
        let (mut attempts, guest) = (Attempts::default(), client("2001:db8::1"));
        let (mut now, mut looked_at) = (Millis(0), Vec::new());
        for _ in 0..20_000 {
            now.0 += rng.u64(0..1_000);
            if attempts.shut_out(guest, now).is_none() {
                attempts.failed(guest, now);
                looked_at.push(now);
            }
        }
        for window in looked_at.windows(21) {
            assert!(window[20].since(window[0]) > Millis(60_000), "{window:?}");
        }
        assert!(looked_at.len() as u64 > now.0 / FORGOTTEN_AFTER.0 * 9 / 10, "nobody waits longer than told");
    }

    #[test]
    fn a_network_of_64_bits_is_one_client_and_a_mapped_address_is_what_it_maps() {
        assert_eq!(client("2001:db8:0:1::1"), client("2001:db8:0:1:ffff::2"));
        assert_ne!(client("2001:db8:0:1::1"), client("2001:db8:0:2::1"));
        assert_eq!(client("::ffff:192.0.2.1"), client("192.0.2.1"));
        assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
    }

    #[test]
    fn it_is_bounded_and_who_has_failed_most_is_remembered_longest() {
        let (mut attempts, worst) = (Attempts::default(), client("192.0.2.1"));
        for _ in 0..10 {
            attempts.failed(worst, Millis(0));
        }
        for number in 0..3 * MOST_CLIENTS as u128 {
            attempts.failed(Client::of(Ipv6Addr::from_bits(number << 64).into()), Millis(1));
            assert!(attempts.forgotten_at.len() <= MOST_CLIENTS);
        }
        assert!(attempts.shut_out(worst, Millis(2)).is_some());
        attempts.failed(client("192.0.2.9"), Millis(1_000_000));
        assert_eq!(attempts.forgotten_at.len(), 1, "what is forgotten takes no room");
    }
}
