use std::collections::VecDeque;

use crate::model::{Micros, PerSide, Side};

use super::ages::{Ages, CLASSES};
use super::block::{Block, Part, Stratum, Votes};
use super::question::{PerAge, Question};
use super::thresholds::{NEVER, Thresholds};

/// Requests that arrive within this time of each other share a bucket, and vote together at its end.
const BUCKET_US: u64 = 10_000;

/// For longer thresholds buckets grow to this share of the threshold: nobody misses 3 % of ten seconds.
const BUCKETS_PER_THRESHOLD: u64 = 32;

/// Buckets that wait for their age. 32 cover a threshold, ten a tick that they may wait beyond it, and the
/// rest a thread that comes late. Past this the oldest votes are lost, and counted.
const MAX_BUCKETS: usize = 64;

/// The place of the stall among the questions of age …
const STALL: usize = 0;
/// … and that of the one with which the classes of age are counted.
const SLOW99: usize = 2;

/// Collects the votes of one service's requests, each cast at a fixed age of its request.
///
/// A request votes on a latency question at age T by the fact "not answered yet", whether or not it is
/// answered later: a hung request is seen after one threshold, and a fast one does not vote before a slow one
/// that arrived with it. On `failure` it votes when it ends.
///
/// No timer is kept for a request. Requests are counted into buckets by arrival; when a bucket is older than
/// the threshold that was in force when it was opened, who has not left it votes bad.
///
/// Three times in a request's life something is counted here, so little is done each time. Who arrives while the same
/// buckets are open is one more of those who came, and these are put into their buckets together.
#[derive(Debug, Default)]
pub struct Ballot {
    /// By stratum's place; only as many as have been asked for.
    strata: Vec<PerSide<Waiting>>,
    lost: u64,
}

/// Who waits to vote on one side of one stratum, and what was counted there since the last [`Ballot::collect`].
#[derive(Debug, Default)]
struct Waiting {
    arriving: Arriving,
    queues: PerAge<Queue>,
    /// Requests that voted for having stalled, and have no answer yet.
    hanging: u32,
    asked: u32,
    failures: Votes,
}

/// Who comes now: requests that share all their buckets.
#[derive(Debug, Default)]
struct Arriving {
    /// Whoever arrives before this, and votes at these ages, is one of them.
    until: Micros,
    ages: PerAge<Micros>,
    places: PerAge<u32>,
    /// Those who are in no bucket yet.
    came: u32,
}

/// One request's place on the ballot. Hand it back to [`Ballot::finish`] or [`Ballot::withdraw`].
#[derive(Debug)]
#[must_use = "a ticket that is dropped votes as a hung request"]
pub struct Ticket {
    arrived: Micros,
    places: PerAge<u32>,
    stratum: Stratum,
    side: Side,
    answered: bool,
}

#[derive(Debug, Default)]
struct Queue {
    /// The number of the first bucket in the queue; buckets are numbered on and on.
    first: u32,
    buckets: VecDeque<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    /// Arrivals before this are counted here.
    end: Micros,
    threshold: Micros,
    came: u32,
    in_time: u32,
    /// Who has nothing to say any more.
    gone: u32,
    /// Of those in time, the classes of age that they fell into, where that is asked.
    ages: [u32; CLASSES - 1],
    cuts: [u32; CLASSES - 2],
}

impl Ticket {
    /// The side that the request was dealt to.
    pub fn side(&self) -> Side {
        self.side
    }

    /// Whether the head of its answer has arrived: when it ends tells nothing any more.
    pub fn is_answered(&self) -> bool {
        self.answered
    }
}

impl Ballot {
    /// A request of a stratum has been dealt to a side.
    pub fn enter(&mut self, stratum: Stratum, side: Side, now: Micros, thresholds: &Thresholds) -> Ticket {
        let waiting = self.strata.get_mut(stratum.place()).map(|sides| &mut sides[side]);
        let ages = thresholds.ages(side);
        match waiting.filter(|waiting| now < waiting.arriving.until && waiting.arriving.ages == *ages) {
            Some(waiting) => {
                waiting.arriving.came += 1;
                Ticket { arrived: now, places: waiting.arriving.places, stratum, side, answered: false }
            }
            None => self.enter_first(stratum, side, now, thresholds),
        }
    }

