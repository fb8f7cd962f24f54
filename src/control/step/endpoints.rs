use std::collections::{BTreeMap, BTreeSet};

use crate::model::{ServiceName, Side};

use super::super::discovery::Look;
use super::super::ejection::Reason;
use super::super::entry::Entry;
use super::super::event::{Effect, Happening};
use super::super::health::Opinion;
use super::super::lineup::Ejected;
use super::super::state::State;
use super::take_in::Todo;

/// What there is to tell of sources: of which services, and how many endpoints they have. What concerns many is told once.
pub(super) type News = BTreeMap<(Happening, Side, String), Vec<(ServiceName, usize)>>;

/// A source has said something, or failed to.
pub(super) fn looked(state: &mut State, look: Look, news: &mut News, todo: &mut Todo) {
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

pub(super) fn tell_of_sources(news: News, todo: &mut Todo) {
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
pub(super) fn go_by_others(state: &mut State, slot: usize, todo: &mut Todo) {
    state.refresh(slot);
    state.unsaved.insert(slot);
    (state.recheck, todo.publish) = (true, true);
}

/// Endpoints were checked.
pub(super) fn checked(state: &mut State, opinions: Vec<Opinion>, todo: &mut Todo) {
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
pub(super) fn eject(state: &mut State, slot: usize, todo: &mut Todo) {
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
pub(super) fn follow_capacity(state: &mut State, slot: usize, todo: &mut Todo) {
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
pub(super) fn cluster_out(
    entry: &Entry,
    cluster: &str,
    why: &Reason,
    finding: Option<&str>,
    todo: &mut Todo,
) {
    let name = &entry.config.name;
    let instead = finding.map(|finding| format!(", in place of a revert for {finding}")).unwrap_or_default();
    let text = format!("{name}: cluster {cluster} is not asked for a while{instead}: {why}");
    todo.announce(Happening::ClusterOut, Some(name), text);
}

pub(super) fn follow_lineups(state: &mut State, todo: &mut Todo) {
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
