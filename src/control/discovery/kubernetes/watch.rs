use std::collections::BTreeSet;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use kube::{Client, Error};
use tokio::time::{sleep, timeout};
use tracing::debug;

use crate::clock::Clock;
use crate::config::Published;
use crate::model::Millis;

use super::super::had::{Had, gone};
use super::super::{Asked, Look, SourceId, Tell};
use super::access::{Access, Opened, code, reason};
use super::held::Held;
use super::slices::{SERVICE, sightings};

/// How many slices a page of a list has.
const PAGE: u32 = 500;
/// How long a page of a list, or the start of a watch, may take.
const ANSWER: Duration = Duration::from_secs(20);
/// For how many seconds a watch is asked for. A connection that has died in silence shows only when the watch does not end, so
/// this is what a dead one costs; with [`GRACE`] it is less than a minute. Spread, so that the watches of many namespaces and
/// proxies do not start together for ever.
const WATCH_S: std::ops::RangeInclusive<u32> = 35..=45;
/// How much later than asked for a watch may end.
const GRACE: Duration = Duration::from_secs(5);
/// How long changes are collected: an endpoint that moves leaves one slice before or after it comes in another.
const COLLECT: Duration = Duration::from_millis(100);
/// The pause after a failure, doubled with each, up to [`LONGEST`].
const SHORTEST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(15);
/// A watch that lived so long has done its duty: the next is asked for at once.
const LONG_ENOUGH: Millis = Millis(5_000);
/// The most that a server may have us wait.
const LONGEST_ASKED_FOR_S: u32 = 60;
/// The note on the bookmark behind the last of what a watch tells in place of a list.
const LIST_ENDS: &str = "k8s.io/initial-events-end";
/// Status: what was asked for is too old.
const GONE: u16 = 410;
/// Status: not in time; also what is said of a version that lies in the future.
const TOO_LARGE: u16 = 504;
/// Status: who we are is not known.
const UNAUTHORIZED: u16 = 401;
/// Status: a question that the server does not understand, as older ones do not understand lists that are watches.
const NOT_UNDERSTOOD: [u16; 2] = [400, 422];

/// Keeps one namespace's slices in step with the API server, and tells what becomes of the services that are asked about.
///
/// Built on lists and watches themselves, and not on kube's watcher: that hides bookmarks and restarts, which are what tells a quiet
/// cluster from a dead one, and so how old the last word is.
pub(super) async fn run(
    clock: Clock,
    access: Rc<Access>,
    namespace: Arc<str>,
    asked: Asked<Published>,
    tell: Tell,
) {
    let held = Held::default();
    let mut watch = Watch {
        clock,
        access,
        namespace,
        asked,
        tell,
        held,
        had: Had::default(),
        known: None,
        trouble: None,
        failures: 0,
        wordless: 0,
    };
    while let Ok(end) = watch.turn().await {
        if watch.follow(end).await.is_err() {
            return;
        }
    }
}

/// After so many watches that told nothing at all it is listed anew.
const WORDLESS: u32 = 3;
/// After so many failures in a row the version that is known is given up where it may be to blame.
const STUBBORN: u32 = 2;

/// Nobody wants to know any more.
struct Over;

/// Whether a version is older than another: they are numbers that rise (KEP-5504). A server that is behind what it has told
/// before was restored from a copy, and what has happened since then it does not know.
fn is_before(version: &str, known: &str) -> bool {
    matches!((version.parse::<u128>(), known.parse::<u128>()), (Ok(version), Ok(known)) if version < known)
}

struct Watch {
    clock: Clock,
    access: Rc<Access>,
    namespace: Arc<str>,
    asked: Asked<Published>,
    tell: Tell,
    held: Held,
    had: Had,
    /// The version up to which the slices are known whole; `None` before the first list and after 410.
    known: Option<String>,
    trouble: Option<Arc<str>>,
    failures: u32,
    /// Watches in a row that ended without a word.
    wordless: u32,
}

/// How a conversation ended.
enum End {
    /// The server ended it, as it does.
    Ended {
        lived: Millis,
        /// Whether it has said anything, if only how far it is.
        heard: bool,
    },
    /// It has forgotten the version that we know.
    Gone,
    /// It does not send lists as watches do.
    NoStreams,
    Failed {
        why: Arc<str>,
        wait_s: u32,
    },
}

