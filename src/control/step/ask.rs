use std::sync::Arc;

use crate::model::{Caller, Role, ServiceName};

use super::super::calibration;
use super::super::entry::Entry;
use super::super::event::{
    Answer, Ask, Command, Effect, Happening, Intent, Looking, Now, Reach, Refused, Why, Wish,
};
use super::super::history::{Deed, DeedOutcome, Draft};
use super::super::ledger::sum_up;
use super::super::note::Note;
use super::super::state::State;
use super::super::steering::ReadinessStatus;
use super::super::views::ProcessStatus;
use super::steer::{Asked, preview, steer};
use super::take_in::Todo;

/// Somebody asks for something.
pub(super) fn answer(state: &mut State, ask: Ask, caller: Box<Caller>, command: Command, todo: &mut Todo) {
    if let Err(refused) = may(state, &caller, &command) {
        let (deed, service) = (deed_of(&command), one_service(&command));
        let why = if let Command::Change(_, why) = command { why } else { Why::default() };
        if deed == Deed::Looked && !state.refusals.note(&caller, todo.now.mono) {
            return todo.answer(ask, Answer::Refused(refused));
        }
        let draft = Note::of(&caller, deed, &why).draft(service.as_ref());
        return todo.refuse(ask, draft, refused);
    }
    match command {
        Command::Change(intent, why) => {
            steer(state, &Asked { ask, caller: Arc::from(caller), why }, intent, todo);
        }
        Command::LoginFailed { from, details, times } => {
            let details = if times > 1 { format!("{details}, {times} times") } else { details.to_string() };
            let (from, details) = (Some(from.to_string()), Some(details));
            let outcome = DeedOutcome::Refused;
            todo.push(Effect::History(Draft { outcome, from, details, ..Draft::done(Deed::LoginFailed) }));
            todo.answer(ask, Answer::Noted);
        }
        Command::RightsChanged(details) => {
            todo.note(Deed::RightsChanged, &details);
            todo.announce(Happening::RightsChanged, None, details.to_string());
            todo.answer(ask, Answer::Noted);
        }
        Command::RightsRefused(details) => {
            let (outcome, text) = (DeedOutcome::Refused, details.to_string());
            let draft = Draft { outcome, details: Some(text.clone()), ..Draft::done(Deed::RightsChanged) };
            todo.push(Effect::History(draft));
            todo.announce(Happening::RightsRefused, None, text);
            todo.answer(ask, Answer::Noted);
        }
        look => {
            let answer = tell(state, &caller, look, todo.now);
            todo.answer(ask, answer);
        }
    }
}

/// What somebody wants to know.
fn tell(state: &mut State, caller: &Caller, command: Command, now: Now) -> Answer {
    let fleet = state.config.fleet.clone();
    match command {
        Command::Process => Answer::Process(Box::new(process_status(state, now))),
        Command::Status(one) => {
            let mut services = Vec::new();
            for slot in state.slots() {
                let seen = state.entry(slot).filter(|entry| sees(caller, entry, one.as_ref()));
                services.extend(seen.map(|entry| entry.status(&fleet, now)));
            }
            Answer::Status(services)
        }
        Command::Receipt(name) => {
            Answer::Receipt(Box::new(state.named(&name).and_then(|entry| entry.receipt.clone())))
        }
        Command::Sensitivity(name) => match state.named(&name) {
            Some(entry) => Answer::Sensitivity(entry.sensitivity(now.mono)),
            None => Answer::Refused(Refused::NoService(name)),
        },
        Command::Calibration(name) => {
            calibration::tell(state, &name, now).unwrap_or(Answer::Refused(Refused::NoService(name)))
        }
        Command::Readiness(name) => match state.named(&name) {
            Some(entry) => Answer::Readiness(ReadinessStatus::of(&name, entry.readiness(now))),
            None => Answer::Refused(Refused::NoService(name)),
        },
        Command::Preview(intent) => {
            preview(state, caller, &intent, now).map_or_else(Answer::Refused, Answer::Preview)
        }
        Command::Migration => {
            let rows = state.ledger(now, |entry| sees(caller, entry, None));
            let rows = rows.into_iter().map(|(_, row)| row).collect();
            Answer::Migration(Box::new(sum_up(rows, now.wall)))
        }
        Command::MayLook(_) => {
            let seen = state.entries().filter(|entry| sees(caller, entry, None));
            Answer::Visible(Arc::new(seen.map(|entry| entry.config.name.to_string()).collect()))
        }
        // These are no questions.
        Command::Change(..)
        | Command::LoginFailed { .. }
        | Command::RightsChanged(_)
        | Command::RightsRefused(_) => Answer::Noted,
    }
}

