//! Calibrations in virtual time: seeded requests vote as workers have them vote, and control's own steps judge them.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Loaded, load};
use crate::model::{Caller, Micros, Millis, PerSide, Rights, ServiceName, Side, UnixMillis, Via, Weight};
use crate::snapshot::ServiceView;
use crate::splitter::{Dealer, Half, Halves};
use crate::tally::{HalvesReport, Report, ServiceReport, ServiceTally};
use crate::verdict::{Ballot, Block, Latency, Stratum, TICK_MS, Ticket};

use super::super::event::{Announcement, Answer, Ask, Command, Effect, Event, Intent, Now, Refused, Why};
use super::super::journal::{CalibrationRecord, CalibrationsRecord, EndingRecord, JudgementRecord, Kept};
use super::super::state::State;
use super::super::step::step;
use super::super::views::{SensitivityStatus, ServiceStatus};
use super::{CalibrationStatus, Objection};

/// What becomes of a request.
#[derive(Clone, Copy, Debug)]
struct Fate {
    failed: bool,
    latency: Micros,
}

/// A request, as what becomes of it may depend on.
#[derive(Clone, Copy, Debug)]
struct Asked {
    at_s: f64,
    side: Side,
    /// Of Helios' requests, while those are compared.
    half: Option<Half>,
    user: u32,
}

type Law = fn(&mut fastrand::Rng, Asked) -> Fate;

struct Open {
    ticket: Ticket,
    labelled: Option<(Halves, Ticket)>,
    side: Side,
    begun: Micros,
    failed: bool,
}

/// Control with one service, and its requests.
struct World {
    state: State,
    /// Who draws what becomes of requests, and who draws their halves.
    rng: fastrand::Rng,
    coin: fastrand::Rng,
    law: Law,
    per_second: f64,
    /// Users, of whom each stays in one half; none if halves are dealt by request.
    users: Option<u32>,
    now: Micros,
    next: Micros,
    dealer: Dealer,
    ballot: Ballot,
    halves: Option<(Halves, Ballot)>,
    view: Option<Arc<ServiceView>>,
    open: BTreeMap<(Micros, u64), Open>,
    serial: u64,
    tally: ServiceTally,
    announced: Vec<Announcement>,
    kept: Vec<CalibrationsRecord>,
    answer: Option<Answer>,
}

const TICK: u64 = TICK_MS * 1_000;
/// The wall clock at the start.
const BEGUN: UnixMillis = UnixMillis(1_795_317_247_312);

fn name() -> ServiceName {
    ServiceName::parse("a").unwrap()
}

/// A configuration with the service `a` at this weight, with more lines in `[split]`, and more sections.
fn configuration(weight: f64, split: &str, more: &str) -> Loaded {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("services")).unwrap();
    let process = format!(
        "[listeners.http]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n[state]\ndirectory = {:?}\n",
        folder.path().join("state")
    );
    fs::write(folder.path().join("switchback.toml"), process).unwrap();
    let service = format!(
        "team = \"t\"\n[match]\nhosts = [\"a.test\"]\n[split]\nkubernetes = {weight:?}\n{split}\n[helios]\nsource = {{ addresses = \
         [\"127.0.0.1:1\"] }}\n[kubernetes]\nsource = {{ addresses = [\"127.0.0.1:2\"] }}\n{more}\n"
    );
    fs::write(folder.path().join("services/a.toml"), service).unwrap();
    load(folder.path()).unwrap_or_else(|faults| panic!("{}", crate::config::render(&faults, false)))
}

/// Independent requests: one in a thousand fails, and latencies are log-normal.
fn steady(rng: &mut fastrand::Rng, _: Asked) -> Fate {
    drawn(rng, 0.001, 20.0)
}

fn drawn(rng: &mut fastrand::Rng, failures: f64, median_ms: f64) -> Fate {
    let normal = (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (std::f64::consts::TAU * rng.f64()).cos();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "milliseconds")]
    let latency = Micros((median_ms * 1e3 * (0.5 * normal).exp()) as u64);
    Fate { failed: rng.f64() < failures, latency }
}

