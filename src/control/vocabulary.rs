//! The words and numbers of which what is sent is made, as the document of the admin API lists them.
//!
//! What is sent has plain texts and numbers for them, because a reader that is older than a word still reads the rest. That
//! no other word is ever sent is seen to by the tests, which hold whatever they are answered against the document.

use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::{KnownFormat, RefOr, SchemaFormat};
use utoipa::{PartialSchema, ToSchema};

use crate::config::{JudgeMode, Phase, Topic};
use crate::model::{Role, Via};
use crate::rollout::Says;
use crate::verdict::Question;

use super::ledger::Stage;

/// A weight in percent.
pub(crate) enum Percent {}

impl PartialSchema for Percent {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::Number)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Double)))
            .description(Some("A weight in percent, in steps of 0.01."))
            .minimum(Some(0))
            .maximum(Some(100))
            .multiple_of(Some(0.01))
            .examples([25])
            .into()
    }
}

impl ToSchema for Percent {}

/// A text that is one of these words.
fn one_of<const N: usize>(description: &str, words: [&'static str; N]) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
        .enum_values(Some(words))
        .into()
}

/// What the weight in force comes from.
pub(crate) enum WeightFrom {}

impl PartialSchema for WeightFrom {
    fn schema() -> RefOr<Schema> {
        let description =
            "What the weight in force comes from: a revert, a person, a ramp, or the configuration.";
        one_of(description, ["held", "override", "ramp", "file"])
    }
}

impl ToSchema for WeightFrom {}

impl PartialSchema for JudgeMode {
    fn schema() -> RefOr<Schema> {
        let description = "What the judge may do: take the service back, only say that it would, or nothing.";
        one_of(description, [Self::Revert, Self::Advise, Self::Off].map(Self::as_str))
    }
}

impl ToSchema for JudgeMode {}

/// The judge's word. Of a judge that is off there is none.
pub(crate) enum Verdict {}

impl PartialSchema for Verdict {
    fn schema() -> RefOr<Schema> {
        let description = "The judge's word on Kubernetes against Helios. `blind` says that Helios gets nothing to \
                           compare with, and `off` that nobody judges.";
        let words = [Says::Worse, Says::NotWorse, Says::TooLittleEvidence, Says::Blind, Says::Nothing];
        one_of(description, words.map(Says::as_str))
    }
}

impl ToSchema for Verdict {}

impl PartialSchema for Question {
    fn schema() -> RefOr<Schema> {
        let description = "What the judge asks of every request: does it fail, does it hang, is its answer slower than \
                           Helios' median, slower all in all, slower than 99 in 100 of Helios' answers, far slower \
                           than those, three times slower?";
        one_of(description, Self::ALL.map(Self::as_str))
    }
}

impl ToSchema for Question {}

/// Where endpoints come from.
pub(crate) enum SourceKind {}

impl PartialSchema for SourceKind {
    fn schema() -> RefOr<Schema> {
        let description =
            "Where endpoints come from: the configuration, DNS, Helios' masters, or a Kubernetes cluster.";
        one_of(description, ["addresses", "srv", "helios", "kubernetes"])
    }
}

impl ToSchema for SourceKind {}

/// What may happen to Kubernetes.
pub(crate) enum DegradationKind {}

impl PartialSchema for DegradationKind {
    fn schema() -> RefOr<Schema> {
        let description =
            "What may happen to Kubernetes: requests fail, all answers take longer, or the slowest do.";
        one_of(description, ["fails", "slower", "tail-slower"])
    }
}

impl ToSchema for DegradationKind {}

/// How a ramp goes.
pub(crate) enum RampGoing {}

impl PartialSchema for RampGoing {
    fn schema() -> RefOr<Schema> {
        one_of("Whether a ramp goes on.", ["on", "paused", "done"])
    }
}

impl ToSchema for RampGoing {}

/// What a ramp waits for.
pub(crate) enum WaitKind {}

impl PartialSchema for WaitKind {
    fn schema() -> RefOr<Schema> {
        let words =
            ["paused", "override", "time", "requests", "certainty", "verdict", "room", "hours", "freeze"];
        one_of("What a ramp waits for before it takes its next step.", words)
    }
}

impl ToSchema for WaitKind {}

impl PartialSchema for Phase {
    fn schema() -> RefOr<Schema> {
        let phases = [Self::Experiment, Self::Alpha, Self::Beta, Self::General];
        one_of("How far the migration is of which the service is part.", phases.map(Self::as_str))
    }
}

impl ToSchema for Phase {}

impl PartialSchema for Stage {
    fn schema() -> RefOr<Schema> {
        let stages = [Self::HeliosOnly, Self::DualRun, Self::KubernetesOnly];
        one_of("On which sides a service is.", stages.map(Self::as_str))
    }
}

impl ToSchema for Stage {}

impl PartialSchema for Via {
    fn schema() -> RefOr<Schema> {
        let ways = [Self::Word, Self::Token, Self::Certificate, Self::Oidc, Self::User];
        one_of("By what somebody is known; `word` if nobody has checked.", ways.map(Self::as_str))
    }
}

impl ToSchema for Via {}

impl PartialSchema for Role {
    fn schema() -> RefOr<Schema> {
        let description =
            "What somebody may do: look, move traffic too, or also what concerns Switchback itself.";
        one_of(description, Self::ALL.map(Self::as_str))
    }
}

impl ToSchema for Role {}

/// The shape in which a webhook is told.
pub(crate) enum WebhookKind {}

impl PartialSchema for WebhookKind {
    fn schema() -> RefOr<Schema> {
        one_of("The shape in which a webhook is told.", ["cloudevents", "slack", "pagerduty"])
    }
}

impl ToSchema for WebhookKind {}

impl PartialSchema for Topic {
    fn schema() -> RefOr<Schema> {
        one_of("What webhooks are told of.", Self::ALL.map(Self::as_str))
    }
}

impl ToSchema for Topic {}
