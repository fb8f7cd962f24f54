use std::sync::Arc;

use crate::config::{FleetConfig, JudgeMode, ServiceConfig, SideConfig};
use crate::model::{Endpoint, Fault, Millis, PerSide, Side, UnixMillis, Weight};
use crate::rollout::{self, Rollout, Said, State, Word};
use crate::snapshot::{Candidate, Gates, ServiceId, ServiceView};
use crate::splitter::Plan;
use crate::tally::{RouteReport, ServiceReport, SideTally};
use crate::verdict::{Finding, Groups, Stratum, Verdict, Watch};

use super::approval::Pending;
use super::calibration::Calibrations;
use super::capacity::{Capacity, Fit, FitWatch, Served};
use super::discovery::{Sighting, SourceId};
use super::ejection::Reason;
use super::event::Now;
use super::gathering::Gathering;
use super::journal::{CalibrationRecord, EndpointsRecord, ReceiptRecord};
use super::lasting::Lasting;
use super::ledger::{Ledger, Stage};
use super::lineup::{Ejected, Lineup, PartState};
use super::receipt::{Heard, finding_record};
use super::roster::Change;
use super::shed::{Shedder, Usually};
use super::steering::MigrationRow;
use super::traffic::Traffic;
use super::views::{FitStatus, SensitivityStatus, ServiceStatus, SideStatus, SourceStatus};

/// One service as control knows it.
pub(super) struct Entry {
    pub(super) id: ServiceId,
    pub(super) config: Arc<ServiceConfig>,
    pub(super) rollout: Rollout,
    pub(super) traffic: Traffic,
    pub(super) receipt: Option<ReceiptRecord>,
    /// The revision of the last record that is known to be on disk.
    pub(super) written: u64,
    /// What the ledger of migrations knows of it.
    pub(super) ledger: Ledger,
    /// What waits for a second person.
    pub(super) pending: Option<Pending>,
    /// How long its ramp has been at its step, …
    pub(super) at_step: Lasting,
    /// … how many requests Kubernetes has answered since then, …
    pub(super) requests_at_step: u64,
    /// When something toward Kubernetes could not be written last.
    pub(super) failed_at: Option<Millis>,
    /// … and how long it is held.
    pub(super) held_for: Lasting,
    /// Whether what was said of it is what the process before has kept.
    pub(super) is_kept: bool,
    pub(super) watch: Watch,
    gathering: Gathering,
    pub(super) calibrations: Calibrations,
    groups: Arc<Groups>,
    gates: Option<Arc<Gates>>,
    /// The endpoints of each side.
    pub(super) lineups: PerSide<Lineup>,
    /// What each side can take.
    capacities: PerSide<Capacity>,
    fit: FitWatch,
    shedder: Shedder,
    /// The weight when that was looked at last, and when it was lowered.
    seen_weight: Weight,
    lowered: Option<Millis>,
    /// A cluster was let out: until then there may still be evidence that is its own.
    settles: Option<Millis>,
    /// When they were written for the next process.
    endpoints_kept: Option<Millis>,
    advised: Option<Millis>,
    /// What the judge had to say when it found something last.
    pub(super) heard: Heard,
}

/// How often a service's endpoints are written for the next process.
const KEEP_EVERY: Millis = Millis(5_000);

/// How long a cluster may still be heard of that was let out.
const SETTLING: Millis = Millis(2_000);
/// After the weight was lowered, so long it is expected that Helios has too much.
const WATCHED: Millis = Millis(600_000);

/// What a service's tick came to.
pub(super) enum Judged {
    /// Nothing that anybody must know.
    Fine,
    /// Kubernetes is worse, and the service is to be taken back.
    Revert(Finding),
    /// Kubernetes is worse, and somebody should know.
    Advise(Finding),
}

