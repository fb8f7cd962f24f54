use std::collections::VecDeque;
use std::time::Duration;

use crate::model::{Millis, PerSide, Side};

use super::ages::{self, AgeBets, AgeEstimate, AgeInquiry, Ages, CLASSES};
use super::assurance::{Assurance, Assured};
use super::bets::Bets;
use super::block::{Block, Part, Stratum, Votes};
use super::finding::{Finding, Moment, Weighed};
use super::foresight::unasked;
use super::inquiry::{Alone, Inquiry, OfWhole};
use super::noise::Noise;
use super::panel::{Damping, Measure, News, Panel, Played};
use super::presence::{Presence, Rate};
use super::question::{PerQuestion, Question};
use super::reference::{MUTE, Standardised};
use super::rule::Rule;
use super::sensitivity::{self, Known};
use super::unrest::Unrest;

/// Judges one service: takes in a block of votes each tick, and says when Kubernetes is worse.
#[derive(Clone, Debug)]
pub struct Judge {
    rule: Rule,
    /// By place; those that have not been seen yet are absent.
    strata: Vec<Option<Box<OneStratum>>>,
    whole: PerQuestion<Whole>,
    whole_ages: ages::Standing,
    /// Helios' shares of bad votes in the whole service, and when they were summed up.
    rates_of_helios: PerQuestion<f64>,
    rated: Option<Millis>,
    at: Option<Millis>,
    kubernetes: Presence,
    helios_since: Option<Millis>,
    asked: PerSide<Rate>,
    /// The evidence second by second, while there is some.
    course: VecDeque<Moment>,
}

/// Every question about one stratum. Ages have their own way of being weighed; their place among the shares is
/// not used.
#[derive(Clone, Debug)]
struct OneStratum {
    shares: PerQuestion<Inquiry>,
    ages: AgeInquiry,
}

/// One question about all requests of the service.
#[derive(Clone, Debug)]
struct Whole {
    panel: Panel,
    noise: Noise,
    unrest: Unrest,
    bets: Bets,
    assurance: Assurance,
}

/// The judge's word on Kubernetes against Helios.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// It is worse, by more than is tolerated.
    Worse(Finding),
    /// Had it failed 5 % more, that would have been seen by now.
    NotWorse,
    /// Had it failed 5 % more, that might not have been seen yet.
    TooLittleEvidence,
    /// Nothing to compare with: Helios gets no requests.
    Blind,
}

/// What the judge has to say while it holds still.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// The judge's word.
    pub verdict: Verdict,
    /// How long failures of 5 % would take to be seen at the present rates; `None` if they never would.
    pub seen_in: Option<Duration>,
    /// The evidence, 0 to 1, on the scale on which it grows evenly: ln(evidence) / ln(promise).
    pub evidence: f64,
    /// The question with the most evidence.
    pub leading: Question,
    /// The stratum with the most evidence on it; `None` if it is the whole service.
    pub stratum: Option<Stratum>,
    /// Enough evidence against history, but none against right now: Helios is degraded too.
    pub shared: bool,
}

/// The failures that "not worse" would have noticed.
const TELLING_FAILURES: f64 = 0.05;

/// Helios is gone from sight when it was not asked for this long …
const BLIND_AFTER: Millis = Millis(60_000);
/// … while Kubernetes was asked this often.
const BLIND_REQUESTS: u64 = 200;

/// The share of the promise that the whole service has where there are several strata: half of it. The strata
/// share the other half.
const WHOLE_WEIGHT: f64 = 0.5;

/// Before Helios has been watched for so long, how noisy it is is not known …
const NEWCOMER: Millis = Millis(60_000);
/// … and a tick brings this share of what it may bring later: two restarts of all of Kubernetes within seconds of a
/// start are no finding.
const NEWCOMER_HASTE: f64 = 0.6;

/// A request that stalls has been waited for for a second at least, and no restart that is shorter makes one stall.
const STALL_HASTE: f64 = 1.6;

/// Failures and hangs are named unless another question has so many times their evidence: who fails late is slow too.
const PLAIN: f64 = 10.0;

/// For so long the shares of the whole service stand.
const RATES_STAND: Millis = Millis(1_000);

/// Over which time the mix of strata is known by which the whole service's ages are judged.
const MIX_HALF_LIFE_S: f64 = 3.0;

/// Seconds of evidence that are kept.
const COURSE: usize = 60;
/// Less evidence than this, in seconds, is not worth keeping.
const WORTH_KEEPING_S: f64 = 10.0;

