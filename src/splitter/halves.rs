use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use crate::model::{ServiceName, Side};

/// The key of the hash by which users are dealt to halves. It is another than that of [`Point`](super::Point): who is early
/// on Kubernetes must not be in the same half as everybody else who is.
const KEY: u64 = 0x6861_6c66_2d6f_662d;

/// Helios' requests in two halves, while a service is calibrated: Helios against Helios. Only the label of a request is
/// dealt; all of them go to Helios.
///
/// A half is dealt as a side is: if the service is sticky, a user's requests all are in one half, so that what one user
/// does comes in the same clumps as in the real split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Halves {
    /// Of this calibration only: if one half has the odd user, the next calibration deals anew.
    salt: u64,
}

/// One of the two halves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// Stands for Helios.
    A,
    /// Stands for Kubernetes.
    B,
}

impl Halves {
    /// The halves of the calibration with this salt.
    pub fn new(salt: u64) -> Self {
        Self { salt }
    }

    /// The half of the user with this key in this service.
    pub fn of_user(self, service: &ServiceName, key: &[u8]) -> Half {
        let mut hasher = SipHasher13::new_with_keys(KEY, self.salt);
        hasher.write(service.as_str().as_bytes());
        hasher.write_u8(0xff); // as for a point
        hasher.write(key);
        Half::drawn(hasher.finish() >> 63 == 0)
    }
}

impl Half {
    /// The half that a fair coin says.
    pub fn drawn(heads: bool) -> Self {
        if heads { Half::A } else { Half::B }
    }

    /// The side that it stands for before the judge.
    pub fn side(self) -> Side {
        match self {
            Half::A => Side::Helios,
            Half::B => Side::Kubernetes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Weight;
    use crate::splitter::Point;

    fn name() -> ServiceName {
        ServiceName::parse("playlist").unwrap()
    }

    #[test]
    fn a_user_stays_in_one_half_for_as_long_as_a_calibration_lasts_and_is_dealt_anew_by_the_next() {
        let (this, next) = (Halves::new(1), Halves::new(2));
        let moved = (0..1_000_u32).filter(|user| {
            let key = user.to_le_bytes();
            assert_eq!(this.of_user(&name(), &key), this.of_user(&name(), &key));
            this.of_user(&name(), &key) != next.of_user(&name(), &key)
        });
        let moved = moved.count();
        assert!((420..580).contains(&moved), "{moved} of 1,000 are in the other half");
    }

    #[test]
    fn halves_are_even_also_among_the_users_of_one_side() {
        let weight = Weight::from_percent(5.0).unwrap();
        for side in Side::ALL {
            let users = (0..200_000_u32).map(u32::to_le_bytes);
            let of_side = users.filter(|user| Point::of(&name(), user).side(weight) == side);
            let halves = Halves::new(1_795_317_247_312);
            let (mut a, mut all) = (0, 0);
            for user in of_side {
                a += i32::from(halves.of_user(&name(), &user) == Half::A);
                all += 1;
            }
            // Five standard deviations.
            let slack = 2.5 * f64::from(all).sqrt();
            assert!((f64::from(a) - f64::from(all) / 2.0).abs() < slack, "{side:?}: {a} of {all}");
        }
    }
}
