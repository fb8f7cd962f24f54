use std::collections::BTreeSet;
use std::sync::Arc;

use crate::config::in_words;
use crate::model::{Caller, PerSide, ServiceName, Weight};
use crate::rollout::{self, Actor, Chosen, Plan, Said, Word};

use super::super::calibration;
use super::super::entry::Entry;
use super::super::event::{
    Answer, Ask, CauseOfRevert, Effect, Intent, Now, Reach, Refused, RoomAsked, Why, Wish,
};
use super::super::history::{Deed, Draft};
use super::super::journal::ActorRecord;
use super::super::note::Note;
use super::super::state::State;
use super::super::steering::PreviewStatus;
use super::super::views::FitStatus;
use super::ask::deed;
use super::fall::{Telling, revert};
use super::second_person::{Second, approve, reject, takes_second, wait_for_second};
use super::take_in::Todo;
use super::turn::{change, turn};

/// A side that gets so many times its present load gets much more.
const MUCH_TIMES: f64 = 2.0;
/// So does one that gets this share of all requests, and had none.
const MUCH_OF_ALL: f64 = 0.25;

/// A person, what they want, and why.
pub(super) struct Asked {
    pub(super) ask: Ask,
    pub(super) caller: Arc<Caller>,
    pub(super) why: Why,
}

impl Asked {
    pub(super) fn note(&self, deed: Deed) -> Note {
        Note::of(&self.caller, deed, &self.why)
    }
}

/// Somebody changes something, and may.
pub(super) fn steer(state: &mut State, asked: &Asked, intent: Intent, todo: &mut Todo) {
    let note = asked.note(deed(&intent));
    match intent {
        Intent::Move(name, wish) => move_one(state, asked, &name, wish, note, todo),
        Intent::Calibrate(name, lasts) => calibration::begin(state, asked.ask, &name, lasts, &note, todo),
        Intent::StopCalibration(name) => calibration::stop(state, asked.ask, &name, &note, todo),
        Intent::TestWebhook(webhook)
            if !state.config.fleet.webhooks.iter().any(|config| config.name == webhook) =>
        {
            todo.refuse(asked.ask, note.draft(None), Refused::NoWebhook(webhook));
        }
        Intent::TestWebhook(webhook) => {
            let details = Some(webhook.to_string());
            todo.push(Effect::History(Draft { details, ..note.draft(None) }));
            todo.answer(asked.ask, Answer::Noted);
        }
        Intent::Approve(name, seen) => approve(state, asked, (&name, seen), &note, todo),
        Intent::Reject(name) => reject(state, asked.ask, &name, &note, todo),
        Intent::Revert(reach) => revert_reached(state, asked.ask, &reach, &note, todo),
        Intent::PauseRamps(reach) => {
            let event = rollout::Event::PauseRamp { by: note.by.clone(), reason: note.reason.clone() };
            go_on(state, asked.ask, &reach, &note, &event, todo);
        }
        Intent::ResumeRamps(reach) => {
            go_on(state, asked.ask, &reach, &note, &rollout::Event::ResumeRamp, todo);
        }
    }
}

fn move_one(state: &mut State, asked: &Asked, name: &ServiceName, wish: Wish, note: Note, todo: &mut Todo) {
    let Some((slot, entry)) = state.slot(name).and_then(|slot| Some((slot, state.entry(slot)?))) else {
        return todo.refuse(asked.ask, note.draft(Some(name)), Refused::NoService(name.clone()));
    };
    let found = movement(entry, &wish, &note, todo.now);
    let found = found.and_then(|movement| Ok((takes_second(entry, &asked.caller, &movement)?, movement)));
    match found {
        Err(refused) => todo.refuse(asked.ask, note.draft(Some(name)), refused),
        Ok((Second::Needed, movement)) => wait_for_second(state, slot, asked, wish, movement, todo),
        Ok((Second::NotNeeded, movement)) => carry_out(state, slot, asked.ask, &wish, movement, note, todo),
    }
}

/// Does what a person wants of one service.
pub(super) fn carry_out(
    state: &mut State,
    slot: usize,
    ask: Ask,
    wish: &Wish,
    movement: Movement,
    note: Note,
    todo: &mut Todo,
) {
    if let Some(entry) = state.entry(slot) {
        entry.pending = None;
    }
    let is_false = matches!(wish, Wish::Release { cause: CauseOfRevert::FalseAlarm, .. });
    let note = if is_false { note.of_false_alarm() } else { note };
    turn(state, slot, movement.event, Some(note), Some(ask), todo);
}

