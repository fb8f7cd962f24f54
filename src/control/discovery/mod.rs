//! Finding endpoints: what each platform says of a service, again and again.
//!
//! A thread of its own asks: lists of thousands of endpoints are read while control goes on deciding. Services that share a
//! Helios, a cluster or a name share one conversation with it. What is heard becomes [`Look`]s; whether a look is believed is
//! [`super::roster`]'s question, and no source's.
//!
//! ```text
//! config ─ wanted ─▶ names ┐
//!                   helios ├─ Looks ──Event──▶ Roster ─▶ ServiceView
//!               kubernetes ┘
//! ```

mod had;
mod helios;
mod kubernetes;
#[cfg(test)]
mod name_server;
mod names;
mod resolve;
mod sighting;

use std::io;
use std::sync::Arc;
use std::thread;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tracing::error;

use crate::clock::Clock;
use crate::config::{ClusterConfig, HostPort, MastersConfig, Published, Registered, Source};

pub(crate) use sighting::{Look, Sighting, SourceId, Standing};

/// Looks that wait for control; past this, sources wait with telling.
const WAITING_LOOKS: usize = 64;

/// A source whose endpoints somebody wants to know.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) id: SourceId,
    pub(super) source: Source,
}

/// What one conversation is to find out; replaced when the configuration changes.
type Asked<T> = watch::Receiver<Arc<[(SourceId, T)]>>;
/// The same, by whom is asked.
type Groups<K, T> = Vec<(Arc<K>, Vec<(SourceId, T)>)>;
/// Where it is told.
type Tell = mpsc::Sender<Vec<Look>>;

/// Starts looking. Ends when `wanted` does.
pub(super) fn start(
    clock: Clock,
    wanted: watch::Receiver<Arc<[Wanted]>>,
) -> io::Result<mpsc::Receiver<Vec<Look>>> {
    let (tell, looks) = mpsc::channel(WAITING_LOOKS);
    thread::Builder::new().name("discovery".to_owned()).spawn(move || match Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
    {
        Ok(runtime) => runtime.block_on(run(clock, wanted, tell)),
        Err(error) => error!(%error, "endpoints cannot be looked for: those that are known are kept"),
    })?;
    Ok(looks)
}

async fn run(clock: Clock, mut wanted: watch::Receiver<Arc<[Wanted]>>, tell: Tell) {
    let mut talks = Talks::default();
    loop {
        let now_wanted = wanted.borrow_and_update().clone();
        talks.follow(clock, &now_wanted, &tell);
        if wanted.changed().await.is_err() {
            return;
        }
    }
}

/// The conversations under way.
#[derive(Default)]
struct Talks {
    names: Option<Talk<NameAsked>>,
    helios: Vec<(Arc<MastersConfig>, Talk<Registered>)>,
    kubernetes: Vec<(Arc<ClusterConfig>, Talk<Published>)>,
}

/// A name that is to be looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
enum NameAsked {
    /// The addresses of these hosts, and what is listed beside them.
    Hosts(Arc<[HostPort]>),
    /// Where these SRV records point.
    Srv(Arc<str>),
}

/// One conversation. Dropped, it ends.
struct Talk<T> {
    asked: watch::Sender<Arc<[(SourceId, T)]>>,
    task: AbortHandle,
}

impl<T> Drop for Talk<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<T: Clone + PartialEq + 'static> Talk<T> {
    fn start<F>(asked: Vec<(SourceId, T)>, run: impl FnOnce(Asked<T>) -> F) -> Self
    where
        F: Future<Output = ()> + 'static,
    {
        let (asked, changes) = watch::channel(asked.into());
        Self { asked, task: tokio::task::spawn_local(run(changes)).abort_handle() }
    }

    fn ask(&self, asked: Vec<(SourceId, T)>) {
        self.asked.send_if_modified(|before| {
            let differs = **before != *asked;
            if differs {
                *before = asked.into();
            }
            differs
        });
    }
}

impl Talks {
    fn follow(&mut self, clock: Clock, wanted: &[Wanted], tell: &Tell) {
        let mut names = Vec::new();
        let mut helios: Groups<MastersConfig, Registered> = Vec::new();
        let mut kubernetes: Groups<ClusterConfig, Published> = Vec::new();
        for Wanted { id, source } in wanted {
            match source {
                Source::Listed(listed) => names.push((*id, NameAsked::Hosts(listed.names.clone()))),
                Source::Srv(name) => names.push((*id, NameAsked::Srv(name.clone()))),
                Source::Helios(masters, what) => add(&mut helios, masters, (*id, what.clone())),
                Source::Kubernetes(cluster, what) => add(&mut kubernetes, cluster, (*id, what.clone())),
            }
        }
        match &self.names {
            _ if names.is_empty() => self.names = None,
            Some(talk) => talk.ask(names),
            None => self.names = Some(Talk::start(names, |asked| names::run(clock, asked, tell.clone()))),
        }
        follow(&mut self.helios, helios, |masters, asked| helios::run(clock, masters, asked, tell.clone()));
        follow(&mut self.kubernetes, kubernetes, |cluster, asked| {
            kubernetes::run(clock, cluster, asked, tell.clone())
        });
    }
}

fn add<K: PartialEq, T>(groups: &mut Vec<(Arc<K>, Vec<T>)>, key: &Arc<K>, asked: T) {
    match groups.iter_mut().find(|(known, _)| Arc::ptr_eq(known, key) || known == key) {
        Some((_, group)) => group.push(asked),
        None => groups.push((key.clone(), vec![asked])),
    }
}

fn follow<K: PartialEq, T: Clone + PartialEq + 'static, F: Future<Output = ()> + 'static>(
    talks: &mut Vec<(Arc<K>, Talk<T>)>,
    groups: Groups<K, T>,
    run: impl Fn(Arc<K>, Asked<T>) -> F,
) {
    talks.retain(|(key, _)| groups.iter().any(|(wanted, _)| wanted == key));
    for (key, asked) in groups {
        if let Some((_, talk)) = talks.iter().find(|(known, _)| *known == key) {
            talk.ask(asked);
        } else {
            let talk = Talk::start(asked, |changes| run(key.clone(), changes));
            talks.push((key, talk));
        }
    }
}
