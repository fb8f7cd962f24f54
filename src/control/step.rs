//! What follows from what has happened. Pure: no clock, no I/O, no logging.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Diff, Fault, Loaded, diff, in_words};
use crate::model::{ServiceName, Side, UnixMillis, Weight};
use crate::rollout::{self, Actor, Word};
use crate::tally::Report;
use crate::verdict::Finding;

use super::discovery::Look;
use super::ejection::Reason;
use super::entry::{Entry, Judged, why};
use super::event::{
    Announcement, Answer, Ask, CertificateNews, Change, Command, Effect, Event, Happening, Now, Refused,
};
use super::health::Opinion;
use super::journal::AppliedRecord;
use super::lineup::Ejected;
use super::receipt;
use super::state::{Note, State, Waiting};
use super::views::ProcessStatus;

/// Takes in an event, and says what is to be done. What is published comes first: everything else that one
/// event asks for may wait for the disk, or for people.
pub(super) fn step(state: &mut State, event: Event, now: Now) -> Vec<Effect> {
    let mut todo = Todo { now, publish: false, effects: Vec::new() };
    match event {
        Event::Tick => tick(state, &mut todo),
        Event::Report(report) => count(state, &report, &mut todo),
        Event::Looked(looks) => {
            let mut news = News::new();
            for look in looks {
                looked(state, look, &mut news, &mut todo);
            }
            tell_of_sources(news, &mut todo);
        }
        Event::Config(Ok(loaded)) => reconfigure(state, loaded, &mut todo),
        Event::Config(Err(faults)) => refuse_configuration(state, &faults, &mut todo),
        Event::Written { service, revision, ok } => written(state, &service, revision, ok, &mut todo),
        Event::Applied { service, reverted, applied } => {
            note_applied(state, &service, reverted, applied, &mut todo);
        }
        Event::Certificates(news) => {
            for news in news {
                follow_certificates(news, &mut todo);
            }
        }
        Event::Checked(opinions) => checked(state, opinions, &mut todo),
        Event::Asked(ask, command) => answer(state, ask, command, &mut todo),
    }
    if todo.publish {
        todo.effects.insert(0, Effect::Publish(state.snapshot()));
    }
    todo.effects
}

struct Todo {
    now: Now,
    publish: bool,
    effects: Vec<Effect>,
}

impl Todo {
    fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    fn announce(&mut self, happening: Happening, service: Option<&ServiceName>, text: String) {
        self.announce_by(happening, service, None, text);
    }

    fn announce_by(
        &mut self,
        happening: Happening,
        service: Option<&ServiceName>,
        by: Option<&Actor>,
        text: String,
    ) {
        self.push(Effect::Announce(Announcement {
            at_unix_ms: self.now.wall.0,
            happening,
            service: service.map(ToString::to_string),
            team: None, // the loop knows, and fills it in
            by: by.map(Into::into),
            text,
        }));
    }
}

fn tick(state: &mut State, todo: &mut Todo) {
    let now = todo.now;
    for slot in std::mem::take(&mut state.to_judge) {
        eject(state, slot, todo);
        follow_capacity(state, slot, todo);
        let Some(entry) = state.entry(slot) else { continue };
        if entry.learn(now.mono) {
            state.refresh(slot);
            todo.publish = true;
        }
        let Some(entry) = state.entry(slot) else { continue };
        match entry.tick(now.mono) {
            Judged::Fine => {}
            Judged::Revert(finding) => {
                let reason = receipt::reason(entry, &finding);
                if let Some((cluster, why)) = entry.accuse(now.mono) {
                    cluster_out(entry, &cluster, &why, Some(&reason), todo);
                    go_by_others(state, slot, todo);
                    state.waits.insert(slot);
                    continue;
                }
                revert(state, slot, &Actor::Judge, &reason, Some(&finding), todo);
            }
            Judged::Advise(finding) => {
                let name = entry.config.name.clone();
                let text = format!("{name} would be reverted: {}", receipt::reason(entry, &finding));
                todo.announce(Happening::Advised, Some(&name), text);
            }
        }
    }
    for slot in state.timed.clone() {
        turn(state, slot, rollout::Event::Tick, None, todo);
    }
    follow_lineups(state, todo);
}