impl World {
    fn new(seed: u64, per_second: f64, weight: f64, law: Law) -> Self {
        Self::with(seed, per_second, &configuration(weight, "", ""), Kept::default(), law)
    }

    fn with(seed: u64, per_second: f64, loaded: &Loaded, kept: Kept, law: Law) -> Self {
        let (mut state, _) = State::new(loaded, kept, 1, Now { mono: Millis(0), wall: BEGUN });
        let view = state.snapshot().services[0].clone();
        let mut rng = fastrand::Rng::with_seed(seed);
        let coin = rng.fork();
        Self {
            state,
            rng,
            coin,
            law,
            per_second,
            users: None,
            now: Micros(0),
            next: Micros(0),
            dealer: Dealer::new(Weight::ZERO),
            ballot: Ballot::default(),
            halves: None,
            view,
            open: BTreeMap::new(),
            serial: 0,
            tally: ServiceTally::default(),
            announced: Vec::new(),
            kept: Vec::new(),
            answer: None,
        }
    }

    fn take_in(&mut self, event: Event) {
        let mono = self.now.millis();
        let now = Now { mono, wall: UnixMillis(BEGUN.0 + mono.0) };
        for effect in step(&mut self.state, event, now) {
            match effect {
                Effect::Publish(snapshot) => self.view = snapshot.services[0].clone(),
                Effect::Announce(announcement) => self.announced.push(announcement),
                Effect::WriteCalibrations(_, record) => self.kept.push(*record),
                Effect::Answer(_, answer) => self.answer = Some(answer),
                _ => {}
            }
        }
    }

    fn ask(&mut self, command: Command) -> Answer {
        self.ask_as("ann", command)
    }

    fn ask_as(&mut self, who: &str, command: Command) -> Answer {
        let (via, rights) = (Via::Token, Rights::unbounded());
        let caller = Caller { name: who.into(), via, from: "unix".into(), rights };
        self.take_in(Event::Asked(Ask(1), Box::new(caller), Box::new(command)));
        self.answer.take().expect("an answer")
    }

    fn calibrate(&mut self, lasts: Duration) -> Result<CalibrationStatus, Refused> {
        match self.ask(Command::Change(Intent::Calibrate(name(), lasts), Why::default())) {
            Answer::Calibration(status) => Ok(*status),
            Answer::Refused(refused) => Err(refused),
            other => panic!("{other:?}"),
        }
    }

    fn calibration(&mut self) -> CalibrationStatus {
        match self.ask(Command::Calibration(name())) {
            Answer::Calibration(status) => *status,
            other => panic!("{other:?}"),
        }
    }

    fn status(&mut self) -> (ServiceStatus, SensitivityStatus) {
        let Answer::Status(mut status) = self.ask(Command::Status(None)) else { panic!("no status") };
        let Answer::Sensitivity(sensitivity) = self.ask(Command::Sensitivity(name())) else {
            panic!("no sensitivity")
        };
        (status.remove(0), sensitivity)
    }

    /// Lets time pass.
    fn run(&mut self, time: Duration) {
        let end = Micros(self.now.0 + u64::try_from(time.as_micros()).unwrap());
        while self.now < end {
            let tick_end = Micros(self.now.0 + TICK);
            while self.next < tick_end {
                let at = self.next;
                let gap_s = -(1.0 - self.rng.f64()).ln() / self.per_second;
                self.next = at.after(Duration::from_secs_f64(gap_s));
                self.begin(at);
            }
            self.now = tick_end;
            self.tick();
        }
    }

