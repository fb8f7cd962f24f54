use crate::model::{ServiceName, UnixMillis};
use crate::rollout::{self, Actor};
use crate::verdict::Finding;

use super::super::event::{Change, Effect, Happening};
use super::super::guard::{Alarm, Noted};
use super::super::history::{Deed, Draft};
use super::super::journal::AppliedRecord;
use super::super::note::Note;
use super::super::receipt;
use super::super::state::State;
use super::take_in::Todo;
use super::turn::{change, turn};

/// The judge has found Kubernetes worse: the service is taken back, and the guard looks whether others were too.
pub(super) fn revert_by_judge(
    state: &mut State,
    slot: usize,
    reason: &str,
    finding: &Finding,
    todo: &mut Todo,
) {
    let Some(entry) = state.entry(slot) else { return };
    let (name, clusters) = (entry.config.name.clone(), entry.clusters());
    let noted = state.guard.note(todo.now.mono, &name, clusters, state.config.fleet.guard);
    let telling = match &noted {
        Noted::Alone => Telling::Alone,
        Noted::Alarm(_) | Noted::GoesOn => Telling::WithOthers,
    };
    let note = Note::by(Actor::Judge, Deed::Reverted, reason);
    revert(state, slot, &note, Some(finding), telling, todo);
    match noted {
        Noted::Alone => {}
        Noted::Alarm(alarm) => sound(state, &alarm, todo),
        Noted::GoesOn => {
            let why = state.guard.alarm().map(ToString::to_string).unwrap_or_default();
            stop_climbing(state, slot, &why, todo);
        }
    }
}

/// Whether people are told of a revert by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Telling {
    /// They are.
    Alone,
    /// They are told of several together.
    WithOthers,
}

/// Several services were taken back at once: no ramp climbs any more, and what else is on their cluster goes with them if
/// the configuration says so. People are told once.
fn sound(state: &mut State, alarm: &Alarm, todo: &mut Todo) {
    let mut text = alarm.to_string();
    let mut paused = 0;
    for slot in state.slots() {
        paused += usize::from(stop_climbing(state, slot, &text, todo));
    }
    if let Some(cluster) = alarm.only_cluster().filter(|_| state.config.fleet.guard.revert_cluster) {
        let note = Note::by(Actor::Guard, Deed::Reverted, text.as_str());
        let mut reverted = 0;
        for slot in state.slots() {
            let is_there = state.entry(slot).is_some_and(|entry| {
                entry.clusters().contains(cluster) && entry.can_be_taken_back() && !entry.is_held()
            });
            if is_there {
                revert(state, slot, &note, None, Telling::WithOthers, todo);
                reverted += 1;
            }
        }
        text = format!("{text}; the rest of it, {reverted} services, was taken back too");
    }
    text = format!("{text}; {paused} ramps are paused");
    todo.push(Effect::History(Draft {
        by: Some((&Actor::Guard).into()),
        details: Some(text.clone()),
        ..Draft::done(Deed::FleetGuard)
    }));
    todo.announce_by(Happening::FleetGuard, None, Some(&Actor::Guard), text);
}

/// Pauses a service's ramp, or sees to it that one that the judge has ended does not start again by itself. Tells whether it
/// was paused.
fn stop_climbing(state: &mut State, slot: usize, why: &str, todo: &mut Todo) -> bool {
    let Some(entry) = state.entry(slot).filter(|entry| entry.would_climb()) else { return false };
    let is_held = entry.is_held();
    let deed = if is_held { Deed::Reverted } else { Deed::RampPaused };
    let note = Note::by(Actor::Guard, deed, why);
    let (by, reason) = (note.by.clone(), note.reason.clone());
    let event = if is_held {
        rollout::Event::Revert { by, reason }
    } else {
        rollout::Event::PauseRamp { by, reason }
    };
    turn(state, slot, event, Some(note), None, todo);
    !is_held
}

/// Takes a service back: the one way in which that is done.
pub(super) fn revert(
    state: &mut State,
    slot: usize,
    note: &Note,
    finding: Option<&Finding>,
    telling: Telling,
    todo: &mut Todo,
) -> Option<Change> {
    let (now, configuration) = (todo.now, state.fingerprint.clone());
    let Note { by, reason, .. } = note;
    let entry = state.entry(slot)?;
    let (before, was_ramp) = (entry.weight(), entry.rollout.said().ramp.is_some());
    let was_held = match entry.rollout.state() {
        rollout::State::Settled(_) => entry.is_held(),
        rollout::State::Rising { .. } => false,
    };
    if !was_held {
        let receipt = receipt::write(entry, by, reason, finding, &configuration, now);
        entry.receipt = Some(receipt);
        entry.ledger.reverted(by, now.wall);
        entry.rearm();
    }
    entry.pending = None;
    let name = entry.config.name.clone();
    let text = format!("{name} was reverted by {by}: weight {before} → 0.00, held; {reason}");
    let event = rollout::Event::Revert { by: by.clone(), reason: reason.clone() };
    turn(state, slot, event, Some(note.clone()), None, todo);
    if !was_held {
        todo.push(Effect::WatchApplied { service: name.clone(), reverted: now.wall });
        todo.announce_revert(&name, by, telling, text);
        if was_ramp {
            let text = format!("{name}: its ramp was ended at {before} by the revert");
            todo.announce_by(Happening::RampEnded, Some(&name), Some(by), text);
        }
    }
    state.entry(slot).map(|entry| change(entry, before))
}

pub(super) fn note_applied(
    state: &mut State,
    service: &ServiceName,
    reverted: UnixMillis,
    applied: AppliedRecord,
    todo: &mut Todo,
) {
    let receipt =
        state.slot(service).and_then(|slot| state.entry(slot)).and_then(|entry| entry.receipt.as_mut());
    if let Some(receipt) = receipt.filter(|receipt| receipt::is_of(receipt, reverted)) {
        receipt.applied = Some(applied);
        if receipt.hold_written_unix_ms.is_some() {
            todo.push(Effect::WriteReceipt(service.clone(), Box::new(receipt.clone())));
        }
    }
}
