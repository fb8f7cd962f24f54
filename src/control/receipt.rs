use crate::model::{Millis, PerSide, Side, UnixMillis};
use crate::rollout::Actor;
use crate::tally::Cited;
use crate::verdict::{Finding, Judge, Moment, PerQuestion, Question, Stratum, Weighed};

use super::entry::Entry;
use super::event::Now;
use super::journal::{
    BlamedRecord, CitedRecord, CourseRecord, EvidenceRecord, FindingRecord, ReceiptRecord, SecondRecord,
    SideRecord,
};
use super::traffic::{Second, Sums};

/// A person's revert is explained by the last ten seconds.
const WINDOW_WITHOUT_FINDING: Millis = Millis(10_000);
/// Endpoints that a receipt names.
const MOST_BLAMED: usize = 16;
/// Requests that a receipt names.
const MOST_CITED: usize = 8;
/// How long before its window a receipt begins to tell: what was usual.
const USUAL: Millis = Millis(10_000);
/// Seconds that a receipt tells one by one.
const MOST_SECONDS: usize = 60;

/// What the judge has to say at one moment.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// How the evidence grew.
    course: Vec<Moment>,
    by_question: Option<PerQuestion<Weighed>>,
}

impl Heard {
    pub(super) fn now(judge: &Judge, now: Millis) -> Self {
        Self { course: judge.course().copied().collect(), by_question: Some(judge.by_question(now)) }
    }
}

/// Writes a revert's receipt. `entry` still is as it was before.
pub(super) fn write(
    entry: &mut Entry,
    by: &Actor,
    reason: &str,
    finding: Option<&Finding>,
    configuration: &str,
    now: Now,
) -> ReceiptRecord {
    let heard = match finding {
        Some(_) => std::mem::take(&mut entry.heard),
        None => Heard::now(entry.watch.judge(), now.mono),
    };
    let since =
        finding.map_or(Millis(now.mono.0.saturating_sub(WINDOW_WITHOUT_FINDING.0)), |finding| finding.since);
    let (sums, window_s) = entry.traffic.since(since, now.mono);
    // Those of Kubernetes may have left meanwhile.
    let helios = entry.offered(Side::Helios);
    let mut blamed: Vec<BlamedRecord> = sums
        .blamed
        .iter()
        .filter(|((endpoint, _), _)| !helios.iter().any(|other| other.endpoint == *endpoint))
        .map(|((endpoint, cause), count)| BlamedRecord {
            endpoint: endpoint.to_string(),
            cause: cause.as_str().to_owned(),
            count: *count,
        })
        .collect();
    blamed.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.endpoint.cmp(&b.endpoint)));
    blamed.truncate(MOST_BLAMED);
    let sides = PerSide::from_fn(|side: Side| {
        let latency = entry.traffic.p50_p99_ms(side, now.mono);
        SideRecord {
            tries: sums.tries[side],
            failed: sums.failed[side],
            p50_ms: latency.map(|(p50, _)| p50),
            p99_ms: latency.map(|(_, p99)| p99),
        }
    });
    ReceiptRecord {
        service: entry.config.name.to_string(),
        reverted_unix_ms: now.wall.0,
        by: by.into(),
        reason: reason.to_owned(),
        weight_before_percent: entry.weight().percent(),
        weight_after_percent: 0.0,
        finding: finding.map(|finding| finding_record(entry, finding, heard.course.iter())),
        evidence: evidence(entry, &heard),
        window_s,
        helios: sides.helios,
        kubernetes: sides.kubernetes,
        blamed,
        timeline: timeline(entry, since, now),
        cited: entry.traffic.cited(since).take(MOST_CITED).map(cited).collect(),
        rescued: sums.rescued,
        unrescued: sums.unrescued,
        hanging: u64::from(entry.hanging(Side::Kubernetes)),
        configuration: configuration.to_owned(),
        applied: None,
        hold_written_unix_ms: None,
    }
}