impl Judge {
    /// A judge that has seen nothing.
    pub fn new(rule: Rule) -> Self {
        Self {
            rule,
            strata: Vec::new(),
            whole: PerQuestion::from_fn(|question| Whole {
                panel: Panel::new(question.weight(), rule.promise_s()),
                noise: Noise::default(),
                unrest: Unrest::default(),
                bets: Bets::against(MUTE),
                assurance: Assurance::default(),
            }),
            whole_ages: ages::Standing::default(),
            rates_of_helios: PerQuestion::default(),
            rated: None,
            at: None,
            kubernetes: Presence::default(),
            helios_since: None,
            asked: PerSide::default(),
            course: VecDeque::new(),
        }
    }

    /// Takes in what was counted since the last call, and says so if Kubernetes is worse. Blocks come in the
    /// order of their time; empty ones may be left out.
    pub fn observe(&mut self, now: Millis, block: &Block) -> Option<Finding> {
        let whole = block.whole();
        self.meet(now, whole.asked);
        for (stratum, _) in block.parts() {
            self.welcome(stratum);
        }
        let scene = Scene {
            now,
            cold: self.kubernetes.is_cold(now),
            alone: if self.strata.iter().flatten().count() > 1 { Alone::No } else { Alone::Yes },
            haste: match self.helios_since {
                Some(since) if now.since(since) >= NEWCOMER => 1.0,
                Some(_) | None => NEWCOMER_HASTE,
            },
        };
        self.keep_rates(now);
        for question in Question::SHARES {
            self.ask(question, scene, block, &whole);
        }
        self.ask_ages(scene, block, &whole);
        let (open, all) = self.sums();
        self.keep_course(now, open, all);
        if open < self.rule.promise_s() { None } else { self.worse(now) }
    }

    /// Forgets all evidence, as after a revert, and keeps what was learned about Helios.
    pub fn clear(&mut self) {
        for whole in &mut self.whole.0 {
            whole.panel.clear();
        }
        for stratum in self.strata.iter_mut().flatten() {
            for inquiry in &mut stratum.shares.0 {
                inquiry.clear();
            }
            stratum.ages.clear();
        }
        self.course.clear();
    }

    /// Begins anew with Kubernetes, as after a release: no evidence, and grace from its next request.
    pub fn rearm(&mut self) {
        self.clear();
        self.assure_anew();
        for whole in &mut self.whole.0 {
            whole.unrest = Unrest::default();
        }
        for stratum in self.strata.iter_mut().flatten() {
            stratum.shares.0.iter_mut().for_each(Inquiry::rearm);
        }
        self.kubernetes = Presence::default();
        self.asked.kubernetes = Rate::default();
    }

    /// From here on it is weighed anew how surely Kubernetes is not worse.
    pub fn assure_anew(&mut self) {
        for whole in &mut self.whole.0 {
            whole.assurance = Assurance::default();
        }
    }

    /// How surely Kubernetes is not worse, by the question of which that is least sure. One that was hardly asked, because
    /// Helios is not known well enough for it, has no say.
    pub fn assured(&self, now: Millis) -> Assured {
        let asked = self.whole[Question::Failure].assurance.votes();
        let per_second = self.rates(now).kubernetes;
        let of = |question: Question| {
            let Whole { assurance, noise, .. } = &self.whole[question];
            let nats_per_second = per_second * assurance.growth(noise.factor());
            Assured { question, nats: assurance.nats(), nats_per_second }
        };
        let others = Question::SHARES.into_iter().filter(|question| *question != Question::Failure);
        let others = others.filter(|question| 2 * self.whole[*question].assurance.votes() >= asked.max(1));
        let least = others.map(of).min_by(|one, other| one.nats.total_cmp(&other.nats));
        let failure = of(Question::Failure);
        least.filter(|least| least.nats < failure.nats).unwrap_or(failure)
    }

    /// A judge of Helios against itself: it knows what this one knows of Helios, goes by `rule`, and has nothing against
    /// the other half, which is as warm as Helios is.
    #[must_use]
    pub fn against_itself(&self, now: Millis, rule: Rule) -> Self {
        let mut judge = self.clone();
        judge.adopt(rule);
        judge.rearm();
        judge.kubernetes = Presence::warm(now);
        judge
    }

    /// Forgets all about a stratum: another route will have its place.
    pub fn dismiss(&mut self, stratum: Stratum) {
        if let Some(place) = self.strata.get_mut(stratum.place())
            && place.take().is_some()
        {
            self.reshare();
        }
    }

