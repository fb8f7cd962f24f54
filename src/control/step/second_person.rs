use crate::model::{Caller, ServiceName, UnixMillis};

use super::super::approval::Pending;
use super::super::entry::Entry;
use super::super::event::{Answer, Ask, Effect, Happening, Intent, Refused, Wish};
use super::super::history::{Deed, Draft};
use super::super::note::Note;
use super::super::state::State;
use super::ask::deed;
use super::steer::{Asked, Movement, carry_out, movement};
use super::take_in::Todo;

/// Whether a change takes a second person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Second {
    Needed,
    NotNeeded,
}

/// Whether a change takes a second person, or why it cannot wait for one. Toward Helios nothing does.
pub(super) fn takes_second(entry: &Entry, caller: &Caller, movement: &Movement) -> Result<Second, Refused> {
    if !movement.raises || !entry.config.approvals {
        return Ok(Second::NotNeeded);
    }
    if !caller.via.is_proof() {
        return Err(Refused::Unproven(entry.config.name.clone()));
    }
    match &entry.pending {
        Some(pending) if pending.by.name != caller.name => Err(Refused::WaitsAlready {
            service: entry.config.name.clone(),
            name: pending.by.name.clone(),
            what: pending.what.clone(),
        }),
        Some(_) | None => Ok(Second::Needed),
    }
}

/// Lets a change wait for a second person, in place of one of the same person's that waited before.
pub(super) fn wait_for_second(
    state: &mut State,
    slot: usize,
    asked: &Asked,
    wish: Wish,
    movement: Movement,
    todo: &mut Todo,
) {
    let Some(entry) = state.entry(slot) else { return };
    let Movement { to, what, .. } = movement;
    let name = entry.config.name.clone();
    let draft = Draft {
        before_percent: Some(entry.weight().percent()),
        after_percent: Some(to.percent()),
        details: Some(what.clone()),
        ..asked.note(Deed::ApprovalAsked).draft(Some(&name))
    };
    let text = format!(
        "{name}: {} wants {what}, to {to}: {}; it takes a second person: switchback approve {name}",
        asked.caller.name, asked.why.reason
    );
    let pending = Pending::new(asked.caller.clone(), wish, asked.why.clone(), (what, to), todo.now);
    let status = pending.status(&name);
    entry.pending = Some(pending);
    state.with_pending.insert(slot);
    todo.push(Effect::History(draft));
    todo.announce(Happening::ApprovalWanted, Some(&name), text);
    todo.answer(asked.ask, Answer::Waits(Box::new(status)));
}

/// A second person agrees.
pub(super) fn approve(
    state: &mut State,
    asked: &Asked,
    (name, seen): (&ServiceName, Option<UnixMillis>),
    note: &Note,
    todo: &mut Todo,
) {
    let found = state.slot(name).and_then(|slot| Some((slot, state.entry(slot)?)));
    let Some((slot, entry, pending)) =
        found.and_then(|(slot, entry)| Some((slot, &*entry, entry.pending.as_ref()?)))
    else {
        return todo.refuse(asked.ask, note.draft(Some(name)), Refused::NothingToApprove(name.clone()));
    };
    let caller = &asked.caller;
    let refused = if !caller.via.is_proof() {
        Some(Refused::Unproven(name.clone()))
    } else if pending.by.name == caller.name {
        Some(Refused::SamePerson { service: name.clone(), name: caller.name.clone() })
    } else if seen.is_some_and(|seen| !pending.is_of(seen)) {
        let (name, what) = (pending.by.name.clone(), pending.what.clone());
        Some(Refused::AskedAnew { service: entry.config.name.clone(), name, what })
    } else {
        None
    };
    if let Some(refused) = refused {
        return todo.refuse(asked.ask, note.draft(Some(name)), refused);
    }
    let (wish, details) = (pending.wish.clone(), Some(pending.what.clone()));
    let theirs = Note::of(&pending.by, deed(&Intent::Move(name.clone(), wish.clone())), &pending.why);
    let theirs = theirs.approved(caller);
    // What has changed meanwhile counts: a hold, or a Helios that is full now.
    match movement(entry, &wish, &theirs, todo.now) {
        Err(refused) => todo.refuse(asked.ask, note.draft(Some(name)), refused),
        Ok(movement) => {
            todo.push(Effect::History(Draft { details, ..note.draft(Some(name)) }));
            carry_out(state, slot, asked.ask, &wish, movement, theirs, todo);
        }
    }
}

/// Somebody does not agree, or who wanted it wants it no more.
pub(super) fn reject(state: &mut State, ask: Ask, name: &ServiceName, note: &Note, todo: &mut Todo) {
    let Some(pending) = state.named(name).and_then(|entry| entry.pending.take()) else {
        return todo.refuse(ask, note.draft(Some(name)), Refused::NothingToApprove(name.clone()));
    };
    let details = Some(format!("{} wanted {}", pending.by.name, pending.what));
    todo.push(Effect::History(Draft { details, ..note.draft(Some(name)) }));
    todo.answer(ask, Answer::Changed { changes: Vec::new(), applied: None, written: None });
}