fn count(state: &mut State, report: &Report, todo: &mut Todo) {
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

/// What there is to tell of sources: of which services, and how many endpoints they have. What concerns many is told once.
type News = BTreeMap<(Happening, Side, String), Vec<(ServiceName, usize)>>;

/// A source has said something, or failed to.
fn looked(state: &mut State, look: Look, news: &mut News, todo: &mut Todo) {
    let Some(slot) = state.slot_of(look.source) else { return };
    let Some(entry) = state.entry(slot) else { return };
    let name = entry.config.name.clone();
    let Some((side, part, change)) = entry.look(todo.now.mono, look.source, look.seen) else { return };
    let roster = &part.roster;
    let cluster = part.cluster.as_ref().map(|cluster| format!(", {cluster}")).unwrap_or_default();
    let (kind, service) = (roster.source().kind(), (name, roster.offered().len()));
    let mut tell = |happening, what: String| {
        news.entry((happening, side, what)).or_default().push(service.clone());
    };
    match roster.trouble() {
        Some(trouble) if change.trouble => {
            tell(Happening::SourceFailing, format!("({kind}{cluster}): {}", trouble.why));
        }
        None if change.trouble => tell(Happening::SourceBack, format!("({kind}{cluster})")),
        Some(_) | None => {}
    }
    if change.doubted {
        tell(Happening::SourceDoubted, format!("({kind}{cluster})"));
    }
    if roster.doubted().is_some() {
        state.waits.insert(slot);
    }
    if change.offered {
        go_by_others(state, slot, todo);
    }
}

fn tell_of_sources(news: News, todo: &mut Todo) {
    for ((happening, side, what), services) in news {
        let title = side.title();
        let endpoints: usize = services.iter().map(|(_, endpoints)| endpoints).sum();
        let (service, whose) = match services.as_slice() {
            [(name, _)] => (Some(name), name.to_string()),
            many => (None, format!("{} services", many.len())),
        };
        let text = match happening {
            Happening::SourceFailing => {
                format!("{whose}: endpoints on {title} cannot be looked for {what}; {endpoints} are kept")
            }
            Happening::SourceBack => {
                format!("{whose}: endpoints on {title} are known again {what}: {endpoints}")
            }
            _ => format!(
                "{whose}: suddenly much fewer endpoints on {title} are known {what}; {endpoints} are kept until that lasts, or they refuse"
            ),
        };
        todo.announce(happening, service, text);
    }
}

/// Has workers go by other endpoints, and keeps them for the next process.
fn go_by_others(state: &mut State, slot: usize, todo: &mut Todo) {
    state.refresh(slot);
    state.unsaved.insert(slot);
    (state.recheck, todo.publish) = (true, true);
}

/// Endpoints were checked.
fn checked(state: &mut State, opinions: Vec<Opinion>, todo: &mut Todo) {
    let mut news: BTreeMap<(usize, Side, bool), Vec<String>> = BTreeMap::new();
    let mut panicked = BTreeMap::new();
    for Opinion { service, side, endpoint, well } in opinions {
        let Some(entry) = state.entry_of(service) else { continue };
        let (lineup, slot) = (&mut entry.lineups[side], service.slot as usize);
        panicked.entry((slot, side)).or_insert(lineup.panics());
        let why = well.as_ref().err().map(|why| format!(": {why}")).unwrap_or_default();
        let (text, is_well) = (format!("{endpoint}{why}"), well.is_ok());
        if lineup.note_check(endpoint, well) {
            news.entry((slot, side, is_well)).or_default().push(text);
        }
    }
    for slot in news.keys().map(|(slot, ..)| *slot).collect::<BTreeSet<_>>() {
        state.refresh(slot);
        todo.publish = true;
    }
    for ((slot, side, is_well), endpoints) in news {
        let Some(entry) = state.entry(slot) else { continue };
        let (name, title) = (entry.config.name.clone(), side.title());
        let (first, others) = (&endpoints[0], endpoints.len() - 1);
        let others = if others == 0 { String::new() } else { format!(", and {others} more") };
        let (happening, what) = if is_well {
            (Happening::Well, "pass their checks again")
        } else {
            (Happening::Ill, "fail their checks, and are not asked")
        };
        todo.announce(
            happening,
            Some(&name),
            format!("{name}: endpoints on {title} {what}: {first}{others}"),
        );
    }
    for ((slot, side), before) in panicked {
        let Some(entry) = state.entry(slot).filter(|entry| entry.lineups[side].panics() && !before) else {
            continue;
        };
        let (name, title) = (entry.config.name.clone(), side.title());
        let text =
            format!("{name}: so many endpoints on {title} fail their checks that all are asked all the same");
        todo.announce(Happening::Panicking, Some(&name), text);
    }
}

/// Lets out endpoints that do much worse than the others, and lets them in again.
fn eject(state: &mut State, slot: usize, todo: &mut Todo) {
    let Some(entry) = state.entry(slot) else { return };
    let (ejected, changed) = entry.eject(todo.now.mono);
    let (name, waits) = (entry.config.name.clone(), entry.waits());
    for (side, ejected) in ejected {
        match ejected {
            Ejected::Endpoint(endpoint, reason) => {
                let title = side.title();
                let text = format!("{name}: {endpoint} on {title} is not asked for a while: {reason}");
                todo.announce(Happening::Ejected, Some(&name), text);
            }
            Ejected::Cluster(cluster, reason) => {
                if let Some(entry) = state.entry(slot) {
                    entry.begin_without_a_cluster(todo.now.mono);
                    cluster_out(entry, &cluster, &reason, None, todo);
                }
            }
        }
    }
    if waits {
        state.waits.insert(slot);
    }
    if changed {
        state.refresh(slot);
        todo.publish = true;
    }
}

/// Follows what Helios can take.
fn follow_capacity(state: &mut State, slot: usize, todo: &mut Todo) {
    let Some(entry) = state.entry(slot) else { return };
    let (fit, learned, changed) = entry.tick_capacity(todo.now);
    let (name, sheds) = (entry.config.name.clone(), entry.sheds());
    if let Some(fit) = fit {
        let (happening, whether) =
            if fit.fits() { (Happening::Room, "can") } else { (Happening::NoRoom, "could not") };
        todo.announce(
            happening,
            Some(&name),
            format!("{name}: Helios {whether} take everything back: {fit}"),
        );
    }
    if learned {
        state.unsaved.insert(slot);
    }
    if changed {
        if sheds {
            let text = format!("{name}: Helios gets more than it can take, and what is too much is refused");
            todo.announce(Happening::Shedding, Some(&name), text);
        }
        state.refresh(slot);
        todo.publish = true;
    }
}

/// Tells that a cluster is let out, and what the service would have been taken back for, if that is why.
fn cluster_out(entry: &Entry, cluster: &str, why: &Reason, finding: Option<&str>, todo: &mut Todo) {
    let name = &entry.config.name;
    let instead = finding.map(|finding| format!(", in place of a revert for {finding}")).unwrap_or_default();
    let text = format!("{name}: cluster {cluster} is not asked for a while{instead}: {why}");
    todo.announce(Happening::ClusterOut, Some(name), text);
}

fn follow_lineups(state: &mut State, todo: &mut Todo) {
    let now = todo.now;
    for slot in std::mem::take(&mut state.waits) {
        let Some(entry) = state.entry(slot) else { continue };
        let others = entry.tick_lineups(now.mono);
        if others {
            go_by_others(state, slot, todo);
        }
        eject(state, slot, todo);
    }
    for slot in state.unsaved.clone() {
        let Some(entry) = state.entry(slot) else { continue };
        if let Some(record) = entry.endpoints_to_keep(now) {
            todo.push(Effect::WriteEndpoints(entry.config.name.clone(), Box::new(record)));
            state.unsaved.remove(&slot);
        }
    }
}

fn reconfigure(state: &mut State, loaded: Loaded, todo: &mut Todo) {
    let had_faults = !std::mem::take(&mut state.faults).is_empty();
    if loaded.fingerprint == state.fingerprint {
        if had_faults {
            let text = "the configuration is the last good one again".to_owned();
            todo.announce(Happening::ConfigLoaded, None, text);
        }
        return;
    }
    let diff = diff(&state.config, &loaded.config);
    let objections = objections(state, &diff);
    if let Some(first) = objections.first() {
        let text = format!("the new configuration is refused, the last good one stays: {first}");
        state.faults = objections;
        todo.announce(Happening::ConfigRefused, None, text);
        return;
    }
    // What is read at start only stays as it was started with, so that the difference is seen until then.
    let process = state.config.process.clone();
    state.config = loaded.config;
    state.config.process = process;
    (state.fingerprint, state.loaded_at) = (loaded.fingerprint, todo.now.wall);
    state.needs_restart.clone_from(&diff.restart);
    for name in &diff.removed {
        let (undo, asks) = state.remove(name);
        todo.effects.extend(undo.map(|record| Effect::WriteRecord(name.clone(), record)));
        let overtaken = || Answer::Refused(Refused::Overtaken(name.clone()));
        todo.effects.extend(asks.into_iter().map(|ask| Effect::Answer(ask, overtaken())));
    }
    for service in &diff.changed {
        let Some(slot) = state.slot(&service.name) else { continue };
        if let Some(entry) = state.entry(slot) {
            entry.adopt(service.clone());
        }
        state.follow_sources(slot, todo.now.mono);
        turn(state, slot, rollout::Event::File(service.weight), None, todo);
        state.refresh(slot);
    }
    for service in &diff.added {
        state.add(service.clone(), todo.now.mono);
    }
    state.reroute();
    (state.recheck, todo.publish) = (true, true);
    let (added, changed, removed) = (diff.added.len(), diff.changed.len(), diff.removed.len());
    let mut text =
        format!("configuration loaded: {added} services added, {changed} changed, {removed} removed");
    if !diff.fleet.is_empty() {
        text = format!("{text}; {} changed", diff.fleet.join(", "));
    }
    if !diff.restart.is_empty() {
        let sections = diff.restart.join(", ");
        text = format!("{text}; restart Switchback for the changes to {sections} in switchback.toml");
    }
    todo.announce(Happening::ConfigLoaded, None, text);
}

/// Why a configuration without faults cannot come into force here and now.
fn objections(state: &State, diff: &Diff) -> Vec<String> {
    let listeners = &state.config.process.listeners;
    let mut objections = Vec::new();
    for service in diff.added.iter().chain(&diff.changed) {
        let name = &service.name;
        for listener in &service.matches.listeners {
            if !listeners.iter().any(|known| known.name == *listener) {
                objections
                    .push(format!("{name} answers on listener {listener}, which takes a restart to begin"));
            }
        }
        if !service.is_on(Side::Helios) && state.is_held(name) {
            objections.push(format!("{name} is held, and would lose Helios; release it first"));
        }
    }
    objections
}

fn follow_certificates(news: CertificateNews, todo: &mut Todo) {
    match news {
        CertificateNews::InUse(_) => {}
        CertificateNews::Renewed(files) => {
            let text = match files.as_slice() {
                [] => "the authorities that are trusted have changed".to_owned(),
                files => {
                    let files: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
                    format!("the certificate in {} was renewed", files.join(" and in "))
                }
            };
            todo.announce(Happening::CertificateRenewed, None, text);
        }
        CertificateNews::Refused(why) => {
            let text = format!("changed certificates cannot be used, the last good ones stay: {why}");
            todo.announce(Happening::CertificateRefused, None, text);
        }
        CertificateNews::Ending(file, days) => {
            let when = match days {
                ..0 => "has ended: who verifies it will refuse it".to_owned(),
                0 => "ends today".to_owned(),
                1 => "ends tomorrow".to_owned(),
                days => format!("ends in {days} days"),
            };
            let text = format!("the certificate in {} {when}", file.display());
            todo.announce(Happening::CertificateEnding, None, text);
        }
    }
}

fn refuse_configuration(state: &mut State, faults: &[Fault], todo: &mut Todo) {
    state.faults = faults
        .iter()
        .map(|fault| {
            let (line, column) = fault.line_and_column();
            format!("{}:{line}:{column}: {}", fault.path().display(), fault.message)
        })
        .collect();
    let first = state.faults.first().map_or("", String::as_str);
    let text = match faults.len() {
        1 => format!("the new configuration is refused, the last good one stays: {first}"),
        more => {
            format!("the new configuration is refused, the last good one stays: {more} faults, first {first}")
        }
    };
    todo.announce(Happening::ConfigRefused, None, text);
}

fn written(state: &mut State, service: &ServiceName, revision: u64, ok: bool, todo: &mut Todo) {
    if !ok {
        let text = format!("{service}: its record cannot be written to the state directory; trying again");
        todo.announce(Happening::NotWritten, Some(service), text);
    }
    let Some(slot) = state.slot(service) else {
        // Its file has gone meanwhile: what was said of it is kept all the same.
        let again = state.kept_elsewhere(service, revision).filter(|_| !ok);
        todo.effects.extend(again.map(|record| Effect::WriteRecord(service.clone(), record)));
        return;
    };
    if let Some(entry) = state.entry(slot)
        && ok
    {
        entry.written = entry.written.max(revision);
        let holds = matches!(entry.rollout.word(), Word::Held(_)) && entry.rollout.revision() == revision;
        if let Some(receipt) =
            entry.receipt.as_mut().filter(|receipt| holds && receipt.hold_written_unix_ms.is_none())
        {
            receipt.hold_written_unix_ms = Some(todo.now.wall.0);
            todo.push(Effect::WriteReceipt(service.clone(), Box::new(receipt.clone())));
        }
    }
    turn(state, slot, rollout::Event::Written { revision, ok }, None, todo);
}

fn note_applied(
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

fn answer(state: &mut State, ask: Ask, command: Command, todo: &mut Todo) {
    let now = todo.now;
    match command {
        Command::Process => {
            todo.push(Effect::Answer(ask, Answer::Process(Box::new(process_status(state, now)))));
        }
        Command::Status(None) => {
            let mut services = Vec::new();
            for slot in state.slots() {
                services.extend(state.entry(slot).map(|entry| entry.status(now)));
            }
            todo.push(Effect::Answer(ask, Answer::Status(services)));
        }
        Command::Status(Some(name)) => {
            with_service(state, ask, &name, todo, |state, slot, todo| {
                let status = state.entry(slot).map(|entry| entry.status(now));
                todo.push(Effect::Answer(ask, Answer::Status(status.into_iter().collect())));
            });
        }
        Command::Receipt(name) => with_service(state, ask, &name, todo, |state, slot, todo| {
            let receipt = state.entry(slot).and_then(|entry| entry.receipt.clone());
            todo.push(Effect::Answer(ask, Answer::Receipt(Box::new(receipt))));
        }),
        Command::Sensitivity(name) => with_service(state, ask, &name, todo, |state, slot, todo| {
            if let Some(entry) = state.entry(slot) {
                todo.push(Effect::Answer(ask, Answer::Sensitivity(entry.sensitivity(now.mono))));
            }
        }),
        Command::SetWeight { service, weight, lasts, force, by, reason } => {
            with_service(state, ask, &service, todo, |state, slot, todo| {
                let until = lasts.map(|lasts| now.wall.after(lasts));
                let note = Note { by: by.clone(), reason: reason.clone() };
                let event = rollout::Event::SetWeight { weight, until, by, reason };
                if has_room(state, slot, ask, weight, force, todo) {
                    steer(state, slot, (ask, note), Some(weight), event, todo);
                }
            });
        }
        Command::Clear { service, by, reason } => {
            with_service(state, ask, &service, todo, |state, slot, todo| {
                steer(state, slot, (ask, Note { by, reason }), None, rollout::Event::Clear, todo);
            });
        }
        Command::Release { service, to, force, by, reason } => {
            with_service(state, ask, &service, todo, |state, slot, todo| {
                let note = Note { by: by.clone(), reason: reason.clone() };
                let event = rollout::Event::Release { to, by, reason };
                if has_room(state, slot, ask, to, force, todo) {
                    steer(state, slot, (ask, note), Some(to), event, todo);
                }
            });
        }
        Command::Revert { services, by, reason } => revert_all(state, ask, services, &by, &reason, todo),
    }
}

fn with_service(
    state: &mut State,
    ask: Ask,
    name: &ServiceName,
    todo: &mut Todo,
    then: impl FnOnce(&mut State, usize, &mut Todo),
) {
    match state.slot(name) {
        Some(slot) => then(state, slot, todo),
        None => todo.push(Effect::Answer(ask, Answer::Refused(Refused::NoService(name.clone())))),
    }
}

/// Whether Helios can take back what goes to Kubernetes, if more is to. Where it is known that it cannot, people must say so twice.
fn has_room(state: &mut State, slot: usize, ask: Ask, weight: Weight, force: bool, todo: &mut Todo) -> bool {
    let now = todo.now;
    let Some(entry) = state.entry(slot).filter(|entry| !force && weight > entry.weight()) else {
        return true;
    };
    let Some(fit) = entry.fit(now).filter(|fit| !fit.fits()) else { return true };
    let why = format!("Helios could not take everything back: {fit}");
    let service = entry.config.name.clone();
    todo.push(Effect::Answer(ask, Answer::Refused(Refused::NoRoom { service, why })));
    false
}

/// A person's word about a service's weight.
fn steer(
    state: &mut State,
    slot: usize,
    asked: (Ask, Note),
    weight: Option<Weight>,
    event: rollout::Event,
    todo: &mut Todo,
) {
    let Some(entry) = state.entry(slot) else { return };
    if let Some(side) = weight.and_then(|weight| entry.missing_side(weight)) {
        let refused = Refused::NoSide(entry.config.name.clone(), side);
        todo.push(Effect::Answer(asked.0, Answer::Refused(refused)));
        return;
    }
    turn(state, slot, event, Some(asked), todo);
}

/// Takes services back by a person's word. For all of them, those that get nothing from Kubernetes, now or when
/// an override ends, are left as they are: a hold would only be one more thing to end.
fn revert_all(
    state: &mut State,
    ask: Ask,
    services: Option<Vec<ServiceName>>,
    by: &Actor,
    reason: &Arc<str>,
    todo: &mut Todo,
) {
    let slots = match services {
        None => {
            let mut slots = state.slots();
            slots.retain(|slot| state.entry(*slot).is_some_and(|entry| entry.can_be_taken_back()));
            slots
        }
        Some(names) => {
            let mut slots = Vec::new();
            for name in names {
                let Some(slot) = state.slot(&name) else {
                    todo.push(Effect::Answer(ask, Answer::Refused(Refused::NoService(name))));
                    return;
                };
                if let Some(side) = state.entry(slot).and_then(|entry| entry.missing_side(Weight::ZERO)) {
                    todo.push(Effect::Answer(ask, Answer::Refused(Refused::NoSide(name, side))));
                    return;
                }
                slots.push(slot);
            }
            slots
        }
    };
    let changes = slots.into_iter().filter_map(|slot| revert(state, slot, by, reason, None, todo)).collect();
    todo.push(Effect::AnswerWhenApplied(ask, changes));
}

fn revert(
    state: &mut State,
    slot: usize,
    by: &Actor,
    reason: &str,
    finding: Option<&Finding>,
    todo: &mut Todo,
) -> Option<Change> {
    let (now, configuration) = (todo.now, state.fingerprint.clone());
    let entry = state.entry(slot)?;
    let before = entry.weight();
    let was_held = matches!(entry.rollout.state(), rollout::State::Settled(Word::Held(_)));
    if !was_held {
        let receipt = receipt::write(entry, by, reason, finding, &configuration, now);
        entry.receipt = Some(receipt);
        entry.rearm();
    }
    let name = entry.config.name.clone();
    let text = format!("{name} was reverted by {by}: weight {before} → 0.00, held; {reason}");
    let event = rollout::Event::Revert { by: by.clone(), reason: reason.into() };
    turn(state, slot, event, None, todo);
    if !was_held {
        todo.push(Effect::WatchApplied { service: name.clone(), reverted: now.wall });
        todo.announce_by(Happening::Reverted, Some(&name), Some(by), text);
    }
    state.entry(slot).map(|entry| change(entry, before))
}

/// Lets a service's rollout take in an event, and does what it says.
fn turn(state: &mut State, slot: usize, event: rollout::Event, asked: Option<(Ask, Note)>, todo: &mut Todo) {
    let Some(entry) = state.entry(slot) else { return };
    let (name, before) = (entry.config.name.clone(), entry.weight());
    let was_held = matches!(entry.rollout.word(), Word::Held(_));
    let effects = entry.turn(event, todo.now);
    let revision = entry.rollout.revision();
    if let Some((ask, note)) = asked {
        if let [rollout::Effect::Refuse(refusal)] = effects.as_slice() {
            let refused = Refused::NotNow { service: name, refusal: refusal.clone() };
            todo.push(Effect::Answer(ask, Answer::Refused(refused)));
            return;
        }
        state.waiting.insert((name.clone(), revision), Waiting { ask, before, note });
    }
    for effect in effects {
        match effect {
            rollout::Effect::Publish => {
                state.refresh(slot);
                todo.publish = true;
            }
            rollout::Effect::Write(record) => todo.push(Effect::WriteRecord(name.clone(), record)),
            rollout::Effect::Done(revision) => {
                done(state, slot, revision, was_held, todo);
                state.refresh(slot);
            }
            rollout::Effect::Failed(revision) => {
                fail(state, &name, revision, Refused::NotWritten(name.clone()), todo);
            }
            rollout::Effect::Overtaken(revision) => {
                fail(state, &name, revision, Refused::Overtaken(name.clone()), todo);
            }
            // Nobody is waiting for the answer.
            rollout::Effect::Refuse(_) => {}
        }
    }
}

/// A change has come into force.
fn done(state: &mut State, slot: usize, revision: u64, was_held: bool, todo: &mut Todo) {
    let Some(entry) = state.entry(slot) else { return };
    let (name, word, weight) = (entry.config.name.clone(), entry.rollout.word().clone(), entry.weight());
    if was_held && !matches!(word, Word::Held(_)) {
        entry.rearm();
    }
    let waiting = state.waiting.remove(&(name.clone(), revision));
    match word {
        Word::Override(over) => {
            let happening = if was_held { Happening::Released } else { Happening::WeightChanged };
            let lasts = over.until.map(|until| Duration::from_millis(until.0.saturating_sub(over.since.0)));
            let lasts = lasts.map(|lasts| format!(" for {}", in_words(lasts))).unwrap_or_default();
            let verb = if was_held { "released it to" } else { "set the weight to" };
            let text = format!("{name}: {} {verb} {}{lasts}: {}", over.by, over.weight, over.reason);
            todo.announce_by(happening, Some(&name), Some(&over.by), text);
        }
        Word::File => {
            let who =
                waiting.as_ref().map_or("it was its time".to_owned(), |waiting| waiting.note.to_string());
            let text = format!("{name}: the override has ended ({who}): weight {weight}, as the file says");
            let by = waiting.as_ref().map(|waiting| &waiting.note.by);
            todo.announce_by(Happening::WeightChanged, Some(&name), by, text);
        }
        // Who reverts has announced it.
        Word::Held(_) => {}
    }
    if let (Some(Waiting { ask, before, .. }), Some(entry)) = (waiting, state.entry(slot)) {
        let changes = vec![change(entry, before)];
        todo.push(Effect::AnswerWhenApplied(ask, changes));
    }
}

fn fail(state: &mut State, name: &ServiceName, revision: u64, refused: Refused, todo: &mut Todo) {
    if let Some(Waiting { ask, .. }) = state.waiting.remove(&(name.clone(), revision)) {
        todo.push(Effect::Answer(ask, Answer::Refused(refused)));
    }
}

fn change(entry: &Entry, before: Weight) -> Change {
    Change {
        service: entry.config.name.to_string(),
        before_percent: before.percent(),
        after_percent: entry.weight().percent(),
        why: why(entry.rollout.word()).to_owned(),
    }
}

fn process_status(state: &State, now: Now) -> ProcessStatus {
    let held = |entry: &&Entry| matches!(entry.rollout.word(), Word::Held(_));
    ProcessStatus {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_s: now.mono.seconds(),
        workers: state.workers,
        workers_current: 0, // the loop knows, and fills it in
        generation: state.generation,
        configuration: state.fingerprint.clone(),
        configuration_unix_ms: state.loaded_at.0,
        configuration_faults: state.faults.clone(),
        needs_restart: state.needs_restart.iter().map(ToString::to_string).collect(),
        connections: state.connections.iter().sum(),
        services: state.entries().count(),
        held: state.entries().filter(held).count(),
        unwritten: state.entries().filter(|entry| entry.written < entry.rollout.revision()).count(),
        held_elsewhere: state.held_elsewhere(),
        webhooks: Vec::new(), // likewise
    }
}
