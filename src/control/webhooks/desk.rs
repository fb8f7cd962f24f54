use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, oneshot, watch};
use tracing::{debug, error, info, warn};

use crate::clock::Clock;
use crate::config::WebhookConfig;
use crate::model::{Millis, UnixMillis};

use super::complaint::Complaint;
use super::message::Message;
use super::queue::{Found, MOST_QUEUED, Queue};
use super::schedule::{Next, Tried, after, is_too_old};
use super::send::Sent;
use super::status::{Ended, WebhookStatus};

/// One webhook: what it is still to be told, and how it has gone so far.
pub(super) struct Desk {
    clock: Clock,
    /// As it is configured now.
    pub(super) config: watch::Sender<Arc<WebhookConfig>>,
    /// Rung when there is something to send.
    pub(super) bell: Notify,
    /// Rung when there is something to show.
    shown: Rc<Notify>,
    inner: RefCell<Inner>,
}

struct Inner {
    queue: Queue,
    delivered: u64,
    failed_tries: u64,
    given_up: u64,
    dropped: u64,
    delivered_at: Option<UnixMillis>,
    trouble: Option<(UnixMillis, String)>,
    /// Nothing has arrived since the trouble.
    troubled: bool,
    /// Tries that have failed since the last definite answer.
    failures: u32,
    next_try: Option<UnixMillis>,
    drops: Complaint,
    too_old: Complaint,
    misconfigured: Complaint,
    unwritten: Complaint,
}

/// How often people are told of the same trouble …
const COMPLAIN_EVERY: Millis = Millis(60_000);
/// … and of one that is most likely a mistake in the configuration.
const COMPLAIN_LOUDLY_EVERY: Millis = Millis(3_600_000);

impl Desk {
    /// A webhook, with what was left of its queue.
    pub(super) fn open(clock: Clock, config: Arc<WebhookConfig>, folder: &Path, shown: Rc<Notify>) -> Self {
        let name = config.name.clone();
        let (queue, Found { bad, dropped, trouble }) = Queue::open(folder);
        if let Some(error) = trouble {
            warn!(webhook = %name, %error, "cannot read what a webhook was still to be told");
        }
        if let Some(first) = bad.first() {
            let files = bad.len();
            warn!(webhook = %name, files, "what a webhook was still to be told cannot be read, and is set aside: {first}");
        }
        if dropped > 0 {
            warn!(webhook = %name, dropped, "more waits for a webhook than there is room for: the oldest has gone");
        }
        if queue.len() > 0 {
            info!(webhook = %name, messages = queue.len(), "a webhook is still to be told what happened earlier");
        }
        let inner = Inner {
            queue,
            delivered: 0,
            failed_tries: 0,
            given_up: 0,
            dropped: dropped + bad.len() as u64,
            delivered_at: None,
            trouble: None,
            troubled: false,
            failures: 0,
            next_try: None,
            drops: Complaint::default(),
            too_old: Complaint::default(),
            misconfigured: Complaint::default(),
            unwritten: Complaint::default(),
        };
        let config = watch::Sender::new(config);
        Self { clock, config, bell: Notify::new(), shown, inner: RefCell::new(inner) }
    }

    /// Adds a message. It is on disk after [`Desk::keep`].
    pub(super) fn add(&self, message: Rc<Message>, asker: Option<oneshot::Sender<Ended>>) {
        let mut inner = self.inner.borrow_mut();
        if let Some(gone) = inner.queue.push(message, asker) {
            inner.dropped += 1;
            tell(gone.asker, Ended::Dropped);
            if let Some(dropped) = inner.drops.again(1, self.clock.millis(), COMPLAIN_EVERY) {
                let webhook = self.name();
                warn!(%webhook, dropped, "{MOST_QUEUED} messages wait for a webhook: the oldest have gone");
            }
        }
        self.bell.notify_one();
        self.shown.notify_one();
    }

    /// Writes down what waits.
    pub(super) fn keep(&self) {
        let mut inner = self.inner.borrow_mut();
        if let Err(error) = inner.queue.write()
            && inner.unwritten.again(1, self.clock.millis(), COMPLAIN_EVERY).is_some()
        {
            warn!(webhook = %self.name(), %error, "what a webhook is to be told cannot be written down");
        }
    }

    /// The message whose turn it is.
    pub(super) fn begin(&self) -> Option<Rc<Message>> {
        let mut inner = self.inner.borrow_mut();
        inner.next_try = None;
        inner.queue.begin()
    }

