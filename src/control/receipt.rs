use crate::model::{Millis, PerSide, Side, UnixMillis};
use crate::rollout::Actor;
use crate::verdict::{Finding, Moment};

use super::entry::Entry;
use super::event::Now;
use super::journal::{BlamedRecord, CourseRecord, FindingRecord, ReceiptRecord, SideRecord};

/// A person's revert is explained by the last ten seconds.
const WINDOW_WITHOUT_FINDING: Millis = Millis(10_000);
/// Endpoints that a receipt names.
const MOST_BLAMED: usize = 16;

/// Writes a revert's receipt. `entry` still is as it was before.
pub(super) fn write(
    entry: &mut Entry,
    by: &Actor,
    reason: &str,
    finding: Option<&Finding>,
    configuration: &str,
    now: Now,
) -> ReceiptRecord {
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
        finding: finding.map(|finding| finding_record(entry, finding, entry.course.iter())),
        window_s,
        helios: sides.helios,
        kubernetes: sides.kubernetes,
        blamed,
        rescued: sums.rescued,
        unrescued: sums.unrescued,
        hanging: u64::from(entry.hanging(Side::Kubernetes)),
        configuration: configuration.to_owned(),
        applied: None,
        hold_written_unix_ms: None,
    }
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
