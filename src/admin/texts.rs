//! What texts that are sent to us look like, for the document. What is sent is checked in [`read`](super::read), by the same
//! bounds.

use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::{RefOr, Required};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use crate::model::ServiceName;

use super::history::LAST_NUMBER;
use super::read::{Named, Reverted, Segment};

/// The longest reason, and the longest name of a ticket, a team or a cluster, in characters.
pub(super) const LONGEST_REASON: usize = 1_000;
pub(super) const LONGEST_TICKET: usize = 100;

/// No control characters, as Unicode has them (category Cc), and something beside blanks.
const LINE_WITH_SOMETHING_IN_IT: &str =
    r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$";
const LINE: &str = r"^[^\x00-\x1f\x7f-\x9f]*$";

/// Numbers and units, as [`parse_duration`](crate::config::parse_duration) reads them.
const DURATION: &str = concat!(
    r"^\s*([0-9]{1,9}(\.[0-9]{1,9})?\s*",
    "(ns|nsec|nanos|us|usec|µs|ms|msec|millis|s|sec|secs|second|seconds|m|min|mins|minute|minutes|",
    "h|hr|hrs|hour|hours|d|day|days|w|wk|wks|week|weeks|M|month|months|y|yr|yrs|year|years)",
    r"\s*)+$"
);

fn text(description: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).description(Some(description))
}

impl PartialSchema for ServiceName {
    fn schema() -> RefOr<Schema> {
        let description = "A service's name: lower-case letters, digits, `-`, `_` and `.`, beginning and ending with a \
                           letter or digit.";
        text(description)
            .min_length(Some(1))
            .max_length(Some(ServiceName::MOST_BYTES))
            .pattern(Some("^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$"))
            .examples(["playlist"])
            .into()
    }
}

impl ToSchema for ServiceName {}

/// Why somebody wants something.
pub(super) enum ReasonText {}

impl PartialSchema for ReasonText {
    fn schema() -> RefOr<Schema> {
        text("Why, in one line of text: what others will read at 3 a.m.")
            .min_length(Some(1))
            .max_length(Some(LONGEST_REASON))
            .pattern(Some(LINE_WITH_SOMETHING_IN_IT))
            .examples(["INC-4711 checkout errors"])
            .into()
    }
}

impl ToSchema for ReasonText {}

/// The ticket that something belongs to.
pub(super) enum Ticket {}

impl PartialSchema for Ticket {
    fn schema() -> RefOr<Schema> {
        text("A ticket, by its name.")
            .max_length(Some(LONGEST_TICKET))
            .pattern(Some(LINE))
            .examples(["INC-4711"])
            .into()
    }
}

impl ToSchema for Ticket {}

/// A team.
pub(super) enum Team {}

impl PartialSchema for Team {
    fn schema() -> RefOr<Schema> {
        text("A team, as services' files name it.")
            .max_length(Some(LONGEST_TICKET))
            .pattern(Some(LINE))
            .examples(["playlist-squad"])
            .into()
    }
}

impl ToSchema for Team {}

/// A cluster.
pub(super) enum Cluster {}

impl PartialSchema for Cluster {
    fn schema() -> RefOr<Schema> {
        text("A Kubernetes cluster, as `switchback.toml` names it.")
            .max_length(Some(LONGEST_TICKET))
            .pattern(Some(LINE))
            .examples(["gew1"])
            .into()
    }
}

impl ToSchema for Cluster {}

/// A plan of a ramp, as a service's file has it.
pub(super) enum RampPlan {}

impl PartialSchema for RampPlan {
    fn schema() -> RefOr<Schema> {
        // That nothing of it is lost is held by a test.
        serde_json::from_value(crate::config::plan_schema()).unwrap_or_default()
    }
}

impl ToSchema for RampPlan {}

/// How long something is to last.
pub(super) enum Lasting {}

impl PartialSchema for Lasting {
    fn schema() -> RefOr<Schema> {
        text("How long: numbers and units, as in `90s`, `30m`, `2h`, `7d` or `1h 30m`.")
            .max_length(Some(crate::config::LONGEST_DURATION))
            .pattern(Some(DURATION))
            .examples(["2h"])
            .into()
    }
}

impl ToSchema for Lasting {}

fn in_path(description: &str) -> Vec<Parameter> {
    let named = ParameterBuilder::new()
        .name("name")
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some(description))
        .schema(Some(ServiceName::schema()));
    vec![named.build()]
}

impl IntoParams for Named {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        in_path("The service.")
    }
}

impl IntoParams for Segment {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        in_path("The webhook, named as a service may be.")
    }
}

impl IntoParams for Reverted {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let time =
            ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)).maximum(Some(LAST_NUMBER));
        let at = ParameterBuilder::new()
            .name("reverted_unix_ms")
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .description(Some("When it was reverted, in milliseconds since 1970 UTC."))
            .schema(Some(time));
        let mut parameters = in_path("The service.");
        parameters.push(at.build());
        parameters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_of_a_file_is_described_whole() {
        let described = serde_json::to_value(RampPlan::schema()).unwrap();
        assert_eq!(described, crate::config::plan_schema());
    }
}
