use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Notify, broadcast, mpsc, oneshot, watch as signal};
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use crate::clock::Clock;
use crate::config::Loaded;
use crate::model::{Caller, Millis, ServiceName, UnixMillis};
use crate::snapshot::Publisher;
use crate::tally::Report;
use crate::telemetry::{AccessLogCounts, Recorded};
use crate::tls::Material;
use crate::verdict::TICK_MS;

use super::certificates;
use super::discovery::{self, Look, Wanted};
use super::event::{Announcement, Answer, Ask, Change, Command, Effect, Event, Happening, Now, Refused};
use super::health::{self, Checks, Opinion};
use super::history::{Deed, Draft};
use super::journal::{AppliedRecord, Kept, Store, Writer, Written, WrittenWhat};
use super::meters::{Meters, Round};
use super::on_disk::OnDisk;
use super::state::State;
use super::step::step;
use super::watch;
use super::webhooks::{self, Letterbox, Post};

/// What control is made from.
pub(crate) struct Seed {
    pub(crate) clock: Clock,
    pub(crate) loaded: Loaded,
    pub(crate) folder: PathBuf,
    pub(crate) store: Store,
    pub(crate) kept: Kept,
    pub(crate) publisher: Publisher,
    pub(crate) reports: mpsc::Receiver<Report>,
    /// Rung when a person wants the configuration to be read.
    pub(crate) reload: Arc<Notify>,
    pub(crate) access_log: Arc<AccessLogCounts>,
    /// Set when there is something to go by for every service.
    pub(crate) known: Arc<AtomicBool>,
    pub(crate) stop: signal::Receiver<bool>,
}

/// By which others ask control, and hear from it.
#[derive(Clone)]
pub(crate) struct Handle {
    commands: mpsc::Sender<Question>,
    news: Arc<News>,
    recorded: Recorded,
    webhooks: Letterbox,
}

/// Who asks, what, and where the answer goes.
type Question = (Caller, Command, oneshot::Sender<Answer>);

/// What was announced.
struct News {
    sending: broadcast::Sender<Announcement>,
    /// The last ones, for who comes later. Locked for a push or a copy only, and never by a worker.
    recent: Mutex<VecDeque<Announcement>>,
}

/// Questions that wait for control. Past this, who asks waits with asking.
const WAITING_COMMANDS: usize = 64;
/// Announcements that are kept for who comes later, and that a slow reader may be behind.
const RECENT_NEWS: usize = 256;
/// How long it is waited for workers to go by a change before it is told how many do.
const APPLY_PATIENCE: Duration = Duration::from_secs(1);
/// How long the last records may take to be written when the process ends.
const LAST_WRITES: Duration = Duration::from_secs(5);
/// How often people are told that the access log is not whole.
const COMPLAIN_EVERY: Millis = Millis(60_000);
/// In so many parts metrics tell of the migration, a part each tick: the judge is not to wait for thousands of services.
const PARTS_OF_MIGRATION: usize = 40;
/// How often control ticks while nothing else happens. What comes is judged at once or at the next tick; ramps and what ends at some
/// time are looked at once a second, and this is a little more than that.
const QUIET_TICK: Millis = Millis(1_020);
/// How often metrics are put in order.
const UPKEEP: Millis = Millis(5_000);

