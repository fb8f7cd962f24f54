use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{error, info, warn};

use crate::clock::Clock;
use crate::config::WebhookConfig;

use super::courier;
use super::desk::Desk;
use super::message::Message;
use super::post::Parcel;
use super::queue;
use super::status::WebhookStatus;

/// Who is to be told, as it is configured.
pub(super) type Wanted = Arc<[Arc<WebhookConfig>]>;
/// How all of them are.
pub(super) type Standing = Arc<[WebhookStatus]>;

/// What the thread is made from.
pub(super) struct Seed {
    pub(super) clock: Clock,
    /// In it, each webhook has a folder.
    pub(super) folder: PathBuf,
    pub(super) wanted: watch::Receiver<Wanted>,
    pub(super) parcels: mpsc::Receiver<Parcel>,
    pub(super) standing: watch::Sender<Standing>,
}

/// Parcels that are taken in at once: what comes together is written down together.
const BATCH: usize = 64;
/// How long messages under way may take at the end. They are sent again by the next process.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// What a name of a host may have in a URI (RFC 3986, 2.3).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Takes in what is to be told, and has it sent. Ends when control does.
pub(super) async fn run(seed: Seed) {
    let Seed { clock, folder, mut wanted, mut parcels, standing } = seed;
    let mut office = Office {
        clock,
        folder,
        source: source(),
        shown: Rc::default(),
        stop: watch::Sender::new(false),
        desks: BTreeMap::new(),
    };
    office.clear(&wanted.borrow());
    office.follow(&wanted.borrow_and_update().clone());
    let shown = office.shown.clone();
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        standing.send_replace(office.standing());
        tokio::select! {
            biased;
            changed = wanted.changed() => {
                if changed.is_err() {
                    break;
                }
                office.follow(&wanted.borrow_and_update().clone());
            }
            _ = parcels.recv_many(&mut batch, BATCH) => {
                // Whom a parcel is for was configured before it was sent.
                if wanted.has_changed().unwrap_or(false) {
                    office.follow(&wanted.borrow_and_update().clone());
                }
                office.take_in(batch.drain(..));
            }
            () = shown.notified() => {}
        }
    }
    parcels.close();
    while let Ok(parcel) = parcels.try_recv() {
        office.take_in([parcel]);
    }
    office.end().await;
}

/// All webhooks.
struct Office {
    clock: Clock,
    folder: PathBuf,
    /// Which Switchback tells.
    source: Rc<str>,
    /// Rung when there is something to show.
    shown: Rc<Notify>,
    stop: watch::Sender<bool>,
    desks: BTreeMap<Arc<str>, (Rc<Desk>, JoinHandle<()>)>,
}

impl Office {
    /// Deletes the queues of webhooks that are not configured any more.
    fn clear(&self, wanted: &[Arc<WebhookConfig>]) {
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().filter_map(Result::ok) {
            let name = entry.file_name();
            let is_wanted = wanted.iter().any(|config| name.to_str() == Some(&*config.name));
            if !is_wanted && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                forget(&name.to_string_lossy(), &entry.path());
            }
        }
    }

    /// Has these told, and nobody else.
    fn follow(&mut self, wanted: &[Arc<WebhookConfig>]) {
        let gone = self.desks.extract_if(.., |name, _| !wanted.iter().any(|config| config.name == *name));
        for (name, (_, courier)) in gone {
            courier.abort();
            forget(&name, &self.folder.join(&*name));
        }
        for config in wanted {
            if let Some((desk, _)) = self.desks.get(&config.name) {
                desk.config.send_if_modified(|before| {
                    let differs = *before != *config;
                    before.clone_from(config);
                    differs
                });
                continue;
            }
            let folder = self.folder.join(&*config.name);
            let desk = Rc::new(Desk::open(self.clock, config.clone(), &folder, self.shown.clone()));
            let courier = start(self.clock, &desk, &self.source, &self.stop);
            self.desks.insert(config.name.clone(), (desk, courier));
        }
    }

    fn take_in(&mut self, parcels: impl IntoIterator<Item = Parcel>) {
        for parcel in parcels {
            match parcel {
                Parcel::Told { message, to } => {
                    let message = Rc::new(*message);
                    for (desk, _) in to.iter().filter_map(|name| self.desks.get(name)) {
                        desk.add(message.clone(), None);
                    }
                }
                Parcel::Test { id, webhook, by, reason, asker } => {
                    // Who asked for one that has gone hears so by hearing nothing.
                    if let Some((desk, _)) = self.desks.get(&*webhook) {
                        let message = Message::test(id, self.clock.wall(), by, &webhook, &reason);
                        desk.add(Rc::new(message), Some(asker));
                    }
                }
            }
        }
        for (desk, courier) in self.desks.values_mut() {
            desk.keep();
            if courier.is_finished() {
                error!(webhook = %desk.config.borrow().name, "what sends to a webhook had ended in a panic, and begins anew");
                *courier = start(self.clock, desk, &self.source, &self.stop);
            }
        }
    }

    fn standing(&self) -> Standing {
        self.desks.values().map(|(desk, _)| desk.status()).collect()
    }

    async fn end(self) {
        self.stop.send_replace(true);
        let all = async {
            for (_, courier) in self.desks.into_values() {
                // One that has panicked has ended, too.
                let _ = courier.await;
            }
        };
        if timeout(LAST_WORDS, all).await.is_err() {
            info!("messages under way to webhooks are sent again after the next start");
        }
    }
}

fn start(clock: Clock, desk: &Rc<Desk>, source: &Rc<str>, stop: &watch::Sender<bool>) -> JoinHandle<()> {
    tokio::task::spawn_local(courier::run(clock, desk.clone(), source.clone(), stop.subscribe()))
}

fn forget(name: &str, folder: &Path) {
    match queue::delete(folder) {
        Ok(0) => {}
        Ok(messages) => {
            info!(
                webhook = %name,
                messages, "a webhook is not configured any more: what it was still to be told is deleted"
            );
        }
        Err(error) => warn!(webhook = %name, %error, "cannot delete what a webhook was still to be told"),
    }
}

/// This Switchback, by the name of its host.
fn source() -> Rc<str> {
    let host = nix::unistd::gethostname().unwrap_or_default();
    let host = host.to_string_lossy();
    format!("switchback/{}", utf8_percent_encode(&host, UNRESERVED)).into()
}