impl Entry {
    pub(super) fn new(
        id: ServiceId,
        config: Arc<ServiceConfig>,
        rollout: Rollout,
        receipt: Option<ReceiptRecord>,
        ledger: Ledger,
    ) -> Self {
        Self {
            id,
            ledger,
            pending: None,
            at_step: Lasting::default(),
            requests_at_step: 0,
            failed_at: None,
            held_for: Lasting::default(),
            is_kept: true,
            gates: Gates::of(&config, None),
            watch: Watch::new(config.judge.rule),
            written: rollout.revision(),
            config,
            rollout,
            traffic: Traffic::default(),
            receipt,
            gathering: Gathering::default(),
            calibrations: Calibrations::default(),
            groups: Arc::default(),
            advised: None,
            heard: Heard::default(),
            lineups: PerSide::default(),
            endpoints_kept: None,
            capacities: PerSide::default(),
            fit: FitWatch::default(),
            shedder: Shedder::default(),
            seen_weight: Weight::ZERO,
            lowered: None,
            settles: None,
        }
    }

    /// Looks for endpoints where the configuration says now. Until a new source has spoken, what the one before it said holds.
    pub(super) fn follow_sources(&mut self, now: Millis, mut next: impl FnMut() -> SourceId) {
        for (side, lineup) in self.lineups.iter_mut() {
            let SideConfig { parts, check, .. } = &self.config.sides[side];
            lineup.follow(parts, now, &mut next);
            if check.is_none() {
                lineup.forget_checks();
            }
        }
    }

    /// Whom a side's workers ask.
    pub(super) fn offered(&self, side: Side) -> &Arc<[Candidate]> {
        &self.lineups[side].offered
    }

    /// Looks who is to be let out, and who may come in again: tells who was let out, of which side, and whether workers are to
    /// go by others.
    pub(super) fn eject(&mut self, now: Millis) -> (Vec<(Side, Ejected)>, bool) {
        let (mut ejected, mut changed) = (Vec::new(), false);
        for (side, lineup) in self.lineups.iter_mut() {
            // With affinity each has other requests than the others, and cannot be compared with them.
            let most = if self.config.affinity.is_some() { 0 } else { self.config.most_ejected };
            let (out, others) = lineup.eject(now, most);
            changed |= others;
            ejected.extend(out.into_iter().map(|out| (side, out)));
        }
        (ejected, changed)
    }

    /// Kubernetes was found worse: lets out the cluster that is to blame, if one is, and begins anew with the others.
    pub(super) fn accuse(&mut self, now: Millis) -> Option<(Arc<str>, Reason)> {
        let found = self.lineups.kubernetes.accuse(now)?;
        self.begin_without_a_cluster(now);
        Some(found)
    }

    /// A cluster was let out: the others begin anew, and what is still heard of this one is not held against them.
    pub(super) fn begin_without_a_cluster(&mut self, now: Millis) {
        self.rearm();
        self.settles = Some(Millis(now.0 + SETTLING.0));
    }

    /// Whether time alone may change whom workers ask.
    pub(super) fn waits(&self) -> bool {
        self.lineups.iter().any(|(_, lineup)| lineup.waits())
    }

    /// What a source says is of this side and this part of it.
    pub(super) fn look(
        &mut self,
        now: Millis,
        source: SourceId,
        seen: Result<Vec<Sighting>, Arc<str>>,
    ) -> Option<(Side, &PartState, Change)> {
        let mut lineups = self.lineups.iter_mut();
        let (side, part) = lineups.find_map(|(side, lineup)| Some((side, lineup.part_of(source)?)))?;
        let change = part.roster.look(now, seen);
        Some((side, part, change))
    }

    /// Goes by what the process before has kept.
    pub(super) fn remember(&mut self, kept: &EndpointsRecord) {
        for (side, lineup) in self.lineups.iter_mut() {
            lineup.remember(|cluster| kept.sightings(side, cluster));
            for served in kept.served(side) {
                self.capacities[side].note(served);
            }
        }
    }

    /// The most that a side has served, hour by hour.
    pub(super) fn served(&self, side: Side) -> impl Iterator<Item = &Served> {
        self.capacities[side].served()
    }

