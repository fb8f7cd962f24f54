use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::at::At;

/// How the weight is raised, step by step, once somebody starts the ramp.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawRamp {
    /// The weights, in percent, each higher than the one before. In place of a number, a table says what holds for this step,
    /// as in `{ to = 25, hold = "1d", requests = 100000 }`. Default: `[1, 5, 25, 50, 100]`.
    pub(super) steps: Option<At<Vec<At<RawStep>>>>,
    /// How long each step lasts at least: `1s` to `90d`. Default: `2h`.
    pub(super) hold: Option<At<String>>,
    /// Requests that Kubernetes has answered at each step, at least. Default: 1000.
    pub(super) requests: Option<At<i64>>,
    /// How sure the judge must be that Kubernetes is not worse, in percent, below 100; with 0 it is enough that nothing speaks
    /// against it. Default: 95.
    pub(super) certainty: Option<At<f64>>,
    /// When steps may be taken, such as `Mon-Thu 09:00-16:00`. Default: at any time.
    pub(super) hours: Option<At<Vec<At<String>>>>,
    /// The time zone of `hours` and `freezes`, such as `Europe/Stockholm`. Default: that of `switchback.toml`, or else `UTC`.
    pub(super) zone: Option<At<String>>,
    /// When no step is taken: days, such as `2026-12-20 to 2027-01-07`, both included, or moments, such as
    /// `2026-11-27T18:00 to 2026-11-30T06:00`. Default: none but those of `switchback.toml`.
    pub(super) freezes: Option<At<Vec<At<String>>>>,
    /// After the judge has taken the service back, the ramp starts again by itself after so long, and after twice as long each
    /// time, until it comes further: `1s` to `7d`. Default: it does not, and waits for a person.
    pub(super) again_after: Option<At<String>>,
    /// How often in a row it does so: 1 to 10. Default: 3.
    pub(super) again_most: Option<At<i64>>,
}

/// A step: a weight in percent, or a table.
#[derive(Debug)]
pub(super) struct RawStep {
    pub(super) to: Option<At<f64>>,
    pub(super) hold: Option<At<String>>,
    pub(super) requests: Option<At<i64>>,
    pub(super) certainty: Option<At<f64>>,
    /// The weight, where nothing else is said.
    pub(super) number: Option<f64>,
}

/// A step for which something else holds than for the others.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawStepTable {
    /// The weight, in percent.
    to: Option<At<f64>>,
    /// How long it lasts at least.
    hold: Option<At<String>>,
    /// Requests that Kubernetes has answered at it, at least.
    requests: Option<At<i64>>,
    /// How sure the judge must be that Kubernetes is not worse, in percent.
    certainty: Option<At<f64>>,
}

// By hand, as what serde derives for "either of two" loses where things stand.
impl<'de> Deserialize<'de> for RawStep {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StepVisitor)
    }
}

struct StepVisitor;

impl<'de> Visitor<'de> for StepVisitor {
    type Value = RawStep;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a weight in percent, or a table with `to`")
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<RawStep, E> {
        Ok(RawStep { to: None, hold: None, requests: None, certainty: None, number: Some(number) })
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<RawStep, E> {
        self.visit_f64(number as f64)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawStep, A::Error> {
        let RawStepTable { to, hold, requests, certainty } =
            RawStepTable::deserialize(MapAccessDeserializer::new(map))?;
        Ok(RawStep { to, hold, requests, certainty, number: None })
    }
}

impl JsonSchema for RawStep {
    fn schema_name() -> Cow<'static, str> {
        "RawStep".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = generator.subschema_for::<RawStepTable>();
        json_schema!({ "anyOf": [{ "type": "number", "minimum": 0, "maximum": 100 }, table] })
    }
}

/// What holds for all ramps.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawRamps {
    /// The time zone of hours and freezes that name none, such as `Europe/Stockholm`. Default: `UTC`.
    pub(super) zone: Option<At<String>>,
    /// When no ramp takes a step: as in a service's file, each with a name.
    pub(super) freezes: Option<BTreeMap<String, At<String>>>,
}

/// What takes a second person.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawApprovals {
    /// Whether raising the weight takes another person's approval: with `weight`, `release` and `ramp start`. Needs rights:
    /// people must be known. Default: that of `switchback.toml`, or else false.
    pub(super) raises: Option<At<bool>>,
}

/// When several services are taken back at once.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawGuard {
    /// So many services, taken back by the judge …: 2 to 1000. Default: 3.
    pub(super) services: Option<At<i64>>,
    /// … within so long: `1s` to `1h`. Default: `1m`.
    pub(super) within: Option<At<String>>,
    /// Whether the rest of the cluster that they have in common is taken back with them. Default: false.
    pub(super) revert_cluster: Option<At<bool>>,
}
