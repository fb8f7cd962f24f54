//! People, the judge, files, a disk that fails, crashes at every write and clocks that jump, in any order. After every step
//! what must always hold is looked at. A seed that breaks it is printed, and plays again:
//!
//! ```console
//! $ SWITCHBACK_SEED=17 cargo test --lib simulation
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Fault, Loaded, load};
use crate::model::{Caller, Grant, Millis, Rights, Role, Scope, ServiceName, Side, UnixMillis, Via, Weight};
use crate::rollout::{Record, Word};
use crate::snapshot::Snapshot;
use crate::verdict::{Counts, Finding, Question};

use super::super::event::{
    Answer, Ask, Behind, CauseOfRevert, Command, Effect, Event, Intent, Now, Reach, Refused, RoomAsked, Why,
    Wish,
};
use super::super::history::{Deed, DeedOutcome, Draft};
use super::super::journal::{ActorRecord, Kept, decode, encode};
use super::super::state::State;
use super::fall::revert_by_judge;
use super::step;
use super::take_in::Todo;

const SEEDS: u64 = 1_000;
const STEPS: usize = 3_000;
/// As many tests as share the seeds, so that all cores have something to do.
const PARTS: u64 = 4;
const NAMES: [&str; 4] = ["plain", "eager", "careful", "theirs"];
/// The time at each step of a ramp.
const HOLD: Duration = Duration::from_mins(30);

/// What the disk has, and what is on its way there.
#[derive(Default)]
struct Disk {
    records: BTreeMap<ServiceName, Vec<u8>>,
    history: Vec<Draft>,
    /// Records that are to be written, one a service, in the order in which they came.
    order: VecDeque<ServiceName>,
    waiting: BTreeMap<ServiceName, (Record, Option<Draft>)>,
    /// What is in force already, and is to be added to the history.
    drafts: Vec<Draft>,
}

/// What becomes of one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Luck {
    Good,
    /// It fails, and the disk has the old state.
    Bad,
    /// It fails, and the disk has the new state all the same.
    Unknown,
}

struct World {
    seed: u64,
    rng: fastrand::Rng,
    state: State,
    files: Arc<Vec<Loaded>>,
    loaded: usize,
    now: Now,
    disk: Disk,
    published: BTreeMap<ServiceName, Weight>,
    asks: u64,
    answers: Vec<Answer>,
    /// Since when, by the clock that does not jump, each ramp is at its step; unknown after a restart.
    at_step: BTreeMap<ServiceName, (Weight, Option<Millis>)>,
    /// Services that have not been seen at a step since the last restart.
    restarted: BTreeSet<ServiceName>,
    held: BTreeMap<ServiceName, bool>,
    /// The last deed of each service that the history has.
    deeds: BTreeMap<String, Deed>,
    /// Everything that has come to pass, and what became of it.
    seen: BTreeSet<(Deed, DeedOutcome)>,
    last: String,
}

fn name(text: &str) -> ServiceName {
    ServiceName::parse(text).unwrap()
}

