use crate::model::{Micros, Millis, Side};
use crate::verdict::{
    Ballot, Block, Finding, Groups, Latency, Rule, Standing, Stratum, TICK_MS, Ticket, Watch,
};

use super::routes::Routes;
use super::trace::Request;

/// The judge over recorded requests, in virtual time: the same code that watches a running service, with the
/// same ticks.
pub struct Replay {
    watch: Watch,
    groups: Groups,
    ballot: Ballot,
    block: Block,
    /// The end of the tick that is being filled.
    tick_end: Micros,
    /// Answers that are still to come, by the tick in which they do.
    coming: Vec<Vec<Coming>>,
    /// Answers of Helios in this tick.
    answers: Vec<(Micros, Stratum, Latency)>,
    /// By the trace's numbers: each route's stratum, and its requests in this tick.
    strata: Vec<Stratum>,
    came: Vec<u32>,
    /// Routes that have requests in this tick, and those that have a stratum of their own.
    asked: Vec<u32>,
    apart: Vec<u32>,
    waiting: usize,
}

struct Coming {
    ticket: Ticket,
    at: Micros,
    failed: bool,
    stratum: Stratum,
    latency: Latency,
}

const TICK: u64 = TICK_MS * 1_000;
/// Who is not answered by now is not waited for any longer: the default limit to the head of an answer. A service may
/// have set a longer one, so what came later, and well, was no failure.
const GIVEN_UP: Micros = Micros(15_000_000);
/// Ticks that an answer may be ahead.
const LONGEST: usize = 160;

impl Replay {
    /// A replay by this rule.
    pub fn new(rule: Rule) -> Self {
        Self {
            watch: Watch::new(rule),
            groups: Groups::default(),
            ballot: Ballot::default(),
            block: Block::default(),
            tick_end: Micros(0),
            coming: (0..LONGEST).map(|_| Vec::new()).collect(),
            answers: Vec::new(),
            strata: Vec::new(),
            came: Vec::new(),
            asked: Vec::new(),
            apart: Vec::new(),
            waiting: 0,
        }
    }

    /// Takes in a request, which comes no earlier than those before it. What is found in the ticks that have
    /// passed by then is given to `found`, which says whether to go on. If it says no, the request is not taken
    /// in yet: who lets the judge begin anew gives it once more.
    pub fn take(
        &mut self,
        request: &Request,
        routes: &Routes,
        found: &mut impl FnMut(&Watch, Finding) -> bool,
    ) -> bool {
        if self.tick_end == Micros(0) {
            self.tick_end = Micros((request.start.0 / TICK + 1) * TICK);
        }
        while request.start >= self.tick_end {
            if !self.end_tick(routes, found) {
                return false;
            }
            if self.waiting == 0 && self.ballot.is_idle() {
                self.tick_end = self.tick_end.max(Micros((request.start.0 / TICK + 1) * TICK));
            }
        }
        self.enter(request);
        true
    }

    /// Ends the trace: what has not voted yet does. If `found` says no, the end has not come yet.
    pub fn end(&mut self, routes: &Routes, found: &mut impl FnMut(&Watch, Finding) -> bool) -> bool {
        // Who has no answer at all would wait for ever.
        for _ in 0..LONGEST {
            if self.waiting == 0 && self.ballot.is_idle() {
                break;
            }
            if !self.end_tick(routes, found) {
                return false;
            }
        }
        true
    }

    /// The judge and what it has learned.
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    /// The judge, to begin anew after a finding.
    pub fn watch_mut(&mut self) -> &mut Watch {
        &mut self.watch
    }

    /// What there is to say at the end of the last tick.
    pub fn standing(&self) -> Standing {
        self.watch.judge().standing(self.now())
    }

    /// The end of the last tick, up to which all has been judged.
    pub fn now(&self) -> Millis {
        Micros(self.tick_end.0.saturating_sub(TICK)).millis()
    }

    fn enter(&mut self, request: &Request) {
        let route = request.route as usize;
        if self.strata.len() <= route {
            self.strata.resize(route + 1, Stratum::OTHER);
            self.came.resize(route + 1, 0);
        }
        let stratum = self.strata[route];
        // Those that have a stratum are counted by it.
        if stratum == Stratum::OTHER {
            if self.came[route] == 0 {
                self.asked.push(request.route);
            }
            self.came[route] += 1;
        }
        let thresholds = self.groups.thresholds(stratum);
        let ticket = self.ballot.enter(stratum, request.side, request.start, thresholds);
        let failed = request.failed || request.latency.is_none();
        let latency = request.latency.unwrap_or(GIVEN_UP).min(GIVEN_UP);
        let at = Micros(request.start.0 + latency.0);
        let coming = Coming { ticket, at, failed, stratum, latency: Latency::of(latency) };
        if at < self.tick_end {
            self.answer(coming);
            return;
        }
        let ticks = usize::try_from((at.0 - self.tick_end.0) / TICK + 1).unwrap_or(LONGEST);
        let place = (usize::try_from(self.tick_end.0 / TICK).unwrap_or(0) + ticks) % LONGEST;
        self.coming[place].push(coming);
        self.waiting += 1;
    }

    fn answer(&mut self, coming: Coming) {
        let Coming { ticket, at, failed, stratum, latency } = coming;
        if ticket.side() == Side::Helios && !failed {
            self.answers.push((at, stratum, latency));
        }
        self.ballot.finish(ticket, at, failed);
    }

    /// Judges the tick that is full, and begins the next.
    fn end_tick(&mut self, routes: &Routes, found: &mut impl FnMut(&Watch, Finding) -> bool) -> bool {
        let end = self.tick_end;
        let place = usize::try_from(end.0 / TICK).unwrap_or(0) % LONGEST;
        let mut due = std::mem::take(&mut self.coming[place]);
        self.waiting -= due.len();
        for coming in due.drain(..) {
            self.answer(coming);
        }
        self.coming[place] = due;
        let now = end.millis();
        // Whoever ends in the same moment: the order of rows does not matter.
        self.answers.sort_unstable();
        for (_, stratum, latency) in self.answers.drain(..) {
            self.watch.answered(now, stratum, latency);
        }
        // And so by key, which is the same whichever route was met first.
        self.asked.sort_unstable_by_key(|number| routes.key(*number));
        for number in self.asked.drain(..) {
            let requests = std::mem::take(&mut self.came[number as usize]);
            self.watch.came(now, routes.key(number), requests, || Some(routes.name(number).into()));
        }
        self.block.clear();
        self.ballot.collect(end, &mut self.block);
        let finding = self.watch.observe(now, &self.block);
        if self.watch.learn(now) {
            self.groups = self.watch.groups();
            self.sort(routes);
        }
        self.tick_end = Micros(end.0 + TICK);
        finding.is_none_or(|finding| found(&self.watch, finding))
    }

    /// Gives routes the strata that the watch has found for them.
    fn sort(&mut self, routes: &Routes) {
        for number in self.apart.drain(..) {
            self.strata[number as usize] = Stratum::OTHER;
        }
        for (key, stratum) in self.watch.strata().iter() {
            if let Some(number) = routes.with_key(key) {
                self.strata[number as usize] = stratum;
                self.apart.push(number);
            }
        }
    }
}
