//! What a message looks like to its receiver. Pure.

mod cloudevents;
mod pagerduty;
mod slack;

use jiff::Timestamp;

use crate::config::WebhookKind;
use crate::model::UnixMillis;

use super::keys::Keys;
use super::message::Message;

/// The shapes that there are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape<'a> {
    CloudEvents,
    Slack,
    PagerDuty { routing_key: &'a str },
}

impl<'a> Shape<'a> {
    /// The shape that a kind of webhook wants.
    pub(super) fn of(kind: &WebhookKind, keys: &'a Keys) -> Self {
        match kind {
            WebhookKind::CloudEvents { .. } => Shape::CloudEvents,
            WebhookKind::Slack => Shape::Slack,
            WebhookKind::PagerDuty { .. } => {
                Shape::PagerDuty { routing_key: keys.routing_key.as_deref().unwrap_or_default() }
            }
        }
    }

    /// A message as it is sent. `source` says which Switchback sends it.
    pub(super) fn body(self, message: &Message, source: &str) -> Vec<u8> {
        let body = match self {
            Shape::CloudEvents => serde_json::to_vec(&cloudevents::event(message, source)),
            Shape::Slack => serde_json::to_vec(&slack::post(message, source)),
            Shape::PagerDuty { routing_key } => {
                serde_json::to_vec(&pagerduty::event(message, source, routing_key))
            }
        };
        // Texts and numbers: serde_json has nothing to refuse here.
        body.unwrap_or_default()
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Shape::CloudEvents => "application/cloudevents+json",
            Shape::Slack | Shape::PagerDuty { .. } => "application/json",
        }
    }
}

/// As RFC 3339 has it.
fn moment(at: UnixMillis) -> String {
    timestamp(at).strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// The same without seconds.
fn minute(at: UnixMillis) -> String {
    timestamp(at).strftime("%Y-%m-%dT%H:%MZ").to_string()
}

fn timestamp(at: UnixMillis) -> Timestamp {
    let ms = i64::try_from(at.0).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::{guarded, loaded, refused, released, reverted, test};
    use super::*;
    use crate::control::journal::ActorRecord;
    use std::path::Path;

    const SHAPES: [(&str, Shape<'_>); 3] = [
        ("cloudevents", Shape::CloudEvents),
        ("slack", Shape::Slack),
        ("pagerduty", Shape::PagerDuty { routing_key: "R0" }),
    ];

    /// What receivers are written for. `UPDATE_EXPECTED=1` writes it anew; read the difference before you keep it.
    #[test]
    fn messages_look_to_each_receiver_as_they_always_did() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/webhooks");
        let of_alarm = Message { of_alarm: true, by: Some(ActorRecord::Guard), revert: None, ..reverted() };
        for (name, message) in [
            ("reverted", reverted()),
            ("reverted-of-alarm", of_alarm),
            ("fleet-guard", guarded()),
            ("config-loaded", loaded()),
            ("released", released()),
            ("config-refused", refused()),
            ("test", test()),
        ] {
            for (kind, shape) in SHAPES {
                // What only one kind is told.
                let is_told = match name {
                    "reverted-of-alarm" => kind == "cloudevents",
                    "config-loaded" => kind == "pagerduty",
                    _ => true,
                };
                if !is_told {
                    continue;
                }
                let body = shape.body(&message, "switchback/edge-1");
                let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
                let text = format!("{value:#}\n");
                let path = folder.join(format!("{name}.{kind}.json"));
                if std::env::var_os("UPDATE_EXPECTED").is_some() {
                    std::fs::write(&path, &text).unwrap();
                }
                assert_eq!(text, std::fs::read_to_string(&path).unwrap(), "{}", path.display());
            }
        }
    }

    #[test]
    fn a_try_that_is_repeated_has_the_same_bytes() {
        for (_, shape) in SHAPES {
            let body = || shape.body(&reverted(), "switchback/a");
            assert_eq!(body(), body());
        }
    }

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(moment(UnixMillis(1_795_317_247_312)), "2026-11-22T03:14:07.312Z");
        assert_eq!(moment(UnixMillis(0)), "1970-01-01T00:00:00.000Z");
        assert!(moment(UnixMillis(u64::MAX)).starts_with("9999-12-3"));
    }
}
