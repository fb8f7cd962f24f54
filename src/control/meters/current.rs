use std::collections::HashMap;

use metrics::Gauge;

use crate::telemetry::Recorder;

/// Gauges whose labels come and go. One that is not set any more is 0, so that no two say the same of one thing.
#[derive(Default)]
pub(super) struct Current {
    gauges: HashMap<Labelled, Set>,
    round: u64,
}

/// A name, and the values of its labels.
type Labelled = (&'static str, Box<[String]>);

struct Set {
    gauge: Gauge,
    round: u64,
}

impl Current {
    /// All are set anew.
    pub(super) fn begin(&mut self) {
        self.round += 1;
    }

    pub(super) fn set(
        &mut self,
        recorder: &Recorder,
        name: &'static str,
        labels: &[(&'static str, &str)],
        value: f64,
    ) {
        let key = (name, labels.iter().map(|(_, value)| (*value).to_owned()).collect());
        let make = || Set { gauge: recorder.gauge(name, labels), round: 0 };
        let set = self.gauges.entry(key).or_insert_with(make);
        set.gauge.set(value);
        set.round = self.round;
    }

    /// What was not set is over.
    pub(super) fn end(&mut self) {
        let round = self.round;
        self.gauges.retain(|_, set| {
            let stays = set.round == round;
            if !stays {
                set.gauge.set(0.0);
            }
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::names;

    #[test]
    fn a_gauge_that_is_not_set_any_more_is_zero() {
        let (recorder, mut current) = (Recorder::new(), Current::default());
        let mut round = |stage: &str| {
            current.begin();
            current.set(&recorder, names::STAGE, &[("service", "a"), ("stage", stage)], 1.0);
            current.end();
        };
        round("dual run");
        round("kubernetes only");
        let text = recorder.recorded().render();
        assert!(text.contains("stage=\"dual run\"} 0\n"), "{text}");
        assert!(text.contains("stage=\"kubernetes only\"} 1\n"), "{text}");
    }
}