/// What would come of a change of one service.
pub(super) struct Movement {
    pub(super) event: rollout::Event,
    /// The weight that it leads to.
    pub(super) to: Weight,
    /// Whether Kubernetes gets more by it, now or by and by.
    pub(super) raises: bool,
    /// What is wanted, in words.
    pub(super) what: String,
}

/// What a person's wish comes to, or why it does not apply.
pub(super) fn movement(entry: &Entry, wish: &Wish, note: &Note, now: Now) -> Result<Movement, Refused> {
    let name = &entry.config.name;
    let (by, reason) = (note.by.clone(), note.reason.clone());
    let (event, what, room) = match wish {
        Wish::SetWeight { weight, lasts, room } => {
            on_both_sides(entry, *weight)?;
            let until = lasts.map(|lasts| now.wall.after(lasts));
            let event = rollout::Event::SetWeight { weight: *weight, until, by, reason };
            let lasts = lasts.map(|lasts| format!(" for {}", in_words(lasts))).unwrap_or_default();
            (event, format!("a weight of {weight}{lasts}"), *room)
        }
        Wish::Release { to, room, cause } => {
            on_both_sides(entry, *to)?;
            if *cause == CauseOfRevert::FalseAlarm {
                by_judge(entry)?;
            }
            (rollout::Event::Release { to: *to, by, reason }, format!("a release to {to}"), *room)
        }
        Wish::StartRamp { plan, from, room } => {
            (start(entry, plan.clone(), *from, by, reason)?, "a ramp".to_owned(), *room)
        }
        Wish::Migrate { room } => {
            let missing = entry.readiness(now).into_iter().filter(|check| !check.ok);
            let missing: Vec<_> = missing.map(|check| format!("{}: {}", check.what, check.details)).collect();
            if !missing.is_empty() {
                return Err(Refused::NotReady { service: name.clone(), missing });
            }
            (start(entry, None, None, by, reason)?, "its migration".to_owned(), *room)
        }
        Wish::Clear => (rollout::Event::Clear, "the end of its override".to_owned(), RoomAsked::Needed),
        Wish::StopRamp => (rollout::Event::StopRamp, "the end of its ramp".to_owned(), RoomAsked::Needed),
    };
    let (next, effects) = entry.rollout.clone().step(event.clone(), now.wall);
    if let [rollout::Effect::Refuse(refusal)] = effects.as_slice() {
        return Err(Refused::NotNow { service: name.clone(), refusal: refusal.clone() });
    }
    let (said, at_once): (&Said, bool) = match next.state() {
        rollout::State::Settled(said) => (said, false),
        rollout::State::Rising { to, .. } => (to, true),
    };
    // A ramp that begins below the present weight raises it by and by.
    let raises = at_once || said.climbs() && !entry.rollout.said().climbs();
    let to = entry.weight_under(said);
    if raises {
        has_room(entry, to, room, now)?;
    }
    let fits = room == RoomAsked::Needed || has_room(entry, to, RoomAsked::Needed, now).is_ok();
    let what = if fits { what } else { format!("{what}, although Helios could not take everything back") };
    Ok(Movement { event, to, raises, what })
}

fn start(
    entry: &Entry,
    own: Option<Arc<Plan>>,
    from: Option<Weight>,
    by: Actor,
    reason: Arc<str>,
) -> Result<rollout::Event, Refused> {
    let own = own.map(|own| within_the_files(&own, &entry.config.plan));
    let plan = own.as_deref().unwrap_or(&entry.config.plan);
    let (at, chosen) = match from {
        Some(from) => {
            if !plan.steps.iter().any(|step| step.to == from) {
                let steps: Vec<_> = plan.steps.iter().map(|step| step.to.to_string()).collect();
                let service = entry.config.name.clone();
                return Err(Refused::NoStep { service, step: from, steps: steps.join(", ") });
            }
            (from, Chosen::ByName)
        }
        // A plan has a step.
        None => (plan.start(entry.weight()).unwrap_or_default(), Chosen::ByPlan),
    };
    on_both_sides(entry, at)?;
    let climbs = plan.next(at).is_some();
    Ok(rollout::Event::StartRamp { plan: own, at, chosen, climbs, by, reason })
}