    /// Forgets all strata but these. Requests that came while a route had its stratum may vote after it has lost it.
    pub(super) fn keep_strata(&mut self, keep: impl Fn(Stratum) -> bool) {
        for place in 1..self.strata.len() {
            if let Some(stratum) = Stratum::at(place).filter(|stratum| !keep(*stratum)) {
                self.dismiss(stratum);
            }
        }
    }

    /// Whether this stratum is judged.
    #[cfg(test)]
    pub(super) fn knows(&self, stratum: Stratum) -> bool {
        self.strata.get(stratum.place()).is_some_and(Option::is_some)
    }

    /// Takes a changed rule from here on; history stays, and so does evidence unless it was measured against another
    /// tolerance.
    pub fn adopt(&mut self, rule: Rule) {
        if (rule.failures, rule.slower) != (self.rule.failures, self.rule.slower) {
            self.clear();
            self.assure_anew();
        }
        self.rule = rule;
        self.reshare();
    }

    /// The rule in force.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// What there is to say at this moment.
    pub fn standing(&self, now: Millis) -> Standing {
        let promise_s = self.rule.promise_s();
        let (total, ungated) = self.sums();
        let leading = self.panels().max_by(|a, b| a.2.ungated_s().total_cmp(&b.2.ungated_s()));
        let (leading, stratum) =
            leading.map_or((Question::Failure, None), |(question, stratum, _)| (question, stratum));
        let seen_in = self.seen_in(now, TELLING_FAILURES);
        Standing {
            verdict: self.verdict(now, seen_in),
            seen_in,
            evidence: self.share_of_promise(total.max(ungated)),
            leading,
            stratum,
            shared: ungated >= promise_s && total < promise_s,
        }
    }

    /// What speaks most against Kubernetes at this moment, counted as a finding would be; `None` while that is next to
    /// nothing.
    pub fn case(&self, now: Millis) -> Option<Finding> {
        let (_, all) = self.sums();
        let lead = self.panels().max_by(|a, b| a.2.ungated_s().total_cmp(&b.2.ungated_s()))?;
        (lead.2.ungated_s() >= WORTH_KEEPING_S).then(|| finding(lead, now, all, self.rule.promise_s()))
    }

    /// What speaks against Kubernetes on each question at this moment, of the stratum where that is most.
    pub fn by_question(&self, now: Millis) -> PerQuestion<Weighed> {
        let promise_s = self.rule.promise_s();
        let most = |question| {
            let panels = self.panels().filter(move |panel| panel.0 == question);
            panels.max_by(|a, b| a.2.ungated_s().total_cmp(&b.2.ungated_s()))
        };
        PerQuestion::from_fn(|question| {
            let lead = most(question).unwrap_or((question, None, &self.whole[question].panel));
            Weighed {
                finding: finding(lead, now, lead.2.evidence_s(), promise_s),
                ungated_s: lead.2.ungated_s(),
            }
        })
    }

    /// The evidence second by second, as far as it was worth keeping; the last minute of it.
    pub fn course(&self) -> impl Iterator<Item = &Moment> {
        self.course.iter()
    }

    /// The evidence that counts, and all of it with what the gate holds back; from 0 to 1, on the scale of
    /// [`Standing::evidence`].
    pub fn evidence(&self) -> (f64, f64) {
        let (open, all) = self.sums();
        (self.share_of_promise(open), self.share_of_promise(all))
    }

    /// How much more than independent votes Helios' own vary on a question, in the whole service; 1 is no more.
    pub fn noise(&self, question: Question) -> f64 {
        self.whole[question].noise.factor()
    }

    /// How long it would take, at the present rates of requests, until Kubernetes failing this share of its
    /// requests would be found worse; an estimate. `None` if it never would.
    pub fn seen_in(&self, now: Millis, failures: f64) -> Option<Duration> {
        self.seen_in_at(self.rates(now), failures)
    }

    /// The same at these rates of requests a second.
    pub fn seen_in_at(&self, asked: PerSide<f64>, failures: f64) -> Option<Duration> {
        self.shares_seen_in(asked, Question::Failure, failures)
    }