    /// Notes what came of sending it. Tells how long is to be waited before the next try, if this one has failed.
    pub(super) fn end(&self, message: &Message, sent: Sent, draw: f64) -> Option<Duration> {
        let now = self.clock.wall();
        let mut inner = self.inner.borrow_mut();
        let next = after(&sent.tried, inner.failures, age(message, now), draw);
        let trouble = sent.trouble.map(|trouble| trouble.to_string()).unwrap_or_default();
        let pause = match next {
            Next::Delivered => {
                self.delivered(&mut inner, &sent.tried, now);
                None
            }
            Next::Again(pause) => {
                inner.queue.put_back();
                self.failed(&mut inner, message, &trouble, now, pause);
                Some(pause)
            }
            Next::Refused => {
                self.refused(&mut inner, message, &sent.tried, &trouble, now);
                None
            }
            Next::TooOld(pause) => {
                self.failed(&mut inner, message, &trouble, now, pause);
                self.give_up_old(&mut inner, &trouble, now);
                Some(pause)
            }
        };
        drop(inner);
        self.shown.notify_one();
        pause
    }

    /// It is configured in another way, and what has failed may not fail again.
    pub(super) fn begin_anew(&self) {
        let mut inner = self.inner.borrow_mut();
        (inner.failures, inner.misconfigured) = (0, Complaint::default());
    }

    pub(super) fn status(&self) -> WebhookStatus {
        let (config, inner) = (self.config.borrow(), self.inner.borrow());
        let teams = config.teams.as_ref();
        WebhookStatus {
            webhook: config.name.to_string(),
            kind: config.kind.as_str().to_owned(),
            to: config.target.to_string(),
            events: config.topics.iter().map(|topic| topic.as_str().to_owned()).collect(),
            teams: teams.map(|teams| teams.iter().map(ToString::to_string).collect()),
            waiting: inner.queue.len(),
            oldest_unix_ms: inner.queue.oldest().map(|message| message.at.0),
            next_try_unix_ms: inner.next_try.map(|at| at.0),
            delivered: inner.delivered,
            failed_tries: inner.failed_tries,
            given_up: inner.given_up,
            dropped: inner.dropped,
            delivered_unix_ms: inner.delivered_at.map(|at| at.0),
            trouble: inner.trouble.as_ref().map(|(_, what)| what.clone()),
            trouble_unix_ms: inner.trouble.as_ref().map(|(at, _)| at.0),
            troubled: inner.troubled,
        }
    }

    fn delivered(&self, inner: &mut Inner, tried: &Tried, now: UnixMillis) {
        if inner.failures > 0 {
            info!(webhook = %self.name(), failed_tries = inner.failures, "a webhook can be told again");
        }
        (inner.failures, inner.troubled) = (0, false);
        inner.delivered += 1;
        inner.delivered_at = Some(now);
        if let (Some(done), Tried::Answered { status, .. }) = (inner.queue.end(), tried) {
            tell(done.asker, Ended::Delivered(*status));
        }
    }

    fn failed(&self, inner: &mut Inner, message: &Message, trouble: &str, now: UnixMillis, pause: Duration) {
        let (webhook, id) = (self.name(), &message.id);
        if inner.failures == 0 {
            warn!(%webhook, %id, "a webhook cannot be told, and is tried again: it {trouble}");
        } else {
            debug!(%webhook, %id, "a webhook still cannot be told: it {trouble}");
        }
        inner.failures = inner.failures.saturating_add(1);
        inner.failed_tries += 1;
        inner.next_try = Some(now.after(pause));
        inner.note(now, trouble);
    }

    fn refused(&self, inner: &mut Inner, message: &Message, tried: &Tried, trouble: &str, now: UnixMillis) {
        let (webhook, id) = (self.name(), &message.id);
        if matches!(tried, Tried::Answered { status: 401 | 403 | 404, .. }) {
            let misconfigured = inner.misconfigured.again(1, self.clock.millis(), COMPLAIN_LOUDLY_EVERY);
            if let Some(messages) = misconfigured {
                error!(%webhook, %id, messages, "a webhook is told nothing, as its URL or key is most likely wrong: it {trouble}");
            }
        } else {
            warn!(%webhook, %id, "a webhook refuses a message, which is given up: it {trouble}");
        }
        inner.failures = 0;
        inner.note(now, trouble);
        inner.give_up(trouble);
    }

