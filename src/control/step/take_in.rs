use std::collections::BTreeMap;

use crate::model::ServiceName;
use crate::rollout::Actor;

use super::super::event::{Announcement, Answer, Ask, Effect, Event, Happening, Now, Refused};
use super::super::history::{Deed, DeedOutcome, Draft};
use super::super::state::State;
use super::ask::answer;
use super::configure::{follow_certificates, reconfigure, refuse_configuration};
use super::endpoints::{checked, looked, tell_of_sources};
use super::fall::{Telling, note_applied};
use super::tick::{count, tick};
use super::turn::written;

/// Takes in an event, and says what is to be done. What is published comes first: everything else that one
/// event asks for may wait for the disk, or for people.
pub(in crate::control) fn step(state: &mut State, event: Event, now: Now) -> Vec<Effect> {
    let mut todo = Todo { now, publish: false, effects: Vec::new() };
    match event {
        Event::Tick => tick(state, &mut todo),
        Event::Report(report) => count(state, &report, &mut todo),
        Event::Looked(looks) => {
            let mut news = BTreeMap::new();
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
        Event::Asked(ask, caller, command) => answer(state, ask, caller, *command, &mut todo),
    }
    if todo.publish {
        todo.effects.insert(0, Effect::Publish(state.snapshot()));
    }
    todo.effects
}

/// What is to be done.
pub(in crate::control) struct Todo {
    pub(in crate::control) now: Now,
    pub(in crate::control) publish: bool,
    pub(super) effects: Vec<Effect>,
}

impl Todo {
    pub(in crate::control) fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub(super) fn announce(&mut self, happening: Happening, service: Option<&ServiceName>, text: String) {
        self.announce_by(happening, service, None, text);
    }

    pub(in crate::control) fn announce_by(
        &mut self,
        happening: Happening,
        service: Option<&ServiceName>,
        by: Option<&Actor>,
        text: String,
    ) {
        self.push(Effect::Announce(self.announcement(happening, service, by, text)));
    }

    /// A revert, perhaps one of several of which people are told together.
    pub(super) fn announce_revert(
        &mut self,
        service: &ServiceName,
        by: &Actor,
        telling: Telling,
        text: String,
    ) {
        let announcement = self.announcement(Happening::Reverted, Some(service), Some(by), text);
        let of_alarm = telling == Telling::WithOthers;
        self.push(Effect::Announce(Announcement { of_alarm, ..announcement }));
    }

    fn announcement(
        &self,
        happening: Happening,
        service: Option<&ServiceName>,
        by: Option<&Actor>,
        text: String,
    ) -> Announcement {
        Announcement {
            at_unix_ms: self.now.wall.0,
            happening,
            service: service.map(ToString::to_string),
            team: None, // the loop knows, and fills it in
            by: by.map(Into::into),
            text,
            of_alarm: false,
        }
    }

    pub(in crate::control) fn answer(&mut self, ask: Ask, answer: Answer) {
        self.push(Effect::Answer(ask, answer));
    }

    /// Nothing is changed, and the history has it.
    pub(in crate::control) fn refuse(&mut self, ask: Ask, draft: Draft, refused: Refused) {
        let details = Some(refused.to_string());
        self.push(Effect::History(Draft { outcome: DeedOutcome::Refused, details, ..draft }));
        self.answer(ask, Answer::Refused(refused));
    }

    /// Something of which nobody in particular is the author.
    pub(super) fn note(&mut self, deed: Deed, details: &str) {
        self.push(Effect::History(Draft { details: Some(details.to_owned()), ..Draft::done(deed) }));
    }
}
