//! What callers send, as values that control takes.
//!
//! What axum itself would refuse is refused here, so that every refusal says why in the same way.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::config::{in_words, parse_duration, parse_plan};
use crate::control::{Intent, Reach, RoomAsked, Why, Wish};
use crate::model::{ServiceName, Weight};
use crate::rollout::Plan;

use super::problem::Refusal;
use super::texts::{LONGEST_REASON, LONGEST_TICKET};
use super::wire;

/// A part of the path: whatever stands there.
pub(super) struct Segment(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Refusal;

    async fn from_request_parts(head: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let refusal = |status, detail| Refusal::new(status, detail);
        let Path(text) = Path::from_request_parts(head, state)
            .await
            .map_err(|rejection| refusal(rejection.status(), rejection.body_text()))?;
        Ok(Self(text))
    }
}

/// A part of the path: the service that it is about.
pub(super) struct Named(pub(super) ServiceName);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Refusal;

    async fn from_request_parts(head: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Segment(text) = Segment::from_request_parts(head, state).await?;
        name(&text).map(Self)
    }
}

/// Parts of the path: the service, and when it was reverted.
pub(super) struct Reverted(pub(super) ServiceName, pub(super) u64);

impl<S: Send + Sync> FromRequestParts<S> for Reverted {
    type Rejection = Refusal;

    async fn from_request_parts(head: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Path((service, at)) = Path::<(String, u64)>::from_request_parts(head, state)
            .await
            .map_err(|rejection| Refusal::new(rejection.status(), rejection.body_text()))?;
        Ok(Self(name(&service)?, at))
    }
}

/// What stands behind the question mark.
pub(super) struct Asked<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request_parts(head: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Query(asked) = Query::from_request_parts(head, state)
            .await
            .map_err(|rejection| Refusal::new(rejection.status(), rejection.body_text()))?;
        Ok(Self(asked))
    }
}

/// The body: JSON whatever the content type says, as curl says something else unless told.
pub(super) struct Sent<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Sent<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        parse(&bytes(request, state).await?).map(Self)
    }
}

/// The body, if there is one.
pub(super) struct SentIfAny<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for SentIfAny<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let bytes = bytes(request, state).await?;
        match bytes.trim_ascii() {
            b"" | b"null" => Ok(Self(T::default())),
            sent => parse(sent).map(Self),
        }
    }
}

async fn bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Refusal> {
    let bytes = Bytes::from_request(request, state).await;
    bytes.map_err(|rejection| Refusal::new(rejection.status(), rejection.body_text()))
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    let refusal = |error: &dyn Display| {
        Refusal::new(StatusCode::BAD_REQUEST, format!("the body is not what is asked for here: {error}"))
    };
    let sent = serde_json::from_slice(body).map_err(|error| refusal(&error))?;
    // serde takes a list of values for an object, too, field by field. Nobody means that.
    let members: Map<String, Value> = serde_json::from_slice(body).map_err(|error| refusal(&error))?;
    match members.iter().find(|(name, value)| value.is_array() && *name != LIST) {
        Some((name, _)) => Err(refusal(&format!("{name} is no list"))),
        None => Ok(sent),
    }
}

/// The one thing in a body that is a list.
const LIST: &str = "services";

pub(super) fn name(name: &str) -> Result<ServiceName, Refusal> {
    let refusal = |fault| Refusal::new(StatusCode::NOT_FOUND, format!("there is no service {name}: {fault}"));
    ServiceName::parse(name).map_err(refusal)
}

/// What calculating with percentages may make of one.
const MOST_ROUNDING: f64 = 8.0 * f64::EPSILON;

pub(super) fn weight(percent: f64) -> Result<Weight, Refusal> {
    let refusal = || Refusal::unprocessable(format!("{percent} is no weight: 0 to 100, in steps of 0.01"));
    let weight = Weight::from_percent(percent).ok_or_else(refusal)?;
    // Two steps of 0.07 come to a little more than 0.14 where they are added up.
    if (weight.percent() - percent).abs() > percent * MOST_ROUNDING {
        return Err(refusal());
    }
    Ok(weight)
}

