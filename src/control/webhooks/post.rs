use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};
use tracing::{error, warn};

use crate::clock::Clock;
use crate::config::{Config, FleetConfig, Topic, WebhookKind};
use crate::model::Millis;
use crate::rollout::Actor;
use crate::telemetry::Recorder;

use super::super::event::Announcement;
use super::super::journal::{ActorRecord, ReceiptRecord};
use super::complaint::Complaint;
use super::message::Message;
use super::meters::Meters;
use super::run::{self, Seed, Standing, Wanted};
use super::status::{Ended, WebhookStatus};
use super::topic::{ended_by, topic_of};

/// Control's end: what is announced is handed over here. Never waits.
pub(in super::super) struct Post {
    clock: Clock,
    outbox: mpsc::Sender<Parcel>,
    wanted: watch::Sender<Wanted>,
    standing: watch::Receiver<Standing>,
    /// Closed when the thread has ended.
    ended: oneshot::Receiver<()>,
    /// Messages that could not be handed over, by webhook.
    lost: BTreeMap<Arc<str>, u64>,
    losses: Complaint,
    /// When it was told last that a service's record cannot be written: it is tried twice a second.
    unwritten: BTreeMap<String, Millis>,
    /// What has happened since its end was announced, if that is: nobody is told of the end of what they were not told of.
    going_on: BTreeSet<Topic>,
    meters: Meters,
}

/// By which others try a webhook.
#[derive(Clone)]
pub(crate) struct Letterbox {
    outbox: mpsc::Sender<Parcel>,
    standing: watch::Receiver<Standing>,
}

/// What is handed over.
pub(super) enum Parcel {
    Told { message: Box<Message>, to: Vec<Arc<str>> },
    Test { id: String, webhook: String, by: ActorRecord, reason: String, asker: oneshot::Sender<Ended> },
}

/// What came of trying a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tested {
    /// The message, by which its receiver knows it.
    pub(crate) id: String,
    pub(crate) result: TestResult,
    /// Messages that wait now.
    pub(crate) waiting: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TestResult {
    /// It has arrived, and was answered with this status.
    Delivered(u16),
    /// It was given up, or dropped.
    GivenUp(String),
    /// It has not arrived yet, and waits. Why, if a try has failed.
    Waiting(Option<String>),
}

/// Why a webhook cannot be tried.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotTested {
    #[error("there is no webhook {0}")]
    NoWebhook(String),
    #[error("the disk hangs: nothing is taken in that webhooks are to be told")]
    Stuck,
    #[error("Switchback is stopping")]
    Stopping,
}

/// The folder of all queues in the state directory.
const QUEUES: &str = "webhooks";
/// Messages on their way to the thread. They stay there for as long as a write takes: past this, the disk hangs.
const HANDED_OVER: usize = 1_024;
/// How long who tries a webhook waits for what comes of it.
const TEST_PATIENCE: Duration = Duration::from_secs(15);
/// How long the thread is waited for when the process ends: longer than it takes for its last words.
const LAST_PARCELS: Duration = Duration::from_secs(5);
/// How often people are told that messages could not be handed over.
const COMPLAIN_EVERY: Millis = Millis(60_000);
/// How often it is told that a record cannot be written.
const UNWRITTEN_EVERY: Millis = Millis(600_000);

/// Starts the thread. Queues are kept in the state directory.
pub(in super::super) fn start(clock: Clock, config: &Config) -> io::Result<Post> {
    let (outbox, parcels) = mpsc::channel(HANDED_OVER);
    let (wanted, changes) = watch::channel(config.fleet.webhooks.as_slice().into());
    let (shown, standing) = watch::channel(Standing::default());
    let seed =
        Seed { clock, folder: config.process.state.join(QUEUES), wanted: changes, parcels, standing: shown };
    let (ending, ended) = oneshot::channel();
    thread::Builder::new().name("webhooks".to_owned()).spawn(move || {
        let _ending: oneshot::Sender<()> = ending;
        match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
            Ok(runtime) => {
                runtime.block_on(run::run(seed));
                // A lookup of a name may take longer than anybody waits.
                runtime.shutdown_background();
            }
            Err(error) => error!(%error, "webhooks are told nothing"),
        }
    })?;
    Ok(Post {
        clock,
        outbox,
        wanted,
        standing,
        ended,
        lost: BTreeMap::new(),
        losses: Complaint::default(),
        unwritten: BTreeMap::new(),
        going_on: BTreeSet::new(),
        meters: Meters::default(),
    })
}