/// Configurations that are read again and again: other weights, other plans, a service that goes, one that loses a side.
fn files() -> Vec<Loaded> {
    let sides = |helios: bool| {
        let helios = if helios {
            "[helios]\nsource = { addresses = [\"127.0.0.1:1\"] }\ncapacity = 1000\n"
        } else {
            ""
        };
        format!(
            "{helios}[kubernetes]\nsource = {{ namespace = \"n\", service = \"s\", cluster = \"gew1\" }}\n"
        )
    };
    let service = |weight: f64, team: &str, ramp: &str, helios: bool| {
        format!(
            "team = \"{team}\"\nowner = \"a\"\ncontact = \"b\"\n[match]\nhosts = [\"HOST\"]\n[split]\nkubernetes = {weight:?}\n{}\
             [ramp]\nhold = \"30m\"\nrequests = 0\ncertainty = 0\n{ramp}",
            sides(helios)
        )
    };
    let folder = tempfile::tempdir().unwrap();
    let services = folder.path().join("services");
    std::fs::create_dir(&services).unwrap();
    let mut all = Vec::new();
    for variant in 0..6 {
        let process = format!(
            "workers = 1\n[clusters.gew1]\n[listeners.http]\naddress = \"127.0.0.1:0\"\n[state]\ndirectory = \"/nowhere\"\n[fleet-guard]\n\
             services = 3\nrevert-cluster = {}\n",
            variant % 2 == 0
        );
        std::fs::write(folder.path().join("switchback.toml"), process).unwrap();
        let weights = [5.0, 50.0, 0.0, 100.0, 25.0, 1.0];
        let steps = ["steps = [1, 5, 25, 100]\n", "steps = [2, 50]\n"][variant % 2];
        let eager = format!("{steps}again-after = \"20m\"\nagain-most = 2\n");
        let careful = format!("{steps}[approvals]\nraises = true\n");
        let texts = [
            ("plain", service(weights[variant], "ours", steps, true)),
            ("eager", service(weights[(variant + 1) % 6], "ours", &eager, true)),
            ("careful", service(weights[(variant + 2) % 6], "ours", &careful, true)),
            ("theirs", service(100.0, "theirs", steps, variant != 5)),
        ];
        for (name, text) in texts {
            let path = services.join(format!("{name}.toml"));
            if variant == 4 && name == "plain" {
                let _ = std::fs::remove_file(path);
                continue;
            }
            std::fs::write(path, text.replace("HOST", &format!("{name}.test"))).unwrap();
        }
        all.push(load(folder.path()).unwrap_or_else(|faults| panic!("{}", told(&faults))));
    }
    all
}

fn told(faults: &[Fault]) -> String {
    crate::config::render(faults, false)
}

/// People: an operator of our team, a second one, one who may only look, one of another team, and one whom nobody knows.
fn people() -> Vec<Caller> {
    let of = |name: &str, via, role, teams: &[&str]| {
        let scope = if teams.is_empty() {
            Scope::Everything
        } else {
            let teams = teams.iter().map(|team| Arc::from(*team)).collect();
            Scope::Of { teams, services: Vec::new() }
        };
        Caller { name: name.into(), via, from: "unix".into(), rights: Rights(vec![Grant { role, scope }]) }
    };
    vec![
        of("anna", Via::Token, Role::Operator, &["ours"]),
        of("bert", Via::Certificate, Role::Admin, &[]),
        of("cleo", Via::Token, Role::Viewer, &[]),
        of("dora", Via::Oidc, Role::Operator, &["theirs"]),
        of("somebody", Via::Word, Role::Admin, &[]),
    ]
}

impl World {
    fn new(seed: u64, files: Arc<Vec<Loaded>>) -> Self {
        let now = Now { mono: Millis(0), wall: UnixMillis(1_790_000_000_000) };
        let (state, _) = State::new(&files[0], Kept::default(), 1, now);
        let mut world = Self {
            seed,
            rng: fastrand::Rng::with_seed(seed),
            state,
            files,
            loaded: 0,
            now,
            disk: Disk::default(),
            published: BTreeMap::new(),
            asks: 0,
            answers: Vec::new(),
            at_step: BTreeMap::new(),
            restarted: BTreeSet::new(),
            held: BTreeMap::new(),
            deeds: BTreeMap::new(),
            seen: BTreeSet::new(),
            last: "the start".to_owned(),
        };
        let snapshot = world.state.snapshot();
        world.publish(&snapshot);
        world
    }

    fn play(&mut self) {
        for _ in 0..STEPS {
            self.let_time_pass();
            match self.rng.u8(0..100) {
                0..=44 => self.ask(),
                45..=54 => self.judge(),
                55..=74 => self.write(),
                75..=77 => self.reload(),
                78 => self.crash(),
                _ => {
                    self.take_in("time", Event::Tick);
                }
            }
            self.look();
        }
    }

    fn let_time_pass(&mut self) {
        let passed = self.rng.u64(1..600_000);
        self.now.mono.0 += passed;
        self.now.wall.0 += passed;
        if self.rng.u8(0..50) == 0 {
            // Somebody sets the clock: up to two days, either way.
            let jump = self.rng.u64(0..172_800_000);
            self.now.wall.0 = if self.rng.bool() { self.now.wall.0 + jump } else { self.now.wall.0 - jump };
        }
    }

