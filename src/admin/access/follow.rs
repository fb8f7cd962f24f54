use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use crate::clock::Clock;
use crate::config::{Fault, LoadedRights, RightsConfig, reload_rights};
use crate::control::{Command, Handle};
use crate::tls::Signature;

use super::gate::{Gate, ourselves};
use super::keyring::Keyring;

/// The rights in force.
pub(in crate::admin) struct InForce {
    pub(super) rights: RightsConfig,
    pub(super) keyring: Option<Arc<Keyring>>,
    /// What is wrong with the file as it is now.
    faults: Vec<String>,
}

/// Follows the rights file, apart from the rest of the configuration: what is wrong with a service's file keeps nobody in who
/// was taken off the list, and what is wrong with the list keeps no service's file back.
pub(in crate::admin) struct Follower {
    path: PathBuf,
    clock: Clock,
    control: Handle,
    fingerprint: String,
    in_force: watch::Sender<Arc<InForce>>,
    /// The file as it was read last; `None` if it is to be read in any case.
    seen: Option<Signature>,
    /// The file at the last look, while it changes, …
    changing: Option<Signature>,
    /// … and for how many looks it has.
    looks: u32,
    /// What people have been told is wrong.
    told: Option<String>,
}

/// How often the file is looked at. It is read when it has not changed from one look to the next: an editor may write it in
/// pieces, of which the first can look like a shorter list.
const LOOK_EVERY: Duration = Duration::from_millis(400);
/// A file that never comes to rest is read as it is after so many looks.
const MOST_LOOKS: u32 = 5;
/// Changes that the history is told of in full.
const MOST_TOLD: usize = 30;

impl InForce {
    pub(super) fn trouble(&self) -> Vec<String> {
        let keys = self.keyring.iter().filter_map(|keyring| keyring.trouble());
        self.faults.iter().cloned().chain(keys).collect()
    }
}

impl Follower {
    /// Of a file that was read. Call on a runtime that runs local tasks.
    pub(in crate::admin) fn new(path: PathBuf, loaded: LoadedRights, clock: Clock, control: Handle) -> Self {
        let LoadedRights { rights, fingerprint } = loaded;
        let keyring = keyring(&rights, None, clock);
        let (in_force, _) = watch::channel(Arc::new(InForce { rights, keyring, faults: Vec::new() }));
        // What has changed since it was read is seen at the first look.
        Self { path, clock, control, fingerprint, in_force, seen: None, changing: None, looks: 0, told: None }
    }

    pub(in crate::admin) fn in_force(&self) -> watch::Receiver<Arc<InForce>> {
        self.in_force.subscribe()
    }

    /// Follows the file, and has the history told of failures when that is due.
    pub(in crate::admin) async fn run(mut self, gate: Arc<Gate>) {
        let rights = self.in_force.borrow().rights.in_words();
        let text = format!("rights in force: {rights}; the file's fingerprint is {}", self.fingerprint);
        self.tell(Command::RightsChanged(text.into())).await;
        loop {
            self.look().await;
            gate.look().await;
            sleep(LOOK_EVERY).await;
        }
    }

    async fn look(&mut self) {
        let path = self.path.clone();
        let looked = tokio::task::spawn_blocking(move || Signature::of(&[&path])).await;
        let Ok(signature) = looked else { return };
        // Faults are looked at each time: they may be with permissions, or with another file.
        if self.seen == Some(signature) && self.told.is_none() {
            return;
        }
        if self.changing != Some(signature) && self.looks < MOST_LOOKS {
            (self.changing, self.looks) = (Some(signature), self.looks + 1);
            return;
        }
        (self.changing, self.looks, self.seen) = (Some(signature), 0, Some(signature));
        let (path, before) = (self.path.clone(), self.in_force.borrow().clone());
        let reading = tokio::task::spawn_blocking(move || reload_rights(&path, &before.rights));
        match reading.await {
            Ok(Ok(loaded)) => self.take_in(loaded).await,
            Ok(Err(faults)) => self.refuse(&faults).await,
            Err(_) => self.seen = None,
        }
    }

    async fn take_in(&mut self, loaded: LoadedRights) {
        let LoadedRights { rights, fingerprint } = loaded;
        let before = self.in_force.borrow().clone();
        let changes = rights.changes_from(&before.rights);
        let had_faults = self.told.take().is_some();
        let text = match (changes.as_slice(), had_faults) {
            ([], false) => return,
            ([], true) => "the rights file is the last good one again".to_owned(),
            (changes, _) => {
                let told = changes.iter().take(MOST_TOLD).cloned().collect::<Vec<_>>().join("; ");
                let more = changes.len().saturating_sub(MOST_TOLD);
                let more = if more > 0 { format!("; and {more} more") } else { String::new() };
                format!("rights changed: {told}{more}; the file's fingerprint is {fingerprint}")
            }
        };
        let keyring = keyring(&rights, Some(&before), self.clock);
        // First in force, then told: it may be that somebody is to be kept out.
        self.in_force.send_replace(Arc::new(InForce { rights, keyring, faults: Vec::new() }));
        self.fingerprint = fingerprint;
        self.tell(Command::RightsChanged(text.into())).await;
    }

    async fn refuse(&mut self, found: &[Fault]) {
        let told = found.iter().map(|fault| {
            let (line, column) = fault.line_and_column();
            format!("{}:{line}:{column}: {}", fault.path().display(), fault.message)
        });
        let faults: Vec<String> = told.collect();
        let first = faults.first().map_or("", String::as_str);
        let text = match faults.len() {
            1 => format!("the new rights are refused, the last good ones stay: {first}"),
            more => {
                format!("the new rights are refused, the last good ones stay: {more} faults, first {first}")
            }
        };
        let before = self.in_force.borrow().clone();
        if before.faults != faults {
            let InForce { rights, keyring, .. } = &*before;
            let (rights, keyring) = (rights.clone(), keyring.clone());
            self.in_force.send_replace(Arc::new(InForce { rights, keyring, faults }));
        }
        if self.told.as_ref() != Some(&text) {
            self.told = Some(text.clone());
            self.tell(Command::RightsRefused(text.into())).await;
        }
    }

    async fn tell(&self, command: Command) {
        // Control that has ended has told so already.
        let _ = self.control.ask(ourselves(), command).await;
    }
}

/// The keys of the provider that is believed: those of before, if it is the same.
fn keyring(rights: &RightsConfig, before: Option<&InForce>, clock: Clock) -> Option<Arc<Keyring>> {
    let provider = rights.oidc.as_ref()?;
    let before = before.and_then(|before| before.keyring.as_ref());
    match before.filter(|keyring| keyring.provider() == provider) {
        Some(keyring) => Some(keyring.clone()),
        None => Some(Arc::new(Keyring::start(provider.clone(), clock))),
    }
}
