use std::ffi::CString;
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::{Gid, Group, Uid, User, geteuid, getgrouplist};
use tokio::time::timeout;

/// A user of this machine, as the system knows them.
#[derive(Clone, Debug)]
pub(super) struct UnixUser {
    uid: u32,
    /// Who runs Switchback.
    own: u32,
    /// The name under which records have them.
    pub(super) name: Arc<str>,
    /// The name under which the rights file has them: their number where they have none.
    pub(super) listed_as: Arc<str>,
    pub(super) groups: Vec<Arc<str>>,
}

/// Names may come over the network, and from there late. Longer than this nobody waits: who is trusted by their number
/// alone gets in then, too.
const PATIENCE: Duration = Duration::from_secs(2);

impl UnixUser {
    pub(super) fn new(uid: u32, own: u32, name: Option<&str>, groups: &[&str]) -> Self {
        let (name, listed_as) = match name {
            Some(name) => (Arc::from(name), Arc::from(name)),
            None => (format!("uid {uid}").into(), uid.to_string().into()),
        };
        Self { uid, own, name, listed_as, groups: groups.iter().map(|group| Arc::from(*group)).collect() }
    }

    /// Asks the system who this is.
    pub(super) async fn look_up(uid: u32) -> Self {
        let own = geteuid().as_raw();
        // Whoever is trusted has no need of groups, and must get in when those who know of groups are down.
        let wanted = if uid == 0 || uid == own { Wanted::Name } else { Wanted::NameAndGroups };
        let (name, groups) = ask(uid, wanted).await;
        let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
        Self::new(uid, own, name.as_deref(), &groups)
    }

    /// Asks the system for a name only.
    pub(super) async fn named(uid: u32) -> Arc<str> {
        let (name, _) = ask(uid, Wanted::Name).await;
        Self::new(uid, uid, name.as_deref(), &[]).name
    }

    /// Whether they could read and write Switchback's state anyway: `root`, and who runs it.
    pub(super) fn is_trusted(&self) -> bool {
        self.uid == 0 || self.uid == self.own
    }
}

/// What the system is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Name,
    NameAndGroups,
}

async fn ask(uid: u32, wanted: Wanted) -> (Option<String>, Vec<String>) {
    let asked = timeout(PATIENCE, tokio::task::spawn_blocking(move || look_up(uid, wanted))).await;
    asked.ok().and_then(Result::ok).unwrap_or_default()
}

/// A user's name, and their groups'.
fn look_up(uid: u32, wanted: Wanted) -> (Option<String>, Vec<String>) {
    let Some(user) = User::from_uid(Uid::from_raw(uid)).ok().flatten() else { return (None, Vec::new()) };
    if wanted == Wanted::Name {
        return (Some(user.name), Vec::new());
    }
    let name = CString::new(user.name.as_bytes()).unwrap_or_default();
    let groups: Vec<Gid> = getgrouplist(&name, user.gid).unwrap_or_default();
    let groups = groups.into_iter().filter_map(|gid| Group::from_gid(gid).ok().flatten());
    (Some(user.name), groups.map(|group| group.name).collect())
}