/// Whether somebody sees a service, where one is asked for or all are.
fn sees(caller: &Caller, entry: &Entry, one: Option<&ServiceName>) -> bool {
    let (name, team) = (&entry.config.name, &entry.config.team);
    one.is_none_or(|one| one == name) && caller.rights.allow(Role::Viewer, name, team)
}

/// What a command takes: a role, and over what.
enum Over<'a> {
    Nothing,
    Anything,
    Everything,
    Services(&'a [ServiceName]),
    Team(&'a str),
}

/// Whether somebody may ask for this. Here and nowhere else it is decided.
fn may(state: &State, caller: &Caller, command: &Command) -> Result<(), Refused> {
    let (role, over) = takes(command);
    let (allowed, over) = match over {
        Over::Nothing => (true, String::new()),
        Over::Anything => (caller.rights.allow_anything(role), "something".to_owned()),
        Over::Everything => (caller.rights.allow_everything(role), "everything".to_owned()),
        Over::Team(team) => (caller.rights.allow_team(role, team), format!("all of team {team}")),
        Over::Services(names) => {
            for name in names {
                // That there is none is no secret; that there is one is seen by whom it concerns.
                let Some(team) = state.team_of(name) else {
                    // What was done with one that is gone is for who sees everything.
                    let is_past = matches!(command, Command::MayLook(Looking::History(Some(_))));
                    if is_past && caller.rights.allow_everything(role) {
                        continue;
                    }
                    return Err(Refused::NoService(name.clone()));
                };
                if !caller.rights.allow(role, name, &team) {
                    let over = format!("{name} of team {team}");
                    return Err(Refused::NoRight { name: caller.name.clone(), role, over });
                }
            }
            (true, String::new())
        }
    };
    if allowed { Ok(()) } else { Err(Refused::NoRight { name: caller.name.clone(), role, over }) }
}

fn takes(command: &Command) -> (Role, Over<'_>) {
    use std::slice::from_ref;
    match command {
        Command::Process
        | Command::Status(None)
        | Command::Migration
        | Command::MayLook(Looking::History(None) | Looking::Events) => (Role::Viewer, Over::Anything),
        Command::Status(Some(name))
        | Command::Receipt(name)
        | Command::Sensitivity(name)
        | Command::Readiness(name)
        | Command::Calibration(name)
        | Command::MayLook(Looking::History(Some(name))) => (Role::Viewer, Over::Services(from_ref(name))),
        Command::MayLook(Looking::Metrics) => (Role::Viewer, Over::Everything),
        // Who may not do it may still see what it would do.
        Command::Preview(intent) => (Role::Viewer, over(intent)),
        Command::MayLook(Looking::WholeHistory) | Command::Change(Intent::TestWebhook(_), _) => {
            (Role::Admin, Over::Everything)
        }
        Command::Change(intent, _) => (Role::Operator, over(intent)),
        // Nobody asks for these: Switchback's own interface tells them.
        Command::LoginFailed { .. } | Command::RightsChanged(_) | Command::RightsRefused(_) => {
            (Role::Viewer, Over::Nothing)
        }
    }
}

fn over(intent: &Intent) -> Over<'_> {
    match intent {
        Intent::Move(name, _)
        | Intent::Calibrate(name, _)
        | Intent::StopCalibration(name)
        | Intent::Approve(name, _)
        | Intent::Reject(name) => Over::Services(std::slice::from_ref(name)),
        Intent::Revert(reach) | Intent::PauseRamps(reach) | Intent::ResumeRamps(reach) => match reach {
            Reach::Services(names) => Over::Services(names),
            Reach::Team(team) => Over::Team(team),
            Reach::Cluster(_) | Reach::All => Over::Everything,
        },
        Intent::TestWebhook(_) => Over::Everything,
    }
}