/// Starts control on a thread of its own. Before this returns, the first snapshot is published: workers begin
/// with every hold in force.
pub(crate) fn start(seed: Seed) -> io::Result<(thread::JoinHandle<()>, Handle)> {
    let (done, written) = mpsc::unbounded_channel(); // at most one job is under way
    let writer = Writer::start(seed.store, done)?;
    let workers = seed.publisher.workers();
    let listeners = &seed.loaded.config.process.listeners;
    let acceptors = listeners.iter().filter_map(|listener| listener.tls.clone());
    let acceptors = acceptors.chain(seed.loaded.config.process.admin.tls.clone());
    let acceptors = acceptors.map(|acceptor| acceptor as Arc<dyn Material>).collect();
    let now = Now { mono: seed.clock.millis(), wall: seed.clock.wall() };
    let (mut state, announcements) = State::new(&seed.loaded, seed.kept, workers, now);
    let (wanted, sources) = signal::channel(state.wanted());
    let looks = discovery::start(seed.clock, sources)?;
    let (checks, checked) = signal::channel(state.checks());
    let opinions = health::start(seed.clock, checked)?;
    seed.known.store(state.is_ready(), Ordering::Relaxed);
    let mut meters = Meters::new(workers);
    let snapshot = state.snapshot();
    meters.publish(&snapshot);
    seed.publisher.publish(snapshot);

    let (commands, asked) = mpsc::channel(WAITING_COMMANDS);
    let news = Arc::new(News { sending: broadcast::Sender::new(RECENT_NEWS), recent: Mutex::default() });
    let webhooks = webhooks::start(seed.clock, &seed.loaded.config)?;
    let (recorded, letterbox) = (meters.recorded(), webhooks.letterbox());
    let handle = Handle { commands, news: news.clone(), recorded, webhooks: letterbox };
    let (own, own_events) = mpsc::channel(WAITING_COMMANDS);
    let mut control = Loop {
        clock: seed.clock,
        state,
        meters,
        writer,
        publisher: Arc::new(seed.publisher),
        news,
        own,
        answers: HashMap::new(),
        on_disk: OnDisk::default(),
        asks: 0,
        access_log: seed.access_log,
        told_of: None,
        dropped: Dropped::default(),
        acceptors,
        materials: signal::Sender::default(),
        wanted,
        checks,
        known: seed.known,
        webhooks,
    };
    control.begin(announcements);
    let inputs = Inputs {
        reports: seed.reports,
        written,
        asked,
        own: own_events,
        looks,
        opinions,
        stop: seed.stop,
        reload: seed.reload,
        folder: seed.folder,
        loaded: seed.loaded,
    };
    let thread =
        thread::Builder::new().name("control".to_owned()).spawn(
            move || match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
                Ok(runtime) => runtime.block_on(control.run(inputs)),
                Err(error) => error!(%error, "control cannot start: workers keep the first snapshot"),
            },
        )?;
    Ok((thread, handle))
}

/// When it is looked next. Ticks are told from each other as workers tell them: there is one in each at most, and what a worker
/// tells in another one than it did before finds control awake.
fn next_tick(ticked: Millis, is_quiet: bool) -> Millis {
    if is_quiet { Millis(ticked.0 + QUIET_TICK.0) } else { Millis((ticked.0 / TICK_MS + 1) * TICK_MS) }
}

/// Lets so much time pass, if any.
async fn pass(pause: Duration) {
    if !pause.is_zero() {
        sleep(pause).await;
    }
}

struct Inputs {
    reports: mpsc::Receiver<Report>,
    written: mpsc::UnboundedReceiver<Written>,
    asked: mpsc::Receiver<Question>,
    own: mpsc::Receiver<Event>,
    looks: mpsc::Receiver<Vec<Look>>,
    opinions: mpsc::Receiver<Vec<Opinion>>,
    stop: signal::Receiver<bool>,
    reload: Arc<Notify>,
    folder: PathBuf,
    loaded: Loaded,
}

/// The one loop that changes anything.
struct Loop {
    clock: Clock,
    state: State,
    meters: Meters,
    writer: Writer,
    publisher: Arc<Publisher>,
    news: Arc<News>,
    /// What control itself finds out later.
    own: mpsc::Sender<Event>,
    answers: HashMap<Ask, oneshot::Sender<Answer>>,
    on_disk: OnDisk,
    asks: u64,
    access_log: Arc<AccessLogCounts>,
    dropped: Dropped,
    /// Metrics tell of the migration as far as this slot; `None` while they do of all.
    told_of: Option<usize>,
    /// How listeners speak TLS, for as long as the process lives.
    acceptors: Vec<Arc<dyn Material>>,
    /// What is kept in step with its files.
    materials: signal::Sender<Vec<Arc<dyn Material>>>,
    /// What is looked for.
    wanted: signal::Sender<Arc<[Wanted]>>,
    checks: signal::Sender<Arc<[Checks]>>,
    known: Arc<AtomicBool>,
    webhooks: Post,
}

/// What people have been told of requests that the access log does not have.
#[derive(Clone, Copy, Debug, Default)]
struct Dropped {
    told: u64,
    at: Option<Millis>,
}