    /// What a side can take in a second, and when it has; `None` while too little is known.
    pub(super) fn able(&self, side: Side, now: UnixMillis) -> Option<(f64, Option<UnixMillis>)> {
        if let Some(capacity) = self.config.sides[side].capacity {
            return Some((f64::from(capacity), None));
        }
        let served = self.capacities[side].able(now, self.offered(side).len())?;
        Some((served.per_second, Some(served.at)))
    }

    /// Whether Helios can take everything back, if that is known.
    pub(super) fn fit(&self, now: Now) -> Option<Fit> {
        if !Side::ALL.into_iter().all(|side| self.config.is_on(side)) {
            return None;
        }
        let (able, at) = self.able(Side::Helios, now.wall)?;
        Some(Fit { needed: self.traffic.per_second(now.mono), able, at })
    }

    /// Everything, or more of it, goes to Helios now: if it is known that this is too much, some of it is refused at once.
    pub(super) fn brace(&mut self, now: Now) {
        let fit = self.fit(now).filter(|fit| !fit.fits());
        if let (Some(fit), Some(usually)) = (fit, self.usually()) {
            self.shedder.expect(now.mono, usually, fit.able);
        }
    }

    fn usually(&self) -> Option<Usually> {
        let median = self.capacities.helios.usual()?;
        Some(Usually { median, endpoints: self.offered(Side::Helios).len() })
    }

    /// Time passes for what Helios can take: tells what there is to tell of that, whether it is to be kept, and whether workers
    /// are to let more or fewer in.
    pub(super) fn tick_capacity(&mut self, now: Now) -> (Option<Fit>, bool, bool) {
        let mut learned = false;
        for side in Side::ALL {
            let endpoints = self.offered(side).len();
            learned |= self.capacities[side].tick(now, endpoints);
        }
        let weight = self.weight();
        if weight < std::mem::replace(&mut self.seen_weight, weight) {
            self.lowered = Some(now.mono);
        }
        let may_begin = self.is_held() || self.lowered.is_some_and(|at| now.mono.since(at) < WATCHED);
        let usually = self.usually();
        let changed = self.shedder.tick(now.mono, usually, may_begin);
        let fit = self.fit(now).filter(|_| self.is_at_stake());
        (self.fit.tick(now.mono, fit), learned, changed)
    }

    /// Whether some of what is meant for Helios is refused.
    pub(super) fn sheds(&self) -> bool {
        self.shedder.room().is_some()
    }

    /// What is to be kept of its endpoints, if it is time to.
    pub(super) fn endpoints_to_keep(&mut self, now: Now) -> Option<EndpointsRecord> {
        if self.endpoints_kept.is_some_and(|at| now.mono.since(at) < KEEP_EVERY) {
            return None;
        }
        self.endpoints_kept = Some(now.mono);
        Some(EndpointsRecord::of(self))
    }

    /// Time passes for what is known of endpoints; tells whether workers are to go by others.
    pub(super) fn tick_lineups(&mut self, now: Millis) -> bool {
        self.lineups.iter_mut().fold(false, |changed, (_, lineup)| lineup.tick(now) | changed)
    }

    /// Takes a changed configuration. What was learned about Helios stays.
    pub(super) fn adopt(&mut self, config: Arc<ServiceConfig>) {
        if config.judge.rule != *self.watch.judge().rule() {
            self.watch.judge_mut().adopt(config.judge.rule);
        }
        if config.failures != self.config.failures {
            // What was a failure may be none any more, and the other way round.
            self.watch.judge_mut().clear();
            // So it is not known how Kubernetes has done at a ramp's step.
            self.watch.judge_mut().assure_anew();
            self.requests_at_step = 0;
        }
        self.gates = Gates::of(&config, self.gates.as_ref());
        self.config = config;
    }