    fn begin(&mut self, at: Micros) {
        let view = self.view.clone().expect("the service is configured");
        let rng = &mut self.rng;
        let side = self.dealer.deal(view.plan.weight, |n| rng.u32(..n));
        let user = rng.u32(..self.users.unwrap_or(1));
        let half = view.calibrating.filter(|_| side == Side::Helios).map(|halves| match self.users {
            Some(_) => halves.of_user(&view.config.name, &user.to_le_bytes()),
            None => Half::drawn(self.coin.bool()),
        });
        let asked = Asked { at_s: at.millis().seconds(), side, half, user };
        let Fate { failed, latency } = (self.law)(&mut self.rng, asked);
        let thresholds = view.groups.thresholds(Stratum::OTHER);
        let ticket = self.ballot.enter(Stratum::OTHER, side, at, thresholds);
        let labelled = half.zip(view.calibrating).map(|(half, halves)| {
            if !self.halves.as_ref().is_some_and(|(known, _)| *known == halves) {
                self.halves = None;
            }
            let (_, ballot) = self.halves.get_or_insert_with(|| (halves, Ballot::default()));
            (halves, ballot.enter(Stratum::OTHER, half.side(), at, thresholds))
        });
        self.serial += 1;
        let end = Micros(at.0 + latency.0);
        self.open.insert((end, self.serial), Open { ticket, labelled, side, begun: at, failed });
    }

    fn tick(&mut self) {
        while let Some(first) = self.open.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let ((end, _), Open { ticket, labelled, side, begun, failed }) = first.remove_entry();
            self.ballot.finish(ticket, end, failed);
            if let (Some((halves, ticket)), Some((known, ballot))) = (labelled, &mut self.halves)
                && halves == *known
            {
                ballot.finish(ticket, end, failed);
            }
            let of_side = &mut self.tally.sides[side];
            if failed {
                of_side.failed.count(crate::model::Cause::Status);
            } else {
                of_side.ok += 1;
                of_side.answered_in(Stratum::OTHER, Latency::of(end.since(begun)));
            }
        }
        let id = self.view.as_ref().expect("the service is configured").id;
        let mut block = Block::default();
        self.ballot.collect(self.now, &mut block);
        let calibration = self.halves.as_mut().map(|(halves, ballot)| {
            let mut block = Block::default();
            ballot.collect(self.now, &mut block);
            Box::new(HalvesReport { halves: *halves, block, lost: 0 })
        });
        let tally = std::mem::take(&mut self.tally);
        let services = vec![ServiceReport { id, block, tally, routes: Vec::new(), calibration }];
        self.take_in(Event::Report(Report { services, ..Report::default() }));
        self.take_in(Event::Tick);
    }

    /// Calibrates for so long, and gives what that came to.
    fn calibrated(&mut self, lasts: Duration) -> CalibrationRecord {
        self.calibrate(lasts).unwrap();
        self.run(lasts);
        self.calibration().last.expect("it has ended")
    }
}

/// One in a thousand fails; but in so many seconds of each minute, this share of some.
fn in_bursts(rng: &mut fastrand::Rng, asked: Asked, lasts_s: f64, failures: f64) -> Fate {
    let amid = asked.at_s % 60.0 < lasts_s;
    drawn(rng, if amid { failures } else { 0.001 }, 20.0)
}

const HALF_AN_HOUR: Duration = Duration::from_mins(30);

#[test]
fn halves_that_are_alike_keep_the_promise_at_any_rate_and_weight() {
    for (per_second, weight, law) in [
        (2.0, 0.0, steady as Law),
        (20.0, 50.0, steady),
        (200.0, 5.0, steady),
        (20.0, 95.0, steady),
        (20.0, 10.0, |rng, _| drawn(rng, 0.05, 20.0)),
        // What hits both halves is no evidence, and it is learned that votes come in clumps.
        (100.0, 10.0, |rng, asked| in_bursts(rng, asked, 3.0, 0.3)),
        (100.0, 10.0, |rng, asked| drawn(rng, 0.001, if asked.at_s % 60.0 < 5.0 { 60.0 } else { 20.0 })),
    ] {
        for seed in 0..3 {
            let mut world = World::new(seed, per_second, weight, law);
            world.run(Duration::from_mins(10));
            let record = world.calibrated(HALF_AN_HOUR);
            let what = format!("seed {seed} at {per_second} a second and {weight}: {record:#?}");
            assert_eq!(record.judgement, JudgementRecord::Within, "{what}");
            assert_eq!(record.ending, EndingRecord::Finished);
            assert_eq!((record.own.found, record.own.promise_s), (0, 31_557_600.0), "{what}");
            assert!((record.short.promise_s - 90.0).abs() < 1e-9, "{what}");
            assert!((record.short.expected - 20.0).abs() < 0.1, "{what}");
            let of_helios = per_second * (1.0 - weight / 100.0) * 1_800.0;
            let requests = (record.a.requests + record.b.requests) as f64;
            assert!((requests / of_helios - 1.0).abs() < 0.2, "{what}");
            let share = record.a.requests as f64 / requests;
            assert!((share - 0.5).abs() < 3.0 / requests.sqrt(), "{what}");
        }
    }
}

