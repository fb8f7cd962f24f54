use serde::Serialize;

use crate::config::Topic;

use super::super::super::journal::ActorRecord;
use super::super::message::{Message, RevertRecord, cut};
use super::super::topic::ended_by;
use super::{minute, moment};

/// An event of `PagerDuty`'s Events API v2 (developer.pagerduty.com, "Send an Alert Event").
#[derive(Debug, Serialize)]
pub(super) struct Event<'a> {
    routing_key: &'a str,
    #[serde(rename = "event_action")]
    action: Action,
    dedup_key: String,
    client: &'static str,
    payload: Payload<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Trigger,
    Resolve,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Severity {
    Critical,
    Error,
    Warning,
    Info,
}

#[derive(Debug, Serialize)]
struct Payload<'a> {
    summary: String,
    source: &'a str,
    severity: Severity,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    component: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
    class: &'static str,
    custom_details: Details<'a>,
}

#[derive(Debug, Serialize)]
struct Details<'a> {
    id: &'a str,
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'a ActorRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revert: Option<&'a RevertRecord>,
}

/// What they take at most, in characters.
const LONGEST_SUMMARY: usize = 1_024;

pub(super) fn event<'a>(message: &'a Message, source: &'a str, routing_key: &'a str) -> Event<'a> {
    let (action, severity) = weigh(message);
    Event {
        routing_key,
        action,
        dedup_key: dedup_key(message, source),
        client: "Switchback",
        payload: Payload {
            summary: cut(&message.text, LONGEST_SUMMARY),
            source,
            severity,
            timestamp: moment(message.at),
            component: message.service.as_deref(),
            group: message.team.as_deref(),
            class: message.topic.as_str(),
            custom_details: Details {
                id: &message.id,
                text: &message.text,
                by: message.by.as_ref(),
                revert: message.revert.as_ref(),
            },
        },
    }
}

fn weigh(message: &Message) -> (Action, Severity) {
    if message.happening.and_then(ended_by) == Some(message.topic) {
        return (Action::Resolve, Severity::Info);
    }
    match message.topic {
        Topic::Reverted | Topic::FleetGuard | Topic::PromiseBroken => (Action::Trigger, Severity::Critical),
        Topic::Advised
        | Topic::NotWritten
        | Topic::Unreadable
        | Topic::CertificateRefused
        | Topic::RightsRefused => (Action::Trigger, Severity::Error),
        Topic::ConfigRefused | Topic::CertificateEnding | Topic::NoRoom => {
            (Action::Trigger, Severity::Warning)
        }
        Topic::RampStep
        | Topic::RampEnded
        | Topic::ApprovalWanted
        | Topic::RightsChanged
        | Topic::WeightChanged
        | Topic::Test => (Action::Trigger, Severity::Info),
        Topic::Released => (Action::Resolve, Severity::Info),
    }
}

/// What is one incident: a service's revert, by however many Switchbacks, until it is released. Any other thing is an incident
/// of its own: a revert that joined one of a lower severity would wake nobody.
///
/// What Switchbacks are refused each on its own host ends there too. An alarm of the guard has no end that is told: the next one
/// is another incident, or it would wake nobody while somebody has left this one open. Switchbacks that sound it in the same
/// minute sound the same one.
fn dedup_key(message: &Message, source: &str) -> String {
    let topic = message.topic.as_str();
    match (&message.service, message.topic) {
        (Some(service), Topic::Reverted | Topic::Released) => format!("switchback/{service}"),
        (Some(service), _) => format!("switchback/{service}/{topic}"),
        (None, Topic::ConfigRefused | Topic::CertificateRefused | Topic::RightsRefused) => {
            format!("{source}/{topic}")
        }
        (None, Topic::FleetGuard) => format!("switchback/{topic}/{}", minute(message.at)),
        (None, _) => format!("switchback/{topic}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::message::tests::{guarded, loaded, refused, released, reverted};
    use super::*;
    use crate::model::UnixMillis;

    #[test]
    fn a_release_resolves_what_the_revert_began_whichever_host_tells_of_it() {
        let (reverted, released) = (reverted(), released());
        let (begun, ended) = (event(&reverted, "switchback/a", "k"), event(&released, "switchback/b", "k"));
        assert_eq!((begun.action, ended.action), (Action::Trigger, Action::Resolve));
        assert_eq!(begun.dedup_key, ended.dedup_key);
    }

    #[test]
    fn a_configuration_that_is_taken_resolves_what_one_that_was_not_began_on_that_host() {
        let (refused, loaded) = (refused(), loaded());
        let (begun, ended) = (event(&refused, "switchback/a", "k"), event(&loaded, "switchback/a", "k"));
        assert_eq!((begun.action, ended.action), (Action::Trigger, Action::Resolve));
        assert_eq!(begun.dedup_key, ended.dedup_key);
        assert_ne!(begun.dedup_key, event(&loaded, "switchback/b", "k").dedup_key);
        let changed = Message {
            topic: Topic::RightsChanged,
            happening: Some(crate::control::event::Happening::RightsChanged),
            ..refused
        };
        assert_eq!(event(&changed, "switchback/a", "k").action, Action::Trigger, "by itself it is news");
    }

    #[test]
    fn each_alarm_of_the_guard_is_an_incident_whichever_hosts_sound_it() {
        let first = guarded();
        let key = |later_ms, source| {
            let message = Message { at: UnixMillis(first.at.0 + later_ms), ..first.clone() };
            event(&message, source, "k").dedup_key
        };
        assert_eq!(key(0, "switchback/a"), "switchback/fleet-guard/2026-11-22T03:14Z");
        assert_eq!(key(0, "switchback/a"), key(10_000, "switchback/b"));
        assert_ne!(key(0, "switchback/a"), key(120_000, "switchback/a"));
    }

    #[test]
    fn nothing_joins_the_incident_of_a_revert() {
        let mut keys: Vec<String> = Topic::ALL
            .into_iter()
            .filter(|topic| *topic != Topic::Released)
            .flat_map(|topic| {
                let of_service = Message { topic, ..reverted() };
                let of_none = Message { topic, ..refused() };
                [dedup_key(&of_service, "switchback/a"), dedup_key(&of_none, "switchback/a")]
            })
            .collect();
        let count = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), count);
        assert!(keys.iter().all(|key| key.len() <= 255), "what they take at most");
    }

    #[test]
    fn a_summary_is_as_long_as_they_take() {
        let message = Message { text: "ä".repeat(2_000), ..reverted() };
        let event = event(&message, "switchback/a", "k");
        assert_eq!(event.payload.summary.chars().count(), 1_024);
        assert_eq!(event.payload.custom_details.text.chars().count(), 2_000);
    }
}
