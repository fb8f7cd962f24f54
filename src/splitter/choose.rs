use crate::model::Side;

use super::{Dealer, Plan, Point};

/// Which side serves a request, and what decided it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The side that is asked first.
    pub side: Side,
    /// What decided.
    pub why: Why,
}

/// What decided a request's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A trusted caller named it.
    Forced,
    /// The user's place under the weight.
    Sticky,
    /// It was dealt by weight.
    Dealt,
}

/// Chooses: force before sticky before the weight. `forced` has been checked to come from a trusted caller;
/// `draw` gives an even number below its argument.
pub fn choose(
    plan: &Plan,
    forced: Option<Side>,
    user: Option<Point>,
    dealer: &mut Dealer,
    draw: impl FnOnce(u32) -> u32,
) -> Choice {
    match (forced, user) {
        (Some(side), _) => Choice { side, why: Why::Forced },
        (None, Some(point)) => Choice { side: point.side(plan.weight), why: Why::Sticky },
        (None, None) => Choice { side: dealer.deal(plan.weight, draw), why: Why::Dealt },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ServiceName, Weight};

    #[test]
    fn force_comes_before_sticky_comes_before_the_weight() {
        let plan = Plan { weight: Weight::FULL, ..Plan::default() };
        let user = Point::of(&ServiceName::parse("a").unwrap(), b"u");
        let mut dealer = Dealer::new(plan.weight);
        let mut ask = |forced, user| choose(&plan, forced, user, &mut dealer, |_| 0);
        assert_eq!(ask(Some(Side::Helios), Some(user)), Choice { side: Side::Helios, why: Why::Forced });
        assert_eq!(ask(None, Some(user)), Choice { side: Side::Kubernetes, why: Why::Sticky });
        assert_eq!(ask(None, None), Choice { side: Side::Kubernetes, why: Why::Dealt });
    }

    #[test]
    fn after_a_revert_a_sticky_user_is_on_helios_at_once() {
        let plan = Plan::default();
        let user = Point::of(&ServiceName::parse("a").unwrap(), b"u");
        let mut dealer = Dealer::new(plan.weight);
        assert_eq!(choose(&plan, None, Some(user), &mut dealer, |_| 0).side, Side::Helios);
    }
}
