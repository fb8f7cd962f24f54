use std::rc::Rc;

use crate::model::Micros;

use super::EndpointState;

/// Draws before giving up on finding two endpoints that are not passed over. Where three in four are, four
/// draws miss the rest once in three picks, and the list is searched.
const DRAWS: usize = 4;

/// Power of two choices: of two drawn at random, the one with fewer requests in flight (M. Mitzenmacher, *The
/// power of two choices in randomized load balancing*, 2001).
pub(super) fn pick(
    list: &[Rc<EndpointState>],
    now: Micros,
    mut draw: impl FnMut(u32) -> u32,
) -> Option<&Rc<EndpointState>> {
    let count = u32::try_from(list.len()).unwrap_or(u32::MAX);
    if count <= 1 {
        return list.first();
    }
    let is_ready = |endpoint: &&Rc<EndpointState>| endpoint.passed_over_until() <= now;
    let mut found: Option<&Rc<EndpointState>> = None;
    for _ in 0..DRAWS {
        let Some(drawn) = list.get(draw(count) as usize).filter(is_ready) else { continue };
        match found {
            None => found = Some(drawn),
            Some(first) if Rc::ptr_eq(first, drawn) => {}
            Some(first) if drawn.in_flight() < first.in_flight() => return Some(drawn),
            Some(first) => return Some(first),
        }
    }
    found.or_else(|| search(list, now, draw(count) as usize))
}

/// The first from a random place on that is not passed over; if all are, the one whose time is up first.
fn search(list: &[Rc<EndpointState>], now: Micros, start: usize) -> Option<&Rc<EndpointState>> {
    let turned = list.iter().cycle().skip(start).take(list.len());
    turned.min_by_key(|endpoint| endpoint.passed_over_until().max(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SideConfig;
    use crate::model::{Address, Endpoint};

    fn endpoints(count: u16) -> Vec<Rc<EndpointState>> {
        let side = SideConfig::default();
        (0..count)
            .map(|port| {
                let address = ([127, 0, 0, 1], 9_000 + port).into();
                Rc::new(EndpointState::new(&Endpoint::at(Address::Tcp(address)), &side))
            })
            .collect()
    }

    #[test]
    fn the_busier_of_two_is_not_asked() {
        let (list, mut rng) = (endpoints(2), fastrand::Rng::with_seed(1));
        list[0].enter();
        let mut to_the_idle = 0;
        for _ in 0..1_000 {
            let picked = pick(&list, Micros(0), |n| rng.u32(..n)).unwrap();
            to_the_idle += u32::from(Rc::ptr_eq(picked, &list[1]));
        }
        // Four draws see both endpoints seven times in eight; else it is the one that was drawn.
        assert!(to_the_idle > 900, "{to_the_idle}");
    }

    #[test]
    fn load_spreads_evenly() {
        let (list, mut rng) = (endpoints(10), fastrand::Rng::with_seed(2));
        for _ in 0..1_000 {
            pick(&list, Micros(0), |n| rng.u32(..n)).unwrap().enter();
        }
        for endpoint in &list {
            assert!((90..=110).contains(&endpoint.in_flight()), "{}", endpoint.in_flight());
        }
    }

    #[test]
    fn who_refuses_is_passed_over_for_a_while_and_longer_each_time() {
        let (list, mut rng) = (endpoints(3), fastrand::Rng::with_seed(3));
        let mut asked =
            |now| (0..200).any(|_| Rc::ptr_eq(pick(&list, Micros(now), |n| rng.u32(..n)).unwrap(), &list[0]));
        list[0].refused(Micros(0));
        assert!(!asked(999_999));
        assert!(asked(1_000_000));
        list[0].refused(Micros(1_000_000));
        assert!(!asked(2_900_000));
        assert!(asked(3_000_000));
        list[0].accepted();
        assert!(asked(3_000_000));
    }

    #[test]
    fn where_all_refuse_one_is_asked_all_the_same() {
        let (list, mut rng) = (endpoints(3), fastrand::Rng::with_seed(4));
        for (i, endpoint) in list.iter().enumerate() {
            endpoint.refused(Micros(1_000 * (3 - i as u64)));
        }
        let picked = pick(&list, Micros(5_000), |n| rng.u32(..n)).unwrap();
        assert!(Rc::ptr_eq(picked, &list[2]), "the one whose time is up first");
        assert!(pick(&[], Micros(0), |_| 0).is_none());
    }
}
