use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder as _};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use super::names::{ANSWER_SECONDS, DESCRIBED, Kind};

/// Makes metrics. Each process, and each test, has its own: nothing is global. Handles are made once and kept,
/// never looked up for a request.
pub(crate) struct Recorder {
    inner: PrometheusRecorder,
}

/// What the metrics say at the moment.
#[derive(Clone)]
pub(crate) struct Recorded(PrometheusHandle);

/// Upper bounds of the latency histogram, in seconds: half a millisecond to a minute, in steps of about 2.
const BUCKETS: [f64; 18] = [
    0.0005, 0.001, 0.0025, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    30.0, 60.0,
];

static METADATA: Metadata<'static> = Metadata::new("switchback", Level::INFO, None);

impl Recorder {
    pub(crate) fn new() -> Self {
        let builder = PrometheusBuilder::new();
        let matcher = Matcher::Full(ANSWER_SECONDS.to_owned());
        let inner = match builder.set_buckets_for_metric(matcher, &BUCKETS) {
            Ok(builder) => builder.build_recorder(),
            // Only an empty list of bounds is refused.
            Err(_) => PrometheusBuilder::new().build_recorder(),
        };
        for (name, kind, text) in DESCRIBED {
            let (name, text) = ((*name).into(), (*text).into());
            match kind {
                Kind::Counter => inner.describe_counter(name, None, text),
                Kind::Gauge => inner.describe_gauge(name, None, text),
                Kind::Histogram => inner.describe_histogram(name, None, text),
            }
        }
        Self { inner }
    }

    pub(crate) fn recorded(&self) -> Recorded {
        Recorded(self.inner.handle())
    }

    pub(crate) fn counter(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Counter {
        self.inner.register_counter(&key(name, labels), &METADATA)
    }

    pub(crate) fn gauge(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Gauge {
        self.inner.register_gauge(&key(name, labels), &METADATA)
    }

    pub(crate) fn histogram(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Histogram {
        self.inner.register_histogram(&key(name, labels), &METADATA)
    }
}

impl Recorded {
    /// In Prometheus' text format.
    pub(crate) fn render(&self) -> String {
        self.0.render()
    }

    /// Moves recorded samples into their buckets. Until then each takes room.
    pub(crate) fn upkeep(&self) {
        self.0.run_upkeep();
    }
}

fn key(name: &'static str, labels: &[(&'static str, &str)]) -> Key {
    let labels: Vec<Label> =
        labels.iter().map(|(label, value)| Label::new(*label, (*value).to_owned())).collect();
    Key::from_parts(name, labels)
}