/// A plan that somebody has typed: what the service's file forbids stays forbidden.
fn within_the_files(own: &Plan, files: &Plan) -> Arc<Plan> {
    let mut plan = own.clone();
    if plan.hours.spans.is_empty() {
        plan.hours = files.hours.clone();
    }
    plan.freezes.extend(files.freezes.iter().cloned());
    Arc::new(plan)
}

fn on_both_sides(entry: &Entry, weight: Weight) -> Result<(), Refused> {
    match entry.missing_side(weight) {
        Some(side) => Err(Refused::NoSide(entry.config.name.clone(), side)),
        None => Ok(()),
    }
}

/// Only the judge's reverts count against its promise. Who holds the service now may be somebody else: a person, or the
/// fleet guard, can have confirmed what the judge has begun.
fn by_judge(entry: &Entry) -> Result<(), Refused> {
    let began = entry.receipt.as_ref().map(|receipt| &receipt.by);
    match (entry.rollout.word(), began) {
        (Word::Held(_), Some(ActorRecord::Judge)) | (Word::File | Word::Override(_), _) => Ok(()),
        (Word::Held(hold), None) if hold.by == Actor::Judge => Ok(()),
        (Word::Held(hold), _) => {
            Err(Refused::NotTheJudge { service: entry.config.name.clone(), by: hold.by.clone() })
        }
    }
}

/// Whether Helios can take back what goes to Kubernetes, if more is to. Where it is known that it cannot, people must say so twice.
fn has_room(entry: &Entry, weight: Weight, room: RoomAsked, now: Now) -> Result<(), Refused> {
    if room == RoomAsked::NotNeeded || weight <= entry.weight() {
        return Ok(());
    }
    match entry.fit(now).filter(|fit| !fit.fits()) {
        None => Ok(()),
        Some(fit) => {
            let why = format!("Helios could not take everything back: {fit}");
            Err(Refused::NoRoom { service: entry.config.name.clone(), why })
        }
    }
}

/// The slots of services that something is about. Of a cluster or of all, those that get nothing from Kubernetes, now or when
/// an override or a ramp ends, are left as they are: a hold would only be one more thing to end.
fn reached(state: &mut State, reach: &Reach) -> Result<Vec<usize>, Refused> {
    let wanted = |entry: &Entry| match reach {
        Reach::Services(names) => names.contains(&entry.config.name),
        Reach::Team(team) => entry.config.team == *team,
        Reach::Cluster(cluster) => entry.clusters().contains(cluster),
        Reach::All => true,
    };
    let slots: BTreeSet<usize> =
        state.entries().filter(|entry| wanted(entry)).map(|entry| entry.id.slot as usize).collect();
    match reach {
        Reach::Team(team) if slots.is_empty() => Err(Refused::NoTeam(team.clone())),
        Reach::Cluster(cluster) if slots.is_empty() => Err(Refused::NoCluster(cluster.clone())),
        Reach::Services(_) | Reach::Team(_) | Reach::Cluster(_) | Reach::All => {
            // By name, as people read them.
            let mut by_name = state.slots();
            by_name.retain(|slot| slots.contains(slot));
            Ok(by_name)
        }
    }
}

/// Those of them that a revert would take back.
fn revertible(state: &mut State, reach: &Reach) -> Result<Vec<usize>, Refused> {
    let mut slots = reached(state, reach)?;
    if let Reach::Services(_) = reach {
        for slot in &slots {
            if let Some(entry) = state.entry(*slot) {
                on_both_sides(entry, Weight::ZERO)?;
            }
        }
    } else {
        slots.retain(|slot| state.entry(*slot).is_some_and(|entry| entry.can_be_taken_back()));
    }
    Ok(slots)
}

/// Takes services back by a person's word.
fn revert_reached(state: &mut State, ask: Ask, reach: &Reach, note: &Note, todo: &mut Todo) {
    let slots = match revertible(state, reach) {
        Ok(slots) => slots,
        Err(refused) => return todo.refuse(ask, note.draft(one(reach)), refused),
    };
    let (mut changes, mut revisions) = (Vec::new(), Vec::new());
    for slot in slots {
        changes.extend(revert(state, slot, note, None, Telling::Alone, todo));
        revisions
            .extend(state.entry(slot).map(|entry| (entry.config.name.clone(), entry.rollout.revision())));
    }
    todo.push(Effect::AnswerWhenApplied(ask, changes, revisions));
}