#[test]
fn clumps_of_helios_are_told_as_noise_of_the_question_that_they_are_bad_for() {
    let noise = |law: Law| {
        let mut world = World::new(1, 100.0, 10.0, law);
        world.run(Duration::from_mins(10));
        let record = world.calibrated(Duration::from_mins(5));
        let of = |name| record.questions.iter().find(|all| all.question == name).unwrap().noise;
        (of("failure"), of("slower"))
    };
    let (failure, slower) = noise(steady);
    assert!(failure < 1.5 && slower < 1.5, "{failure} {slower}");
    let (failure, slower) = noise(|rng, asked| in_bursts(rng, asked, 3.0, 0.3));
    assert!(failure > 3.0 && slower < 2.0, "{failure} {slower}");
    let (failure, slower) =
        noise(|rng, asked| drawn(rng, 0.001, if asked.at_s % 60.0 < 5.0 { 60.0 } else { 20.0 }));
    assert!(failure < 1.5 && slower > 3.0, "{failure} {slower}");
}

#[test]
fn bursts_that_hit_one_half_only_break_the_promise() {
    for (seed, law) in (0..3).flat_map(|seed| {
        [
            (
                seed,
                (|rng, asked| {
                    let failures = if asked.half == Some(Half::B) { 0.5 } else { 0.001 };
                    in_bursts(rng, asked, 6.0, failures)
                }) as Law,
            ),
            (seed, |rng, asked| {
                let amid = asked.half == Some(Half::B) && asked.at_s % 60.0 < 10.0;
                drawn(rng, 0.001, if amid { 60.0 } else { 20.0 })
            }),
        ]
    }) {
        let mut world = World::new(seed, 100.0, 10.0, law);
        world.run(Duration::from_mins(10));
        let record = world.calibrated(HALF_AN_HOUR);
        assert_eq!(record.judgement, JudgementRecord::Broken, "seed {seed}: {record:#?}");
        assert!(record.told.contains(" were found, mostly of "), "{}", record.told);
        assert!((record.own.most_evidence - 1.0).abs() < 1e-9, "{record:#?}");
    }
}

/// What one user does comes in clumps, and in the real split they would all be on one side.
#[test]
fn an_odd_user_of_a_sticky_service_is_found_and_would_not_be_if_each_request_were_dealt_by_itself() {
    fn odd(rng: &mut fastrand::Rng, asked: Asked) -> Fate {
        drawn(rng, if asked.user == 7 { 1.0 } else { 0.001 }, 20.0)
    }
    let sticky = configuration(10.0, "sticky = { header = \"x-user-id\" }", "");
    let mut broken = 0;
    for seed in 0..8 {
        let mut world = World::with(seed, 100.0, &sticky, Kept::default(), odd);
        world.users = Some(50);
        // Each calibration deals users anew: this is begun at another moment.
        world.run(Duration::from_secs(300 + seed));
        let record = world.calibrated(Duration::from_mins(20));
        assert!(record.judgement != JudgementRecord::TooShort, "{record:#?}");
        broken += i32::from(record.judgement == JudgementRecord::Broken);
    }
    assert!((1..8).contains(&broken), "the user is in B half of the times: {broken} of 8");
    for seed in 0..8 {
        let mut world = World::new(seed, 100.0, 10.0, |rng, _| {
            let user = rng.u32(..50);
            drawn(rng, if user == 7 { 1.0 } else { 0.001 }, 20.0)
        });
        world.run(Duration::from_mins(5));
        let record = world.calibrated(Duration::from_mins(20));
        assert_eq!(record.judgement, JudgementRecord::Within, "{record:#?}");
    }
}