impl Loop {
    async fn run(mut self, inputs: Inputs) {
        let Inputs {
            mut reports,
            mut written,
            mut asked,
            mut own,
            mut looks,
            mut opinions,
            mut stop,
            reload,
            folder,
            loaded,
        } = inputs;
        let (configuring, mut configured) = mpsc::channel(1);
        tokio::task::spawn_local(watch::run(folder, loaded, reload, configuring));
        let (own_events, materials) = (self.own.clone(), self.materials.subscribe());
        tokio::task::spawn_local(certificates::run(self.clock, materials, own_events));
        self.follow_certificates();
        let (mut ticked, mut is_quiet) = (self.clock.millis(), false);
        let mut kept_up = None;
        loop {
            let tick = next_tick(ticked, is_quiet);
            let pause = Duration::from_millis(tick.since(self.clock.millis()).0);
            let event = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                // Before people: however many ask, the judge looks.
                () = pass(pause) => {
                    ticked = self.clock.millis();
                    self.follow_access_log();
                    self.webhooks.measure(self.meters.recorder());
                    self.tell_of_migration();
                    Event::Tick
                }
                Some(report) = reports.recv() => {
                    self.meters.count(&report);
                    Event::Report(report)
                }
                Some(job) = written.recv() => match self.note_written(job) {
                    Some(event) => event,
                    None => continue,
                },
                Some(event) = own.recv() => event,
                Some(result) = configured.recv() => Event::Config(result),
                Some((caller, command, answer)) = asked.recv() => self.ask(caller, command, answer),
                Some(looks) = looks.recv() => Event::Looked(looks),
                Some(opinions) = opinions.recv() => Event::Checked(opinions),
            };
            is_quiet = matches!(event, Event::Tick);
            let configured = matches!(event, Event::Config(_));
            self.take_in(event);
            if configured {
                self.follow_certificates();
                self.wanted.send_replace(self.state.wanted());
                self.webhooks.follow(&self.state.config.fleet);
            }
            if std::mem::take(&mut self.state.recheck) {
                self.checks.send_replace(self.state.checks());
            }
            // Behind the judge, and when control is awake for it: metrics are in no hurry.
            if is_quiet && kept_up.is_none_or(|at| ticked.since(at) >= UPKEEP) {
                kept_up = Some(ticked);
                self.keep_up();
            }
            if !self.known.load(Ordering::Relaxed) {
                self.known.store(self.state.is_ready(), Ordering::Relaxed);
            }
        }
        self.finish(&mut written).await;
    }

    /// Tells that Switchback has started, and what was found.
    fn begin(&mut self, announcements: Vec<Announcement>) {
        let started = Announcement {
            at_unix_ms: self.clock.wall().0,
            happening: Happening::Started,
            service: None,
            team: None,
            by: None,
            text: format!("Switchback {} has started", env!("CARGO_PKG_VERSION")),
            of_alarm: false,
        };
        let draft = Draft {
            details: Some(started.text.clone()),
            configuration: Some(self.state.fingerprint.clone()),
            ..Draft::done(Deed::Started)
        };
        self.writer.history(started.at_unix_ms, draft);
        for announcement in std::iter::once(started).chain(announcements) {
            self.announce(announcement);
        }
    }

    /// Has the certificates that are in use kept in step with their files.
    fn follow_certificates(&self) {
        let connectors = self.state.connectors().map(|connector| connector as Arc<dyn Material>);
        self.materials.send_replace(self.acceptors.iter().cloned().chain(connectors).collect());
    }

    fn take_in(&mut self, event: Event) {
        if let Event::Certificates(news) = &event {
            self.meters.certificates(news);
        }
        let now = Now { mono: self.clock.millis(), wall: self.clock.wall() };
        for effect in step(&mut self.state, event, now) {
            self.perform(effect);
        }
    }

    /// Puts the metrics in order.
    fn keep_up(&mut self) {
        let now = Now { mono: self.clock.millis(), wall: self.clock.wall() };
        self.meters.sources(self.state.lineups(), now.mono);
        self.meters.fits(self.state.fits(now));
        self.told_of.get_or_insert(0);
        let records = self.state.unwritten();
        self.meters.process(self.state.guard.alarm().is_some(), records, self.writer.waiting_drafts());
        self.meters.recorded().upkeep();
    }

    /// Tells, in the metrics, of some more services how far their migration is.
    fn tell_of_migration(&mut self) {
        let Some(from) = self.told_of else { return };
        let now = Now { mono: self.clock.millis(), wall: self.clock.wall() };
        let to = from + self.state.places().div_ceil(PARTS_OF_MIGRATION).max(1);
        let rows = self.state.ledger_of(now, from..to);
        let is_over = to >= self.state.places();
        self.meters.migration(&rows, if is_over { Round::IsOver } else { Round::GoesOn });
        self.told_of = (!is_over).then_some(to);
    }

    /// Tells of requests that the access log does not have. Its writer may be stuck in a write, and workers
    /// have no time for that.
    fn follow_access_log(&mut self) {
        self.meters.follow(&self.access_log);
        let (dropped, now) = (self.access_log.dropped(), self.clock.millis());
        let Dropped { told, at } = self.dropped;
        if dropped > told && at.is_none_or(|at| now.since(at) >= COMPLAIN_EVERY) {
            warn!(requests = dropped - told, "the access log does not keep up: requests are missing in it");
            self.dropped = Dropped { told: dropped, at: Some(now) };
        }
    }

    fn ask(&mut self, caller: Caller, command: Command, answer: oneshot::Sender<Answer>) -> Event {
        self.asks += 1;
        let ask = Ask(self.asks);
        self.answers.insert(ask, answer);
        self.meters.asked(&command);
        Event::Asked(ask, Box::new(caller), Box::new(command))
    }

    fn note_written(&mut self, written: Written) -> Option<Event> {
        match self.writer.done(written) {
            WrittenWhat::Record { service, revision, ok } => {
                if ok {
                    self.on_disk.note(&service, revision);
                }
                Some(Event::Written { service, revision, ok })
            }
            WrittenWhat::Other => None,
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Publish(snapshot) => {
                self.meters.publish(&snapshot);
                self.publisher.publish(snapshot);
            }
            Effect::WriteRecord { service, record, history } => {
                self.writer.record(service, record, history, self.clock.wall().0);
            }
            Effect::History(draft) => self.writer.history(self.clock.wall().0, draft),
            Effect::WriteLedger(service, ledger) => self.writer.ledger(service, ledger),
            Effect::WriteCalibrations(service, record) => self.writer.calibrations(service, record),
            Effect::WriteReceipt(service, receipt) => self.writer.receipt(service, receipt),
            Effect::WriteEndpoints(service, endpoints) => self.writer.endpoints(service, endpoints),
            Effect::WatchApplied { service, reverted } => self.watch_applied(service, reverted),
            Effect::Announce(announcement) => self.announce(announcement),
            Effect::Answer(ask, Answer::Process(mut status)) => {
                status.workers_current = self.publisher.seen_by(self.state.generation);
                status.unwritten_history = self.writer.waiting_drafts();
                status.webhooks = self.webhooks.status();
                self.answer(ask, Answer::Process(status));
            }
            Effect::Answer(ask, answer) => self.answer(ask, answer),
            Effect::AnswerWhenApplied(ask, changes, records) => {
                self.answer_when_applied(ask, changes, records);
            }
        }
    }

    fn answer(&mut self, ask: Ask, answer: Answer) {
        if let Some(waiting) = self.answers.remove(&ask) {
            // Who asked may have gone; what was asked for has been done.
            let _ = waiting.send(answer);
        }
    }

    fn announce(&mut self, mut announcement: Announcement) {
        let name = announcement.service.as_deref().and_then(|name| ServiceName::parse(name).ok());
        let entry = name.and_then(|name| self.state.named(&name));
        let (team, receipt) =
            entry.map(|entry| (entry.config.team.to_string(), entry.receipt.as_ref())).unzip();
        announcement.team = team;
        self.webhooks.tell(&announcement, receipt.flatten());
        let Announcement { happening, text, .. } = &announcement;
        match happening {
            Happening::Started
            | Happening::Released
            | Happening::WeightChanged
            | Happening::Calibrated
            | Happening::RampChanged
            | Happening::RampStepped
            | Happening::ApprovalWanted
            | Happening::ConfigLoaded
            | Happening::SourceBack
            | Happening::Room
            | Happening::Well
            | Happening::RightsChanged
            | Happening::CertificateRenewed => {
                info!("{text}");
            }
            Happening::Reverted
            | Happening::RampEnded
            | Happening::FleetGuard
            | Happening::PromiseBroken
            | Happening::Advised
            | Happening::ConfigRefused
            | Happening::RightsRefused
            | Happening::CertificateRefused
            | Happening::CertificateEnding
            | Happening::SourceFailing
            | Happening::SourceDoubted
            | Happening::Ejected
            | Happening::ClusterOut
            | Happening::Ill
            | Happening::Panicking
            | Happening::NoRoom
            | Happening::Shedding
            | Happening::NotWritten
            | Happening::Unreadable => warn!("{text}"),
        }
        self.meters.announce(&announcement);
        let mut recent = self.news.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() == RECENT_NEWS {
            recent.pop_front();
        }
        recent.push_back(announcement.clone());
        // While nobody listens there is nobody to miss it.
        let _ = self.news.sending.send(announcement);
    }

    fn watch_applied(&self, service: ServiceName, reverted: UnixMillis) {
        let (own, applied) = (self.own.clone(), self.applied());
        tokio::task::spawn_local(async move {
            let applied = applied.await;
            // Control has ended: so has the receipt.
            let _ = own.send(Event::Applied { service, reverted, applied }).await;
        });
    }

    fn answer_when_applied(&mut self, ask: Ask, changes: Vec<Change>, records: Vec<(ServiceName, u64)>) {
        let Some(waiting) = self.answers.remove(&ask) else { return };
        let (applied, on_disk) = (self.applied(), self.on_disk.clone());
        tokio::task::spawn_local(async move {
            // A disk that is slow delays nothing but the answer, and that not for long.
            let written = timeout(APPLY_PATIENCE, on_disk.has(&records));
            let (applied, written) = tokio::join!(applied, written);
            let written = (!records.is_empty()).then_some(written.is_ok());
            let _ = waiting.send(Answer::Changed { changes, applied: Some(applied), written });
        });
    }

    /// How far the snapshot that was published last has come, once that is everywhere or has taken too long.
    fn applied(&self) -> impl Future<Output = AppliedRecord> + use<> {
        let (publisher, generation, clock) = (self.publisher.clone(), self.state.generation, self.clock);
        let begun = clock.micros();
        async move {
            // Late is no error: the answer says how many have looked.
            let _ = timeout(APPLY_PATIENCE, publisher.seen_by_all(generation)).await;
            AppliedRecord {
                workers: publisher.seen_by(generation),
                of: publisher.workers(),
                took_us: clock.micros().since(begun).0,
            }
        }
    }

    /// Writes what is still to be written, and lets go of who still asks.
    async fn finish(mut self, written: &mut mpsc::UnboundedReceiver<Written>) {
        for (_, waiting) in self.answers.drain() {
            let _ = waiting.send(Answer::Refused(Refused::Stopping));
        }
        self.writer.history(self.clock.wall().0, Draft::done(Deed::Stopped));
        let all = async {
            while !self.writer.is_idle() {
                let Some(job) = written.recv().await else { return };
                if let Some(event) = self.note_written(job) {
                    self.take_in(event);
                }
            }
        };
        if timeout(LAST_WRITES, all).await.is_err() {
            error!("some records could not be written before the end");
        }
        self.webhooks.end().await;
    }
}