/// What each question had to say.
fn evidence(entry: &Entry, heard: &Heard) -> Vec<EvidenceRecord> {
    let Some(by_question) = &heard.by_question else { return Vec::new() };
    let groups = entry.watch.groups();
    let record = |question: Question| {
        let Weighed { finding, ungated_s } = &by_question[question];
        let age = |side| {
            let age = groups.thresholds(finding.stratum.unwrap_or(Stratum::OTHER)).age(side, question)?;
            Some(age.0 as f64 / 1e3)
        };
        let (cast, bad) = (finding.counts.cast, finding.counts.bad);
        EvidenceRecord {
            question: question.as_str().to_owned(),
            route: entry.route(finding.stratum).map(str::to_owned),
            evidence_s: finding.evidence_s,
            ungated_s: *ungated_s,
            helios_votes: cast.helios,
            helios_bad: bad.helios,
            kubernetes_votes: cast.kubernetes,
            kubernetes_bad: bad.kubernetes,
            tolerated: finding.bound,
            helios_after_ms: age(Side::Helios),
            kubernetes_after_ms: age(Side::Kubernetes),
        }
    };
    Question::ALL.into_iter().map(record).collect()
}

/// What happened second by second, from a while before.
fn timeline(entry: &Entry, since: Millis, now: Now) -> Vec<SecondRecord> {
    let from = Millis(since.0.saturating_sub(USUAL.0));
    let record = |Second { from, sums }: &Second| {
        let Sums { tries, failed, rescued, unrescued, .. } = sums;
        SecondRecord {
            from_unix_ms: now.wall.0.saturating_sub(now.mono.since(*from).0),
            helios_tries: tries.helios,
            helios_failed: failed.helios,
            kubernetes_tries: tries.kubernetes,
            kubernetes_failed: failed.kubernetes,
            rescued: *rescued,
            unrescued: *unrescued,
        }
    };
    let mut seconds: Vec<_> = entry.traffic.seconds(from).map(record).collect();
    seconds.drain(..seconds.len().saturating_sub(MOST_SECONDS));
    seconds
}

fn cited(cited: &Cited) -> CitedRecord {
    let Cited { id, endpoint, cause } = cited;
    CitedRecord { id: id.to_string(), endpoint: endpoint.to_string(), cause: cause.as_str().to_owned() }
}

/// A revert by the judge, in one line.
pub(super) fn reason(entry: &Entry, finding: &Finding) -> String {
    let (bad, cast) = (finding.counts.bad, finding.counts.cast);
    let route = entry.route(finding.stratum).map(|route| format!(", {route}")).unwrap_or_default();
    format!(
        "{} on Kubernetes{route}: {} of {} in {:.1} s, on Helios {} of {}",
        finding.question.in_words(),
        bad.kubernetes,
        cast.kubernetes,
        finding.took().as_secs_f64(),
        bad.helios,
        cast.helios,
    )
}

/// What a receipt is about: this revert, and not an earlier or later one.
pub(super) fn is_of(receipt: &ReceiptRecord, reverted: UnixMillis) -> bool {
    receipt.reverted_unix_ms == reverted.0
}

/// What was found, or would be if it came to more, and how the evidence has grown.
pub(super) fn finding_record<'a>(
    entry: &Entry,
    finding: &Finding,
    course: impl Iterator<Item = &'a Moment>,
) -> FindingRecord {
    FindingRecord {
        route: entry.route(finding.stratum).map(str::to_owned),
        course: course
            .map(|moment| CourseRecord {
                before_s: finding.at.since(moment.at).seconds(),
                evidence_s: moment.evidence_s,
                ungated_s: moment.ungated_s,
            })
            .collect(),
        question: finding.question.as_str().to_owned(),
        took_s: finding.took().as_secs_f64(),
        helios_votes: finding.counts.cast.helios,
        helios_bad: finding.counts.bad.helios,
        kubernetes_votes: finding.counts.cast.kubernetes,
        kubernetes_bad: finding.counts.bad.kubernetes,
        tolerated: finding.bound,
        evidence_s: finding.evidence_s,
        promise_s: finding.promise_s,
        gate_nats: finding.gate,
        gate_needed_nats: finding.gate_needed,
        noise: finding.noise,
    }
}
