use crate::config::{Diff, Fault, Loaded, diff};
use crate::model::Side;
use crate::rollout;

use super::super::calibration;
use super::super::event::{Answer, Behind, CertificateNews, Effect, Happening, Refused};
use super::super::history::{Deed, Draft};
use super::super::state::State;
use super::take_in::Todo;
use super::turn::{keep_ledger, turn};

pub(super) fn reconfigure(state: &mut State, loaded: Loaded, todo: &mut Todo) {
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
        todo.note(Deed::ConfigRefused, &text);
        todo.announce(Happening::ConfigRefused, None, text);
        return;
    }
    note_weights(state, &diff, &loaded.fingerprint, todo);
    // What is read at start only stays as it was started with, so that the difference is seen until then.
    let process = state.config.process.clone();
    state.config = loaded.config;
    state.config.process = process;
    (state.fingerprint, state.loaded_at) = (loaded.fingerprint, todo.now.wall);
    state.needs_restart.clone_from(&diff.restart);
    for name in &diff.removed {
        let (undo, asks) = state.remove(name);
        todo.effects.extend(undo.map(|record| Effect::WriteRecord {
            service: name.clone(),
            record,
            history: Behind::Then(None),
        }));
        let overtaken = || Answer::Refused(Refused::Overtaken(name.clone()));
        todo.effects.extend(asks.into_iter().map(|ask| Effect::Answer(ask, overtaken())));
    }
    for service in &diff.changed {
        let Some(slot) = state.slot(&service.name) else { continue };
        calibration::reconsider(state, slot, service, todo);
        if let Some(entry) = state.entry(slot) {
            entry.adopt(service.clone());
        }
        state.follow_sources(slot, todo.now.mono);
        turn(state, slot, rollout::Event::File(service.weight), None, None, todo);
        state.refresh(slot);
    }
    for service in &diff.added {
        state.add(service.clone(), todo.now);
        if let Some(slot) = state.slot(&service.name) {
            keep_ledger(state, slot, todo);
        }
    }
    state.reroute();
    (state.recheck, todo.publish) = (true, true);
    let (added, changed, removed) = (diff.added.len(), diff.changed.len(), diff.removed.len());
    let mut text =
        format!("configuration loaded: {added} services added, {changed} changed, {removed} removed");
    if !diff.restart.is_empty() {
        let sections = diff.restart.join(", ");
        text = format!("{text}; restart Switchback for the changes to {sections} in switchback.toml");
    }
    if !diff.fleet.is_empty() {
        text = format!("{text}; {} changed", diff.fleet.join(", "));
    }
    let configuration = Some(state.fingerprint.clone());
    let details = Some(text.clone());
    todo.push(Effect::History(Draft { details, configuration, ..Draft::done(Deed::ConfigLoaded) }));
    todo.announce(Happening::ConfigLoaded, None, text);
}

/// The history has the weights that files give services.
fn note_weights(state: &mut State, diff: &Diff, fingerprint: &str, todo: &mut Todo) {
    for service in &diff.changed {
        let before = state.named(&service.name).map(|entry| entry.rollout.file());
        if let Some(before) = before.filter(|before| *before != service.weight) {
            todo.push(Effect::History(Draft {
                service: Some(service.name.to_string()),
                before_percent: Some(before.percent()),
                after_percent: Some(service.weight.percent()),
                configuration: Some(fingerprint.to_owned()),
                ..Draft::done(Deed::FileWeight)
            }));
        }
    }
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

pub(super) fn follow_certificates(news: CertificateNews, todo: &mut Todo) {
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
        CertificateNews::Restored => {
            let text = "the certificates are the last good ones again".to_owned();
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

pub(super) fn refuse_configuration(state: &mut State, faults: &[Fault], todo: &mut Todo) {
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
    todo.note(Deed::ConfigRefused, &text);
    todo.announce(Happening::ConfigRefused, None, text);
}