    fn take_in(&mut self, what: &str, event: Event) {
        what.clone_into(&mut self.last);
        let effects = step(&mut self.state, event, self.now);
        self.perform(effects);
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Publish(snapshot) => self.publish(&snapshot),
                Effect::WriteRecord { service, record, history } => self.enqueue(service, record, history),
                Effect::History(draft) => self.disk.drafts.push(draft),
                Effect::Answer(_, answer) => self.answers.push(answer),
                Effect::AnswerWhenApplied(_, changes, _) => {
                    self.answers.push(Answer::Changed { changes, applied: None, written: None });
                }
                Effect::WriteReceipt(..)
                | Effect::WriteEndpoints(..)
                | Effect::WriteLedger(..)
                | Effect::WriteCalibrations(..)
                | Effect::WatchApplied { .. }
                | Effect::Announce(_) => {}
            }
        }
    }

    fn publish(&mut self, snapshot: &Snapshot) {
        self.published.clear();
        for view in snapshot.services.iter().flatten() {
            // Who has no Helios cannot go back there.
            let can = view.config.is_on(Side::Helios);
            assert!(!view.held || !can || view.plan.weight.is_zero(), "{}: held, and not at 0", self.at());
            self.published.insert(view.config.name.clone(), view.plan.weight);
        }
    }

    fn enqueue(&mut self, service: ServiceName, record: Record, history: Behind) {
        let first = match history {
            Behind::First(draft) => draft.map(|draft| *draft),
            Behind::Then(draft) => {
                self.disk.drafts.extend(draft.map(|draft| *draft));
                None
            }
        };
        if self.disk.waiting.insert(service.clone(), (record, first)).is_none() {
            self.disk.order.push_back(service);
        }
    }

    /// The next write, as the writer's thread does it.
    fn write(&mut self) {
        let luck = match self.rng.u8(0..10) {
            0 => Luck::Bad,
            1 => Luck::Unknown,
            _ => Luck::Good,
        };
        let Some(service) = self.disk.order.pop_front() else {
            if luck != Luck::Bad {
                self.disk.history.append(&mut self.disk.drafts);
            }
            return;
        };
        let Some((record, first)) = self.disk.waiting.remove(&service) else { return };
        let revision = record.revision;
        if luck != Luck::Bad {
            if first.is_some() {
                self.disk.history.append(&mut self.disk.drafts);
            }
            self.disk.history.extend(first);
            self.disk.records.insert(service.clone(), encode(&service, &record));
            self.disk.history.append(&mut self.disk.drafts);
        }
        let ok = luck == Luck::Good;
        self.take_in(&format!("{service} written, {luck:?}"), Event::Written { service, revision, ok });
    }

    /// The process ends at some point of a write, and another begins with what the disk has.
    fn crash(&mut self) {
        if let Some(service) = self.disk.order.pop_front()
            && let Some((record, first)) = self.disk.waiting.remove(&service)
        {
            let cut = self.rng.u8(0..4);
            if cut > 0 && first.is_some() {
                self.disk.history.append(&mut self.disk.drafts);
                self.disk.history.extend(first);
            }
            if cut > 1 {
                self.disk.records.insert(service.clone(), encode(&service, &record));
            }
            if cut > 2 {
                self.disk.history.append(&mut self.disk.drafts);
            }
        }
        self.disk.order.clear();
        self.disk.waiting.clear();
        self.disk.drafts.clear();
        let records = self.disk.records.iter();
        let records = records.map(|(name, bytes)| (name.clone(), decode(name, bytes))).collect();
        let kept = Kept { records, ..Kept::default() };
        self.now.mono = Millis(0);
        self.loaded = self.rng.usize(..self.files.len());
        let (state, _) = State::new(&self.files[self.loaded], kept, 1, self.now);
        self.state = state;
        "a crash".clone_into(&mut self.last);
        self.at_step.clear();
        self.restarted = NAMES.map(name).into();
        // What was not on disk yet has never been.
        self.held.clear();
        let snapshot = self.state.snapshot();
        self.publish(&snapshot);
        for (service, bytes) in &self.disk.records {
            let record = decode(service, bytes).unwrap();
            let held = matches!(record.said.word, Word::Held(_));
            assert_eq!(self.state.is_held(service), held, "{}: a hold of {service} is lost", self.at());
        }
    }

    fn reload(&mut self) {
        if self.rng.u8(0..4) == 0 {
            return self.take_in("a broken file", Event::Config(Err(Vec::new())));
        }
        self.loaded = self.rng.usize(..self.files.len());
        let loaded = self.files[self.loaded].clone();
        self.take_in(&format!("configuration {}", self.loaded), Event::Config(Ok(loaded)));
    }

    /// The judge takes one service back, or now and then all of them, as when their cluster is gone.
    fn judge(&mut self) {
        if self.rng.u8(0..8) == 0 {
            for service in NAMES {
                self.take_back(&name(service));
            }
        } else {
            let service = name(self.rng.choice(NAMES).unwrap());
            self.take_back(&service);
        }
    }

    fn take_back(&mut self, service: &ServiceName) {
        let Some(slot) = self.state.slot(service) else { return };
        let at_stake = self.state.entry(slot).is_some_and(|entry| entry.is_at_stake());
        if !at_stake || self.state.entry(slot).is_some_and(|entry| entry.missing_side(Weight::ZERO).is_some())
        {
            return;
        }
        let finding = Finding {
            question: Question::Failure,
            stratum: None,
            at: self.now.mono,
            since: self.now.mono,
            counts: Counts::default(),
            bound: 0.0,
            evidence_s: 1e9,
            promise_s: 1e7,
            gate: 9.0,
            gate_needed: 8.0,
            noise: 1.0,
        };
        self.last = format!("the judge on {service}");
        let mut todo = Todo { now: self.now, publish: false, effects: Vec::new() };
        revert_by_judge(&mut self.state, slot, "failures", &finding, &mut todo);
        if todo.publish {
            todo.effects.insert(0, Effect::Publish(self.state.snapshot()));
        }
        self.perform(todo.effects);
        assert_eq!(self.published[service], Weight::ZERO, "{}: a revert is at once", self.at());
    }

    fn percent(&mut self) -> Weight {
        let steps = [0, 1, 2, 5, 25, 50, 100];
        Weight::from_percent(f64::from(*self.rng.choice(&steps).unwrap())).unwrap()
    }

    fn intent(&mut self) -> Intent {
        let one = name(self.rng.choice(NAMES).unwrap());
        let room = if self.rng.bool() { RoomAsked::Needed } else { RoomAsked::NotNeeded };
        let reach = match self.rng.u8(0..6) {
            0 => Reach::All,
            1 => Reach::Team("ours".into()),
            2 => Reach::Services(NAMES.iter().map(|text| name(text)).collect()),
            _ => Reach::Services(vec![one.clone()]),
        };
        match self.rng.u8(0..14) {
            0 | 1 => {
                let lasts = self.rng.bool().then(|| Duration::from_millis(self.rng.u64(1..7_200_000)));
                Intent::Move(one, Wish::SetWeight { weight: self.percent(), lasts, room })
            }
            2 => Intent::Move(one, Wish::Clear),
            3 | 4 => {
                let cause = if self.rng.bool() { CauseOfRevert::FalseAlarm } else { CauseOfRevert::Unsaid };
                Intent::Move(one, Wish::Release { to: self.percent(), cause, room })
            }
            5 | 6 => {
                let from = self.rng.bool().then(|| self.percent());
                Intent::Move(one, Wish::StartRamp { plan: None, from, room })
            }
            7 => Intent::Move(one, Wish::StopRamp),
            8 => Intent::Move(one, Wish::Migrate { room }),
            9 => Intent::Revert(reach),
            10 => Intent::PauseRamps(reach),
            11 => Intent::ResumeRamps(reach),
            12 => Intent::Approve(one, None),
            _ => Intent::Reject(one),
        }
    }

    fn ask(&mut self) {
        let caller = self.rng.choice(people()).unwrap();
        let intent = self.intent();
        let before = self.weights_and_words();
        self.answers.clear();
        let (histories, drafts) = (self.disk.history.len(), self.disk.drafts.len());
        self.asks += 1;
        let why = Why { reason: "because".into(), ticket: None };
        let what = format!("{} asks for {intent:?}", caller.name);
        let command = Command::Change(intent.clone(), why);
        let may = !matches!(&*caller.name, "cleo");
        self.take_in(&what, Event::Asked(Ask(self.asks), Box::new(caller.clone()), Box::new(command)));
        // Those that rise are answered when they are written.
        let refused = self.answers.iter().find_map(|answer| match answer {
            Answer::Refused(refused) => Some(refused.clone()),
            _ => None,
        });
        if let Some(refused) = &refused
            && !matches!(refused, Refused::Overtaken(_))
        {
            assert_eq!(self.weights_and_words(), before, "{}: refused, and changed: {refused}", self.at());
            let noted = self.disk.drafts.len() > drafts || self.disk.history.len() > histories;
            assert!(noted, "{}: a refusal that the history does not have: {refused}", self.at());
        }
        if !may {
            assert!(
                matches!(refused, Some(Refused::NoRight { .. } | Refused::NoService(_))),
                "{}",
                self.at()
            );
        }
        if intent_is_for_all(&intent) && refused.is_none() {
            let climbs = self.state.entries().find(|entry| entry.can_be_taken_back() && entry.would_climb());
            let climbs = climbs.map(|entry| entry.config.name.clone());
            assert!(climbs.is_none(), "{}: {climbs:?} climbs after all were taken back", self.at());
        }
        if let Intent::Revert(Reach::Services(names)) = &intent
            && refused.is_none()
        {
            for service in names {
                assert_eq!(self.published.get(service), Some(&Weight::ZERO), "{}", self.at());
            }
        }
    }

    fn weights_and_words(&self) -> Vec<(ServiceName, Weight, crate::rollout::Said)> {
        let of = |entry: &super::super::entry::Entry| {
            (entry.config.name.clone(), entry.weight(), entry.rollout.said().clone())
        };
        self.state.entries().map(of).collect()
    }

    /// What must always hold.
    fn look(&mut self) {
        let mut steps = Vec::new();
        for entry in self.state.entries() {
            let service = &entry.config.name;
            if let Some(ramp) = &entry.rollout.said().ramp {
                steps.push((service.clone(), ramp.weight));
            }
            let on_both =
                [Weight::ZERO, Weight::FULL].iter().all(|weight| entry.missing_side(*weight).is_none());
            if !on_both {
                continue;
            }
            let published = self.published[service];
            assert_eq!(published, entry.weight(), "{}: {service} is not what is published", self.at());
            let record = self.disk.records.get(service).map(|bytes| decode(service, bytes).unwrap());
            let said = record.as_ref().map(|record| &record.said);
            let allowed = said.map_or(entry.config.weight, |said| entry.weight_under(said));
            assert!(
                published <= allowed,
                "{}: {service} has {published}, and the record allows {allowed}: {said:?}",
                self.at()
            );
            if let Word::Held(_) = entry.rollout.word() {
                assert_eq!(published, Weight::ZERO, "{}: {service}", self.at());
            }
        }
        for (service, weight) in steps {
            self.look_at_step(&service, weight);
        }
        self.look_at_history();
    }

    /// No step comes before its time, whatever the clock on the wall says.
    fn look_at_step(&mut self, service: &ServiceName, weight: Weight) {
        let known = self.at_step.get(service).copied();
        match known {
            Some((before, since)) if before != weight => {
                let stepped = self.disk.history.iter().rev().find(|draft| {
                    draft.service.as_deref() == Some(service.as_str())
                        && matches!(
                            draft.deed,
                            Deed::RampStepped | Deed::RampStarted | Deed::RampAgain | Deed::Migrated
                        )
                });
                let by_itself = stepped.is_some_and(|draft| draft.deed == Deed::RampStepped);
                if let (true, Some(since)) = (by_itself && weight > before, since) {
                    let stood = Duration::from_millis(self.now.mono.since(since).0);
                    assert!(
                        stood >= HOLD,
                        "{}: {service} has stood {stood:?} at {before}, now {weight}",
                        self.at()
                    );
                }
                self.at_step.insert(service.clone(), (weight, Some(self.now.mono)));
            }
            Some(_) => {}
            None => {
                let since = (!self.restarted.remove(service)).then_some(self.now.mono);
                self.at_step.insert(service.clone(), (weight, since));
            }
        }
    }

    /// What raises a weight that takes two people has two; a hold ends only by a person's word, or by a plan that says so.
    fn look_at_history(&mut self) {
        for draft in std::mem::take(&mut self.disk.history) {
            let (service, raises) = (draft.service.as_deref(), draft.after_percent > draft.before_percent);
            self.seen.insert((draft.deed, draft.outcome));
            let by_person = matches!(draft.by, Some(ActorRecord::Person(_)));
            let done = draft.outcome == DeedOutcome::Done && draft.before_percent.is_some();
            // What somebody lowered for a while, and what a person only asks for, needs none.
            let needs_two =
                !matches!(draft.deed, Deed::ApprovalAsked | Deed::OverrideEnded | Deed::FileWeight);
            // A ramp that starts below the present weight raises it by and by; at the top of its plan it does not.
            let starts = matches!(draft.deed, Deed::RampStarted | Deed::Migrated)
                && draft.after_percent.is_some_and(|after| ![50.0, 100.0].contains(&after));
            if service == Some("careful") && done && by_person && (raises && needs_two || starts) {
                let second = draft.approved_by.as_deref();
                let first = draft.by.as_ref().map(ToString::to_string);
                assert!(
                    second.is_some() && second != first.as_deref(),
                    "{}: one person: {draft:?}",
                    self.at()
                );
            }
            if draft.deed == Deed::RampAgain {
                assert_eq!(service, Some("eager"), "{}: started again by itself: {draft:?}", self.at());
            }
            if let Some(service) = service.filter(|_| done) {
                self.remember(service, draft.deed);
            }
        }
        let held: Vec<_> =
            self.state.entries().map(|entry| (entry.config.name.clone(), entry.is_held())).collect();
        for (service, is_held) in held {
            let was_held = self.held.insert(service.clone(), is_held).unwrap_or(false);
            if was_held && !is_held {
                let last = self.deeds.get(service.as_str());
                let ended = matches!(last, Some(Deed::Released | Deed::RampAgain));
                assert!(ended, "{}: the hold of {service} has ended after {last:?}", self.at());
            }
        }
    }

    fn remember(&mut self, service: &str, deed: Deed) {
        self.deeds.insert(service.to_owned(), deed);
    }

    fn at(&self) -> String {
        format!("seed {} after {} at {:?}", self.seed, self.last, self.now)
    }
}