    /// The first of those who share all their buckets.
    #[inline(never)]
    fn enter_first(&mut self, stratum: Stratum, side: Side, now: Micros, thresholds: &Thresholds) -> Ticket {
        let place = stratum.place();
        if self.strata.len() <= place {
            self.strata.resize_with(place + 1, PerSide::default);
        }
        let waiting = &mut self.strata[place][side];
        waiting.open(now, side, thresholds, &mut self.lost);
        waiting.arriving.came = 1;
        Ticket { arrived: now, places: waiting.arriving.places, stratum, side, answered: false }
    }

    /// The head of the answer has arrived, or there will be none. Who failed before an age says nothing about
    /// how fast answers are: a side that refuses at once is not a fast one.
    pub fn answer(&mut self, ticket: &mut Ticket, now: Micros, failed: bool) {
        if !std::mem::replace(&mut ticket.answered, true) {
            self.waiting(ticket).answer(&ticket.places, now.since(ticket.arrived), failed);
        }
    }

    /// The request has ended and this was the side's doing.
    pub fn finish(&mut self, mut ticket: Ticket, now: Micros, failed: bool) {
        if !ticket.answered {
            self.answer(&mut ticket, now, failed);
        }
        self.waiting(&ticket).failures.cast(failed);
    }

    /// The request has ended and this was not the side's doing: the client left, or the proxy refused. What
    /// it has voted so far stands.
    #[expect(clippy::needless_pass_by_value, reason = "a ticket is used up")]
    pub fn withdraw(&mut self, ticket: Ticket) {
        if !ticket.answered {
            self.waiting(&ticket).withdraw(&ticket.places);
        }
    }

    /// Casts the votes of all requests that have reached their age, and adds what was cast since the last call
    /// to `block`.
    pub fn collect(&mut self, now: Micros, block: &mut Block) {
        for (place, waiting) in self.strata.iter_mut().enumerate() {
            let Some(stratum) = Stratum::at(place).filter(|_| !is_idle(waiting)) else { continue };
            let mut part = Part::default();
            for side in Side::ALL {
                waiting[side].collect(now, side, &mut part);
            }
            *block.part(stratum) += &part;
        }
    }

    /// This process stood still for so long: that says nothing about the sides. Who waits will cast no vote on
    /// latency, and stalls that much later.
    pub fn abstain(&mut self, stood_still: Micros) {
        for waiting in &mut self.strata {
            for side in Side::ALL {
                waiting[side].abstain(stood_still);
            }
        }
    }

    /// Whether nobody waits to vote, or has voted since the last [`Ballot::collect`].
    pub fn is_idle(&self) -> bool {
        self.strata.iter().all(is_idle)
    }

    /// Votes that were lost since the last call because more buckets waited than may.
    pub fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }

    fn waiting(&mut self, ticket: &Ticket) -> &mut Waiting {
        &mut self.strata[ticket.stratum.place()][ticket.side]
    }
}

fn is_idle(waiting: &PerSide<Waiting>) -> bool {
    waiting.helios.is_idle() && waiting.kubernetes.is_idle()
}

impl Waiting {
    /// Opens buckets for whoever comes now, where none is open that will do.
    fn open(&mut self, now: Micros, side: Side, thresholds: &Thresholds, lost: &mut u64) {
        self.settle();
        let ages = *thresholds.ages(side);
        let mut until = Micros(u64::MAX);
        let mut places = [0; Question::AGED.len()];
        for ((queue, age), place) in self.queues.iter_mut().zip(ages).zip(&mut places) {
            if age == NEVER {
                *place = queue.none();
                continue;
            }
            let end;
            (*place, end) = queue.open(now, age, thresholds.cuts(side), lost);
            until = until.min(end);
        }
        self.arriving = Arriving { until, ages, places, came: 0 };
    }

    /// Puts those who came into their buckets.
    fn settle(&mut self) {
        let came = std::mem::take(&mut self.arriving.came);
        self.asked += came;
        for (queue, place) in self.queues.iter_mut().zip(self.arriving.places) {
            if let Some(bucket) = queue.at(place) {
                bucket.came += came;
            }
        }
        // Buckets may close now.
        self.arriving.until = Micros(0);
    }

