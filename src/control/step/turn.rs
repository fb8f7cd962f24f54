use std::time::Duration;

use crate::config::in_words;
use crate::model::{ServiceName, Weight};
use crate::rollout::{self, Going, Word};

use super::super::entry::{Entry, why};
use super::super::event::{Answer, Ask, Behind, CauseOfRevert, Change, Effect, Happening, Refused};
use super::super::history::{Deed, DeedOutcome, Draft};
use super::super::note::Note;
use super::super::state::{State, Waiting};
use super::take_in::Todo;

/// Lets a service's rollout take in an event, and does what it says. `note` says who wants it and why; what follows from
/// something that was noted before has none. `ask` waits for the answer.
pub(super) fn turn(
    state: &mut State,
    slot: usize,
    event: rollout::Event,
    note: Option<Note>,
    ask: Option<Ask>,
    todo: &mut Todo,
) {
    let Some(entry) = state.entry(slot) else { return };
    let (name, before) = (entry.config.name.clone(), entry.weight());
    let was_held = entry.is_held();
    let effects = entry.turn(event, todo.now);
    let (revision, is_rising) =
        (entry.rollout.revision(), matches!(entry.rollout.state(), rollout::State::Rising { .. }));
    if let [rollout::Effect::Refuse(refusal)] = effects.as_slice() {
        if let (Some(ask), Some(note)) = (ask, note) {
            let refused = Refused::NotNow { service: name.clone(), refusal: refusal.clone() };
            todo.refuse(ask, note.draft(Some(&name)), refused);
        }
        return;
    }
    let is_done = effects.iter().any(|effect| matches!(effect, rollout::Effect::Done(_)));
    let mut note = note;
    for effect in effects {
        match effect {
            rollout::Effect::Publish => {
                state.refresh(slot);
                todo.publish = true;
            }
            rollout::Effect::Write(record) => {
                let draft = note.take().and_then(|note| {
                    let draft = draft(state.entry(slot)?, &note, before, &record);
                    state.waiting.insert((name.clone(), revision), Waiting { ask, before, note });
                    Some(draft)
                });
                write(name.clone(), record, draft, is_rising, todo);
            }
            rollout::Effect::Done(revision) => {
                done(state, slot, revision, was_held, todo);
                state.refresh(slot);
            }
            rollout::Effect::Failed(revision) => {
                let refused = Refused::NotWritten(name.clone());
                if let Some(entry) = state.entry(slot) {
                    entry.failed_at = Some(todo.now.mono);
                }
                fail(state, &name, revision, DeedOutcome::NotWritten, refused, todo);
                state.refresh(slot);
            }
            rollout::Effect::Overtaken(revision) => {
                let refused = Refused::Overtaken(name.clone());
                fail(state, &name, revision, DeedOutcome::Overtaken, refused, todo);
            }
            // Nobody is waiting for the answer.
            rollout::Effect::Refuse(_) => {}
        }
    }
    if let (Some(note), true, Some(entry)) = (note, is_done, state.entry(slot)) {
        // It was so already: the history has all the same who wanted it.
        let percent = Some(entry.weight().percent());
        let details = Some("it was so already".to_owned());
        let draft = note.draft(Some(&name));
        todo.push(Effect::History(Draft {
            details,
            before_percent: percent,
            after_percent: percent,
            ..draft
        }));
    }
    keep_ledger(state, slot, todo);
}

/// What the history says of a change.
fn draft(entry: &Entry, note: &Note, before: Weight, record: &rollout::Record) -> Draft {
    Draft {
        before_percent: Some(before.percent()),
        after_percent: Some(entry.weight_under(&record.said).percent()),
        ..note.draft(Some(&entry.config.name))
    }
}

/// Toward Kubernetes the history comes before the record; toward Helios both come behind what is in force already.
fn write(
    service: ServiceName,
    record: rollout::Record,
    draft: Option<Draft>,
    is_rising: bool,
    todo: &mut Todo,
) {
    let draft = draft.map(Box::new);
    let history = if is_rising { Behind::First(draft) } else { Behind::Then(draft) };
    todo.push(Effect::WriteRecord { service, record, history });
}

/// A change has come into force.
fn done(state: &mut State, slot: usize, revision: u64, was_held: bool, todo: &mut Todo) {
    let Some(entry) = state.entry(slot) else { return };
    let name = entry.config.name.clone();
    if was_held && !entry.is_held() {
        entry.rearm();
    }
    let waiting = state.waiting.remove(&(name.clone(), revision));
    if let (Some(Waiting { ask, before, note }), Some(entry)) = (waiting, state.entry(slot)) {
        tell(entry, &note, before, todo);
        note_in_ledger(entry, &note, todo);
        if let Some(ask) = ask {
            // A hold is waited for: nobody is to go to bed before it is safe.
            let records = if entry.is_held() { vec![(name, revision)] } else { Vec::new() };
            let changes = vec![change(entry, before)];
            todo.push(Effect::AnswerWhenApplied(ask, changes, records));
        }
    }
}

/// What the ledger counts beside weights.
fn note_in_ledger(entry: &mut Entry, note: &Note, todo: &mut Todo) {
    if note.deed == Deed::Migrated {
        entry.ledger.migrated(todo.now.wall);
    }
    if note.cause == CauseOfRevert::FalseAlarm {
        let (name, promise) = (&entry.config.name, entry.config.judge.rule.false_revert_every);
        let times = entry.ledger.false_alarm(promise, todo.now.wall);
        if times > 1 {
            let promise = in_words(promise);
            let text = format!(
                "{name}: {times} reverts were false in {promise}, and one was promised: `switchback calibrate {name}` says how noisy it is"
            );
            todo.announce(Happening::PromiseBroken, Some(name), text);
        }
    }
}