#[test]
fn with_too_few_requests_nothing_can_be_said_and_how_long_would_do_is() {
    let mut world = World::new(1, 0.05, 0.0, steady);
    world.run(Duration::from_mins(10));
    let record = world.calibrated(HALF_AN_HOUR);
    assert_eq!(record.judgement, JudgementRecord::TooShort, "{record:#?}");
    assert!(
        record.told.contains("even an outage takes ") && record.told.contains("or longer"),
        "{}",
        record.told
    );
    let mut silent = World::new(1, 1e-9, 0.0, steady);
    let record = silent.calibrated(HALF_AN_HOUR);
    assert_eq!(record.judgement, JudgementRecord::TooShort);
    assert!(record.told.contains("there is too little to compare"), "{}", record.told);
    let mut short = World::new(1, 100.0, 0.0, steady);
    short.run(Duration::from_mins(10));
    let record = short.calibrated(Duration::from_secs(5));
    assert_eq!(record.judgement, JudgementRecord::TooShort);
    assert!(record.told.contains("it ran for 5 s"), "{}", record.told);
    let record = short.calibrated(Duration::from_mins(1));
    assert_eq!(record.judgement, JudgementRecord::Within, "B is as warm as A: {record:#?}");
}

/// Too many false reverts are too many, however short the time was.
#[test]
fn a_short_time_is_long_enough_to_see_a_promise_broken() {
    let mut world = World::new(1, 200.0, 0.0, |rng, asked| {
        drawn(rng, if asked.half == Some(Half::B) { 0.5 } else { 0.001 }, 20.0)
    });
    world.run(Duration::from_mins(10));
    let record = world.calibrated(Duration::from_secs(20));
    assert_eq!(record.judgement, JudgementRecord::Broken, "{record:#?}");
    assert!(
        record.own.found > 0 && record.told.starts_with("at one false revert in 1 y at most "),
        "{record:#?}"
    );
}

#[test]
fn the_service_itself_knows_nothing_of_its_calibration() {
    for seed in 0..3 {
        let same: Law =
            |rng, asked| in_bursts(rng, asked, 2.0, if asked.side == Side::Helios { 0.2 } else { 0.1 });
        let mut worlds = [World::new(seed, 100.0, 30.0, same), World::new(seed, 100.0, 30.0, same)];
        for world in &mut worlds {
            world.run(Duration::from_mins(3));
        }
        worlds[1].calibrate(Duration::from_mins(10)).unwrap();
        for _ in 0..20 {
            let [without, with] = &mut worlds;
            without.run(Duration::from_secs(37));
            with.run(Duration::from_secs(37));
            let (service, sensitivity) = with.status();
            // That it is being calibrated is told of it, and nothing else is changed by it.
            assert_eq!(without.status(), (ServiceStatus { calibrating: None, ..service }, sensitivity));
            let groups = [&without, &with].map(|world| world.view.as_ref().unwrap().groups.clone());
            assert_eq!(groups[0], groups[1]);
        }
        let record = worlds[1].calibration().last.expect("it has ended");
        assert!(record.a.requests + record.b.requests > 30_000, "{record:#?}");
        assert!(worlds[0].calibration().last.is_none());
    }
}

#[test]
fn what_is_found_of_helios_against_itself_takes_nobody_back() {
    let mut world = World::new(1, 100.0, 30.0, |rng, asked| {
        let failures = if asked.half == Some(Half::B) { 0.5 } else { 0.001 };
        drawn(rng, failures, 20.0)
    });
    world.run(Duration::from_mins(3));
    world.calibrate(HALF_AN_HOUR).unwrap();
    world.run(Duration::from_mins(1));
    let (status, _) = world.status();
    assert_eq!((status.why.as_str(), status.weight_percent), ("file", 30.0));
    let running = world.calibration().running.expect("it runs");
    assert_eq!((running.ending, running.judgement), (EndingRecord::Running, JudgementRecord::Broken));
    assert!(running.sensitivity.is_empty() && running.own.found > 0, "{running:#?}");
}