impl Watch {
    /// One conversation: a list if one is needed, and a watch.
    async fn turn(&mut self) -> Result<End, Over> {
        let opened = match self.access.open().await {
            Ok(opened) => opened,
            Err(why) => return Ok(End::Failed { why, wait_s: 0 }),
        };
        let api = api(&opened.client, &self.namespace);
        if self.known.is_none() && !self.access.streams() {
            match list(&api).await {
                Ok((held, version)) => self.replace(held, version).await?,
                Err(failure) => return Ok(self.failed(&opened, failure)),
            }
        }
        let seconds = fastrand::u32(WATCH_S);
        let selected = WatchParams::default().labels(SERVICE).timeout(seconds);
        let (params, from) = match &self.known {
            Some(version) => (selected, version.as_str()),
            // From nowhere means: as it is now. From "0" would mean: as it was at some time.
            None => (selected.initial_events(), ""),
        };
        let begun = self.clock.millis();
        let events = match bounded(api.watch(&params, from)).await {
            Ok(events) => events,
            Err(failure) => return Ok(self.failed(&opened, failure)),
        };
        if self.known.is_some() {
            self.is_well().await?;
        }
        let limit = Duration::from_secs(seconds.into()) + GRACE;
        match timeout(limit, self.listen(begun, events)).await {
            Ok(Ok(Err(error))) => Ok(self.failed(&opened, error.into())),
            Ok(Ok(Ok(end))) => Ok(end),
            Ok(Err(over)) => Err(over),
            // The connection is dead, whatever the kernel thinks of it.
            Err(_) => Ok(self.failed(&opened, Failure::Silent)),
        }
    }

    /// Takes in what a watch tells, until it ends.
    async fn listen(
        &mut self,
        begun: Millis,
        events: impl Stream<Item = Result<WatchEvent<EndpointSlice>, Error>>,
    ) -> Result<Result<End, Error>, Over> {
        let mut events = pin!(events);
        // What a list that is a watch has told so far: it counts when it is whole.
        let mut listed = self.known.is_none().then(Held::default);
        let mut changed: BTreeSet<Arc<str>> = BTreeSet::new();
        let mut due = pin!(sleep(COLLECT));
        let mut heard = false;
        let end = loop {
            let event = tokio::select! {
                biased;
                () = &mut due, if !changed.is_empty() => {
                    self.tell_of(&std::mem::take(&mut changed)).await?;
                    continue;
                }
                event = events.next() => event,
                others = self.asked.changed() => {
                    others.map_err(|_| Over)?;
                    self.tell_again().await?;
                    continue;
                }
            };
            heard |= matches!(event, Some(Ok(_)));
            match event {
                None if listed.is_some() => break Ok(End::NoStreams),
                None => break Ok(End::Ended { lived: self.clock.millis().since(begun), heard }),
                Some(Err(error)) => break Err(error),
                Some(Ok(WatchEvent::Error(status))) => break Err(Error::Api(status)),
                Some(Ok(WatchEvent::Bookmark(mark))) => {
                    let is_end = mark.metadata.annotations.contains_key(LIST_ENDS);
                    let version = mark.metadata.resource_version;
                    if listed.is_none()
                        && self.known.as_deref().is_some_and(|known| is_before(&version, known))
                    {
                        break Ok(End::Gone);
                    }
                    if listed.is_none() {
                        self.known = Some(version);
                        changed.clear(); // all services are told of
                        self.is_well().await?;
                    } else if is_end && let Some(held) = listed.take() {
                        self.replace(held, version).await?;
                    }
                }
                Some(Ok(
                    event @ (WatchEvent::Added(_) | WatchEvent::Modified(_) | WatchEvent::Deleted(_)),
                )) => {
                    let concerned = self.take(event, listed.as_mut());
                    if changed.is_empty() {
                        due.set(sleep(COLLECT));
                    }
                    changed.extend(concerned);
                }
            }
        };
        self.tell_of(&changed).await?;
        Ok(end)
    }

    /// Takes in a change; names the services that are to be told of.
    fn take(&mut self, event: WatchEvent<EndpointSlice>, listed: Option<&mut Held>) -> Vec<Arc<str>> {
        let (raw, is_gone) = match event {
            WatchEvent::Added(raw) | WatchEvent::Modified(raw) => (raw, false),
            WatchEvent::Deleted(raw) => (raw, true),
            WatchEvent::Bookmark(_) | WatchEvent::Error(_) => return Vec::new(),
        };
        let is_whole = listed.is_none();
        let held = listed.unwrap_or(&mut self.held);
        let concerned = if is_gone { held.remove(&raw) } else { held.put(&raw) };
        if !is_whole {
            return Vec::new();
        }
        if let Some(version) = raw.metadata.resource_version {
            self.known = Some(version);
        }
        self.failures = 0;
        concerned
    }

