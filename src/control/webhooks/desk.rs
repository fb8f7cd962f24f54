use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, oneshot, watch};
use tracing::{debug, error, info, warn};

use crate::clock::Clock;
use crate::config::{Topic, WebhookConfig};
use crate::model::{Millis, UnixMillis};

use super::super::event::Now;
use super::complaint::Complaint;
use super::message::Message;
use super::queue::{Found, MOST_QUEUED, Queue, Queued};
use super::schedule::{Next, Tried, after, age, is_too_old};
use super::send::Sent;
use super::status::{Ended, WebhookStatus};
use super::turn::{Came, Then, Turn, Who, then};

/// One webhook: what it is still to be told, and how it has gone so far.
pub(super) struct Desk {
    clock: Clock,
    /// As it is configured now.
    pub(super) config: watch::Sender<Arc<WebhookConfig>>,
    /// Rung when there is something to send.
    pub(super) bell: Notify,
    /// Rung when there is something to show.
    shown: Rc<Notify>,
    /// Since when this process tries.
    opened: Millis,
    inner: RefCell<Inner>,
}

struct Inner {
    queue: Queue,
    turn: Turn,
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
        let (queue, Found { bad, dropped, trouble }) = Queue::open(folder, clock.wall());
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
            turn: Turn::First,
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
        let opened = clock.millis();
        Self { clock, config, bell: Notify::new(), shown, opened, inner: RefCell::new(inner) }
    }

    /// Adds a message. It is on disk after [`Desk::keep`].
    pub(super) fn add(&self, message: Rc<Message>, asker: Option<oneshot::Sender<Ended>>) {
        let mut inner = self.inner.borrow_mut();
        if let Some(gone) = inner.queue.push(message, asker, self.clock.millis()) {
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
        let turn = inner.turn;
        inner.queue.begin(turn)
    }

    /// Notes what came of sending it. Tells how long is to be waited before the next try, if this one has failed.
    pub(super) fn end(&self, message: &Message, sent: Sent, now: Now, draw: f64) -> Option<Duration> {
        let mut inner = self.inner.borrow_mut();
        let next = self.next(&mut inner, message, &sent.tried, now, draw);
        let then = inner.turn_after(message, &sent.tried);
        let trouble = sent.trouble.map(|trouble| trouble.to_string()).unwrap_or_default();
        let pause = match next {
            Next::Delivered => {
                self.delivered(&mut inner, &sent.tried, now.wall);
                if then == Then::SetAside {
                    // That of the first: it was tried just before.
                    let trouble = inner.trouble.take().map(|(_, what)| what).unwrap_or_default();
                    let first = inner.queue.end_first();
                    self.set_aside(&mut inner, first, &trouble, now.wall);
                }
                None
            }
            Next::Again(_) if then == Then::SetAside => {
                let first = inner.queue.end();
                inner.failed_tries += 1;
                self.set_aside(&mut inner, first, &trouble, now.wall);
                None
            }
            Next::Again(pause) => {
                inner.queue.put_back();
                self.failed(&mut inner, message, &sent.tried, &trouble, now.wall, pause);
                Some(pause)
            }
            Next::Refused => {
                self.refused(&mut inner, message, &sent.tried, &trouble, now.wall);
                None
            }
            Next::TooOld(pause) => {
                self.failed(&mut inner, message, &sent.tried, &trouble, now.wall, pause);
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
        (inner.failures, inner.misconfigured, inner.turn) = (0, Complaint::default(), Turn::First);
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
            oldest_unix_ms: inner.queue.oldest().map(|at| at.0),
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

    fn next(&self, inner: &mut Inner, message: &Message, tried: &Tried, now: Now, draw: f64) -> Next {
        let age = inner.queue.begun().map_or(Duration::ZERO, |begun| age(begun.since, self.opened, now));
        match after(tried, inner.failures, age, draw) {
            // Who tries a webhook wants to know what comes of it now, and nobody does tomorrow.
            Next::Again(_) if message.topic == Topic::Test && tried.is_of_wrong_key() => Next::Refused,
            next => next,
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

    fn failed(
        &self,
        inner: &mut Inner,
        message: &Message,
        tried: &Tried,
        trouble: &str,
        now: UnixMillis,
        pause: Duration,
    ) {
        let (webhook, id) = (self.name(), &message.id);
        if tried.is_of_wrong_key() {
            self.complain_of_key(inner, message, trouble);
        } else if inner.failures == 0 {
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
        if tried.is_of_wrong_key() {
            self.complain_of_key(inner, message, trouble);
        } else {
            let (webhook, id) = (self.name(), &message.id);
            warn!(%webhook, %id, "a webhook refuses a message, which is given up: it {trouble}");
        }
        inner.failures = 0;
        inner.note(now, trouble);
        let refused = inner.queue.end();
        inner.give_up(refused, trouble);
    }

    fn complain_of_key(&self, inner: &mut Inner, message: &Message, trouble: &str) {
        if let Some(tries) = inner.misconfigured.again(1, self.clock.millis(), COMPLAIN_LOUDLY_EVERY) {
            let (webhook, id) = (self.name(), &message.id);
            error!(%webhook, %id, tries, "a webhook is told nothing, as its URL or key is most likely wrong: it {trouble}");
        }
    }

    /// Gives up a message that its receiver cannot take, while it takes others.
    fn set_aside(&self, inner: &mut Inner, first: Option<Queued>, trouble: &str, now: UnixMillis) {
        let (webhook, id) = (self.name(), first.as_ref().map(|first| first.message.id.as_str()));
        warn!(%webhook, id, "a webhook takes others, and not this message, which is set aside: it {trouble}");
        inner.note(now, trouble);
        inner.give_up(first, trouble);
    }

    /// Gives up the message that was begun, and whatever else is as old: to be tried one by one they would keep waiting what is
    /// news.
    fn give_up_old(&self, inner: &mut Inner, trouble: &str, now: Now) {
        let is_old = |first: &mut Queued| is_too_old(age(first.since, self.opened, now));
        let (mut old, mut messages) = (inner.queue.end(), 0);
        while old.is_some() {
            messages += 1;
            inner.give_up(old, trouble);
            old = if inner.queue.first().is_some_and(is_old) { inner.queue.end_first() } else { None };
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

    fn give_up(&mut self, done: Option<Queued>, trouble: &str) {
        if let Some(done) = done {
            self.given_up += 1;
            tell(done.asker, Ended::GivenUp(trouble.to_owned()));
        }
    }

    /// Sees by what came of a try whose turn it is next, and what is to be done about the first in line.
    fn turn_after(&mut self, message: &Message, tried: &Tried) -> Then {
        let came = match tried {
            Tried::Answered { status: 200..=299, .. } => Came::Arrived,
            Tried::Answered { status: 500..=599, .. } => Came::Answered,
            Tried::Answered { .. } | Tried::Failed => Came::Otherwise,
        };
        let Some(begun) = self.queue.begun() else { return Then::Try(Turn::First) };
        begun.answers = begun.answers.saturating_add(u32::from(came == Came::Answered));
        let (sequence, answers) = (begun.sequence, begun.answers);
        let Some(first) = self.queue.first() else { return Then::Try(Turn::First) };
        let who = if first.sequence == sequence {
            Who::First { answers }
        } else if first.message.service == message.service {
            Who::Next
        } else {
            Who::Other
        };
        let then = then(self.turn, who, came);
        if then == Then::Wait {
            first.answers = 0;
        }
        self.turn = if let Then::Try(turn) = then { turn } else { Turn::First };
        then
    }
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

    fn now(desk: &Desk) -> Now {
        Now { mono: desk.clock.millis(), wall: desk.clock.wall() }
    }

    /// So many hours later.
    fn after_hours(desk: &Desk, hours: u64) -> Now {
        let Now { mono, wall } = now(desk);
        Now { mono: Millis(mono.0 + hours * 3_600_000), wall: UnixMillis(wall.0 + hours * 3_600_000) }
    }

    fn of(id: &str, service: &str) -> Rc<Message> {
        Rc::new(Message { id: id.to_owned(), service: Some(service.to_owned()), ..reverted() })
    }

    #[test]
    fn what_is_a_day_old_is_given_up_together_and_news_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let earlier = desk(folder.path());
        earlier.add(message(UnixMillis(1)), None);
        earlier.add(message(UnixMillis(2)), None);
        earlier.keep();
        let desk = desk(folder.path());
        desk.add(message(UnixMillis(3)), None);
        let begun = desk.begin().unwrap();
        assert!(desk.end(&begun, failed(), now(&desk), 1.0).is_some());
        assert_eq!(desk.status().given_up, 0, "by a clock alone nothing is given up");
        let begun = desk.begin().unwrap();
        let pause = desk.end(&begun, failed(), after_hours(&desk, 2), 1.0);
        assert!(pause.is_some(), "the receiver is left alone for a while");
        let status = desk.status();
        assert_eq!((status.waiting, status.given_up, status.failed_tries), (1, 2, 2));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "and the third is not kept yet");
        let (asker, mut ended) = oneshot::channel();
        desk.add(message(UnixMillis(4)), Some(asker));
        let begun = desk.begin().unwrap();
        assert_eq!(desk.end(&begun, failed(), after_hours(&desk, 23), 1.0), Some(Duration::from_secs(4)));
        assert_eq!((desk.status().waiting, desk.status().given_up), (2, 2), "whatever the clock says");
        let begun = desk.begin().unwrap();
        desk.end(&begun, failed(), after_hours(&desk, 25), 1.0);
        assert_eq!((desk.status().waiting, desk.status().given_up), (0, 4));
        assert_eq!(ended.try_recv(), Ok(Ended::GivenUp("does not answer within 10 s".to_owned())));
    }

    #[test]
    fn who_answers_is_in_trouble_until_a_message_arrives() {
        let folder = tempfile::tempdir().unwrap();
        let desk = desk(folder.path());
        let send = |sent| {
            let begun = desk.begin().unwrap();
            (desk.end(&begun, sent, now(&desk), 1.0), desk.status())
        };
        for _ in 0..2 {
            desk.add(message(desk.clock.wall()), None);
        }
        let (pause, status) = send(answered(503));
        assert_eq!((pause, status.waiting, status.troubled), (Some(Duration::from_secs(1)), 2, true));
        assert!(status.next_try_unix_ms.is_some());
        let (pause, status) = send(answered(404));
        assert_eq!((pause, status.waiting, status.given_up), (Some(Duration::from_mins(5)), 2, 0));
        assert_eq!((status.trouble.as_deref(), status.troubled), (Some("answers 404: no"), true));
        let (pause, status) = send(answered(400));
        assert_eq!((pause, status.waiting, status.given_up), (None, 1, 1));
        let (pause, status) = send(answered(200));
        assert_eq!((pause, status.waiting, status.delivered, status.troubled), (None, 0, 1, false));
        assert_eq!((status.next_try_unix_ms, status.oldest_unix_ms), (None, None));
        assert!(desk.begin().is_none());
        assert_eq!(status.to, "https://hooks.example.net", "and nothing secret");
    }

    #[test]
    fn who_tries_a_webhook_hears_at_once_that_its_key_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let desk = desk(folder.path());
        let (asker, mut ended) = oneshot::channel();
        desk.add(Rc::new(super::super::message::tests::test()), Some(asker));
        let begun = desk.begin().unwrap();
        assert_eq!(desk.end(&begun, answered(403), now(&desk), 1.0), None);
        assert_eq!(ended.try_recv(), Ok(Ended::GivenUp("answers 403: no".to_owned())));
    }

    /// What becomes of messages at a receiver that answers with what `answer` says of each, over so many tries: those that have
    /// arrived, in order, and those that have gone otherwise.
    fn arrive(desk: &Desk, tries: usize, answer: impl Fn(usize, &str) -> u16) -> Vec<String> {
        let mut arrived = Vec::new();
        for number in 0..tries {
            let Some(begun) = desk.begin() else { break };
            let status = answer(number, &begun.id);
            desk.end(&begun, answered(status), now(desk), 0.0);
            if status == 200 {
                arrived.push(begun.id.clone());
            }
        }
        arrived
    }

    #[test]
    fn one_message_that_a_receiver_cannot_take_keeps_no_others_back() {
        let folder = tempfile::tempdir().unwrap();
        let desk = desk(folder.path());
        let (asker, mut ended) = oneshot::channel();
        desk.add(of("a1", "a"), Some(asker));
        for (id, service) in [("a2", "a"), ("b1", "b"), ("b2", "b"), ("c1", "c")] {
            desk.add(of(id, service), None);
        }
        let poison = |_, id: &str| if ["a1", "b2"].contains(&id) { 500 } else { 200 };
        assert_eq!(arrive(&desk, 100, poison), ["b1", "a2", "c1"]);
        assert_eq!(ended.try_recv(), Ok(Ended::GivenUp("answers 500: no".to_owned())));
        let status = desk.status();
        assert_eq!((status.waiting, status.given_up, status.delivered), (0, 2, 3), "{status:?}");
    }

    #[test]
    fn a_message_whose_only_company_is_of_its_service_goes_for_it_and_is_not_overtaken() {
        let folder = tempfile::tempdir().unwrap();
        let desk = desk(folder.path());
        desk.add(of("a1", "a"), None);
        desk.add(of("a2", "a"), None);
        // That it would take it later does not matter: a2 has been told.
        let answer = |number, id: &str| if id == "a1" && number < 8 { 500 } else { 200 };
        assert_eq!(arrive(&desk, 100, answer), ["a2"]);
        assert_eq!((desk.status().waiting, desk.status().given_up), (0, 1));
    }

    #[test]
    fn a_receiver_that_is_ill_loses_nothing_and_is_told_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for well_again in 0..60 {
            let desk = desk(&folder.path().join(well_again.to_string()));
            for (id, service) in [("a1", "a"), ("b1", "b"), ("a2", "a"), ("b2", "b")] {
                desk.add(of(id, service), None);
            }
            let arrived = arrive(&desk, 200, |number, _| if number < well_again { 503 } else { 200 });
            assert_eq!((arrived.len(), desk.status().given_up), (4, 0), "{well_again}: {arrived:?}");
            let place = |id: &str| arrived.iter().position(|other| other == id);
            assert!(place("a1") < place("a2") && place("b1") < place("b2"), "{well_again}: {arrived:?}");
        }
    }

    #[test]
    fn tries_without_an_answer_say_nothing_about_a_message() {
        let folder = tempfile::tempdir().unwrap();
        let desk = desk(folder.path());
        desk.add(of("a1", "a"), None);
        desk.add(of("b1", "b"), None);
        for sent in [failed as fn() -> Sent, || answered(429), || answered(404)] {
            for _ in 0..20 {
                let begun = desk.begin().unwrap();
                assert_eq!(begun.id, "a1");
                desk.end(&begun, sent(), now(&desk), 0.0);
            }
        }
    }
}
