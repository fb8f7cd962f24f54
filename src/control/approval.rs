use std::sync::Arc;
use std::time::Duration;

use crate::model::{Caller, Millis, ServiceName, UnixMillis, Weight};

use super::event::{Now, Why, Wish};
use super::steering::ApprovalStatus;

/// A change that one person wants, and that takes a second.
///
/// It waits in memory only: a restart forgets it, which is toward Helios, and who wants it says so again.
#[derive(Debug)]
pub(super) struct Pending {
    /// Who wants it.
    pub(super) by: Arc<Caller>,
    pub(super) wish: Wish,
    pub(super) why: Why,
    /// What, in words.
    pub(super) what: String,
    pub(super) to: Weight,
    asked: Now,
}

/// How long it waits.
const WAITS: Duration = Duration::from_hours(1);

impl Pending {
    pub(super) fn new(
        by: Arc<Caller>,
        wish: Wish,
        why: Why,
        (what, to): (String, Weight),
        asked: Now,
    ) -> Self {
        Self { by, wish, why, what, to, asked }
    }

    /// Whether it has waited for too long.
    pub(super) fn is_over(&self, now: Millis) -> bool {
        Duration::from_millis(now.since(self.asked.mono).0) >= WAITS
    }

    /// Whether it is what was asked for at this moment.
    pub(super) fn is_of(&self, asked: UnixMillis) -> bool {
        self.asked.wall == asked
    }

    pub(super) fn status(&self, service: &ServiceName) -> ApprovalStatus {
        let asked: UnixMillis = self.asked.wall;
        ApprovalStatus {
            service: service.to_string(),
            by: self.by.name.to_string(),
            what: self.what.clone(),
            to_percent: self.to.percent(),
            reason: self.why.reason.to_string(),
            asked_unix_ms: asked.0,
            until_unix_ms: asked.after(WAITS).0,
        }
    }
}