    /// How long it would take until Kubernetes voting bad on a question, with this share of its votes, would be
    /// found worse.
    pub(super) fn shares_seen_in(
        &self,
        asked: PerSide<f64>,
        question: Question,
        bad: f64,
    ) -> Option<Duration> {
        let known = self.known(question);
        let tolerated = question.tolerance(&self.rule);
        let rate = self.rate(question);
        let mut standardised = Standardised::default();
        let all: f64 =
            self.strata.iter().flatten().map(|all| all.shares[question].reference.history().0).sum();
        for stratum in self.strata.iter().flatten() {
            let reference = &stratum.shares[question].reference;
            standardised.add(reference.history().0 / all.max(1.0), &reference.estimate(rate));
        }
        if all == 0.0 {
            standardised.add(1.0, &super::reference::Reference::new(question).estimate(rate));
        }
        let bound = standardised.bound(tolerated);
        sensitivity::shares_seen_in(&known, &Bets::against(bound), tolerated, rate, asked, bad)
    }

    /// How long it would take until Kubernetes' ages coming after the cuts with these shares would be found worse.
    pub(super) fn ages_seen_in(&self, asked: PerSide<f64>, truth: &[f64; CLASSES - 1]) -> Option<Duration> {
        let known = self.known(ages::QUESTION);
        let all: f64 = self.strata.iter().flatten().map(|stratum| stratum.ages.votes()).sum();
        let mut estimate = AgeEstimate { later: [0.0; CLASSES - 1], votes: all.max(1.0) };
        for stratum in self.strata.iter().flatten() {
            let part = stratum.ages.votes() / all.max(1.0);
            for (sum, later) in estimate.later.iter_mut().zip(stratum.ages.estimate().later) {
                *sum += part * later;
            }
        }
        let bets = AgeBets::against(&estimate);
        sensitivity::ages_seen_in(&known, &bets, &estimate.later, asked, truth)
    }

    /// The side that is not asked, if that is why nothing can be seen.
    pub(super) fn unasked(&self, now: Millis) -> Option<Side> {
        unasked(self.rates(now)).or_else(|| self.is_blind(now).then_some(Side::Helios))
    }

    /// Evidence on the scale on which it grows evenly.
    fn share_of_promise(&self, evidence_s: f64) -> f64 {
        (evidence_s.max(1.0).ln() / self.rule.promise_s().ln()).clamp(0.0, 1.0)
    }

    fn known(&self, question: Question) -> Known {
        let Whole { panel, noise, .. } = &self.whole[question];
        Known { noise: noise.factor(), share: panel.share(), promise_s: self.rule.promise_s() }
    }

    /// Requests a second that were dealt to each side, over about the last minute.
    pub fn rates(&self, now: Millis) -> PerSide<f64> {
        self.asked.as_ref().map(|rate| rate.per_second(now))
    }

    /// Notes who was asked.
    fn meet(&mut self, now: Millis, asked: PerSide<u32>) {
        let elapsed_s = self.at.replace(now).map_or(0.0, |at| now.since(at).seconds());
        self.asked.helios.observe(now, elapsed_s, asked.helios);
        self.asked.kubernetes.observe(now, elapsed_s, asked.kubernetes);
        if asked.kubernetes > 0 && self.kubernetes.arrives(now) {
            self.clear();
        }
        self.kubernetes.note_alone(asked);
        if asked.helios > 0 {
            self.helios_since.get_or_insert(now);
        }
    }

    /// Makes sure that a stratum has its place.
    fn welcome(&mut self, stratum: Stratum) {
        let place = stratum.place();
        if self.strata.get(place).is_some_and(Option::is_some) {
            return;
        }
        if self.strata.len() <= place {
            self.strata.resize_with(place + 1, || None);
        }
        self.strata[place] = Some(Box::new(OneStratum {
            shares: PerQuestion::from_fn(|question| Inquiry::new(question, &self.rule, question.weight())),
            ages: AgeInquiry::new(&self.rule, ages::QUESTION.weight()),
        }));
        self.reshare();
    }

    /// Deals out the promise anew: half of it for the whole service, and half for the strata together.
    fn reshare(&mut self) {
        let promise_s = self.rule.promise_s();
        let (whole, each) = match self.strata.iter().flatten().count() {
            0 | 1 => (1.0, 1.0),
            count => (WHOLE_WEIGHT, (1.0 - WHOLE_WEIGHT) / count as f64),
        };
        for question in Question::ALL {
            self.whole[question].panel.reshare(question.weight() * whole, promise_s);
        }
        for stratum in self.strata.iter_mut().flatten() {
            for question in Question::SHARES {
                stratum.shares[question].adopt(&self.rule, question.weight() * each);
            }
            stratum.ages.panel.reshare(ages::QUESTION.weight() * each, promise_s);
        }
    }