/// What the history calls it.
fn deed_of(command: &Command) -> Deed {
    match command {
        Command::Change(intent, _) => deed(intent),
        Command::LoginFailed { .. } => Deed::LoginFailed,
        Command::RightsChanged(_) | Command::RightsRefused(_) => Deed::RightsChanged,
        Command::Process
        | Command::Status(_)
        | Command::Receipt(_)
        | Command::Sensitivity(_)
        | Command::Preview(_)
        | Command::Migration
        | Command::Readiness(_)
        | Command::Calibration(_)
        | Command::MayLook(_) => Deed::Looked,
    }
}

pub(super) fn deed(intent: &Intent) -> Deed {
    match intent {
        Intent::Move(_, Wish::SetWeight { .. }) => Deed::WeightSet,
        Intent::Move(_, Wish::Clear) => Deed::OverrideCleared,
        Intent::Move(_, Wish::Release { .. }) => Deed::Released,
        Intent::Move(_, Wish::StartRamp { .. }) => Deed::RampStarted,
        Intent::Move(_, Wish::StopRamp) => Deed::RampStopped,
        Intent::Move(_, Wish::Migrate { .. }) => Deed::Migrated,
        Intent::Calibrate(..) => Deed::CalibrationStarted,
        Intent::StopCalibration(_) => Deed::CalibrationStopped,
        Intent::Approve(..) => Deed::Approved,
        Intent::Reject(_) => Deed::ApprovalEnded,
        Intent::TestWebhook(_) => Deed::WebhookTested,
        Intent::Revert(_) => Deed::Reverted,
        Intent::PauseRamps(_) => Deed::RampPaused,
        Intent::ResumeRamps(_) => Deed::RampResumed,
    }
}

/// The service that a command is about, if it is one.
fn one_service(command: &Command) -> Option<ServiceName> {
    let (_, over) = takes(command);
    match over {
        Over::Services([one]) => Some(one.clone()),
        Over::Services(_) | Over::Nothing | Over::Anything | Over::Everything | Over::Team(_) => None,
    }
}

fn process_status(state: &State, now: Now) -> ProcessStatus {
    let held = |entry: &&Entry| entry.is_held();
    let paused = |entry: &&Entry| {
        let ramp = entry.rollout.said().ramp.as_ref();
        ramp.is_some_and(|ramp| matches!(ramp.going, crate::rollout::Going::Paused { .. }))
    };
    ProcessStatus {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_s: now.mono.seconds(),
        workers: state.workers,
        workers_current: 0, // the loop knows, and fills it in
        generation: state.generation,
        configuration: state.fingerprint.clone(),
        configuration_unix_ms: state.loaded_at.0,
        configuration_faults: state.faults.clone(),
        rights_faults: Vec::new(), // the admin interface knows, and fills it in
        needs_restart: state.needs_restart.iter().map(ToString::to_string).collect(),
        connections: state.connections.iter().sum(),
        services: state.entries().count(),
        held: state.entries().filter(held).count(),
        unwritten: state.unwritten(),
        unwritten_history: 0, // as with workers_current
        paused_ramps: state.entries().filter(paused).count(),
        fleet_guard: state.guard.alarm().map(ToString::to_string),
        held_elsewhere: state.held_elsewhere(),
        webhooks: Vec::new(), // likewise
    }
}