    /// Adds what a worker counted; tells whether workers are to go by other endpoints.
    pub(super) fn add(&mut self, now: Millis, worker: usize, report: &ServiceReport) -> bool {
        let ServiceReport { block, tally, routes, calibration, .. } = report;
        self.gathering.add(worker, block);
        self.calibrations.add(worker, calibration.as_deref());
        for (stratum, latency) in &tally.sides.helios.latencies {
            self.watch.answered(now, *stratum, *latency);
        }
        for RouteReport { key, requests, name } in routes {
            self.watch.came(now, key.0, *requests, || name.clone());
        }
        self.traffic.add(now, tally);
        self.requests_at_step += answered(&tally.sides.kubernetes);
        for (side, capacity) in self.capacities.iter_mut() {
            let SideTally { ok, failed, latencies } = &tally.sides[side];
            let failed =
                failed.iter().filter(|(cause, _)| cause.fault() == Fault::Side).map(|(_, count)| count);
            capacity.count(*ok, failed.sum(), latencies.iter().map(|(_, latency)| *latency));
        }
        let SideTally { ok, latencies, .. } = &tally.sides.helios;
        self.shedder.count(*ok, latencies.iter().map(|(_, latency)| *latency));
        let refused = tally.blamed.keys().filter(|(_, cause)| cause.is_no_connection());
        let refused: Vec<&Endpoint> = refused.map(|(endpoint, _)| endpoint).collect();
        let mut changed = false;
        for (side, lineup) in self.lineups.iter_mut() {
            lineup.add(now, worker, &tally.endpoints[side]);
            for endpoint in &refused {
                changed |= lineup.refused(endpoint, now);
            }
        }
        changed
    }

    /// Judges what was counted since the last tick.
    pub(super) fn tick(&mut self, now: Millis) -> Judged {
        let block = self.gathering.of_tick();
        if block.is_empty() {
            return Judged::Fine;
        }
        let found = self.watch.observe(now, block);
        self.gathering.clear();
        let Some(finding) = found else { return Judged::Fine };
        // Whatever is done about it, the evidence has been heard.
        self.heard = Heard::now(self.watch.judge(), now);
        self.watch.judge_mut().clear();
        if self.settles.is_some_and(|settles| now < settles) {
            return Judged::Fine;
        }
        match self.config.judge.mode {
            // To nobody it is not taken back.
            JudgeMode::Revert if self.is_at_stake() && !self.offered(Side::Helios).is_empty() => {
                Judged::Revert(finding)
            }
            JudgeMode::Advise if self.advised.is_none_or(|at| now.since(at) >= JudgeMode::ADVISE_EVERY) => {
                self.advised = Some(now);
                Judged::Advise(finding)
            }
            JudgeMode::Revert | JudgeMode::Advise | JudgeMode::Off => Judged::Fine,
        }
    }

    /// Requests that hang on a side.
    pub(super) fn hanging(&self, side: Side) -> u32 {
        self.gathering.hanging(side)
    }

    /// What the last calibration came to that has ended.
    pub(super) fn calibration(&self) -> Option<&CalibrationRecord> {
        self.calibrations.last()
    }

    /// Learns thresholds and groups, if it is time; tells whether they have changed.
    pub(super) fn learn(&mut self, now: Millis) -> bool {
        let changed = self.watch.learn(now);
        if changed {
            self.groups = Arc::new(self.watch.groups());
            self.calibrations.follow(self.watch.strata());
        }
        changed
    }

    /// The name of the route that has this stratum.
    pub(super) fn route(&self, stratum: Option<Stratum>) -> Option<&str> {
        self.watch.strata().name(stratum?)
    }

    /// The weight in force.
    pub(super) fn weight(&self) -> Weight {
        match self.only_weight() {
            Some(weight) => weight,
            None => self.rollout.weight(),
        }
    }

    /// The weight that would be in force under this. A service that has one side only is on that side, whatever was said:
    /// the word stands, and counts again when there is a choice.
    pub(super) fn weight_under(&self, said: &Said) -> Weight {
        self.only_weight().unwrap_or_else(|| said.weight(self.rollout.file()))
    }

    fn only_weight(&self) -> Option<Weight> {
        match (self.config.is_on(Side::Helios), self.config.is_on(Side::Kubernetes)) {
            (true, true) | (false, false) => None,
            (true, false) => Some(Weight::ZERO),
            (false, true) => Some(Weight::FULL),
        }
    }