    /// Puts a question that shares of bad votes answer to one tick's votes.
    fn ask(&mut self, question: Question, scene: Scene, block: &Block, whole: &Part) {
        let news = |part: &Part| scene.news(question, part);
        let all = news(whole);
        if all.is_silent() && all.hanging == 0 {
            return;
        }
        let Whole { noise, unrest, .. } = &self.whole[question];
        let damping = Damping { noise: noise.factor(), unrest: unrest.factor() };
        let of_whole = OfWhole { rate: self.rates_of_helios[question], damping };
        for (stratum, part) in block.parts() {
            if let Some(all) = &mut self.strata[stratum.place()] {
                all.shares[question].observe(news(part), of_whole, scene.alone);
            }
        }
        self.ask_whole(question, all, damping, block);
        for (stratum, part) in block.parts() {
            if let Some(all) = &mut self.strata[stratum.place()] {
                all.shares[question].learn(scene.now, part.votes.helios[question]);
            }
        }
    }

    /// Puts it to the whole service: the evidence of all strata against right now, and all votes together against
    /// what Helios would do if it were asked what Kubernetes is asked.
    fn ask_whole(&mut self, question: Question, news: News, damping: Damping, block: &Block) {
        let Whole { panel, noise, unrest, bets, assurance } = &mut self.whole[question];
        if news.is_silent() && !(news.hanging > 0 && panel.withholds()) {
            return;
        }
        let strata = &self.strata;
        let inquiries = block.parts().filter_map(|(stratum, part)| {
            Some((
                &strata[stratum.place()].as_ref()?.shares[question],
                part.votes.as_ref().map(|all| all[question].cast),
            ))
        });
        let mut standardised = Standardised::default();
        let mut expected = 0.0;
        for (inquiry, cast) in inquiries.clone() {
            if cast.kubernetes > 0 && news.votes.kubernetes.cast > 0 {
                let part = f64::from(cast.kubernetes) / f64::from(news.votes.kubernetes.cast);
                standardised.add(part, &inquiry.estimate);
            }
            expected += f64::from(cast.helios) * inquiry.reference.expected();
        }
        // In a tick without votes of Kubernetes there is nothing to bet on, and the last bets stay.
        if news.votes.kubernetes.cast > 0 {
            *bets = bets.moved_to(standardised.bound(question.tolerance(&self.rule)));
            let shares = (bets.bound(), standardised.mean());
            assurance.observe(question, news.votes.kubernetes, shares, damping.noise);
        }
        let measure = Measure { bound: bets.bound(), damping };
        let closed = inquiries.clone().any(|(inquiry, _)| inquiry.has_closed());
        let right_now = |bet, is_partial| {
            inquiries.clone().map(|(inquiry, _)| inquiry.right_now_of_whole(bet, is_partial)).sum::<f64>()
        };
        panel.weigh(news, measure, &Played::of(bets, news.votes.kubernetes), closed.then_some(right_now));
        noise.learn(news.now, news.votes.helios, expected);
        unrest.learn(news.now, news.votes.kubernetes);
    }

    /// Asks how old answers are.
    fn ask_ages(&mut self, scene: Scene, block: &Block, whole: &Part) {
        let noise_of_whole = self.whole[ages::QUESTION].noise.factor();
        for (stratum, part) in block.parts() {
            if let Some(all) = &mut self.strata[stratum.place()] {
                let ages = scene.ages(part);
                let news = ages::news(scene.now, &ages, scene.haste);
                all.ages.observe(news, &ages, noise_of_whole, scene.alone);
            }
        }
        self.ask_ages_of_whole(scene, block, &scene.ages(whole));
        for (stratum, part) in block.parts() {
            if let Some(all) = &mut self.strata[stratum.place()] {
                all.ages.learn(scene.now, &part.ages.helios);
            }
        }
    }

    fn ask_ages_of_whole(&mut self, scene: Scene, block: &Block, whole: &PerSide<Ages>) {
        let news = ages::news(scene.now, whole, scene.haste);
        if news.is_silent() {
            return;
        }
        if self.whole_ages.are_old(scene.now) {
            self.bet_on_ages(scene.now);
        }
        let strata = &self.strata;
        let inquiries = block.parts().filter_map(|(stratum, part)| {
            Some((&strata[stratum.place()].as_ref()?.ages, part.ages.helios.cast()))
        });
        let Whole { panel, noise, .. } = &mut self.whole[ages::QUESTION];
        let (mut expected, mut factor) = (0.0, noise.factor());
        for (inquiry, cast) in inquiries.clone() {
            expected += f64::from(cast) * inquiry.expected()[ages::WHOLE_NOISE_CUT];
            if scene.alone == Alone::Yes {
                factor = factor.max(inquiry.noise());
            }
        }
        let measure = Measure { bound: self.whole_ages.bound, damping: Damping::of_noise(factor) };
        let closed = inquiries.clone().any(|(inquiry, _)| inquiry.has_closed());
        let right_now =
            |bet, _| inquiries.clone().map(|(inquiry, _)| inquiry.right_now_of_whole(bet)).sum::<f64>();
        let played = Played::Ages(&self.whole_ages.bets, whole.kubernetes);
        panel.weigh(news, measure, &played, closed.then_some(right_now));
        noise.learn(scene.now, whole.helios.votes(ages::WHOLE_NOISE_CUT), expected);
    }