impl Post {
    /// Tells of an announcement, to whoever wants to know of it; of a revert with its receipt.
    pub(in super::super) fn tell(&mut self, announcement: &Announcement, receipt: Option<&ReceiptRecord>) {
        let ended = ended_by(announcement.happening).filter(|topic| self.going_on.remove(topic));
        if let Some(topic) = ended {
            let to = self.who(topic, announcement, WebhookKind::hears_of_the_end);
            self.send(topic, announcement, None, to);
        }
        let Some(topic) = topic_of(announcement.happening) else { return };
        self.going_on.insert(topic);
        // Of several at once people are told once.
        let to = self.who(topic, announcement, |kind| !announcement.of_alarm || kind.hears_of_each());
        if to.is_empty() || self.is_repeated(topic, announcement) {
            return;
        }
        self.send(topic, announcement, receipt.filter(|_| topic == Topic::Reverted), to);
    }

    /// Has those told that are configured now.
    pub(in super::super) fn follow(&mut self, fleet: &FleetConfig) {
        self.lost.retain(|name, _| fleet.webhooks.iter().any(|config| config.name == *name));
        // Also those that are as before: it is these whose authorities are kept in step with their files.
        self.wanted.send_replace(fleet.webhooks.as_slice().into());
    }

    /// How all of them are.
    pub(in super::super) fn status(&self) -> Vec<WebhookStatus> {
        let mut all = self.standing.borrow().to_vec();
        for webhook in &mut all {
            webhook.dropped += self.lost.get(&*webhook.webhook).copied().unwrap_or_default();
        }
        all
    }

    /// Keeps the metrics.
    pub(in super::super) fn measure(&mut self, recorder: &Recorder) {
        self.meters.follow(&self.status(), recorder, self.clock.wall());
    }

    pub(in super::super) fn letterbox(&self) -> Letterbox {
        Letterbox { outbox: self.outbox.clone(), standing: self.standing.clone() }
    }

    /// Waits until what was handed over is on disk, and the thread has ended.
    pub(in super::super) async fn end(self) {
        // By this it knows that nothing more comes.
        drop(self.wanted);
        if timeout(LAST_PARCELS, self.ended).await.is_err() {
            error!("some messages to webhooks could not be written before the end");
        }
    }

    /// Who wants to know of this, of those kinds that it is for.
    fn who(
        &self,
        topic: Topic,
        announcement: &Announcement,
        is_for: impl Fn(&WebhookKind) -> bool,
    ) -> Vec<Arc<str>> {
        let wanted = self.wanted.borrow();
        let to = wanted
            .iter()
            .filter(|config| config.wants(topic, announcement.team.as_deref()) && is_for(&config.kind));
        to.map(|config| config.name.clone()).collect()
    }

    fn send(
        &mut self,
        topic: Topic,
        announcement: &Announcement,
        receipt: Option<&ReceiptRecord>,
        to: Vec<Arc<str>>,
    ) {
        if to.is_empty() {
            return;
        }
        let message = Box::new(Message::of(id(), topic, announcement, receipt));
        if let Err(error) = self.outbox.try_send(Parcel::Told { message, to }) {
            self.lose(error.into_inner());
        }
    }

    /// Whether this was told a short while ago, and is no news.
    fn is_repeated(&mut self, topic: Topic, announcement: &Announcement) -> bool {
        let (Topic::NotWritten, Some(service)) = (topic, &announcement.service) else { return false };
        let now = self.clock.millis();
        self.unwritten.retain(|_, told| now.since(*told) < UNWRITTEN_EVERY);
        let is_known = self.unwritten.contains_key(service);
        self.unwritten.entry(service.clone()).or_insert(now);
        is_known
    }

    fn lose(&mut self, parcel: Parcel) {
        let Parcel::Told { to, .. } = parcel else { return };
        for name in to {
            *self.lost.entry(name).or_default() += 1;
        }
        if let Some(messages) = self.losses.again(1, self.clock.millis(), COMPLAIN_EVERY) {
            warn!(messages, "webhooks do not keep up: they are not told of everything");
        }
    }
}

