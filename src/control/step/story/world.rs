use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tempfile::TempDir;

use crate::config::Loaded;
use crate::model::{
    Address, Caller, Cause, Endpoint, Millis, PerSide, ServiceName, Side, UnixMillis, Weight,
};
use crate::rollout::Record;
use crate::snapshot::{ServiceId, Snapshot};
use crate::tally::{Report, ServiceReport, ServiceTally};
use crate::verdict::{Block, Question, Stratum};

use super::super::super::discovery::{Look, Sighting, Standing};
use super::super::super::event::{
    Announcement, Answer, Ask, Behind, Command, Effect, Event, Happening, Intent, Now, Why,
};
use super::super::super::history::Draft;
use super::super::super::journal::{ActorRecord, Kept, LedgerRecord, decode, encode};
use super::super::super::meters::Meters;
use super::super::super::state::State;
use super::super::step;
use super::company::{self, SERVICES, calibrated, files, midnight, number, per_second};
use super::days::weather;

/// The company, its Switchback, and everything that was ever told.
pub(super) struct World {
    rng: fastrand::Rng,
    pub(super) folder: TempDir,
    pub(super) loaded: Loaded,
    pub(super) state: State,
    pub(super) meters: Meters,
    pub(super) now: Now,
    pub(super) day: usize,
    asks: u64,
    answers: Vec<Answer>,
    written: VecDeque<(ServiceName, u64)>,
    // What the disk has.
    pub(super) records: BTreeMap<ServiceName, Vec<u8>>,
    pub(super) ledgers: BTreeMap<ServiceName, LedgerRecord>,
    pub(super) history: Vec<Draft>,
    // What was told.
    pub(super) announced: Vec<Announcement>,
    /// Announcements before the last restart: the metrics of this process do not know of them.
    pub(super) before_restart: usize,
    // What workers were told.
    pub(super) published: BTreeMap<ServiceName, Weight>,
    pub(super) since: BTreeMap<ServiceName, UnixMillis>,
    pub(super) highest: BTreeMap<ServiceName, Weight>,
    ids: BTreeMap<usize, ServiceId>,
    /// On which day a service was taken back that still is held.
    pub(super) held_on: BTreeMap<usize, usize>,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let loaded = files(0, folder.path());
        let now = Now { mono: Millis(0), wall: midnight(0) };
        let (state, meters) = start(&loaded, Kept::default(), now);
        let mut world = Self {
            rng: fastrand::Rng::with_seed(seed),
            folder,
            loaded,
            state,
            meters,
            now,
            day: 0,
            asks: 0,
            answers: Vec::new(),
            written: VecDeque::new(),
            records: BTreeMap::new(),
            ledgers: BTreeMap::new(),
            history: Vec::new(),
            announced: Vec::new(),
            before_restart: 0,
            published: BTreeMap::new(),
            since: BTreeMap::new(),
            highest: BTreeMap::new(),
            ids: BTreeMap::new(),
            held_on: BTreeMap::new(),
        };
        let snapshot = world.state.snapshot();
        world.publish(&snapshot);
        world.find_endpoints();
        world
    }

    /// The process ends in order, and another begins with what the disk has.
    pub(super) fn restart(&mut self) {
        let records = self.records.iter().map(|(name, bytes)| (name.clone(), decode(name, bytes))).collect();
        let kept = Kept { records, ledgers: self.ledgers.clone(), ..Kept::default() };
        self.now.mono = Millis(0);
        (self.state, self.meters) = start(&self.loaded, kept, self.now);
        self.before_restart = self.announced.len();
        let snapshot = self.state.snapshot();
        self.publish(&snapshot);
        self.find_endpoints();
    }

    /// Time passes, with the requests that come in it.
    pub(super) fn pass(&mut self, passed: Millis, hour: i8) {
        self.now.mono.0 += passed.0;
        self.now.wall.0 += passed.0;
        let services = (0..SERVICES).map(|service| self.requests(service, passed, hour)).collect();
        let report = Report { worker: 0, services, ..Report::default() };
        self.meters.count(&report);
        self.take_in(Event::Report(report));
        self.take_in(Event::Tick);
    }

    fn requests(&mut self, service: usize, passed: Millis, hour: i8) -> ServiceReport {
        let weather = weather(service, self.day, hour);
        let all = per_second(service) * passed.seconds();
        let share = self.published[&company::name(service)].percent() / 100.0;
        let (mut block, mut tally) = (Block::default(), ServiceTally::default());
        let part = block.part(Stratum::OTHER);
        let sides =
            PerSide { helios: (1.0 - share, weather.helios), kubernetes: (share, weather.kubernetes) };
        for (side, (share, failing)) in sides.iter() {
            let asked = poisson(&mut self.rng, all * share);
            let bad = poisson(&mut self.rng, f64::from(asked) * failing).min(asked);
            part.asked[side] = asked;
            let votes = &mut part.votes[side][Question::Failure];
            (votes.cast, votes.bad) = (asked, bad);
            let side = &mut tally.sides[side];
            side.ok = u64::from(asked - bad);
            (0..bad).for_each(|_| side.failed.count(Cause::Status));
        }
        ServiceReport { id: self.ids[&service], block, tally, routes: Vec::new(), calibration: None }
    }

    /// Every source that is asked says where its endpoints are.
    pub(super) fn find_endpoints(&mut self) {
        let address = |number: usize| ([10, 0, 0, 1], u16::try_from(number + 1).unwrap()).into();
        let sighting = |number: usize| Sighting {
            endpoint: Endpoint::at(Address::Tcp(address(number))),
            standing: Standing::Live,
            weight: 1,
            for_us: None,
        };
        let wanted = self.state.wanted();
        let looks = wanted.iter().enumerate();
        let looks =
            looks.map(|(number, wanted)| Look { source: wanted.id, seen: Ok(vec![sighting(number)]) });
        let looks = looks.collect();
        self.take_in(Event::Looked(looks));
    }

    /// Somebody wants something; tells whether they have got it.
    pub(super) fn ask(&mut self, caller: Caller, intent: Intent) -> bool {
        let why = Why { reason: "the migration".into(), ticket: Some("MIG-1".into()) };
        let answer = self.answer(caller, Command::Change(intent, why));
        match answer {
            Answer::Changed { .. } => true,
            Answer::Refused(_) => false,
            other => panic!("{other:?}"),
        }
    }

    /// What is answered to a question.
    pub(super) fn answer(&mut self, caller: Caller, command: Command) -> Answer {
        self.asks += 1;
        self.answers.clear();
        self.take_in(Event::Asked(Ask(self.asks), Box::new(caller), Box::new(command)));
        self.answers.pop().expect("every question is answered")
    }

    pub(super) fn take_in(&mut self, event: Event) {
        self.perform(event);
        while let Some((service, revision)) = self.written.pop_front() {
            self.perform(Event::Written { service, revision, ok: true });
        }
    }

    fn perform(&mut self, event: Event) {
        for effect in step(&mut self.state, event, self.now) {
            match effect {
                Effect::Publish(snapshot) => self.publish(&snapshot),
                Effect::WriteRecord { service, record, history } => self.write(service, &record, history),
                Effect::History(draft) => self.history.push(draft),
                Effect::Answer(_, answer) => self.answers.push(answer),
                Effect::AnswerWhenApplied(_, changes, _) => {
                    self.answers.push(Answer::Changed { changes, applied: None, written: None });
                }
                Effect::WriteLedger(service, ledger) => _ = self.ledgers.insert(service, *ledger),
                Effect::Announce(announcement) => self.tell(announcement),
                Effect::WriteReceipt(..)
                | Effect::WriteEndpoints(..)
                | Effect::WriteCalibrations(..)
                | Effect::WatchApplied { .. } => {}
            }
        }
    }

    fn write(&mut self, service: ServiceName, record: &Record, history: Behind) {
        let (Behind::First(draft) | Behind::Then(draft)) = history;
        self.history.extend(draft.map(|draft| *draft));
        self.records.insert(service.clone(), encode(&service, record));
        self.written.push_back((service, record.revision));
    }

    fn publish(&mut self, snapshot: &Snapshot) {
        self.meters.publish(snapshot);
        for view in snapshot.services.iter().flatten() {
            let (name, weight) = (&view.config.name, view.plan.weight);
            self.ids.insert(number(name.as_str()), view.id);
            if self.published.insert(name.clone(), weight) != Some(weight) {
                self.since.insert(name.clone(), self.now.wall);
            }
            let highest = self.highest.entry(name.clone()).or_insert(weight);
            *highest = (*highest).max(weight);
            let can = view.config.is_on(Side::Helios);
            assert!(!view.held || !can || weight.is_zero(), "{name}: held, and not at 0");
        }
    }

    fn tell(&mut self, announcement: Announcement) {
        self.meters.announce(&announcement);
        let service = announcement.service.as_deref().map(number);
        match (announcement.happening, service) {
            (Happening::Reverted, Some(service)) => {
                self.held_on.insert(service, self.day);
            }
            (Happening::Released | Happening::RampChanged, Some(service)) => {
                self.held_on.remove(&service);
            }
            _ => {}
        }
        self.announced.push(announcement);
    }

    pub(super) fn has_ramp(&self, service: usize) -> bool {
        let name = company::name(service);
        self.state.entries().any(|entry| entry.config.name == name && entry.rollout.said().ramp.is_some())
    }

    /// Whether its last revert was the guard's.
    pub(super) fn is_by_guard(&self, service: usize) -> bool {
        let name = company::name(service);
        let reverts = self.announced.iter().rev().filter(|told| told.happening == Happening::Reverted);
        let last = reverts.clone().find(|told| told.service.as_deref() == Some(name.as_str()));
        // One that has fallen while an alarm went on does not start again by itself either.
        last.is_some_and(|told| told.of_alarm || told.by == Some(ActorRecord::Guard))
    }

    /// Services of which this was told.
    pub(super) fn told(&self, happening: Happening) -> Vec<&Announcement> {
        self.announced.iter().filter(|told| told.happening == happening).collect()
    }

    pub(super) fn names() -> BTreeSet<ServiceName> {
        (0..SERVICES).map(company::name).collect()
    }
}

fn start(loaded: &Loaded, kept: Kept, now: Now) -> (State, Meters) {
    let calibrations = (0..SERVICES).map(|service| (company::name(service), calibrated(service))).collect();
    let (state, told) = State::new(loaded, Kept { calibrations, ..kept }, 1, now);
    assert!(told.is_empty(), "{told:?}");
    (state, Meters::new(1))
}

/// A count with this mean: exact where it is small, and near enough to a normal one where it is not.
fn poisson(rng: &mut fastrand::Rng, mean: f64) -> u32 {
    if mean > 50.0 {
        let normal = (-2.0 * rng.f64().max(1e-300).ln()).sqrt() * (std::f64::consts::TAU * rng.f64()).cos();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count, rounded")]
        return (mean + mean.sqrt() * normal).round().max(0.0) as u32;
    }
    let (limit, mut product, mut count) = ((-mean).exp(), rng.f64(), 0);
    while product > limit {
        product *= rng.f64();
        count += 1;
    }
    count
}