    /// Bets on ages against what Helios would do if it were asked what Kubernetes was asked in the last seconds. Each
    /// stratum has its own cuts, so what differs between strata is little, and neither that nor the mix moves much
    /// in a second.
    fn bet_on_ages(&mut self, now: Millis) {
        let asked: f64 = self.strata.iter().flatten().map(|stratum| stratum.ages.lately_asked).sum();
        if asked <= 0.0 {
            return; // there is nothing to bet on yet
        }
        let keep =
            self.whole_ages.made().map_or(0.0, |made| (-now.since(made).seconds() / MIX_HALF_LIFE_S).exp2());
        let (mut estimate, mut scarcity) = (AgeEstimate { later: [0.0; CLASSES - 1], votes: 0.0 }, 0.0);
        for stratum in self.strata.iter_mut().flatten() {
            let share = stratum.ages.lately_asked / asked;
            stratum.ages.lately_asked *= keep;
            if share <= 0.0 {
                continue;
            }
            let of_stratum = stratum.ages.estimate();
            for (sum, later) in estimate.later.iter_mut().zip(of_stratum.later) {
                *sum += share * later;
            }
            scarcity += share * share / of_stratum.votes;
        }
        estimate.votes = 1.0 / f64::max(scarcity, f64::MIN_POSITIVE);
        self.whole_ages.renew(now, &estimate);
    }

    /// Sums up Helios' shares of bad votes now and then: they move within minutes, and there are many strata.
    fn keep_rates(&mut self, now: Millis) {
        if self.rated.is_none_or(|rated| now.since(rated) >= RATES_STAND) {
            self.rates_of_helios = PerQuestion::from_fn(|question| self.rate(question));
            self.rated = Some(now);
        }
    }

    /// Helios' share of bad votes in the whole service.
    fn rate(&self, question: Question) -> f64 {
        let (mut cast, mut bad) = (0.0, 0.0);
        for stratum in self.strata.iter().flatten() {
            let (of_cast, of_bad) = stratum.shares[question].reference.history();
            cast += of_cast;
            bad += of_bad;
        }
        (bad + question.prior_rate()) / (cast + 1.0)
    }

    /// Keeps what the evidence was in this second.
    fn keep_course(&mut self, now: Millis, evidence_s: f64, ungated: f64) {
        let recent = self.course.back().is_some_and(|last| now.since(last.at) < Millis(1_000));
        if recent || ungated < WORTH_KEEPING_S {
            return;
        }
        if self.course.len() == COURSE {
            self.course.pop_front();
        }
        self.course.push_back(Moment { at: now, evidence_s, ungated_s: ungated });
    }

    fn verdict(&self, now: Millis, seen_in: Option<Duration>) -> Verdict {
        if let Some(finding) = self.worse(now) {
            return Verdict::Worse(finding);
        }
        let watched = self.kubernetes.watched(now);
        if self.is_blind(now) {
            return Verdict::Blind;
        }
        match seen_in {
            Some(needed) if Duration::from_millis(watched.0) >= needed => Verdict::NotWorse,
            Some(_) | None => Verdict::TooLittleEvidence,
        }
    }

    fn is_blind(&self, now: Millis) -> bool {
        self.kubernetes.alone >= BLIND_REQUESTS && self.asked.helios.silence(now) > BLIND_AFTER
    }

    /// The evidence of all bets whose gate is open, and of all bets.
    fn sums(&self) -> (f64, f64) {
        self.panels().fold((0.0, 0.0), |(open, all), (_, _, panel)| {
            (open + panel.evidence_s(), all + panel.ungated_s())
        })
    }

