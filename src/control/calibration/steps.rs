use std::time::Duration;

use crate::config::{ServiceConfig, in_words};
use crate::model::{ServiceName, Weight};
use crate::rollout::Actor;

use super::super::event::{Answer, Ask, Effect, Happening, Now, Refused};
use super::super::journal::{EndingRecord, JudgementRecord};
use super::super::note::Note;
use super::super::state::State;
use super::super::step::Todo;
use super::record::{Ending, record, status};
use super::running::{CalibrationOrder, Running};
use super::service::{MOST_AT_ONCE, Objection, objection, upset};

/// Begins to compare a service's Helios with itself.
pub(in crate::control) fn begin(
    state: &mut State,
    ask: Ask,
    service: &ServiceName,
    lasts: Duration,
    note: &Note,
    todo: &mut Todo,
) {
    let others = state.calibrating.len();
    let Some((slot, entry)) = state.slot(service).and_then(|slot| Some((slot, state.entry(slot)?))) else {
        return todo.refuse(ask, note.draft(Some(service)), Refused::NoService(service.clone()));
    };
    let objection = objection(&entry.config)
        .or_else(|| (entry.weight() == Weight::FULL).then_some(Objection::NothingOnHelios))
        .or_else(|| entry.calibrations.running.is_some().then_some(Objection::Running))
        .or_else(|| (others >= MOST_AT_ONCE).then_some(Objection::TooMany));
    if let Some(objection) = objection {
        return refuse(ask, service, objection, note, todo);
    }
    let reason = Some(note.reason.clone()).filter(|reason| !reason.is_empty());
    let order = CalibrationOrder { lasts, by: note.by.clone(), reason };
    let running = Running::new(todo.now, entry.watch.judge(), order);
    entry.calibrations.running = Some(Box::new(running));
    entry.calibrations.interrupted = None;
    let answer = status(entry, todo.now);
    state.calibrating.insert(slot);
    keep(state, slot, todo);
    todo.push(Effect::History(note.draft(Some(service))));
    todo.answer(ask, Answer::Calibration(Box::new(answer)));
}

/// Ends a service's calibration before its time.
pub(in crate::control) fn stop(
    state: &mut State,
    ask: Ask,
    service: &ServiceName,
    note: &Note,
    todo: &mut Todo,
) {
    let Some(slot) = state.slot(service).filter(|slot| state.calibrating.contains(slot)) else {
        return refuse(ask, service, Objection::NotRunning, note, todo);
    };
    let Note { by, reason, .. } = note;
    let why = if reason.is_empty() { by.to_string() } else { format!("{by}: {reason}") };
    end(state, slot, Ending { ending: EndingRecord::Stopped, why: Some(why) }, Some(by), todo);
    todo.push(Effect::History(note.draft(Some(service))));
    if let Some(answer) = tell(state, service, todo.now) {
        todo.answer(ask, answer);
    }
}

/// How a service's calibration goes, and what the last one came to.
pub(in crate::control) fn tell(state: &mut State, service: &ServiceName, now: Now) -> Option<Answer> {
    let entry = state.named(service)?;
    Some(Answer::Calibration(Box::new(status(entry, now))))
}

/// Judges what was counted since the last tick. One calibration at most ends in a tick: to sum it up takes time, and many
/// may have been begun at once.
pub(in crate::control) fn tick(state: &mut State, todo: &mut Todo) {
    let (now, mut over) = (todo.now.mono, None);
    for slot in state.calibrating.clone() {
        let Some(running) = state.entry(slot).and_then(|entry| entry.calibrations.running.as_mut()) else {
            continue;
        };
        running.tick(now);
        if running.is_over(now) {
            over.get_or_insert(slot);
        }
    }
    if let Some(slot) = over {
        end(state, slot, Ending { ending: EndingRecord::Finished, why: None }, None, todo);
    }
}

/// Ends a service's calibration if this configuration, which is about to come into force, is another to be judged by.
pub(in crate::control) fn reconsider(
    state: &mut State,
    slot: usize,
    config: &ServiceConfig,
    todo: &mut Todo,
) {
    let Some(entry) = state.entry(slot).filter(|entry| entry.calibrations.running.is_some()) else { return };
    if let Some(why) = upset(&entry.config, config) {
        end(state, slot, Ending { ending: EndingRecord::Changed, why: Some(why) }, None, todo);
    }
}

fn end(state: &mut State, slot: usize, ending: Ending, by: Option<&Actor>, todo: &mut Todo) {
    state.calibrating.remove(&slot);
    let Some(entry) = state.entry(slot) else { return };
    let Some(running) = entry.calibrations.running.take() else { return };
    let name = entry.config.name.clone();
    let ran = in_words(running.ran(todo.now.mono));
    let how = match (ending.ending, &ending.why) {
        (EndingRecord::Stopped, Some(why)) => format!("the calibration was stopped after {ran} by {why}"),
        (_, Some(why)) => format!("the calibration has ended after {ran}, as {why}"),
        (_, None) => format!("calibrated for {ran}, Helios against Helios"),
    };
    let record = record(entry, &running, ending, todo.now);
    let text = format!("{name}: {how}: {}; {}", in_a_word(record.judgement), record.told);
    entry.calibrations.last = Some(record);
    keep(state, slot, todo);
    todo.announce_by(Happening::Calibrated, Some(&name), by, text);
}

/// Has workers follow, and what is known written down.
fn keep(state: &mut State, slot: usize, todo: &mut Todo) {
    state.refresh(slot);
    todo.publish = true;
    let Some(entry) = state.entry(slot) else { return };
    let name = entry.config.name.clone();
    let record = entry.calibrations.to_keep(&name);
    todo.push(Effect::WriteCalibrations(name, Box::new(record)));
}

fn refuse(ask: Ask, service: &ServiceName, objection: Objection, note: &Note, todo: &mut Todo) {
    let refused = Refused::Calibration { service: service.clone(), objection };
    todo.refuse(ask, note.draft(Some(service)), refused);
}

fn in_a_word(judgement: JudgementRecord) -> &'static str {
    match judgement {
        JudgementRecord::Within => "within the promise",
        JudgementRecord::Broken => "the promise is broken",
        JudgementRecord::TooShort => "too short to say",
    }
}