/// Pauses or resumes ramps. To resume one takes no second person: to start it did.
fn go_on(state: &mut State, ask: Ask, reach: &Reach, note: &Note, event: &rollout::Event, todo: &mut Todo) {
    let slots = match reached(state, reach) {
        Ok(slots) => slots,
        Err(refused) => return todo.refuse(ask, note.draft(one(reach)), refused),
    };
    // Of one that is named it is told why it does not apply.
    if let (Reach::Services(_), [slot]) = (reach, slots.as_slice()) {
        return turn(state, *slot, event.clone(), Some(note.clone()), Some(ask), todo);
    }
    let (mut changes, mut revisions) = (Vec::new(), Vec::new());
    for slot in slots {
        let Some(entry) = state.entry(slot) else { continue };
        let (_, effects) = entry.rollout.clone().step(event.clone(), todo.now.wall);
        if matches!(effects.as_slice(), [rollout::Effect::Refuse(_)]) {
            continue;
        }
        let before = entry.weight();
        turn(state, slot, event.clone(), Some(note.clone()), None, todo);
        let Some(entry) = state.entry(slot) else { continue };
        changes.push(change(entry, before));
        // One that is resumed goes on when that is written.
        revisions.push((entry.config.name.clone(), entry.rollout.revision()));
    }
    todo.push(Effect::AnswerWhenApplied(ask, changes, revisions));
}

/// What would come of a change, service by service.
pub(super) fn preview(
    state: &mut State,
    caller: &Caller,
    intent: &Intent,
    now: Now,
) -> Result<Vec<PreviewStatus>, Refused> {
    match intent {
        Intent::Revert(reach) => {
            let mut seen = Vec::new();
            for slot in revertible(state, reach)? {
                seen.extend(state.entry(slot).map(|entry| foresee(entry, Weight::ZERO, false, now)));
            }
            Ok(seen)
        }
        Intent::PauseRamps(_)
        | Intent::ResumeRamps(_)
        | Intent::Reject(_)
        | Intent::Calibrate(..)
        | Intent::StopCalibration(_)
        | Intent::TestWebhook(_) => Ok(Vec::new()),
        Intent::Approve(name, _) => {
            let entry = state.named(name).ok_or_else(|| Refused::NoService(name.clone()))?;
            let pending = entry.pending.as_ref().ok_or_else(|| Refused::NothingToApprove(name.clone()))?;
            Ok(vec![foresee(entry, pending.to, false, now)])
        }
        Intent::Move(name, wish) => {
            let note = Note::of(caller, deed(intent), &Why::default());
            let entry = state.named(name).ok_or_else(|| Refused::NoService(name.clone()))?;
            let movement = movement(entry, wish, &note, now)?;
            // Whether they are known well enough is told when they ask for it.
            let second = movement.raises && entry.config.approvals;
            Ok(vec![foresee(entry, movement.to, second, now)])
        }
    }
}

fn foresee(entry: &Entry, to: Weight, approval: bool, now: Now) -> PreviewStatus {
    let all = entry.traffic.per_second(now.mono);
    let at = |weight: Weight| {
        let kubernetes = all * weight.percent() / 100.0;
        PerSide { helios: all - kubernetes, kubernetes }
    };
    let (is, then) = (at(entry.weight()), at(to));
    let gains = if to > entry.weight() { (is.kubernetes, then.kubernetes) } else { (is.helios, then.helios) };
    let times = (gains.0 > 0.0).then(|| gains.1 / gains.0);
    let much = match times {
        Some(times) => times >= MUCH_TIMES,
        None => all > 0.0 && gains.1 >= MUCH_OF_ALL * all,
    };
    PreviewStatus {
        service: entry.config.name.to_string(),
        before_percent: entry.weight().percent(),
        after_percent: to.percent(),
        helios_per_second: is.helios,
        helios_then_per_second: then.helios,
        kubernetes_per_second: is.kubernetes,
        kubernetes_then_per_second: then.kubernetes,
        times,
        much,
        fit: entry.fit(now).map(FitStatus::from),
        approval,
    }
}

fn one(reach: &Reach) -> Option<&ServiceName> {
    match reach {
        Reach::Services(names) => names.first().filter(|_| names.len() == 1),
        Reach::Team(_) | Reach::Cluster(_) | Reach::All => None,
    }
}