    /// The slices are known whole, as they are at this version.
    async fn replace(&mut self, held: Held, version: String) -> Result<(), Over> {
        (self.held, self.known) = (held, Some(version));
        self.is_well().await
    }

    /// The server has proven to be alive and in step with us: what is known is as fresh as can be.
    async fn is_well(&mut self) -> Result<(), Over> {
        if self.trouble.take().is_some() {
            debug!(namespace = %self.namespace, "the API server answers again");
        }
        let looks = self.looks(|_| true);
        self.send(looks).await
    }

    /// Tells whoever asks now what is known.
    async fn tell_again(&mut self) -> Result<(), Over> {
        if let Some(why) = self.trouble.clone() {
            return self.tell_trouble(&why).await;
        }
        if self.known.is_none() {
            return Ok(());
        }
        let looks = self.looks(|_| true);
        self.send(looks).await
    }

    async fn tell_of(&mut self, services: &BTreeSet<Arc<str>>) -> Result<(), Over> {
        let looks = self.looks(|what| services.contains(&what.service));
        self.send(looks).await
    }

    async fn tell_trouble(&mut self, why: &Arc<str>) -> Result<(), Over> {
        let asked = self.asked.borrow_and_update().clone();
        let cluster = self.access.told();
        let why: Arc<str> = format!("{cluster}, namespace {}: {why}", self.namespace).into();
        let looks = asked.iter().map(|(source, _)| Look { source: *source, seen: Err(why.clone()) });
        self.send(looks.collect()).await
    }

    fn looks(&mut self, wanted: impl Fn(&Published) -> bool) -> Vec<Look> {
        let asked: Arc<[(SourceId, Published)]> = self.asked.borrow().clone();
        let now = self.clock.millis();
        self.had.keep_only(asked.iter().map(|(source, _)| *source));
        let (held, had, zone) = (&self.held, &mut self.had, self.access.zone());
        let of = |(source, what): &(SourceId, Published)| {
            let mut seen = sightings(held.of(&what.service), what, zone);
            if let Ok(seen) = &mut seen {
                // A pod's address may soon be another's.
                let left = had.left(*source, seen, now).into_iter().collect();
                seen.extend(held.taken(&left).into_iter().map(gone));
            }
            Look { source: *source, seen }
        };
        asked.iter().filter(|(_, what)| wanted(what)).map(of).collect()
    }

    async fn send(&self, looks: Vec<Look>) -> Result<(), Over> {
        if looks.is_empty() {
            return Ok(());
        }
        self.tell.send(looks).await.map_err(|_| Over)
    }

    fn failed(&mut self, opened: &Opened, failure: Failure) -> End {
        let error = match failure {
            Failure::Silent => {
                if self.known.is_none() {
                    // It may not know what a list is that is a watch.
                    self.access.no_streams();
                }
                self.access.renew(opened);
                return End::Failed { why: "the API server is silent".into(), wait_s: 0 };
            }
            Failure::Error(error) => error,
        };
        let code = code(&error);
        match code {
            // Too large a version: the server was restored from a copy, and has never heard of ours.
            Some(TOO_LARGE) if self.known.is_some() && self.failures >= STUBBORN => return End::Gone,
            Some(GONE) => return End::Gone,
            Some(code) if NOT_UNDERSTOOD.contains(&code) && self.known.is_none() && self.access.streams() => {
                return End::NoStreams;
            }
            Some(UNAUTHORIZED) | None => self.access.renew(opened),
            Some(_) => {}
        }
        let wait_s = match &error {
            Error::Api(status) => status.details.as_ref().map_or(0, |details| details.retry_after_seconds),
            _ => 0,
        };
        End::Failed { why: reason(&error), wait_s }
    }