    fn worse(&self, now: Millis) -> Option<Finding> {
        let promise_s = self.rule.promise_s();
        let (total, _) = self.sums();
        if total < promise_s {
            return None;
        }
        let telling = |(question, _, panel): &(Question, Option<Stratum>, &Panel)| {
            let is_plain = matches!(question, Question::Failure | Question::Stall);
            panel.evidence_s() * if is_plain { PLAIN } else { 1.0 }
        };
        let lead = self.panels().max_by(|a, b| telling(a).total_cmp(&telling(b)))?;
        Some(finding(lead, now, total, promise_s))
    }

    /// Every panel, with what it is about; the whole service has no stratum. A stratum that is alone says
    /// nothing that the whole service does not.
    fn panels(&self) -> impl Iterator<Item = (Question, Option<Stratum>, &Panel)> {
        let whole = Question::ALL.into_iter().map(|question| (question, None, &self.whole[question].panel));
        let several = self.strata.iter().flatten().nth(1).is_some();
        let strata = self.strata.iter().enumerate().filter(move |_| several).filter_map(|(place, all)| {
            let (stratum, all) = (Stratum::at(place)?, all.as_ref()?);
            let shares = Question::SHARES
                .into_iter()
                .map(move |question| (question, Some(stratum), &all.shares[question].panel));
            Some(shares.chain([(ages::QUESTION, Some(stratum), &all.ages.panel)]))
        });
        whole.chain(strata.flatten())
    }
}

/// What holds for all questions in a tick.
#[derive(Clone, Copy, Debug)]
struct Scene {
    now: Millis,
    /// Kubernetes has just begun: its latencies do not count.
    cold: bool,
    alone: Alone,
    haste: f64,
}

impl Scene {
    fn news(&self, question: Question, part: &Part) -> News {
        let abstains = self.cold && Question::LATENCY.contains(&question);
        let stall = question == Question::Stall;
        News {
            now: self.now,
            votes: PerSide {
                helios: part.votes.helios[question],
                kubernetes: if abstains { Votes::default() } else { part.votes.kubernetes[question] },
            },
            hanging: if stall { part.hanging.kubernetes } else { 0 },
            haste: if stall { STALL_HASTE } else { self.haste },
        }
    }

    fn ages(&self, part: &Part) -> PerSide<Ages> {
        let kubernetes = if self.cold { Ages::default() } else { part.ages.kubernetes };
        PerSide { helios: part.ages.helios, kubernetes }
    }
}