    fn answer(&mut self, places: &PerAge<u32>, age: Micros, failed: bool) {
        for (question, place) in places.iter().enumerate() {
            match self.queues[question].at(*place) {
                // The process may have stood still: a stall is what has been found to be one.
                Some(bucket) if question == STALL => bucket.in_time += 1,
                None if question == STALL => self.hangs_no_more(),
                Some(bucket) if age <= bucket.threshold => {
                    if failed {
                        bucket.gone += 1;
                        continue;
                    }
                    bucket.in_time += 1;
                    if question == SLOW99 {
                        bucket.ages[bucket.class(age)] += 1;
                    }
                }
                Some(_) | None => {}
            }
        }
    }

    fn withdraw(&mut self, places: &PerAge<u32>) {
        for (question, place) in places.iter().enumerate() {
            match self.queues[question].at(*place) {
                Some(bucket) => bucket.gone += 1,
                None if question == STALL => self.hangs_no_more(),
                None => {}
            }
        }
    }

    fn collect(&mut self, now: Micros, side: Side, part: &mut Part) {
        self.settle();
        part.asked[side] = std::mem::take(&mut self.asked);
        part.votes[side][Question::Failure] = std::mem::take(&mut self.failures);
        for (place, question) in Question::AGED.into_iter().enumerate() {
            let (votes, ages) = (&mut part.votes[side][question], &mut part.ages[side]);
            self.queues[place].mature(now, votes, |bucket| {
                if place == SLOW99 {
                    let mut all = [0; CLASSES];
                    all[..CLASSES - 1].copy_from_slice(&bucket.ages);
                    all[CLASSES - 1] = bucket.waiting();
                    *ages += Ages(all);
                }
            });
        }
        self.hanging += part.votes[side][Question::Stall].bad;
        part.hanging[side] = self.hanging;
    }

    fn abstain(&mut self, stood_still: Micros) {
        self.settle();
        let [stall, latencies @ ..] = &mut self.queues;
        for bucket in &mut stall.buckets {
            bucket.end = Micros(bucket.end.0 + stood_still.0);
        }
        for queue in latencies {
            queue.clear();
        }
    }

    fn is_idle(&self) -> bool {
        self.hanging == 0
            && self.asked == 0
            && self.failures == Votes::default()
            && self.queues.iter().all(|queue| queue.buckets.is_empty())
    }

    /// A stalled request has ended. One whose vote was lost never hung here: it must not make the count wrap.
    fn hangs_no_more(&mut self) {
        self.hanging = self.hanging.saturating_sub(1);
    }
}

impl Queue {
    /// The place of whoever comes now and votes at this age, and when the next comes to another.
    fn open(
        &mut self,
        now: Micros,
        threshold: Micros,
        cuts: [u32; CLASSES - 2],
        lost: &mut u64,
    ) -> (u32, Micros) {
        let open = self.buckets.back().filter(|last| now < last.end && last.threshold == threshold);
        let end = open.map_or_else(
            || Micros(now.0 + BUCKET_US.max(threshold.0 / BUCKETS_PER_THRESHOLD)),
            |bucket| bucket.end,
        );
        if open.is_none() {
            if self.buckets.len() == MAX_BUCKETS
                && let Some(oldest) = self.buckets.pop_front()
            {
                self.first = self.first.wrapping_add(1);
                *lost += u64::from(oldest.came - oldest.gone);
            }
            self.buckets.push_back(Bucket::new(end, threshold, cuts));
        }
        (self.first.wrapping_add(u32::try_from(self.buckets.len() - 1).unwrap_or(0)), end)
    }

    /// The place of who is asked nothing here: that of a bucket that is no more.
    fn none(&self) -> u32 {
        self.first.wrapping_sub(1)
    }

    fn at(&mut self, place: u32) -> Option<&mut Bucket> {
        self.buckets.get_mut(place.wrapping_sub(self.first) as usize)
    }

    /// Casts the votes of those that are old enough.
    fn mature(&mut self, now: Micros, votes: &mut Votes, mut each: impl FnMut(&Bucket)) {
        while let Some(bucket) =
            self.buckets.pop_front_if(|bucket| bucket.is_empty() || bucket.is_mature(now))
        {
            self.first = self.first.wrapping_add(1);
            let waiting = bucket.waiting();
            *votes += Votes { cast: waiting + bucket.in_time, bad: waiting };
            each(&bucket);
        }
    }