pub(super) fn room(force: bool) -> RoomAsked {
    if force { RoomAsked::NotNeeded } else { RoomAsked::Needed }
}

pub(super) fn plan(plan: Option<&serde_json::Value>) -> Result<Option<Arc<Plan>>, Refusal> {
    plan.map(parse_plan).transpose().map_err(|why| Refusal::unprocessable(format!("the plan: {why}")))
}

pub(super) fn why(reason: &str, ticket: Option<&str>) -> Result<Why, Refusal> {
    let reason = line(reason, "a reason", LONGEST_REASON)?;
    if reason.is_empty() {
        return Err(Refusal::unprocessable("a reason is needed: it is what others will read at 3 a.m."));
    }
    let ticket = match ticket {
        Some(ticket) => Some(line(ticket, "a ticket", LONGEST_TICKET)?).filter(|ticket| !ticket.is_empty()),
        None => find_ticket(reason),
    };
    Ok(Why { reason: reason.into(), ticket: ticket.map(Arc::from) })
}

/// How long an override lasts: what is to last longer is for good.
const LONGEST_OVERRIDE: Duration = Duration::from_hours(10 * 365 * 24);

pub(super) fn override_lasts(lasts: Option<&str>) -> Result<Option<Duration>, Refusal> {
    lasts.map(|lasts| duration(lasts, &(Duration::ZERO..=LONGEST_OVERRIDE))).transpose()
}

/// A duration within bounds, called `for`.
pub(super) fn duration(text: &str, bounds: &RangeInclusive<Duration>) -> Result<Duration, Refusal> {
    let lasts = parse_duration(text).map_err(|wanted| Refusal::unprocessable(format!("for: {wanted}")))?;
    if bounds.contains(&lasts) {
        return Ok(lasts);
    }
    let (shortest, longest) = (in_words(*bounds.start()), in_words(*bounds.end()));
    Err(Refusal::unprocessable(format!("for: from {shortest} to {longest}")))
}

fn line<'a>(text: &'a str, what: &str, longest: usize) -> Result<&'a str, Refusal> {
    if text.chars().any(char::is_control) {
        return Err(Refusal::unprocessable(format!(
            "{what} is one line of text, without control characters"
        )));
    }
    if text.chars().count() > longest {
        return Err(Refusal::unprocessable(format!("{what} has at most {longest} characters")));
    }
    Ok(text.trim())
}

/// What looks like a ticket, as most trackers write them: `INC-4711`.
fn find_ticket(reason: &str) -> Option<&str> {
    let words = reason.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    words.into_iter().find(|word| {
        word.split_once('-').is_some_and(|(project, number)| {
            project.len() > 1
                && project.starts_with(|c: char| c.is_ascii_uppercase())
                && project.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
                && !number.is_empty()
                && number.bytes().all(|b| b.is_ascii_digit())
        })
    })
}

pub(super) fn reach(scope: &wire::Scope) -> Result<Reach, Refusal> {
    let wire::Scope { services, team, cluster, all } = scope;
    match (services.as_deref(), team, cluster, all) {
        (Some(services @ [_, ..]), None, None, None) => {
            Ok(Reach::Services(services.iter().map(|service| name(service)).collect::<Result<_, _>>()?))
        }
        (None, Some(team), None, None) => Ok(Reach::Team(line(team, "a team", LONGEST_TICKET)?.into())),
        (None, None, Some(cluster), None) => {
            Ok(Reach::Cluster(line(cluster, "a cluster", LONGEST_TICKET)?.into()))
        }
        (None, None, None, Some(true)) => Ok(Reach::All),
        _ => Err(Refusal::unprocessable("name the services, a team or a cluster, or say all: one of these")),
    }
}