    /// Gives up the message that was begun, and whatever else is as old: to be tried one by one they would keep waiting what is
    /// news.
    fn give_up_old(&self, inner: &mut Inner, trouble: &str, now: UnixMillis) {
        let mut messages = 0;
        while messages == 0 || inner.queue.oldest().is_some_and(|message| is_too_old(age(message, now))) {
            messages += 1;
            inner.give_up(trouble);
        }
        if let Some(messages) = inner.too_old.again(messages, self.clock.millis(), COMPLAIN_EVERY) {
            warn!(webhook = %self.name(), messages, "messages that are a day old are given up: the webhook {trouble}");
        }
    }

    fn name(&self) -> Arc<str> {
        self.config.borrow().name.clone()
    }
}

impl Inner {
    fn note(&mut self, now: UnixMillis, trouble: &str) {
        self.trouble = Some((now, trouble.to_owned()));
        self.troubled = true;
    }

    fn give_up(&mut self, trouble: &str) {
        self.given_up += 1;
        if let Some(done) = self.queue.end() {
            tell(done.asker, Ended::GivenUp(trouble.to_owned()));
        }
    }
}

/// A clock that was set back makes nothing old.
fn age(message: &Message, now: UnixMillis) -> Duration {
    Duration::from_millis(now.0.saturating_sub(message.at.0))
}

/// Who asked may have gone.
fn tell(asker: Option<oneshot::Sender<Ended>>, ended: Ended) {
    if let Some(asker) = asker {
        let _ = asker.send(ended);
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::reverted;
    use super::super::send::Trouble;
    use super::*;
    use crate::config::{Target, Topic, WebhookKind, WebhookUrl};

    fn desk(folder: &Path) -> Desk {
        let config = WebhookConfig {
            name: "oncall".into(),
            target: Target::Url(WebhookUrl::parse("https://hooks.example.net/secret").unwrap()),
            kind: WebhookKind::Slack,
            topics: [Topic::Reverted].into(),
            teams: None,
            tls: None,
        };
        Desk::open(Clock::start(), Arc::new(config), folder, Rc::default())
    }

    fn message(at: UnixMillis) -> Rc<Message> {
        Rc::new(Message { at, ..reverted() })
    }

    fn failed() -> Sent {
        Sent { tried: Tried::Failed, trouble: Some(Trouble::Late) }
    }

    fn answered(status: u16) -> Sent {
        let trouble = (status != 200).then(|| Trouble::Status { status, said: "no".to_owned() });
        Sent { tried: Tried::Answered { status, retry_after: None }, trouble }
    }

    #[test]
    fn what_is_a_day_old_is_given_up_together_and_news_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let desk = desk(folder.path());
        let (asker, mut ended) = oneshot::channel();
        desk.add(message(UnixMillis(1)), Some(asker));
        desk.add(message(UnixMillis(2)), None);
        desk.add(message(desk.clock.wall()), None);
        desk.keep();
        let begun = desk.begin().unwrap();
        assert!(desk.end(&begun, failed(), 1.0).is_some(), "the receiver is left alone for a while");
        let status = desk.status();
        assert_eq!((status.waiting, status.given_up, status.failed_tries), (1, 2, 1));
        assert_eq!(ended.try_recv(), Ok(Ended::GivenUp("does not answer within 10 s".to_owned())));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let begun = desk.begin().unwrap();
        assert_eq!(desk.end(&begun, failed(), 1.0), Some(Duration::from_secs(2)), "the second in a row");
        assert_eq!((desk.status().waiting, desk.status().given_up), (1, 2));
    }

    #[test]
    fn who_answers_is_in_trouble_until_a_message_arrives() {
        let folder = tempfile::tempdir().unwrap();
        let desk = desk(folder.path());
        let send = |sent| {
            let begun = desk.begin().unwrap();
            (desk.end(&begun, sent, 1.0), desk.status())
        };
        for _ in 0..2 {
            desk.add(message(desk.clock.wall()), None);
        }
        let (pause, status) = send(answered(503));
        assert_eq!((pause, status.waiting, status.troubled), (Some(Duration::from_secs(1)), 2, true));
        assert!(status.next_try_unix_ms.is_some());
        let (pause, status) = send(answered(404));
        assert_eq!((pause, status.waiting, status.given_up), (None, 1, 1));
        assert_eq!((status.trouble.as_deref(), status.troubled), (Some("answers 404: no"), true));
        let (pause, status) = send(answered(200));
        assert_eq!((pause, status.waiting, status.delivered, status.troubled), (None, 0, 1, false));
        assert_eq!((status.next_try_unix_ms, status.oldest_unix_ms), (None, None));
        assert!(desk.begin().is_none());
        assert_eq!(status.to, "https://hooks.example.net", "and nothing secret");
    }
}
