use std::sync::Arc;

use crate::model::{Caller, ServiceName, Via};
use crate::rollout::Actor;

use super::event::{CauseOfRevert, Why};
use super::history::{Deed, Draft};

/// Who wants a change, and why: what the history and people are told of it.
#[derive(Clone, Debug)]
pub(super) struct Note {
    pub(super) deed: Deed,
    pub(super) by: Actor,
    pub(super) reason: Arc<str>,
    pub(super) ticket: Option<Arc<str>>,
    via: Option<Via>,
    from: Option<Arc<str>>,
    /// The second person, where it took one.
    pub(super) approved_by: Option<Arc<str>>,
    /// Whether a person says that the revert which it ends was not called for.
    pub(super) cause: CauseOfRevert,
}

impl Note {
    /// A person wants it.
    pub(super) fn of(caller: &Caller, deed: Deed, why: &Why) -> Self {
        Self {
            deed,
            by: Actor::Person(caller.name.clone()),
            reason: why.reason.clone(),
            ticket: why.ticket.clone(),
            via: Some(caller.via),
            from: Some(caller.from.clone()),
            approved_by: None,
            cause: CauseOfRevert::Unsaid,
        }
    }

    /// Switchback does it by itself.
    pub(super) fn by(by: Actor, deed: Deed, reason: impl Into<Arc<str>>) -> Self {
        let reason = reason.into();
        let cause = CauseOfRevert::Unsaid;
        Self { deed, by, reason, ticket: None, via: None, from: None, approved_by: None, cause }
    }

    /// The revert that it ends was not called for.
    pub(super) fn of_false_alarm(self) -> Self {
        Self { cause: CauseOfRevert::FalseAlarm, ..self }
    }

    /// A second person has agreed.
    pub(super) fn approved(self, by: &Caller) -> Self {
        Self { approved_by: Some(by.name.clone()), ..self }
    }

    /// What the history says of it, without weights.
    pub(super) fn draft(&self, service: Option<&ServiceName>) -> Draft {
        let text = |text: &Arc<str>| text.to_string();
        Draft {
            service: service.map(ToString::to_string),
            by: Some((&self.by).into()),
            via: self.via.map(|via| via.as_str().to_owned()),
            from: self.from.as_ref().map(text),
            approved_by: self.approved_by.as_ref().map(text),
            reason: Some(text(&self.reason)).filter(|reason| !reason.is_empty()),
            ticket: self.ticket.as_ref().map(text),
            ..Draft::done(self.deed)
        }
    }
}
