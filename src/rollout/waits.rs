use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::model::UnixMillis;

use super::calendar::Freeze;
use super::plan::Plan;
use super::said::{Going, Ramp};
use super::word::Actor;

/// What is seen of a service at a ramp's step.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// The time of the day.
    pub now: UnixMillis,
    /// For how long it has been at the step.
    pub at_step: Duration,
    /// Requests that Kubernetes has answered at it.
    pub requests: u64,
    /// How many it answers in a second at present.
    pub per_second: f64,
    /// The judge's word.
    pub judged: Judged,
    /// Whether Helios can take everything back.
    pub room: Room,
}

/// What the judge makes of Kubernetes at a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// Its verdict.
    pub says: Says,
    /// How strongly what it has seen since the step speaks against Kubernetes being worse, in nats.
    pub nats: f64,
    /// How much of it comes in a second at present.
    pub nats_per_second: f64,
    /// The question of which it is least sure.
    pub question: &'static str,
}

/// A verdict, as far as a ramp goes by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// Kubernetes is not worse.
    NotWorse,
    /// Kubernetes is worse.
    Worse,
    /// There is too little evidence.
    TooLittleEvidence,
    /// Helios gets nothing to compare with.
    Blind,
    /// Nothing is judged.
    Nothing,
}

/// Whether Helios can take everything back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Room {
    /// It can.
    Fits,
    /// It cannot: why.
    DoesNotFit(Arc<str>),
    /// Nobody knows yet.
    Unknown,
}

/// Something that a ramp waits for before it takes its next step.
#[derive(Clone, Debug, PartialEq)]
pub enum Wait {
    /// A person, to resume it.
    Paused {
        /// Who paused it.
        by: Actor,
        /// Why.
        reason: Arc<str>,
    },
    /// An override, to end.
    Overridden,
    /// Time at the step.
    Time {
        /// How much of it is left.
        left: Duration,
    },
    /// Requests on Kubernetes.
    Requests {
        /// So many there were.
        seen: u64,
        /// So many there must be.
        wanted: u64,
        /// How long that takes at the present rate; `None` for ever.
        left: Option<Duration>,
    },
    /// The judge, to be surer that Kubernetes is not worse.
    Certainty {
        /// How sure it is, 0 to 1.
        certainty: f64,
        /// How sure it must be.
        wanted: f64,
        /// The question of which it is least sure.
        question: &'static str,
        /// How long that takes at the present rate; `None` for ever.
        left: Option<Duration>,
    },
    /// The judge, to say that Kubernetes is not worse.
    Verdict(Says),
    /// Helios, to be able to take everything back.
    Room(Room),
    /// Its hours, to come.
    Hours {
        /// When they do; `None` never.
        at: Option<UnixMillis>,
    },
    /// A freeze, to end.
    Freeze {
        /// When it does.
        at: UnixMillis,
        /// As it is written.
        text: Arc<str>,
    },
}

/// Longer than this is as good as never; it also keeps conversions in range.
const LONGEST_S: f64 = 1e9;

/// What a ramp waits for; nothing if its next step can be taken. `word_stands` says that an override is above it.
pub fn waits(ramp: &Ramp, plan: &Plan, frozen: &[Freeze], seen: &Seen, word_stands: bool) -> Vec<Wait> {
    let mut waits = Vec::new();
    if let Going::Paused { by, reason, .. } = &ramp.going {
        waits.push(Wait::Paused { by: by.clone(), reason: reason.clone() });
    }
    if word_stands {
        waits.push(Wait::Overridden);
    }
    // An edited plan may begin above the weight that a ramp is at. One that is only to begin waits for nothing of a step.
    let first = plan.steps.first().filter(|_| !ramp.weight.is_zero());
    if let Some(step) = plan.step(ramp.weight).or(first) {
        let left = step.hold.saturating_sub(seen.at_step);
        if !left.is_zero() {
            waits.push(Wait::Time { left });
        }
        if seen.requests < step.requests {
            let missing = (step.requests - seen.requests) as f64;
            let left = time_for(missing, seen.per_second);
            waits.push(Wait::Requests { seen: seen.requests, wanted: step.requests, left });
        }
        waits.extend(for_the_judge(&seen.judged, step.certainty));
    }
    if seen.room != Room::Fits {
        waits.push(Wait::Room(seen.room.clone()));
    }
    waits.extend(for_the_calendar(plan, frozen, seen.now));
    waits
}

fn for_the_judge(judged: &Judged, wanted: f64) -> Option<Wait> {
    match judged.says {
        // Where nothing is to be certain it is enough that nothing speaks against Kubernetes.
        Says::NotWorse | Says::TooLittleEvidence if wanted <= 0.0 => return None,
        Says::Worse | Says::Blind | Says::Nothing => return Some(Wait::Verdict(judged.says)),
        Says::NotWorse | Says::TooLittleEvidence => {}
    }
    let needed = -(1.0 - wanted).ln();
    if judged.nats < needed {
        let certainty = 1.0 - (-judged.nats.max(0.0)).exp();
        let left = time_for(needed - judged.nats, judged.nats_per_second);
        return Some(Wait::Certainty { certainty, wanted, question: judged.question, left });
    }
    (judged.says != Says::NotWorse).then_some(Wait::Verdict(judged.says))
}