    /// Whether Kubernetes gets requests, or soon may.
    pub(super) fn is_at_stake(&self) -> bool {
        !self.weight().is_zero() || matches!(self.rollout.state(), State::Rising { .. })
    }

    /// Whether it is held.
    pub(super) fn is_held(&self) -> bool {
        matches!(self.rollout.word(), Word::Held(_))
    }

    /// Whether Kubernetes gets requests, or will when an override ends or a ramp goes on, and Helios can take them.
    pub(super) fn can_be_taken_back(&self) -> bool {
        let later =
            !self.rollout.file().is_zero() || self.rollout.said().ramp.is_some() || self.would_climb();
        self.config.is_on(Side::Helios) && (self.is_at_stake() || later)
    }

    /// The side that this weight would send requests to, and that the service does not have.
    pub(super) fn missing_side(&self, weight: Weight) -> Option<Side> {
        let wanted = [(Side::Kubernetes, weight > Weight::ZERO), (Side::Helios, weight < Weight::FULL)];
        wanted.into_iter().find(|(side, wanted)| *wanted && !self.config.is_on(*side)).map(|(side, _)| side)
    }

    /// Lets the rollout take in an event; says what is to be done.
    pub(super) fn turn(&mut self, event: rollout::Event, now: Now) -> Vec<rollout::Effect> {
        let before = self.weight();
        let (next, effects) = self.rollout.clone().step(event, now.wall);
        self.rollout = next;
        if self.weight() < before {
            self.brace(now);
        }
        self.follow_ramp(now);
        self.follow_ledger(now);
        effects
    }

    /// The ledger goes by its sides and its weight.
    pub(super) fn follow_ledger(&mut self, now: Now) {
        let (stage, weight) = (Stage::of(&self.config), self.weight());
        self.ledger.follow(stage, weight, now.wall);
    }

    /// Begins anew with Kubernetes, after a revert or a release.
    pub(super) fn rearm(&mut self) {
        self.watch.judge_mut().rearm();
        self.gathering.clear();
    }

    /// What workers go by.
    pub(super) fn view(&mut self) -> ServiceView {
        for (_, lineup) in self.lineups.iter_mut() {
            lineup.choose(self.config.affinity.is_some());
        }
        let plan = Plan {
            weight: self.weight(),
            sticky: self.config.sticky.clone(),
            force: self.config.force.clone(),
        };
        ServiceView {
            id: self.id,
            config: self.config.clone(),
            plan,
            held: self.is_held(),
            judged: self.config.judge.mode != JudgeMode::Off,
            calibrating: self.calibrations.halves(),
            endpoints: PerSide::from_fn(|side| self.offered(side).clone()),
            out: PerSide::from_fn(|side| self.lineups[side].let_out.clone()),
            rings: PerSide::from_fn(|side| self.lineups[side].ring.clone()),
            gates: self.gates.clone(),
            room: self.shedder.room().cloned(),
            groups: self.groups.clone(),
        }
    }

