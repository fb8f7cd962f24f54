use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::clock::Clock;
use crate::config::{KeysAt, KeysUrl, OidcConfig};
use crate::jwt::{Expected, Keys, Person, TokenFault, verify};
use crate::tls::Signature;

use super::denied::Denied;
use super::fetch::fetch;
use super::schedule::{Asked, Schedule};

/// The keys of an identity provider, kept up to date. Whatever happens to where they come from, the last good ones stay.
pub(super) struct Keyring {
    ring: Arc<Ring>,
    /// What keeps it up to date; ended with it.
    task: AbortHandle,
}

struct Ring {
    clock: Clock,
    provider: Arc<OidcConfig>,
    known: watch::Sender<Known>,
    schedule: Mutex<Schedule>,
    bell: Notify,
}

/// What is known of keys.
#[derive(Clone, Default)]
struct Known {
    keys: Option<Arc<Keys>>,
    /// Why they could not be read last.
    trouble: Option<String>,
}

/// How long a request waits for keys to be asked for. Then it is refused, and its token will be good a little later.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a file is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

impl Keyring {
    /// Begins to keep keys up to date. Call on a runtime that runs local tasks.
    pub(super) fn start(provider: Arc<OidcConfig>, clock: Clock) -> Self {
        let ring = Arc::new(Ring {
            clock,
            provider,
            known: watch::Sender::default(),
            schedule: Mutex::default(),
            bell: Notify::new(),
        });
        let working = ring.clone();
        let task = tokio::task::spawn_local(async move {
            match &working.provider.keys {
                KeysAt::File(path) => working.follow(path).await,
                KeysAt::Url(url) => working.keep_asking(url).await,
            }
        });
        Self { ring, task: task.abort_handle() }
    }

    pub(super) fn provider(&self) -> &Arc<OidcConfig> {
        &self.ring.provider
    }

    /// Why keys could not be read last.
    pub(super) fn trouble(&self) -> Option<String> {
        self.ring.known.borrow().trouble.clone()
    }

    /// Who somebody is by a token.
    pub(super) async fn person(&self, token: &str) -> Result<Person, Denied> {
        match self.ring.verify(token) {
            Err(Denied::NoKeys | Denied::Token(TokenFault::UnknownKey)) if self.ring.refresh().await => {
                self.ring.verify(token)
            }
            verified => verified,
        }
    }
}

impl Drop for Keyring {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Ring {
    fn verify(&self, token: &str) -> Result<Person, Denied> {
        let keys = self.known.borrow().keys.clone().ok_or(Denied::NoKeys)?;
        let OidcConfig { issuer, audience, claim, groups, .. } = &*self.provider;
        Ok(verify(token, &keys, &Expected { issuer, audience, claim, groups }, self.clock.wall())?)
    }

    /// Has keys asked for that are not known, and waits. Whether there are new ones to look at.
    async fn refresh(&self) -> bool {
        // Whatever comes from here on is new.
        let mut known = self.known.subscribe();
        match &self.provider.keys {
            // Just begun: it is being read.
            KeysAt::File(_) if known.borrow().keys.is_none() => {}
            KeysAt::File(_) => return false,
            KeysAt::Url(_) => {
                let now = self.clock.millis();
                if !self.schedule().want(now) {
                    return false;
                }
                self.bell.notify_one();
            }
        }
        timeout(PATIENCE, known.changed()).await.is_ok_and(|changed| changed.is_ok())
    }

    async fn keep_asking(&self, url: &KeysUrl) {
        loop {
            let wait = self.schedule().wait(self.clock.millis());
            if wait.0 > 0 {
                tokio::select! {
                    () = sleep(Duration::from_millis(wait.0)) => {}
                    () = self.bell.notified() => {}
                }
                continue;
            }
            self.schedule().begin();
            let fetched = fetch(url).await;
            let asked = if fetched.is_ok() { Asked::Answered } else { Asked::Failed };
            self.schedule().end(asked, self.clock.millis());
            self.take_in(fetched.map_err(|error| format!("https://{}{} {error}", url.authority, url.path)));
        }
    }

    async fn follow(&self, path: &std::path::Path) {
        let mut seen = None;
        loop {
            let (path, known) = (path.to_owned(), seen);
            let look = move || {
                let signature = Signature::of(&[&path]);
                (known != Some(signature)).then(|| (signature, read(&path)))
            };
            // Until it is good it is read each time: what was wrong may be with its permissions.
            if let Ok(Some((signature, keys))) = tokio::task::spawn_blocking(look).await {
                seen = keys.is_ok().then_some(signature);
                self.take_in(keys);
            }
            sleep(LOOK_EVERY).await;
        }
    }

    fn take_in(&self, read: Result<Keys, String>) {
        let Known { keys, trouble: before } = self.known.borrow().clone();
        let (keys, trouble) = match read {
            Ok(keys) => (Some(Arc::new(keys)), None),
            Err(trouble) => (keys, Some(trouble)),
        };
        match &trouble {
            Some(trouble) if before.as_ref() != Some(trouble) => {
                warn!("the identity provider's keys cannot be read, the last good ones stay: {trouble}");
            }
            None if before.is_some() => info!("the identity provider's keys can be read again"),
            Some(_) | None => {}
        }
        self.known.send_replace(Known { keys, trouble });
    }

    fn schedule(&self) -> std::sync::MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &std::path::Path) -> Result<Keys, String> {
    let text = std::fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    Keys::parse(&text).map_err(|fault| format!("{} {fault}", path.display()))
}
