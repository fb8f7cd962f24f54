use crate::model::Millis;
use crate::rollout::{self, Actor};
use crate::tally::Report;

use super::super::calibration;
use super::super::entry::{Entry, Judged};
use super::super::event::{Effect, Happening, Why};
use super::super::history::{Deed, DeedOutcome, Draft};
use super::super::note::Note;
use super::super::receipt;
use super::super::refusals::More;
use super::super::state::State;
use super::endpoints::{cluster_out, eject, follow_capacity, follow_lineups, go_by_others};
use super::fall::revert_by_judge;
use super::take_in::Todo;
use super::turn::{keep_ledger, turn};

/// How often it is looked whether ramps come to a step. They wait for a second at least.
const CLIMBS_EVERY: Millis = Millis(1_000);

/// Time has passed.
pub(super) fn tick(state: &mut State, todo: &mut Todo) {
    for slot in std::mem::take(&mut state.to_judge) {
        judge(state, slot, todo);
    }
    calibration::tick(state, todo);
    for slot in state.timed.clone() {
        let word = state.entry(slot).map(|entry| entry.rollout.word().clone());
        let Some(rollout::Word::Override(over)) = word else { continue };
        if over.until.is_some_and(|until| until <= todo.now.wall) {
            let note = Note::by(over.by, Deed::OverrideEnded, "it was its time");
            turn(state, slot, rollout::Event::Tick, Some(note), None, todo);
        }
    }
    follow_lineups(state, todo);
    if state.climbed.is_none_or(|at| todo.now.mono.since(at) >= CLIMBS_EVERY) {
        state.climbed = Some(todo.now.mono);
        state.guard.tick(todo.now.mono, state.config.fleet.guard);
        climb(state, todo);
        forget_approvals(state, todo);
        for More { caller, times } in state.refusals.tick(todo.now.mono) {
            let draft = Note::of(&caller, Deed::Looked, &Why::default()).draft(None);
            let details = Some(format!("{times} more questions were refused within a minute"));
            todo.push(Effect::History(Draft { outcome: DeedOutcome::Refused, details, ..draft }));
        }
        for slot in state.slots_with_news() {
            keep_ledger(state, slot, todo);
        }
    }
}

fn judge(state: &mut State, slot: usize, todo: &mut Todo) {
    let now = todo.now;
    eject(state, slot, todo);
    follow_capacity(state, slot, todo);
    let Some(entry) = state.entry(slot) else { return };
    if entry.learn(now.mono) {
        state.refresh(slot);
        todo.publish = true;
    }
    let Some(entry) = state.entry(slot) else { return };
    match entry.tick(now.mono) {
        Judged::Fine => {}
        Judged::Revert(finding) => {
            let reason = receipt::reason(entry, &finding);
            if let Some((cluster, why)) = entry.accuse(now.mono) {
                cluster_out(entry, &cluster, &why, Some(&reason), todo);
                go_by_others(state, slot, todo);
                state.waits.insert(slot);
                return;
            }
            revert_by_judge(state, slot, &reason, &finding, todo);
        }
        Judged::Advise(finding) => {
            let name = entry.config.name.clone();
            let text = format!("{name} would be reverted: {}", receipt::reason(entry, &finding));
            todo.announce(Happening::Advised, Some(&name), text);
        }
    }
}

/// Lets ramps take the step that nothing speaks against.
fn climb(state: &mut State, todo: &mut Todo) {
    let fleet = state.config.fleet.clone();
    for slot in state.climbing.clone() {
        let Some(entry) = state.entry(slot) else { continue };
        let Some((event, why)) = entry.climb(&fleet, todo.now) else { continue };
        let deed = match &event {
            rollout::Event::Again { .. } => Deed::RampAgain,
            rollout::Event::File(_) | rollout::Event::Step { climbs: false, .. }
                if !raises(entry, &event) =>
            {
                Deed::RampEnded
            }
            _ => Deed::RampStepped,
        };
        turn(state, slot, event, Some(Note::by(Actor::Ramp, deed, why)), None, todo);
    }
}

fn raises(entry: &Entry, event: &rollout::Event) -> bool {
    matches!(event, rollout::Event::Step { to, .. } if *to > entry.weight())
}

/// What nobody has agreed to in time is not wanted any more.
fn forget_approvals(state: &mut State, todo: &mut Todo) {
    for slot in state.slots_with_pending() {
        let Some(entry) = state.entry(slot) else { continue };
        let over = entry.pending.take_if(|pending| pending.is_over(todo.now.mono));
        let Some(pending) = over else { continue };
        let name = entry.config.name.clone();
        let draft = Note::of(&pending.by, Deed::ApprovalEnded, &pending.why).draft(Some(&name));
        let details = Some(format!("nobody has agreed in time: {}", pending.what));
        todo.push(Effect::History(Draft { outcome: DeedOutcome::Refused, details, ..draft }));
    }
}

/// A worker has counted.
pub(super) fn count(state: &mut State, report: &Report, todo: &mut Todo) {
    if let Some(connections) = state.connections.get_mut(report.worker) {
        *connections = report.connections;
    }
    for service in &report.services {
        let Some(entry) = state.entry_of(service.id) else { continue };
        let slot = service.id.slot as usize;
        let others = entry.add(todo.now.mono, report.worker, service);
        state.to_judge.insert(slot);
        if others {
            go_by_others(state, slot, todo);
        }
    }
}
