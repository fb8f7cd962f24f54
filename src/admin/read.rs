//! What callers send, as values that control takes.

use std::sync::Arc;

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::StatusCode;
use serde::de::DeserializeOwned;

use crate::config::parse_plan;
use crate::control::{Intent, Reach, RoomAsked, Why, Wish};
use crate::model::{ServiceName, Weight};
use crate::rollout::Plan;

use super::problem::Refusal;
use super::wire;

/// The longest reason, and the longest name of a ticket, a team or a cluster.
const LONGEST_REASON: usize = 1_000;
const LONGEST_TICKET: usize = 100;

/// JSON whatever the content type says: curl says something else unless told.
pub(super) fn body<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        Refusal::new(StatusCode::BAD_REQUEST, format!("the body is not what is asked for here: {error}"))
    })
}

/// What stands behind the question mark.
pub(super) fn query<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Refusal> {
    let Query(query) = query.map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, error.body_text()))?;
    Ok(query)
}

pub(super) fn name(name: &str) -> Result<ServiceName, Refusal> {
    let refusal = |fault| Refusal::new(StatusCode::NOT_FOUND, format!("there is no service {name}: {fault}"));
    ServiceName::parse(name).map_err(refusal)
}

pub(super) fn weight(percent: f64) -> Result<Weight, Refusal> {
    let refusal = || Refusal::unprocessable(format!("{percent} is no weight: 0 to 100, in steps of 0.01"));
    let weight = Weight::from_percent(percent).ok_or_else(refusal)?;
    if (weight.percent() - percent).abs() > 1e-9 {
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

fn line<'a>(text: &'a str, what: &str, longest: usize) -> Result<&'a str, Refusal> {
    let text = text.trim();
    if text.chars().any(char::is_control) {
        return Err(Refusal::unprocessable(format!(
            "{what} is one line of text, without control characters"
        )));
    }
    if text.chars().count() > longest {
        return Err(Refusal::unprocessable(format!("{what} has at most {longest} characters")));
    }
    Ok(text)
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
    match (services.as_slice(), team, cluster, all) {
        ([_, ..], None, None, false) => {
            Ok(Reach::Services(services.iter().map(|service| name(service)).collect::<Result<_, _>>()?))
        }
        ([], Some(team), None, false) => Ok(Reach::Team(line(team, "a team", LONGEST_TICKET)?.into())),
        ([], None, Some(cluster), false) => {
            Ok(Reach::Cluster(line(cluster, "a cluster", LONGEST_TICKET)?.into()))
        }
        ([], None, None, true) => Ok(Reach::All),
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
        wire::Preview::Approve { service } => Ok(Intent::Approve(name(service)?)),
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
    fn a_scope_is_one_thing() {
        let scope = |services: &[&str], team: Option<&str>, all| wire::Scope {
            services: services.iter().map(ToString::to_string).collect(),
            team: team.map(str::to_owned),
            cluster: None,
            all,
        };
        assert_eq!(reach(&scope(&[], None, true)).unwrap(), Reach::All);
        assert_eq!(reach(&scope(&[], Some("t"), false)).unwrap(), Reach::Team("t".into()));
        for bad in [scope(&[], None, false), scope(&["a"], None, true), scope(&["a"], Some("t"), false)] {
            assert!(reach(&bad).is_err(), "{bad:?}");
        }
    }
}