impl Letterbox {
    /// Sends a message to a webhook, through its queue, and tells what came of it; if it takes too long, what has so far.
    pub(crate) async fn test(&self, webhook: &str, by: &Actor, reason: &str) -> Result<Tested, NotTested> {
        if self.of(webhook, |_| ()).is_none() {
            return Err(NotTested::NoWebhook(webhook.to_owned()));
        }
        let (id, (asker, ended)) = (id(), oneshot::channel());
        let parcel = Parcel::Test {
            id: id.clone(),
            webhook: webhook.to_owned(),
            by: by.into(),
            reason: reason.to_owned(),
            asker,
        };
        let mut patience = pin!(sleep(TEST_PATIENCE));
        tokio::select! {
            sent = self.outbox.send(parcel) => sent.map_err(|_| NotTested::Stopping)?,
            () = &mut patience => return Err(NotTested::Stuck),
        }
        let ended = tokio::select! {
            ended = ended => Some(ended),
            () = patience => None,
        };
        let result = match ended {
            Some(Ok(Ended::Delivered(status))) => TestResult::Delivered(status),
            Some(Ok(Ended::GivenUp(why))) => TestResult::GivenUp(why),
            Some(Ok(Ended::Dropped)) => TestResult::GivenUp("it had to make room for others".to_owned()),
            // It is not configured any more.
            Some(Err(_)) => return Err(NotTested::NoWebhook(webhook.to_owned())),
            None => {
                let trouble = self.of(webhook, |status| status.troubled.then(|| status.trouble.clone()));
                TestResult::Waiting(trouble.flatten().flatten())
            }
        };
        Ok(Tested { id, result, waiting: self.of(webhook, |status| status.waiting).unwrap_or_default() })
    }

    fn of<T>(&self, webhook: &str, what: impl Fn(&WebhookStatus) -> T) -> Option<T> {
        self.standing.borrow().iter().find(|status| status.webhook == webhook).map(what)
    }
}

