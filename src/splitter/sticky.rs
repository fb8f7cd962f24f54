use std::hash::Hasher;

use http::HeaderName;
use siphasher::sip::SipHasher13;

use crate::model::{ServiceName, Side, Weight};

/// The key of the hash that places users. It is fixed and public: what matters is that every instance, also
/// after a restart, places the same user at the same point; a user who finds out on which side of a weight
/// they are has gained nothing.
const KEY: (u64, u64) = (0x5377_6974_6368_6261, 0x636b_2d73_7469_636b);

/// What identifies a user, so that the user keeps one side while the weight allows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sticky {
    /// The value of a request header.
    Header(HeaderName),
    /// The value of a cookie.
    Cookie(String),
    /// The client's address.
    ClientAddress,
}

/// A user's fixed place between 0 and 9,999. Users below the weight go to Kubernetes, so raising the weight
/// moves users only toward Kubernetes, and lowering it only toward Helios.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point(u16);

impl Point {
    /// The place of the user with this key in this service. The service's name is hashed too: a user who is
    /// early in one service is not early in all of them.
    pub fn of(service: &ServiceName, key: &[u8]) -> Self {
        let mut hasher = SipHasher13::new_with_keys(KEY.0, KEY.1);
        hasher.write(service.as_str().as_bytes());
        hasher.write_u8(0xff); // no name contains it: "a" + "bc" is not "ab" + "c"
        hasher.write(key);
        // The high bits of hash × steps: even to one part in 2^50, and without a division.
        let wide = u128::from(hasher.finish()) * u128::from(Weight::STEPS);
        #[expect(clippy::cast_possible_truncation, reason = "less than Weight::STEPS")]
        Self((wide >> 64) as u16)
    }

    /// The side of a user at this place under `weight`.
    pub fn side(self, weight: Weight) -> Side {
        if self.0 < weight.steps() { Side::Kubernetes } else { Side::Helios }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ServiceName {
        ServiceName::parse(text).unwrap()
    }

    /// argo-rollouts#1838 and flagger#1532: users drift between the sides while the weight stands still.
    #[test]
    fn a_user_is_at_the_same_point_on_every_instance_after_every_restart() {
        // Golden values, agreed on by a second implementation of SipHash-1-3: they may never change, or a new
        // release would move users.
        for (user, point) in [("alice", 4641), ("bob", 8564), ("", 5069), ("10.1.2.3", 1927)] {
            assert_eq!(Point::of(&name("playlist"), user.as_bytes()), Point(point), "{user:?}");
        }
        assert_ne!(Point::of(&name("search"), b"alice"), Point::of(&name("playlist"), b"alice"));
    }

    #[test]
    fn raising_the_weight_moves_users_only_toward_kubernetes() {
        for user in 0..2_000_u32 {
            let point = Point::of(&name("playlist"), &user.to_le_bytes());
            let mut was = Side::Helios;
            for steps in (0..=Weight::STEPS).step_by(50) {
                let side = point.side(Weight::from_steps(steps).unwrap());
                assert!(
                    !(was == Side::Kubernetes && side == Side::Helios),
                    "user {user} went back at {steps}"
                );
                was = side;
            }
            assert_eq!(was, Side::Kubernetes, "at 100 percent everybody is on Kubernetes");
        }
    }

    #[test]
    fn users_are_spread_evenly() {
        let (users, weight) = (100_000_u32, Weight::from_percent(5.0).unwrap());
        let on = (0..users)
            .filter(|user| Point::of(&name("playlist"), &user.to_le_bytes()).side(weight) == Side::Kubernetes)
            .count();
        // 5,000 expected, standard deviation 69.
        assert!((4_700..5_300).contains(&on), "{on}");
    }
}
