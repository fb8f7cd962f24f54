use schemars::JsonSchema;
use serde::Deserialize;

use super::at::At;
use super::webhooks::Topic;

/// Somebody who is told what happens.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawWebhook {
    /// Where messages are sent by POST: `https`, or `http` to a relay. Redirects are not followed.
    pub(super) url: Option<At<String>>,
    /// In place of `url`: a file with it, for a URL that is a secret itself, as Slack's are.
    pub(super) url_file: Option<At<String>>,
    /// The shape of messages. Default: `cloudevents`.
    pub(super) kind: Option<At<RawWebhookKind>>,
    /// What is told. Default: everything but `weight-changed` and `rights-changed`; with `pagerduty`, neither `ramp-step`, `ramp-ended` nor
    /// `approval-wanted`.
    pub(super) events: Option<At<Vec<At<RawTopic>>>>,
    /// Only what concerns services of these teams. Default: what concerns any service, or none in particular.
    pub(super) teams: Option<At<Vec<At<String>>>>,
    /// With `pagerduty`: the file of the integration's key.
    pub(super) routing_key: Option<At<String>>,
    /// With `cloudevents`: the file of the key that signs messages.
    pub(super) secret: Option<At<String>>,
    /// With `cloudevents`: the file of a token that is sent as `Authorization: Bearer`.
    pub(super) bearer: Option<At<String>>,
    /// The file of the authorities that must have signed the receiver's certificate. Default: those of the system.
    pub(super) authorities: Option<At<String>>,
}

/// Shapes of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawWebhookKind {
    /// `CloudEvents` 1.0: one JSON object.
    #[default]
    CloudEvents,
    /// An incoming webhook of Slack.
    Slack,
    /// The Events API v2 of `PagerDuty`.
    PagerDuty,
}

/// What can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RawTopic {
    /// A service was taken back.
    Reverted,
    /// A hold was ended.
    Released,
    /// A ramp has come to its next step.
    RampStep,
    /// A ramp has come to its end, or was ended.
    RampEnded,
    /// The judge is wrong more often than it promises.
    PromiseBroken,
    /// A new configuration has faults.
    ConfigRefused,
    /// A certificate ends soon, or has ended.
    CertificateEnding,
    /// Certificates have changed, and cannot be used.
    CertificateRefused,
    /// So much goes wrong at once that it is not one service's trouble.
    FleetGuard,
    /// The judge would take a service back, but may only say so.
    Advised,
    /// Helios could not take everything back.
    NoRoom,
    /// A record could not be written.
    NotWritten,
    /// A record could not be read: the service is held.
    Unreadable,
    /// A new rights file has faults: whoever was to be kept out is not.
    RightsRefused,
    /// Who may do what is different now; told at each start too.
    RightsChanged,
    /// A change waits for a second person.
    ApprovalWanted,
    /// A weight was changed by a person, or an override ended.
    WeightChanged,
}

impl From<RawTopic> for Topic {
    fn from(raw: RawTopic) -> Self {
        match raw {
            RawTopic::Reverted => Topic::Reverted,
            RawTopic::Released => Topic::Released,
            RawTopic::RampStep => Topic::RampStep,
            RawTopic::RampEnded => Topic::RampEnded,
            RawTopic::PromiseBroken => Topic::PromiseBroken,
            RawTopic::ConfigRefused => Topic::ConfigRefused,
            RawTopic::CertificateEnding => Topic::CertificateEnding,
            RawTopic::CertificateRefused => Topic::CertificateRefused,
            RawTopic::FleetGuard => Topic::FleetGuard,
            RawTopic::Advised => Topic::Advised,
            RawTopic::NoRoom => Topic::NoRoom,
            RawTopic::NotWritten => Topic::NotWritten,
            RawTopic::Unreadable => Topic::Unreadable,
            RawTopic::RightsRefused => Topic::RightsRefused,
            RawTopic::RightsChanged => Topic::RightsChanged,
            RawTopic::ApprovalWanted => Topic::ApprovalWanted,
            RawTopic::WeightChanged => Topic::WeightChanged,
        }
    }
}