/// One that no other message has.
fn id() -> String {
    format!("{:032x}", fastrand::u128(..))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Target, WebhookConfig, WebhookUrl};
    use crate::control::event::Happening;
    use crate::model::UnixMillis;

    fn webhook(name: &str, topics: &[Topic]) -> Arc<WebhookConfig> {
        Arc::new(WebhookConfig {
            name: name.into(),
            target: Target::Url(WebhookUrl::parse("https://hooks.example.net").unwrap()),
            kind: WebhookKind::Slack,
            topics: topics.iter().copied().collect(),
            teams: None,
            tls: None,
        })
    }

    /// A post whose messages nobody takes, and the other end.
    fn post(webhooks: &[Arc<WebhookConfig>], room: usize) -> (Post, mpsc::Receiver<Parcel>) {
        let (outbox, parcels) = mpsc::channel(room);
        let shown: Vec<WebhookStatus> = webhooks
            .iter()
            .map(|config| WebhookStatus { webhook: config.name.to_string(), ..WebhookStatus::default() })
            .collect();
        let post = Post {
            clock: Clock::start(),
            outbox,
            wanted: watch::Sender::new(webhooks.into()),
            standing: watch::channel(shown.into()).1,
            ended: oneshot::channel().1,
            lost: BTreeMap::new(),
            losses: Complaint::default(),
            unwritten: BTreeMap::new(),
            going_on: BTreeSet::new(),
            meters: Meters::default(),
        };
        (post, parcels)
    }

    fn announcement(happening: Happening, service: &str) -> Announcement {
        Announcement {
            at_unix_ms: 1,
            happening,
            service: Some(service.to_owned()),
            team: Some("t".to_owned()),
            by: None,
            of_alarm: false,
            text: "x".to_owned(),
        }
    }

    #[test]
    fn what_cannot_be_handed_over_is_counted_for_whom_it_was_and_nobody_waits() {
        let webhooks = [webhook("a", &[Topic::Reverted]), webhook("b", &[Topic::Reverted, Topic::Released])];
        let (mut post, mut parcels) = post(&webhooks, 1);
        for happening in [Happening::Reverted, Happening::Reverted, Happening::Released, Happening::Started] {
            post.tell(&announcement(happening, "s"), None);
        }
        let dropped: Vec<u64> = post.status().iter().map(|status| status.dropped).collect();
        assert_eq!(dropped, [1, 2]);
        let Parcel::Told { to, .. } = parcels.try_recv().unwrap() else { panic!("a test") };
        assert_eq!(to, ["a".into(), "b".into()] as [Arc<str>; 2]);
        post.follow(&FleetConfig { webhooks: vec![webhooks[1].clone()], ..FleetConfig::default() });
        assert_eq!(post.lost.len(), 1, "nothing is kept of who is not told any more");
        assert!(post.wanted.borrow().len() == 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_tries_a_webhook_while_the_disk_hangs_hears_so_and_does_not_wait_for_ever() {
        let webhooks = [webhook("a", &[Topic::Reverted])];
        let (mut post, mut parcels) = post(&webhooks, 1);
        let (letterbox, by) = (post.letterbox(), Actor::Person("jo".into()));
        let waits = letterbox.test("a", &by, "new key").await.unwrap();
        assert_eq!(waits.result, TestResult::Waiting(None), "it was handed over, and not answered");
        parcels.try_recv().unwrap();
        post.tell(&announcement(Happening::Reverted, "s"), None);
        assert_eq!(letterbox.test("a", &by, "new key").await, Err(NotTested::Stuck));
        assert_eq!(parcels.len(), 1, "and is not told later");
        assert_eq!(letterbox.test("b", &by, "x").await, Err(NotTested::NoWebhook("b".to_owned())));
        drop(parcels);
        assert_eq!(letterbox.test("a", &by, "x").await, Err(NotTested::Stopping));
    }

    /// Webhooks of all kinds, which want to know of everything.
    fn of_each_kind() -> Vec<Arc<WebhookConfig>> {
        let kinds = [
            WebhookKind::CloudEvents { secret: None, bearer: None },
            WebhookKind::Slack,
            WebhookKind::PagerDuty { routing_key: "key".into() },
        ];
        kinds
            .into_iter()
            .map(|kind| {
                let name = kind.as_str();
                Arc::new(WebhookConfig { kind, ..WebhookConfig::clone(&webhook(name, &Topic::ALL)) })
            })
            .collect()
    }

    fn handed_over(parcels: &mut mpsc::Receiver<Parcel>) -> Vec<(Message, String)> {
        let mut all = Vec::new();
        while let Ok(Parcel::Told { message, to }) = parcels.try_recv() {
            all.push((*message, to.join(" ")));
        }
        all
    }

    #[test]
    fn of_each_revert_of_an_alarm_programs_are_told_and_people_are_not() {
        let (mut post, mut parcels) = post(&of_each_kind(), 16);
        post.tell(&Announcement { of_alarm: true, ..announcement(Happening::Reverted, "s") }, None);
        post.tell(&announcement(Happening::FleetGuard, "s"), None);
        let told = handed_over(&mut parcels);
        assert_eq!((told[0].1.as_str(), told[0].0.of_alarm), ("cloudevents", true));
        assert_eq!((told[1].1.as_str(), told[1].0.of_alarm), ("cloudevents slack pagerduty", false));
    }

    #[test]
    fn who_has_incidents_is_told_of_the_end_of_what_was_told() {
        let (mut post, mut parcels) = post(&of_each_kind(), 16);
        let [refused, loaded] = [Happening::ConfigRefused, Happening::ConfigLoaded];
        for happening in [loaded, Happening::CertificateRenewed, refused, refused, loaded, loaded] {
            post.tell(&announcement(happening, "s"), None);
        }
        let told = handed_over(&mut parcels);
        let told: Vec<_> = told.iter().map(|(message, to)| (message.happening, to.as_str())).collect();
        let all = "cloudevents slack pagerduty";
        assert_eq!(told, [(Some(refused), all), (Some(refused), all), (Some(loaded), "pagerduty")]);
        for happening in [Happening::RightsRefused, Happening::RightsChanged] {
            post.tell(&announcement(happening, "s"), None);
        }
        let told: Vec<_> =
            handed_over(&mut parcels).into_iter().map(|(message, to)| (message.topic, to)).collect();
        let [refused, changed] = [Topic::RightsRefused, Topic::RightsChanged];
        let [all, pages] = [all, "pagerduty"].map(str::to_owned);
        assert_eq!(told, [(refused, all.clone()), (refused, pages), (changed, all)]);
    }

    #[test]
    fn that_a_record_cannot_be_written_is_told_once_of_each_service() {
        let (mut post, mut parcels) = post(&[webhook("a", &[Topic::NotWritten, Topic::Reverted])], 16);
        for service in ["one", "one", "two", "one"] {
            post.tell(&announcement(Happening::NotWritten, service), None);
        }
        for _ in 0..2 {
            post.tell(&announcement(Happening::Reverted, "one"), None);
        }
        let mut told = Vec::new();
        while let Ok(Parcel::Told { message, .. }) = parcels.try_recv() {
            assert_eq!(message.at, UnixMillis(1));
            told.push((message.topic, message.service.unwrap()));
        }
        let told: Vec<(Topic, &str)> =
            told.iter().map(|(topic, service)| (*topic, service.as_str())).collect();
        let [unwritten, reverted] = [Topic::NotWritten, Topic::Reverted];
        assert_eq!(told, [(unwritten, "one"), (unwritten, "two"), (reverted, "one"), (reverted, "one")]);
    }
}
