use serde::Serialize;

use super::super::super::event::Happening;
use super::super::super::journal::ActorRecord;
use super::super::message::{Message, RevertRecord};
use super::moment;

/// One `CloudEvent` in structured mode (`CloudEvents` 1.0.2, JSON format and HTTP binding).
#[derive(Debug, Serialize)]
pub(super) struct Event<'a> {
    specversion: &'static str,
    id: &'a str,
    source: &'a str,
    #[serde(rename = "type")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    time: String,
    datacontenttype: &'static str,
    data: Data<'a>,
}

#[derive(Debug, Serialize)]
struct Data<'a> {
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    happening: Option<Happening>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    team: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'a ActorRecord>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    of_alarm: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    revert: Option<&'a RevertRecord>,
}

/// What the types of all events begin with.
const TYPES: &str = "net.switchback";

pub(super) fn event<'a>(message: &'a Message, source: &'a str) -> Event<'a> {
    Event {
        specversion: "1.0",
        id: &message.id,
        source,
        kind: format!("{TYPES}.{}", message.topic.as_str()),
        subject: message.service.as_deref(),
        time: moment(message.at),
        datacontenttype: "application/json",
        data: Data {
            text: &message.text,
            happening: message.happening,
            service: message.service.as_deref(),
            team: message.team.as_deref(),
            by: message.by.as_ref(),
            of_alarm: message.of_alarm,
            revert: message.revert.as_ref(),
        },
    }
}