#[test]
fn how_soon_trouble_would_be_seen_is_told_at_the_weight_in_force_and_at_others() {
    let mut world = World::new(1, 100.0, 0.0, steady);
    world.run(Duration::from_mins(10));
    let record = world.calibrated(Duration::from_mins(2));
    let rows: Vec<_> = record.sensitivity.iter().map(|row| (row.weight_percent, row.in_force)).collect();
    assert_eq!(rows, [(0.0, true), (1.0, false), (5.0, false), (25.0, false), (50.0, false)]);
    let in_force = &record.sensitivity[0].degradations;
    assert!(in_force.iter().all(|all| all.why_never.as_deref() == Some("nothing on Kubernetes")));
    for (place, outage) in record.sensitivity[1].degradations.iter().enumerate() {
        let seen = |row: usize| record.sensitivity[row].degradations[place].seen_in_s.unwrap();
        assert!(seen(1) >= seen(2) && seen(2) >= seen(3) && seen(3) >= seen(4), "{}", outage.text);
    }
    for row in &record.sensitivity {
        assert!((row.helios_per_second + row.kubernetes_per_second - 100.0).abs() < 10.0, "{row:?}");
    }
}

#[test]
fn a_calibration_is_stopped_by_a_person_and_what_was_seen_is_kept() {
    let mut world = World::new(1, 100.0, 10.0, steady);
    world.run(Duration::from_mins(1));
    let begun = world.calibrate(HALF_AN_HOUR).unwrap().running.unwrap();
    assert!((begun.lasts_s - 1_800.0).abs() < 1e-9);
    let begun = world.kept.pop().expect("it is kept that it has begun");
    assert!(begun.begun.is_some() && begun.last.is_none());
    assert_eq!(world.calibrate(HALF_AN_HOUR), refused(Objection::Running));
    world.run(Duration::from_mins(4));
    let why = Why { reason: "seen enough".into(), ticket: None };
    let stop = Command::Change(Intent::StopCalibration(name()), why);
    let Answer::Calibration(status) = world.ask_as("bob", stop.clone()) else { panic!("not stopped") };
    let record = status.last.expect("what was seen");
    assert_eq!((record.ending, record.ran_s), (EndingRecord::Stopped, 240.0));
    assert_eq!(record.ending_why.as_deref(), Some("bob: seen enough"));
    assert!(status.running.is_none() && world.view.as_ref().unwrap().calibrating.is_none());
    let kept = world.kept.pop().expect("it is kept");
    assert_eq!((kept.last, kept.begun), (Some(record), None));
    let told = &world.announced.last().unwrap().text;
    assert!(
        told.starts_with("a: the calibration was stopped after 4 min by bob: seen enough: within"),
        "{told}"
    );
    let Answer::Refused(again) = world.ask(stop) else { panic!("stopped twice") };
    assert_eq!(again.to_string(), "a: it is not being calibrated");
    world.calibrate(HALF_AN_HOUR).unwrap();
    assert!(world.calibration().last.is_some(), "the last is there until the next has ended");
}

#[test]
fn a_calibration_ends_when_the_service_is_judged_by_something_else() {
    let changed = |what: &str| Some(format!("{what} was changed in its file"));
    for (split, more, why) in [
        ("", "[judge]\nfalse-revert-every = \"30d\"", changed("what the judge promises and tolerates")),
        ("", "[judge]\nmode = \"off\"", Some("its judge is off".to_owned())),
        ("", "[failures]\nstatuses = [\"429\", \"5xx\"]", changed("what is a failure")),
        ("sticky = { client-address = true }", "", changed("what keeps users on a side")),
        ("", "[judge]\nmode = \"advise\"", None),
    ] {
        let mut world = World::new(1, 50.0, 10.0, steady);
        world.calibrate(HALF_AN_HOUR).unwrap();
        world.run(Duration::from_secs(10));
        let loaded = configuration(10.0, split, more);
        world.take_in(Event::Config(Ok(loaded)));
        let status = world.calibration();
        assert_eq!(status.running.is_none(), why.is_some(), "{split}{more}");
        if let Some(why) = why {
            let record = status.last.unwrap();
            assert_eq!(record.ending, EndingRecord::Changed);
            assert!(record.ending_why.as_deref().unwrap().starts_with(&why), "{record:?}");
        }
    }
}