fn finding(
    (question, stratum, panel): (Question, Option<Stratum>, &Panel),
    now: Millis,
    evidence_s: f64,
    promise_s: f64,
) -> Finding {
    let lead = panel.lead();
    Finding {
        question,
        stratum,
        at: now,
        since: lead.episode.since,
        counts: panel.counts_since(&lead.episode),
        bound: panel.bound,
        evidence_s,
        promise_s,
        gate: lead.gate,
        gate_needed: panel.share().gate,
        noise: lead.damping,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::{LADDER, Tolerance, detector};

    fn drawn(rng: &mut fastrand::Rng, cast: u32, share: f64) -> Votes {
        Votes { cast, bad: (0..cast).map(|_| u32::from(rng.f64() < share)).sum() }
    }

    /// A judge of one service that has one stratum, or two, and the votes on failures that it is shown.
    #[derive(Clone)]
    struct Shown {
        judge: Judge,
        now: Millis,
    }

    impl Shown {
        fn new() -> Self {
            Self { judge: Judge::new(Rule::default()), now: Millis(0) }
        }

        fn tick(&mut self, after_ms: u64, parts: &[PerSide<Votes>]) {
            self.now = Millis(self.now.0 + after_ms);
            let mut block = Block::default();
            for (place, votes) in parts.iter().enumerate() {
                let part = block.part(Stratum::at(place).expect("a stratum"));
                part.asked = votes.as_ref().map(|votes| votes.cast);
                for side in Side::ALL {
                    part.votes[side][Question::Failure] = votes[side];
                }
            }
            self.judge.observe(self.now, &block);
        }
    }

    /// The promise is dealt out to shared events as if each had so many chances to open the gates of a question.
    #[test]
    fn a_shared_event_opens_a_gate_as_rarely_as_is_reckoned() {
        const EVENTS: u32 = 1_000;
        for (cast, share, ticks) in [(10, 0.2, 300), (10, 0.02, 300), (100, 0.05, 100), (2, 0.3, 300)] {
            let mut rng = fastrand::Rng::with_seed(7);
            let mut both = |share| PerSide::from_fn(|_| drawn(&mut rng, cast, share));
            let mut calm = Shown::new();
            for _ in 0..3_000 {
                calm.tick(100, &[both(0.001)]);
            }
            let mut opened = [0_u32; 3];
            for _ in 0..EVENTS {
                let mut event = calm.clone();
                let mut highest = 0.0_f64;
                for _ in 0..ticks {
                    event.tick(100, &[both(share)]);
                    // Evidence that only the gate keeps from being a finding, or nearly.
                    let panel = &event.judge.whole[Question::Failure].panel;
                    highest = highest.max(panel.highest_gate(Rule::default().promise_s() / 100.0));
                }
                for (gate, opened) in (3_u32..).zip(&mut opened) {
                    *opened += u32::from(highest >= f64::from(gate));
                }
            }
            for (gate, opened) in (3_u32..).zip(opened) {
                let most = detector::CHANCES * (-f64::from(gate)).exp() * f64::from(EVENTS);
                assert!(f64::from(opened) <= most, "{share}: {opened} at {gate}, at most {most:.0}");
            }
        }
    }

    /// Exact, by enumeration of every result of a block that stays open while Helios' noise is learned from its votes.
    #[test]
    fn noise_that_is_learned_within_a_block_does_not_divide_its_evidence() {
        const VOTES: u32 = 4;
        let quiet = PerSide { helios: Votes { cast: 3, bad: 0 }, kubernetes: Votes { cast: 3, bad: 0 } };
        let alone = |bad| PerSide { helios: Votes { cast: VOTES, bad }, kubernetes: Votes::default() };
        let mut calm = Shown::new();
        for _ in 0..100 {
            calm.tick(100, &[quiet, quiet]);
        }
        let chance = |bad: u32, rate: f64| {
            let ways = [1.0, 4.0, 6.0, 4.0, 1.0][bad as usize];
            ways * rate.powi(bad.cast_signed()) * (1.0 - rate).powi((VOTES - bad).cast_signed())
        };
        let Tolerance { ratio, delta } = Rule::default().failures;
        let rates = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4];
        let mut means = [[[0.0_f64; 2]; LADDER.len()]; 8];
        let mut factors = std::collections::BTreeSet::new();
        for (first, second, last) in
            (0..=VOTES).flat_map(|a| (0..=VOTES).flat_map(move |b| (0..=VOTES).map(move |c| (a, b, c))))
        {
            let mut shown = calm.clone();
            shown.tick(1_000, &[alone(first), quiet]);
            shown.tick(1_000, &[alone(second), quiet]);
            factors.insert(shown.judge.whole[Question::Failure].noise.factor().to_bits());
            let kubernetes = Votes { cast: VOTES, bad: last };
            shown.tick(100, &[PerSide { helios: Votes::default(), kubernetes }, quiet]);
            let inquiry = &shown.judge.strata[0].as_ref().expect("it was asked").shares[Question::Failure];
            assert!(inquiry.has_closed());
            for (rate, means) in rates.into_iter().zip(&mut means) {
                let chance = chance(first, rate) * chance(second, rate) * chance(last, ratio * rate + delta);
                for (bet, means) in means.iter_mut().enumerate() {
                    for (mean, is_partial) in means.iter_mut().zip([false, true]) {
                        *mean += chance * inquiry.right_now_of_whole(bet, is_partial).exp();
                    }
                }
            }
        }
        assert!(factors.len() > 3, "noise has been learned from the block's votes: {factors:?}");
        let worst = means.into_iter().flatten().flatten().fold(0.0, f64::max);
        assert!(worst <= 1.0 + 1e-9, "{worst}");
    }

    #[test]
    fn a_bad_vote_of_helios_never_raises_evidence() {
        let mut rng = fastrand::Rng::with_seed(3);
        for _ in 0..200 {
            let mut shown = Shown::new();
            for _ in 0..rng.u32(20..60) {
                let votes = PerSide::from_fn(|_| {
                    let share = 0.2 * rng.f64();
                    drawn(&mut rng, 10, share)
                });
                shown.tick(100, &[votes]);
            }
            let kubernetes = drawn(&mut rng, 10, 0.3);
            let evidence = |bad| {
                let mut next = shown.clone();
                next.tick(100, &[PerSide { helios: Votes { cast: 10, bad }, kubernetes }]);
                next.judge.sums()
            };
            for bad in 0..10 {
                let ((open, all), (open_then, all_then)) = (evidence(bad), evidence(bad + 1));
                assert!(open_then <= open && all_then <= all, "{bad}: {open} {all}, {open_then} {all_then}");
            }
        }
    }
}