/// Tells people of a change. Who reverts has told of it.
fn tell(entry: &Entry, note: &Note, before: Weight, todo: &mut Todo) {
    let Note { by, reason, .. } = note;
    let (name, weight, said) = (&entry.config.name, entry.weight(), entry.rollout.said());
    let second = note.approved_by.as_ref().map(|name| format!(", approved by {name}")).unwrap_or_default();
    let lasts = match &said.word {
        Word::Override(over) => over.until.map(|until| until.0.saturating_sub(over.since.0)),
        Word::File | Word::Held(_) => None,
    };
    let lasts = lasts.map(|ms| format!(" for {}", in_words(Duration::from_millis(ms)))).unwrap_or_default();
    let place = || {
        let plan = entry.plan();
        format!("step {} of {}", plan.number(weight), plan.steps.len())
    };
    let decides = if said.ramp.is_some() { "ramp" } else { "file" };
    let (happening, text) = match note.deed {
        Deed::WeightSet => (Happening::WeightChanged, format!("{by} set the weight to {weight}{lasts}")),
        Deed::Released => (Happening::Released, format!("{by} released it to {weight}")),
        Deed::OverrideCleared | Deed::OverrideEnded => {
            let text = format!("the override has ended ({by}): weight {weight}, as the {decides} says");
            (Happening::WeightChanged, text)
        }
        Deed::RampStarted | Deed::Migrated => {
            (Happening::RampChanged, format!("{by} started its ramp at {weight}, {}", place()))
        }
        Deed::RampAgain => {
            (Happening::RampChanged, format!("its ramp has started again at {weight}, {}", place()))
        }
        Deed::RampPaused => (Happening::RampChanged, format!("{by} paused its ramp at {weight}")),
        Deed::RampResumed => (Happening::RampChanged, format!("{by} resumed its ramp at {weight}")),
        Deed::RampStopped => {
            (Happening::RampChanged, format!("{by} stopped its ramp: weight {weight}, as the file says"))
        }
        Deed::RampStepped => (Happening::RampStepped, format!("weight {before} → {weight}, {}", place())),
        // Told elsewhere, or by the history alone.
        _ => return,
    };
    todo.announce_by(happening, Some(name), Some(by), format!("{name}: {text}{second}: {reason}"));
    let is_done = said.deciding_ramp().is_some_and(|ramp| ramp.going == Going::Done);
    if is_done && happening == Happening::RampStepped {
        let text = format!("{name}: its ramp is done: write {weight} into its file");
        todo.announce_by(Happening::RampEnded, Some(name), Some(by), text);
    }
}

fn fail(
    state: &mut State,
    name: &ServiceName,
    revision: u64,
    outcome: DeedOutcome,
    refused: Refused,
    todo: &mut Todo,
) {
    let Some(Waiting { ask, note, .. }) = state.waiting.remove(&(name.clone(), revision)) else { return };
    todo.push(Effect::History(Draft { outcome, ..note.draft(Some(name)) }));
    if let Some(ask) = ask {
        todo.answer(ask, Answer::Refused(refused));
    }
}

pub(super) fn change(entry: &Entry, before: Weight) -> Change {
    Change {
        service: entry.config.name.to_string(),
        before_percent: before.percent(),
        after_percent: entry.weight().percent(),
        why: why(entry.rollout.said()).to_owned(),
    }
}

/// Has what the ledger knows of a service kept, if it is something new.
pub(super) fn keep_ledger(state: &mut State, slot: usize, todo: &mut Todo) {
    let Some(entry) = state.entry(slot) else { return };
    if std::mem::take(&mut entry.ledger.unsaved) {
        let record = Box::new(entry.ledger.record().clone());
        todo.push(Effect::WriteLedger(entry.config.name.clone(), record));
    }
}

/// A record is on disk, or could not be written.
pub(super) fn written(state: &mut State, service: &ServiceName, revision: u64, ok: bool, todo: &mut Todo) {
    if !ok {
        let text = format!("{service}: its record cannot be written to the state directory; trying again");
        todo.announce(Happening::NotWritten, Some(service), text);
    }
    let Some(slot) = state.slot(service) else {
        // Its file has gone meanwhile: what was said of it is kept all the same.
        let event = rollout::Event::Written { revision, ok };
        let again = state.written_elsewhere(service, event, todo.now.wall);
        todo.effects.extend(again.map(|record| Effect::WriteRecord {
            service: service.clone(),
            record,
            history: Behind::Then(None),
        }));
        return;
    };
    if let Some(entry) = state.entry(slot)
        && ok
    {
        entry.written = entry.written.max(revision);
        let holds = entry.is_held() && entry.rollout.revision() == revision;
        if let Some(receipt) =
            entry.receipt.as_mut().filter(|receipt| holds && receipt.hold_written_unix_ms.is_none())
        {
            receipt.hold_written_unix_ms = Some(todo.now.wall.0);
            todo.push(Effect::WriteReceipt(service.clone(), Box::new(receipt.clone())));
        }
    }
    turn(state, slot, rollout::Event::Written { revision, ok }, None, None, todo);
}