    /// What people and programs see.
    pub(super) fn status(&mut self, fleet: &FleetConfig, at: Now) -> ServiceStatus {
        let (fit, now) = (self.fit(at), at.mono);
        let (ramp, again) = (self.ramp_status(fleet, at), self.starts_again(at));
        let judge = self.watch.judge();
        let standing = judge.standing(now);
        let case = judge.case(now).map(|case| finding_record(self, &case, judge.course()));
        let said = self.rollout.said();
        let (by, reason, since) = match (&said.word, &said.ramp) {
            (Word::File, None) => (None, None, None),
            (Word::File, Some(ramp)) => (Some(&ramp.by), Some(&ramp.reason), Some(ramp.since)),
            (Word::Override(over), _) => (Some(&over.by), Some(&over.reason), Some(over.since)),
            (Word::Held(hold), _) => (Some(&hold.by), Some(&hold.reason), Some(hold.since)),
        };
        let (by, reason) = (by.map(Into::into), reason.map(ToString::to_string));
        let sides = self.sides(now);
        ServiceStatus {
            service: self.config.name.to_string(),
            team: self.config.team.to_string(),
            weight_percent: self.weight().percent(),
            why: why(self.rollout.said()).to_owned(),
            by,
            reason,
            since_unix_ms: since.map(|since| since.0),
            until_unix_ms: self.rollout.next_change().map(|until| until.0),
            file_percent: self.rollout.file().percent(),
            rising_to_percent: match self.rollout.state() {
                State::Rising { to, .. } => Some(self.weight_under(to).percent()),
                State::Settled(_) => None,
            },
            helios: sides.helios,
            kubernetes: sides.kubernetes,
            judge: self.config.judge.mode.as_str().to_owned(),
            verdict: if self.config.judge.mode == JudgeMode::Off {
                "off"
            } else {
                in_words(&standing.verdict)
            }
            .to_owned(),
            seen_in_s: standing.seen_in.map(|seen_in| seen_in.as_secs_f64()),
            evidence: standing.evidence,
            leading: standing.leading.as_str().to_owned(),
            leading_route: self.route(standing.stratum).map(str::to_owned),
            shared: standing.shared,
            fit: fit.map(FitStatus::from),
            sheds: self.sheds(),
            case,
            ramp,
            ramp_cut_at_percent: self.rollout.said().cut.as_ref().map(|cut| cut.at.percent()),
            again_unix_ms: again.map(|again| again.0),
            approval: self.pending.as_ref().map(|pending| pending.status(&self.config.name)),
            calibrating: self.calibrations.status(now),
        }
    }

    /// The same, and its row in the ledger of migrations.
    pub(super) fn row(&mut self, fleet: &FleetConfig, now: Now) -> (ServiceStatus, MigrationRow) {
        let status = self.status(fleet, now);
        let row = self.ledger.row(&self.config, &status, now.wall);
        (status, row)
    }

    /// How soon trouble would be seen.
    pub(super) fn sensitivity(&self, now: Millis) -> SensitivityStatus {
        let rates = self.traffic.rates(now);
        SensitivityStatus {
            service: self.config.name.to_string(),
            judge: self.config.judge.mode.as_str().to_owned(),
            promise_s: self.config.judge.rule.promise_s(),
            helios_per_second: rates.helios.0,
            kubernetes_per_second: rates.kubernetes.0,
            degradations: self.watch.sensitivity(now).into_iter().map(Into::into).collect(),
        }
    }

    fn sides(&mut self, now: Millis) -> PerSide<SideStatus> {
        let rates = self.traffic.rates(now);
        PerSide::from_fn(|side| {
            let (per_second, failed) = rates[side];
            let latency = self.traffic.p50_p99_ms(side, now);
            let lineup = &self.lineups[side];
            SideStatus {
                endpoints: lineup.offered.len(),
                ejected: lineup.out(),
                ill: lineup.ill().len(),
                panics: lineup.panics(),
                sources: lineup.parts().iter().map(|part| SourceStatus::of(lineup, part, now)).collect(),
                per_second,
                failed,
                p50_ms: latency.map(|(p50, _)| p50),
                p99_ms: latency.map(|(_, p99)| p99),
            }
        })
    }
}

/// What the weight in force comes from.
pub(super) fn why(said: &Said) -> &'static str {
    match (&said.word, &said.ramp) {
        (Word::File, None) => "file",
        (Word::File, Some(_)) => "ramp",
        (Word::Override(_), _) => "override",
        (Word::Held(_), _) => "held",
    }
}

/// Tries that a side has ended, well or not.
fn answered(tally: &SideTally) -> u64 {
    let failed = tally.failed.iter().filter(|(cause, _)| cause.fault() == Fault::Side);
    tally.ok + failed.map(|(_, count)| count).sum::<u64>()
}

fn in_words(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Worse(_) => "worse",
        Verdict::NotWorse => "not worse",
        Verdict::TooLittleEvidence => "too little evidence",
        Verdict::Blind => "blind",
    }
}