fn intent_is_for_all(intent: &Intent) -> bool {
    matches!(intent, Intent::Revert(Reach::All))
}

fn play(part: u64) {
    let files = Arc::new(files());
    let one: Option<u64> = std::env::var("SWITCHBACK_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = (0..SEEDS).filter(|seed| seed % PARTS == part);
    let mut seen = BTreeSet::new();
    for seed in seeds.filter(|seed| one.is_none_or(|one| one == *seed)) {
        let mut world = World::new(seed, files.clone());
        world.play();
        seen.append(&mut world.seen);
    }
    // A world in which little happens proves little.
    let done = [
        Deed::WeightSet,
        Deed::OverrideCleared,
        Deed::OverrideEnded,
        Deed::FileWeight,
        Deed::Reverted,
        Deed::Released,
        Deed::RampStarted,
        Deed::RampPaused,
        Deed::RampResumed,
        Deed::RampStopped,
        Deed::RampStepped,
        Deed::RampAgain,
        Deed::ApprovalAsked,
        Deed::Approved,
        Deed::ApprovalEnded,
        Deed::FleetGuard,
    ];
    let missing: Vec<_> = done.iter().filter(|deed| !seen.contains(&(**deed, DeedOutcome::Done))).collect();
    assert!(one.is_some() || missing.is_empty(), "never came to pass: {missing:?}");
    for outcome in [DeedOutcome::Refused, DeedOutcome::NotWritten, DeedOutcome::Overtaken] {
        assert!(
            one.is_some() || seen.iter().any(|(_, found)| *found == outcome),
            "{outcome:?} never came to pass"
        );
    }
}

#[test]
fn whatever_happens_the_invariants_hold_1_of_4() {
    play(0);
}

#[test]
fn whatever_happens_the_invariants_hold_2_of_4() {
    play(1);
}

#[test]
fn whatever_happens_the_invariants_hold_3_of_4() {
    play(2);
}

#[test]
fn whatever_happens_the_invariants_hold_4_of_4() {
    play(3);
}