    /// What comes of a conversation's end, and the pause until the next.
    async fn follow(&mut self, end: End) -> Result<(), Over> {
        let mut wait_s = 0;
        if let End::Ended { heard, .. } = end {
            self.wordless = if heard { 0 } else { self.wordless + 1 };
            if self.wordless >= WORDLESS {
                // A server that was restored from a copy says nothing until it has caught up with the version that we know, and
                // that may be never. One that is whole tells how far it is before it ends a watch.
                (self.known, self.wordless) = (None, 0);
            }
        }
        match end {
            End::Ended { lived, .. } if lived >= LONG_ENOUGH => {
                self.failures = 0;
                return Ok(());
            }
            End::Ended { .. } => {}
            // A server that forgets at once what it has just told is not asked without a pause.
            End::Gone => self.known = None,
            End::NoStreams => {
                self.access.no_streams();
                return Ok(());
            }
            End::Failed { why, wait_s: asked_for } => {
                wait_s = asked_for.min(LONGEST_ASKED_FOR_S);
                debug!(namespace = %self.namespace, %why, "the API server cannot be asked");
                self.tell_trouble(&why).await?;
                self.trouble = Some(why);
            }
        }
        let pause = pause(self.failures, fastrand::f64()).max(Duration::from_secs(wait_s.into()));
        self.failures = self.failures.saturating_add(1);
        let mut over = pin!(sleep(pause));
        loop {
            tokio::select! {
                () = &mut over => return Ok(()),
                heard = self.asked.changed() => {
                    heard.map_err(|_| Over)?;
                    self.tell_again().await?;
                }
            }
        }
    }
}

/// How long to wait after so many failures in a row. `draw`, from 0 to 1, keeps proxies apart that failed together.
fn pause(failures: u32, draw: f64) -> Duration {
    let longest = SHORTEST.saturating_mul(1 << failures.min(16)).min(LONGEST);
    longest.mul_f64(0.5 + draw / 2.0)
}

fn api(client: &Client, namespace: &str) -> Api<EndpointSlice> {
    Api::namespaced(client.clone(), namespace)
}

/// All slices of a namespace, and the version that the list is of.
async fn list(api: &Api<EndpointSlice>) -> Result<(Held, String), Failure> {
    let mut held = Held::default();
    let mut params = ListParams::default().labels(SERVICE).limit(PAGE);
    loop {
        let page = bounded(api.list(&params)).await?;
        for raw in &page.items {
            held.put(raw);
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok((held, page.metadata.resource_version.unwrap_or_default())),
        }
    }
}

/// Why a question has no answer.
enum Failure {
    Silent,
    Error(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

async fn bounded<T>(answer: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
    match timeout(ANSWER, answer).await {
        Ok(answer) => answer.map_err(Failure::Error),
        Err(_) => Err(Failure::Silent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    use bytes::Bytes;
    use futures_util::stream;
    use http::Response;
    use http_body_util::StreamBody;
    use hyper::body::Frame;
    use tokio::sync::{mpsc, watch};

    use crate::config::{ClusterAccess, ClusterConfig};

    /// What a server tells at the end of a list, and then nothing for ever.
    const LISTED: &[u8] = br#"{"type":"BOOKMARK","object":{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{"resourceVersion":"7","annotations":{"k8s.io/initial-events-end":"true"}}}}
"#;

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_has_died_in_silence_is_told_of() {
        let server = tower::service_fn(|_| async {
            let line = Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(LISTED)));
            let lines = stream::iter([line]).chain(stream::pending());
            Ok::<_, Infallible>(Response::new(StreamBody::new(lines)))
        });
        let cluster = ClusterConfig { name: "".into(), access: ClusterAccess::InCluster, zone: None };
        let access = Access::of(Arc::new(cluster), Client::new(server, "default"));
        let what = Published { namespace: "shop".into(), service: "a".into(), port: None };
        let (_asking, asked) = watch::channel(Arc::from([(SourceId(1), what)]));
        let (tell, mut looks) = mpsc::channel(8);
        let watching = run(Clock::start(), Rc::new(access), "shop".into(), asked, tell);
        let hearing = async {
            assert_eq!(looks.recv().await.unwrap()[0].seen, Ok(Vec::new()));
            let second = timeout(Duration::from_mins(1), looks.recv()).await;
            let why = second.unwrap().unwrap()[0].seen.clone().unwrap_err();
            assert!(why.ends_with("namespace shop: the API server is silent"), "{why}");
        };
        tokio::select! {
            () = watching => panic!("it goes on"),
            () = hearing => {}
        }
    }

    #[test]
    fn pauses_grow_to_a_bound_and_differ() {
        assert_eq!(pause(0, 1.0), SHORTEST);
        assert_eq!(pause(0, 0.0), SHORTEST / 2);
        assert_eq!(pause(2, 1.0), SHORTEST * 4);
        assert_eq!(pause(u32::MAX, 1.0), LONGEST);
    }

    #[test]
    fn a_dead_watch_is_noticed_within_a_minute() {
        assert!(Duration::from_secs((*WATCH_S.end()).into()) + GRACE < Duration::from_mins(1));
        assert!(*WATCH_S.start() < *WATCH_S.end() && ANSWER < Duration::from_mins(1));
    }
}