fn for_the_calendar(plan: &Plan, frozen: &[Freeze], now: UnixMillis) -> Vec<Wait> {
    let mut waits = Vec::new();
    let freeze = plan.freezes.iter().chain(frozen).filter(|freeze| freeze.is_on(now));
    // The one that lasts longest says when there is hope.
    if let Some(freeze) = freeze.max_by_key(|freeze| freeze.to) {
        waits.push(Wait::Freeze { at: freeze.to, text: freeze.text.clone() });
    }
    match plan.hours.next(now) {
        Some(at) if at <= now => {}
        at => waits.push(Wait::Hours { at }),
    }
    waits
}

fn time_for(missing: f64, per_second: f64) -> Option<Duration> {
    let seconds = missing / per_second;
    (per_second > 0.0 && seconds < LONGEST_S).then(|| Duration::from_secs_f64(seconds))
}

impl Says {
    /// The word for records and machine-readable answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Says::NotWorse => "not worse",
            Says::Worse => "worse",
            Says::TooLittleEvidence => "too little evidence",
            Says::Blind => "blind",
            Says::Nothing => "off",
        }
    }
}

impl Wait {
    /// The word for metrics and machine-readable answers.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Wait::Paused { .. } => "paused",
            Wait::Overridden => "override",
            Wait::Time { .. } => "time",
            Wait::Requests { .. } => "requests",
            Wait::Certainty { .. } => "certainty",
            Wait::Verdict(_) => "verdict",
            Wait::Room(_) => "room",
            Wait::Hours { .. } => "hours",
            Wait::Freeze { .. } => "freeze",
        }
    }

    /// How long it will last at the present rate, if anybody can say; `now` is the time of the day.
    pub fn left(&self, now: UnixMillis) -> Option<Duration> {
        let until = |at: UnixMillis| Duration::from_millis(at.0.saturating_sub(now.0));
        match self {
            Wait::Time { left } => Some(*left),
            Wait::Requests { left, .. } | Wait::Certainty { left, .. } => *left,
            Wait::Hours { at } => at.map(until),
            Wait::Freeze { at, .. } => Some(until(*at)),
            Wait::Paused { .. } | Wait::Overridden | Wait::Verdict(_) | Wait::Room(_) => None,
        }
    }
}