pub(super) fn preview(preview: &wire::Preview) -> Result<Intent, Refusal> {
    let room = RoomAsked::NotNeeded;
    let moved = |service: &str, wish| Ok(Intent::Move(name(service)?, wish));
    match preview {
        wire::Preview::Weight { service, percent } => {
            moved(service, Wish::SetWeight { weight: weight(*percent)?, lasts: None, room })
        }
        wire::Preview::Clear { service } => moved(service, Wish::Clear),
        wire::Preview::Release { service, to_percent } => {
            let cause = crate::control::CauseOfRevert::Unsaid;
            moved(service, Wish::Release { to: weight(*to_percent)?, cause, room })
        }
        wire::Preview::StartRamp { service, from_percent, plan: own } => {
            let (plan, from) = (plan(own.as_ref())?, from_percent.map(weight).transpose()?);
            moved(service, Wish::StartRamp { plan, from, room })
        }
        wire::Preview::StopRamp { service } => moved(service, Wish::StopRamp),
        wire::Preview::Migrate { service } => moved(service, Wish::Migrate { room }),
        wire::Preview::Approve { service } => Ok(Intent::Approve(name(service)?, None)),
        wire::Preview::Revert(scope) => Ok(Intent::Revert(reach(scope)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_found_in_a_reason_and_nothing_else_is_one() {
        for (reason, ticket) in [
            ("INC-4711 checkout errors", Some("INC-4711")),
            ("checkout errors (see INC-4711).", Some("INC-4711")),
            ("K8S-12: again", Some("K8S-12")),
            ("it is 12-34", None),
            ("A-1", None),
            ("inc-4711", None),
            ("INC-", None),
            ("INC-47x", None),
        ] {
            assert_eq!(find_ticket(reason), ticket, "{reason}");
        }
        let said = why("INC-1 and so on", Some("OPS-2")).unwrap();
        assert_eq!(said.ticket.as_deref(), Some("OPS-2"));
    }

    #[test]
    fn a_list_is_no_object() {
        assert_eq!(parse::<wire::Reason>(br#"{"reason":"x"}"#).unwrap().reason, "x");
        for bad in [r#"["x"]"#, r#"["x",null]"#, "[]", "null", "1", ""] {
            assert!(parse::<wire::Reason>(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(parse::<wire::Preview>(br#"{"clear":{"service":"a"}}"#).is_ok());
        assert!(parse::<wire::Preview>(br#"{"clear":["a"]}"#).is_err());
        assert!(parse::<wire::Preview>(br#"{"revert":{"services":["a"]}}"#).is_ok());
        assert!(parse::<wire::Preview>(br#"{"revert":[["a"]]}"#).is_err());
    }

    #[test]
    fn a_weight_is_a_step_however_it_was_calculated() {
        for steps in 0..=10_000_u16 {
            assert_eq!(weight(f64::from(steps) * 0.01).unwrap().steps(), steps);
            assert_eq!(weight(f64::from(steps) / 100.0).unwrap().steps(), steps);
        }
        assert_eq!(weight(0.1 + 0.2).unwrap().steps(), 30);
        for bad in [0.005, 1e-10, f64::MIN_POSITIVE, 50.000_000_001, -0.01, 100.000_1, f64::NAN] {
            assert!(weight(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_scope_is_one_thing() {
        let read = |text: &str| parse::<wire::Scope>(text.as_bytes()).and_then(|scope| reach(&scope));
        assert_eq!(read(r#"{"all":true}"#).unwrap(), Reach::All);
        assert_eq!(read(r#"{"team":"t"}"#).unwrap(), Reach::Team("t".into()));
        for bad in [
            "{}",
            r#"{"all":false}"#,
            r#"{"services":[]}"#,
            r#"{"services":["a"],"all":true}"#,
            r#"{"services":["a"],"team":"t"}"#,
            r#"{"all":true,"team":null}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