    /// Forgets who waits.
    fn clear(&mut self) {
        self.first = self.first.wrapping_add(u32::try_from(self.buckets.len()).unwrap_or(0));
        self.buckets.clear();
    }
}

impl Bucket {
    fn new(end: Micros, threshold: Micros, cuts: [u32; CLASSES - 2]) -> Self {
        Self { end, threshold, came: 0, in_time: 0, gone: 0, ages: [0; CLASSES - 1], cuts }
    }

    /// The class of age of who has an answer in time.
    fn class(&self, age: Micros) -> usize {
        self.cuts.iter().filter(|cut| age.0 > u64::from(**cut)).count()
    }

    /// Who has come, and neither has an answer nor is gone.
    fn waiting(&self) -> u32 {
        self.came - self.in_time - self.gone
    }

    /// Nobody in it has anything to say: all who came have left it again.
    fn is_empty(&self) -> bool {
        self.came == self.gone
    }

    /// The last that may have come is as old as its threshold.
    fn is_mature(&self, now: Micros) -> bool {
        self.end.0.saturating_add(self.threshold.0) <= now.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Millis;
    use crate::verdict::{Latency, Recent, Slower};

    const MS: u64 = 1_000;

    /// Helios answers in 20 ms: T50 = T90 = T99 = 20 ms, far 30 ms, stall 1 s; for Kubernetes 3 ms more.
    fn thresholds() -> Thresholds {
        let mut recent = Recent::default();
        for _ in 0..500 {
            recent.add(Millis(0), Latency::of(Micros(20 * MS)));
        }
        Thresholds::learned(&mut recent, Slower::default(), Millis(0))
    }

    fn collect(ballot: &mut Ballot, now: Micros) -> Block {
        let mut block = Block::default();
        ballot.collect(now, &mut block);
        block
    }

    fn votes(block: &Block, side: Side, question: Question) -> (u32, u32) {
        let votes = block.whole().votes[side][question];
        (votes.cast, votes.bad)
    }

    #[test]
    fn a_fast_request_votes_at_the_threshold_and_not_before() {
        let (mut ballot, thresholds) = (Ballot::default(), thresholds());
        let mut ticket = ballot.enter(Stratum::OTHER, Side::Helios, Micros(0), &thresholds);
        ballot.answer(&mut ticket, Micros(MS), false);
        ballot.finish(ticket, Micros(MS), false);
        let early = collect(&mut ballot, Micros(19 * MS));
        assert_eq!(votes(&early, Side::Helios, Question::Slow50), (0, 0));
        assert_eq!(votes(&early, Side::Helios, Question::Failure), (1, 0));
        let late = collect(&mut ballot, Micros(100 * MS));
        assert_eq!(votes(&late, Side::Helios, Question::Slow50), (1, 0));
        assert_eq!(votes(&late, Side::Helios, Question::Failure), (0, 0), "once only");
        assert!(!ballot.is_idle(), "it has a vote yet: that it did not stall");
        let last = collect(&mut ballot, Micros(1_200 * MS));
        assert_eq!(votes(&last, Side::Helios, Question::Stall), (1, 0));
        assert!(ballot.is_idle());
    }

    #[test]
    fn who_hangs_is_counted_from_the_stall_until_an_answer_or_the_client_ends_it() {
        let (mut ballot, thresholds) = (Ballot::default(), thresholds());
        let mut tickets: Vec<Ticket> =
            (0..3).map(|_| ballot.enter(Stratum::OTHER, Side::Kubernetes, Micros(0), &thresholds)).collect();
        assert_eq!(collect(&mut ballot, Micros(900 * MS)).whole().hanging.kubernetes, 0);
        assert_eq!(collect(&mut ballot, Micros(1_200 * MS)).whole().hanging.kubernetes, 3);
        ballot.finish(tickets.remove(0), Micros(1_300 * MS), true);
        ballot.withdraw(tickets.remove(0));
        assert_eq!(collect(&mut ballot, Micros(1_300 * MS)).whole().hanging.kubernetes, 1);
        assert!(!ballot.is_idle(), "it is told for as long as it is so");
        ballot.finish(tickets.remove(0), Micros(1_400 * MS), false);
        collect(&mut ballot, Micros(1_400 * MS));
        assert!(ballot.is_idle());
    }

    #[test]
    fn a_hung_request_votes_slow_after_one_threshold_and_stalled_after_the_stall() {
        let (mut ballot, thresholds) = (Ballot::default(), thresholds());
        let ticket = ballot.enter(Stratum::OTHER, Side::Kubernetes, Micros(0), &thresholds);
        let soon = collect(&mut ballot, Micros(90 * MS));
        for question in Question::LATENCY {
            assert_eq!(votes(&soon, Side::Kubernetes, question), (1, 1), "{question:?}");
        }
        assert_eq!(votes(&soon, Side::Kubernetes, Question::Stall), (0, 0));
        let stalled = collect(&mut ballot, Micros(1_200 * MS));
        assert_eq!(votes(&stalled, Side::Kubernetes, Question::Stall), (1, 1));
        ballot.finish(ticket, Micros(5_000 * MS), true);
        let failed = collect(&mut ballot, Micros(9_000 * MS));
        assert_eq!(votes(&failed, Side::Kubernetes, Question::Failure), (1, 1));
        assert_eq!(votes(&failed, Side::Kubernetes, Question::Stall), (0, 0), "it has voted");
        assert!(ballot.is_idle());
    }

    #[test]
    fn a_client_that_leaves_casts_no_vote() {
        let (mut ballot, thresholds) = (Ballot::default(), thresholds());
        let ticket = ballot.enter(Stratum::OTHER, Side::Kubernetes, Micros(0), &thresholds);
        ballot.withdraw(ticket);
        let block = collect(&mut ballot, Micros(5_000 * MS));
        for question in Question::ALL {
            assert_eq!(votes(&block, Side::Kubernetes, question), (0, 0), "{question:?}");
        }
    }

    #[test]
    fn who_fails_before_an_age_says_nothing_about_latency_and_who_fails_after_it_was_slow() {
        let (mut ballot, thresholds) = (Ballot::default(), thresholds());
        for (arrived, ended) in [(0, MS), (0, 40 * MS)] {
            let ticket = ballot.enter(Stratum::OTHER, Side::Kubernetes, Micros(arrived), &thresholds);
            ballot.finish(ticket, Micros(ended), true);
        }
        let block = collect(&mut ballot, Micros(100 * MS));
        assert_eq!(votes(&block, Side::Kubernetes, Question::Failure), (2, 2));
        assert_eq!(votes(&block, Side::Kubernetes, Question::Slow50), (1, 1));
    }

    #[test]
    fn a_long_answer_fails_or_not_at_its_end_however_long_it_takes() {
        let (mut ballot, thresholds) = (Ballot::default(), thresholds());
        for failed in [false, true] {
            let mut ticket = ballot.enter(Stratum::OTHER, Side::Kubernetes, Micros(0), &thresholds);
            ballot.answer(&mut ticket, Micros(5 * MS), false);
            assert_eq!(
                votes(&collect(&mut ballot, Micros(9_000 * MS)), Side::Kubernetes, Question::Failure),
                (0, 0)
            );
            ballot.finish(ticket, Micros(60_000 * MS), failed);
            let expected = (1, u32::from(failed));
            assert_eq!(
                votes(&collect(&mut ballot, Micros(60_000 * MS)), Side::Kubernetes, Question::Failure),
                expected
            );
        }
    }

    #[test]
    fn a_request_is_judged_by_the_thresholds_in_force_when_it_started() {
        let mut ballot = Ballot::default();
        let early = ballot.enter(Stratum::OTHER, Side::Helios, Micros(0), &Thresholds::default());
        let late = ballot.enter(Stratum::OTHER, Side::Helios, Micros(1), &thresholds());
        let block = collect(&mut ballot, Micros(2_000 * MS));
        assert_eq!(votes(&block, Side::Helios, Question::Slow50), (1, 1), "the first has no such threshold");
        for ticket in [early, late] {
            ballot.finish(ticket, Micros(2_000 * MS), false);
        }
    }

    #[test]
    fn after_a_standstill_of_the_process_who_waited_casts_no_vote_on_latency_and_stalls_later() {
        let (mut ballot, thresholds) = (Ballot::default(), thresholds());
        let answered = ballot.enter(Stratum::OTHER, Side::Kubernetes, Micros(0), &thresholds);
        let hung = ballot.enter(Stratum::OTHER, Side::Kubernetes, Micros(0), &thresholds);
        ballot.abstain(Micros(3_000 * MS));
        ballot.finish(answered, Micros(3_100 * MS), false);
        let block = collect(&mut ballot, Micros(3_900 * MS));
        for question in Question::LATENCY {
            assert_eq!(votes(&block, Side::Kubernetes, question), (0, 0), "{question:?}");
        }
        assert_eq!(votes(&block, Side::Kubernetes, Question::Failure), (1, 0));
        assert_eq!(votes(&block, Side::Kubernetes, Question::Stall), (0, 0));
        let block = collect(&mut ballot, Micros(4_100 * MS));
        assert_eq!(votes(&block, Side::Kubernetes, Question::Stall), (2, 1));
        ballot.withdraw(hung);
    }

    #[test]
    fn what_waits_is_bounded_and_what_is_lost_is_counted() {
        let (mut ballot, thresholds) = (Ballot::default(), thresholds());
        let tickets: Vec<_> = (0..200)
            .map(|i| ballot.enter(Stratum::OTHER, Side::Helios, Micros(i * 11 * MS), &thresholds))
            .collect();
        assert!(ballot.take_lost() > 0);
        for queue in &ballot.strata[0].helios.queues {
            assert!(queue.buckets.len() <= MAX_BUCKETS);
        }
        for ticket in tickets {
            ballot.finish(ticket, Micros(4_000 * MS), false);
        }
    }

    #[test]
    fn every_request_votes_once_on_every_question() {
        let (mut ballot, thresholds, mut rng) =
            (Ballot::default(), thresholds(), fastrand::Rng::with_seed(1));
        let (mut total, mut open) = (Block::default(), Vec::new());
        let requests = 5_000;
        for i in 0..requests {
            let now = Micros(i * 2 * MS);
            open.push((
                now.0 + rng.u64(0..60 * MS),
                ballot.enter(Stratum::OTHER, Side::Kubernetes, now, &thresholds),
            ));
            while let Some(place) = open.iter().position(|(end, _)| *end <= now.0) {
                let (end, ticket) = open.swap_remove(place);
                ballot.finish(ticket, Micros(end), false);
            }
            total += &collect(&mut ballot, now);
        }
        for (end, ticket) in open {
            ballot.finish(ticket, Micros(end), false);
        }
        total += &collect(&mut ballot, Micros(u64::MAX));
        for question in Question::SHARES {
            assert_eq!(
                u64::from(total.whole().votes[Side::Kubernetes][question].cast),
                requests,
                "{question:?}"
            );
        }
        assert_eq!(u64::from(total.whole().ages[Side::Kubernetes].cast()), requests);
        // Ages are even over 0–60 ms, Kubernetes' threshold is 23 ms: some 62 % are slower.
        let slow = f64::from(total.whole().votes[Side::Kubernetes][Question::Slow50].bad) / requests as f64;
        assert!((slow - 0.62).abs() < 0.03, "{slow}");
    }

    #[test]
    fn those_who_arrive_together_vote_as_each_would_alone() {
        let (mut together, mut alone) = (Ballot::default(), Ballot::default());
        let (known, unknown, mut rng) = (thresholds(), Thresholds::default(), fastrand::Rng::with_seed(2));
        let (mut of_together, mut of_alone) = (Block::default(), Block::default());
        for i in 0..3_000 {
            let now = Micros(i * MS / 2);
            let thresholds = if i < 1_000 { &unknown } else { &known };
            let side = Side::ALL[rng.usize(..2)];
            let answered = Micros(now.0 + rng.u64(..60 * MS));
            for ballot in [&mut together, &mut alone] {
                let ticket = ballot.enter(Stratum::OTHER, side, now, thresholds);
                ballot.finish(ticket, answered, false);
            }
            // Then the next one does not find those before it.
            of_alone += &collect(&mut alone, now);
            if i % 100 == 0 {
                of_together += &collect(&mut together, now);
            }
        }
        of_together += &collect(&mut together, Micros(u64::MAX));
        of_alone += &collect(&mut alone, Micros(u64::MAX));
        assert_eq!(together.take_lost() + alone.take_lost(), 0);
        assert_eq!(of_together, of_alone);
    }
}