impl fmt::Display for Wait {
    /// What it waits for, as the end of a sentence that begins with "waits for"; without how long.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wait::Paused { by, reason } => write!(f, "somebody to resume it: paused by {by}: {reason}"),
            Wait::Overridden => f.write_str("the override to end"),
            Wait::Time { .. } => f.write_str("its time at this step"),
            Wait::Requests { seen, wanted, .. } => write!(f, "requests on Kubernetes: {seen} of {wanted}"),
            Wait::Certainty { certainty, wanted, question, .. } => {
                let percent = |share: f64| (share * 1e4).floor() / 1e2;
                let (is, must) = (percent(*certainty), percent(*wanted));
                write!(
                    f,
                    "the judge to be {must}% sure that Kubernetes is not worse: it is {is}% ({question})"
                )
            }
            Wait::Verdict(Says::Blind) => {
                f.write_str("Helios to get requests: there is nothing to compare with")
            }
            Wait::Verdict(Says::Nothing) => f.write_str("a judge: that of this service is off"),
            Wait::Verdict(says) => {
                write!(f, "the judge to say that Kubernetes is not worse: it says {}", says.as_str())
            }
            Wait::Room(Room::DoesNotFit(why)) => write!(f, "room on Helios: {why}"),
            Wait::Room(Room::Fits | Room::Unknown) => f.write_str(
                "it to be known what Helios can take: an hour of traffic, or its capacity in the file",
            ),
            Wait::Hours { at: Some(_) } => f.write_str("its hours"),
            Wait::Hours { at: None } => f.write_str("hours that never come"),
            Wait::Freeze { text, .. } => write!(f, "the freeze to end: {text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Weight;
    use crate::rollout::{Hours, Span, Step};

    fn percent(percent: f64) -> Weight {
        Weight::from_percent(percent).unwrap()
    }

    fn ramp(going: Going) -> Ramp {
        Ramp {
            plan: None,
            weight: percent(5.0),
            since: UnixMillis(0),
            by: Actor::Judge,
            reason: "x".into(),
            started: UnixMillis(0),
            going,
            cut_at: Weight::ZERO,
            agains: 0,
        }
    }

    fn plan() -> Plan {
        let step =
            |to| Step { to: percent(to), hold: Duration::from_hours(2), requests: 1_000, certainty: 0.99 };
        Plan { steps: vec![step(5.0), step(25.0)], hours: Hours::default(), freezes: Vec::new(), again: None }
    }

    fn content() -> Seen {
        Seen {
            now: UnixMillis(1_000_000),
            at_step: Duration::from_hours(2),
            requests: 1_000,
            per_second: 2.0,
            judged: Judged { says: Says::NotWorse, nats: 5.0, nats_per_second: 0.1, question: "failures" },
            room: Room::Fits,
        }
    }

    fn kinds(plan: &Plan, seen: &Seen) -> Vec<(&'static str, Option<u64>)> {
        let waits = waits(&ramp(Going::On), plan, &[], seen, false);
        waits.iter().map(|wait| (wait.as_str(), wait.left(seen.now).map(|left| left.as_secs()))).collect()
    }

    #[test]
    fn a_step_is_taken_when_nothing_speaks_against_it_and_each_thing_alone_keeps_it_back() {
        assert_eq!(kinds(&plan(), &content()), []);
        let judged = content().judged;
        for (seen, wanted) in [
            (Seen { at_step: Duration::from_mins(90), ..content() }, ("time", Some(1_800))),
            (Seen { requests: 400, ..content() }, ("requests", Some(300))),
            (Seen { requests: 400, per_second: 0.0, ..content() }, ("requests", None)),
            (Seen { judged: Judged { nats: 4.1, ..judged }, ..content() }, ("certainty", Some(5))),
            (
                Seen { judged: Judged { nats: -50.0, nats_per_second: -1.0, ..judged }, ..content() },
                ("certainty", None),
            ),
            (
                Seen { judged: Judged { says: Says::TooLittleEvidence, ..judged }, ..content() },
                ("verdict", None),
            ),
            (Seen { judged: Judged { says: Says::Blind, ..judged }, ..content() }, ("verdict", None)),
            (Seen { judged: Judged { says: Says::Nothing, ..judged }, ..content() }, ("verdict", None)),
            (Seen { room: Room::DoesNotFit("full".into()), ..content() }, ("room", None)),
            (Seen { room: Room::Unknown, ..content() }, ("room", None)),
        ] {
            assert_eq!(kinds(&plan(), &seen), [wanted], "{seen:?}");
        }
        let paused = Going::Paused { by: Actor::Guard, reason: "x".into(), since: UnixMillis(0) };
        assert_eq!(waits(&ramp(paused), &plan(), &[], &content(), false)[0].as_str(), "paused");
        assert_eq!(waits(&ramp(Going::On), &plan(), &[], &content(), true), [Wait::Overridden]);
    }

    #[test]
    fn below_an_edited_plan_what_holds_for_its_first_step_is_waited_for() {
        let step = Step { to: percent(10.0), ..plan().steps[0] };
        let edited = Plan { steps: vec![step], ..plan() };
        let seen = Seen { at_step: Duration::from_mins(90), ..content() };
        assert_eq!(kinds(&edited, &seen), [("time", Some(1_800))]);
    }

    #[test]
    fn it_waits_for_its_hours_and_for_the_longest_freeze() {
        // The first of January 1970 was a Thursday; a quarter past midnight.
        let hours = |text| Hours { spans: vec![Span::parse(text).unwrap()], ..Hours::default() };
        let seen = Seen { now: UnixMillis(900_000), ..content() };
        let friday = Plan { hours: hours("Fri 09:00-16:00"), ..plan() };
        assert_eq!(kinds(&friday, &seen), [("hours", Some(33 * 3_600 - 900))]);
        let thursday = Plan { hours: hours("Thu 00:00-01:00"), ..plan() };
        assert_eq!(kinds(&thursday, &seen), []);
        let freeze = |to, text: &str| Freeze { from: UnixMillis(0), to: UnixMillis(to), text: text.into() };
        let frozen = Plan { freezes: vec![freeze(910_000, "short")], ..plan() };
        let waits = waits(&ramp(Going::On), &frozen, &[freeze(990_000, "company's")], &seen, false);
        assert_eq!(waits, [Wait::Freeze { at: UnixMillis(990_000), text: "company's".into() }]);
    }

    #[test]
    fn who_wants_no_certainty_waits_for_no_verdict_but_is_not_blind_to_a_bad_one() {
        let plan = Plan {
            steps: plan().steps.into_iter().map(|s| Step { certainty: 0.0, ..s }).collect(),
            ..plan()
        };
        let with = |says| Seen {
            judged: Judged { says, nats: 0.0, nats_per_second: 0.0, question: "failures" },
            ..content()
        };
        assert_eq!(kinds(&plan, &with(Says::TooLittleEvidence)), []);
        assert_eq!(kinds(&plan, &with(Says::Worse)), [("verdict", None)]);
    }
}
