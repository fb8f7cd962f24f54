use super::scenario::{Scenario, Truth};

/// Helios' requests from which the judge knows a service well.
const KNOWN: f64 = 2_000.0;
/// No scenario is made longer than this, in either of its parts: a trouble that is not seen within a day is not
/// seen.
const LONGEST_S: f64 = 86_400.0;

impl Scenario {
    /// The same story at another rate of requests, or another share of Kubernetes. Where requests are rarer the
    /// judge gets more time: to know Helios before anything is wrong, and to see what is.
    #[must_use]
    pub fn what_if(self, per_second: Option<f64>, weight: Option<f64>) -> Self {
        let mut scenario = self;
        let before = scenario.rarer();
        scenario.per_second = per_second.unwrap_or(scenario.per_second);
        scenario.weight = weight.unwrap_or(scenario.weight);
        let times = before / scenario.rarer().max(f64::MIN_POSITIVE);
        if let Truth::Worse { from_s } = scenario.truth {
            let trouble_s = scenario.lasts_s - from_s;
            scenario.lasts_s = from_s + (trouble_s * times).clamp(trouble_s, LONGEST_S.max(trouble_s));
            let helios = scenario.per_second * (1.0 - scenario.weight);
            let begins_s = scenario.kubernetes.iter().map(|(from, _)| *from).filter(|from| *from > 0.0);
            let begins_s = begins_s.fold(from_s, f64::min);
            let healthy_s = (KNOWN / helios).clamp(begins_s, LONGEST_S.max(begins_s));
            scenario.delay(healthy_s - begins_s);
        }
        scenario
    }

    /// Trouble begins so much later.
    fn delay(&mut self, by_s: f64) {
        self.lasts_s += by_s;
        if let Truth::Worse { from_s } = &mut self.truth {
            *from_s += by_s;
        }
        let later = self.helios.iter_mut().chain(&mut self.kubernetes).filter(|(from, _)| *from > 0.0);
        for (from_s, _) in later {
            *from_s += by_s;
        }
    }

    /// Requests a second of the side that gets fewer.
    fn rarer(&self) -> f64 {
        self.per_second * self.weight.min(1.0 - self.weight)
    }
}

#[cfg(test)]
mod tests {
    use super::super::scenario::all;
    use super::*;

    fn scenario(name: &str) -> Scenario {
        all().into_iter().find(|scenario| scenario.name == name).unwrap()
    }

    #[test]
    fn rarer_requests_get_more_time_and_others_as_much() {
        let told = scenario("errors-5");
        let Truth::Worse { from_s } = told.truth else { panic!("{told:?}") };
        let same = told.clone().what_if(None, None);
        assert_eq!((same.lasts_s, same.truth), (told.lasts_s, told.truth));
        let more = told.clone().what_if(Some(1_000.0), None);
        assert_eq!((more.lasts_s, more.truth), (told.lasts_s, told.truth));
        let rare = told.clone().what_if(Some(2.0), None);
        assert_eq!(rare.truth, Truth::Worse { from_s: 2_000.0 });
        assert!((rare.lasts_s - 2_000.0 - (told.lasts_s - from_s) * 100.0).abs() < 1e-6, "{}", rare.lasts_s);
        assert!((rare.kubernetes[1].0 - 2_000.0).abs() < 1e-6);
        let alone = told.what_if(None, Some(1.0));
        assert!(alone.lasts_s <= 2.0 * LONGEST_S + from_s, "{}", alone.lasts_s);
    }
}