impl Handle {
    /// Asks control.
    pub(crate) async fn ask(&self, caller: Caller, command: Command) -> Answer {
        let (answer, answered) = oneshot::channel();
        let stopping = Answer::Refused(Refused::Stopping);
        if self.commands.send((caller, command, answer)).await.is_err() {
            return stopping;
        }
        answered.await.unwrap_or(stopping)
    }

    /// What was announced lately, and what will be.
    pub(crate) fn news(&self) -> (Vec<Announcement>, broadcast::Receiver<Announcement>) {
        let recent = self.news.recent.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock, so that nothing is heard twice or not at all.
        (recent.iter().cloned().collect(), self.news.sending.subscribe())
    }

    /// The metrics in Prometheus' text format.
    pub(crate) fn metrics(&self) -> String {
        self.recorded.render()
    }

    /// By which webhooks are tried.
    pub(crate) fn webhooks(&self) -> &Letterbox {
        &self.webhooks
    }

    /// Whether control still takes questions.
    pub(crate) fn is_alive(&self) -> bool {
        !self.commands.is_closed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_workers_tell_once_in_each_tick_is_judged_when_it_comes() {
        // Now a little sooner, now a little later than a tick after the last.
        for (ticked, told) in [(1_050, 1_149), (1_149, 1_251), (1_251, 1_350), (1_399, 1_400)] {
            assert!(next_tick(Millis(ticked), false) <= Millis(told), "{told}");
        }
        assert_eq!(next_tick(Millis(1_050), false), Millis(1_100), "not twice in one");
        assert_eq!(next_tick(Millis(1_050), true), Millis(1_050 + QUIET_TICK.0));
    }
}