#[test]
fn a_restart_cuts_a_calibration_short_and_what_the_last_one_came_to_stays() {
    let mut world = World::new(1, 100.0, 10.0, steady);
    world.run(Duration::from_mins(1));
    let finished = world.calibrated(Duration::from_mins(2));
    world.calibrate(HALF_AN_HOUR).unwrap();
    world.run(Duration::from_mins(1));
    let kept = world.kept.pop().unwrap();
    let kept = Kept { calibrations: BTreeMap::from([(name(), kept)]), ..Kept::default() };
    let mut next = World::with(1, 100.0, &configuration(10.0, "", ""), kept, steady);
    let status = next.calibration();
    assert_eq!((status.running, status.last.as_ref()), (None, Some(&finished)));
    assert!((status.interrupted.unwrap().lasts_s - 1_800.0).abs() < 1e-9);
    next.calibrated(Duration::from_mins(2));
    assert_eq!(next.calibration().interrupted, None);
}

#[test]
fn a_service_whose_file_goes_and_comes_back_has_what_its_last_calibration_came_to() {
    let mut world = World::new(1, 100.0, 10.0, steady);
    let finished = world.calibrated(Duration::from_mins(2));
    world.calibrate(HALF_AN_HOUR).unwrap();
    let back = configuration(10.0, "", "");
    let mut gone = back.clone();
    gone.config.services.clear();
    gone.fingerprint = "gone".to_owned();
    world.take_in(Event::Config(Ok(gone)));
    assert!(world.state.calibrating.is_empty());
    world.take_in(Event::Tick);
    world.take_in(Event::Config(Ok(back)));
    let status = world.calibration();
    assert_eq!((status.running, status.last), (None, Some(finished)));
    assert!(status.interrupted.is_some());
}

#[test]
fn what_cannot_be_calibrated_is_refused_with_the_reason() {
    let mut full = World::new(1, 1.0, 100.0, steady);
    assert_eq!(full.calibrate(HALF_AN_HOUR), refused(Objection::NothingOnHelios));
    let off = configuration(10.0, "", "[judge]\nmode = \"off\"");
    let mut off = World::with(1, 1.0, &off, Kept::default(), steady);
    assert_eq!(off.calibrate(HALF_AN_HOUR), refused(Objection::JudgeOff));
    let mut many = World::new(1, 1.0, 10.0, steady);
    // Slots of others, as many as may be.
    many.state.calibrating.extend(1..=super::service::MOST_AT_ONCE);
    assert_eq!(many.calibrate(HALF_AN_HOUR), refused(Objection::TooMany));
    let nobody = ServiceName::parse("nobody").unwrap();
    let Answer::Refused(refused) = many.ask(Command::Calibration(nobody)) else { panic!("there is one") };
    assert_eq!(refused.to_string(), "there is no service nobody");
}

fn refused(objection: Objection) -> Result<CalibrationStatus, Refused> {
    Err(Refused::Calibration { service: name(), objection })
}

/// Votes that a worker still has of the calibration before are not of this one.
#[test]
fn late_votes_of_one_calibration_are_not_counted_in_the_next() {
    let mut world = World::new(1, 100.0, 0.0, steady);
    world.calibrated(Duration::from_secs(30));
    world.calibrate(HALF_AN_HOUR).unwrap();
    let id = world.view.as_ref().unwrap().id;
    let mut block = Block::default();
    block.part(Stratum::OTHER).asked = PerSide { helios: 5, kubernetes: 7 };
    let late = HalvesReport { halves: Halves::new(BEGUN.0), block, lost: 0 };
    let (tally, calibration) = (ServiceTally::default(), Some(Box::new(late)));
    let services =
        vec![ServiceReport { id, block: Block::default(), tally, routes: Vec::new(), calibration }];
    world.take_in(Event::Report(Report { services, ..Report::default() }));
    world.take_in(Event::Tick);
    let running = world.calibration().running.unwrap();
    assert_eq!((running.a.requests, running.b.requests), (0, 0));
}
