use std::time::Duration;

use crate::config::in_words;
use crate::control::{
    ActorRecord, CitedRecord, EvidenceRecord, FindingRecord, ReceiptRecord, SecondRecord, ServiceStatus,
    SideRecord,
};
use crate::model::Cause;
use crate::verdict::Question;

use super::super::print::{Cell, Column, Screen, ago, facts, moment, percent, table};

/// A receipt as people read it.
pub(in crate::cli) fn tell(receipt: &ReceiptRecord, now: Option<&ServiceStatus>, screen: &Screen) -> String {
    let by = match &receipt.by {
        ActorRecord::Judge => "the judge".to_owned(),
        ActorRecord::Guard => "the fleet guard".to_owned(),
        ActorRecord::Caution | ActorRecord::Ramp | ActorRecord::Person(_) => receipt.by.to_string(),
    };
    let took = receipt.finding.as_ref().map(|finding| {
        format!(", {} after the first sign", in_words(Duration::from_secs_f64(finding.took_s)))
    });
    let head = format!(
        "{} was reverted by {by} on {}{}.",
        receipt.service,
        moment(receipt.reverted_unix_ms),
        took.unwrap_or_default()
    );
    let mut rows = Vec::new();
    let mut add = |what: &str, text: String| rows.push([format!("  {what}"), text]);
    match &receipt.finding {
        Some(finding) => {
            add("what", what(finding));
            add("", on_helios(finding));
            add("how sure", how_sure(finding));
            if let Some(course) = course(finding) {
                add("", course);
            }
        }
        None => add("why", receipt.reason.clone()),
    }
    add("sides", format!("Helios {}", side(&receipt.helios, receipt.window_s)));
    add("", format!("Kubernetes {}", side(&receipt.kubernetes, receipt.window_s)));
    for line in blamed(receipt) {
        add("where", line);
    }
    if let Some(ids) = cited(receipt) {
        add("requests", ids);
    }
    for (line, text) in users(receipt).into_iter().enumerate() {
        add(if line == 0 { "users" } else { "" }, text);
    }
    add("then", then(receipt));
    if let Some(written) = receipt.hold_written_unix_ms {
        let late = written.saturating_sub(receipt.reverted_unix_ms);
        add("", format!("hold written {late} ms later"));
    }
    if let Some(status) = now {
        add("now", present(status, receipt));
    }
    format!("{head}\n{}", facts(&rows, screen))
}

pub(in crate::cli) fn what(finding: &FindingRecord) -> String {
    let kind = question_in_words(&finding.question);
    // A law has no share of its own: what is counted is the middle of it.
    let counted =
        if finding.question == Question::Slower.as_str() { " later than Helios' median" } else { "" };
    let route = finding.route.as_ref().map(|route| format!(", {route}")).unwrap_or_default();
    format!(
        "{kind} on Kubernetes{route}: {} of {}{counted} in {} (tolerated here: {})",
        finding.kubernetes_bad,
        finding.kubernetes_votes,
        in_words(Duration::from_secs_f64(finding.took_s)),
        percent(finding.tolerated)
    )
}

/// What a question asks, in words; one of another version in its own.
pub(in crate::cli) fn question_in_words(name: &str) -> &str {
    let question = Question::ALL.into_iter().find(|question| question.as_str() == name);
    question.map_or(name, |question| question.in_words())
}

pub(in crate::cli) fn on_helios(finding: &FindingRecord) -> String {
    format!("the same on Helios: {} of {}", finding.helios_bad, finding.helios_votes)
}

pub(in crate::cli) fn how_sure(finding: &FindingRecord) -> String {
    format!(
        "evidence {:.1e} s against the promise of {:.1e} s (one false revert in {}); gate {:.1} of {:.1} nats",
        finding.evidence_s,
        finding.promise_s,
        in_words(Duration::from_secs_f64(finding.promise_s)),
        finding.gate_nats,
        finding.gate_needed_nats
    )
}

/// How the evidence grew, as shares of the promise on the scale on which it grows evenly.
pub(super) fn course(finding: &FindingRecord) -> Option<String> {
    const TOLD: usize = 8;
    let share = |evidence_s: f64| (evidence_s.max(1.0).ln() / finding.promise_s.ln()).clamp(0.0, 1.0);
    let from = finding.course.len().saturating_sub(TOLD);
    let told: Vec<String> = finding.course[from..]
        .iter()
        .map(|moment| {
            let gated = share(moment.ungated_s) > share(moment.evidence_s) + 0.05;
            let note = if gated { " (gate shut: Helios is degraded too)" } else { "" };
            format!(
                "{} before: {:.0} %{note}",
                in_words(Duration::from_secs_f64(moment.before_s)),
                share(moment.ungated_s) * 100.0
            )
        })
        .collect();
    (!told.is_empty()).then(|| format!("evidence {}", told.join(", ")))
}

fn side(side: &SideRecord, window_s: f64) -> String {
    let latency = match (side.p50_ms, side.p99_ms) {
        (Some(p50), Some(p99)) => format!(", p50 {p50:.1} ms, p99 {p99:.1} ms"),
        _ => String::new(),
    };
    let window = in_words(Duration::from_secs_f64(window_s));
    format!("{} of {} failed in {window}{latency}", side.failed, side.tries)
}

/// Endpoints by what went wrong at them: one line a cause.
fn blamed(receipt: &ReceiptRecord) -> Vec<String> {
    let mut lines = Vec::new();
    for cause in Cause::ALL {
        let here: Vec<&str> = receipt
            .blamed
            .iter()
            .filter(|blamed| blamed.cause == cause.as_str())
            .map(|blamed| blamed.endpoint.as_str())
            .collect();
        if let [first @ .., last] = here.as_slice() {
            let names = if first.is_empty() {
                (*last).to_owned()
            } else {
                format!("{} and {last}", first.join(", "))
            };
            lines.push(format!("{names} {}", cause.in_words()));
        }
    }
    lines
}

fn users(receipt: &ReceiptRecord) -> Vec<String> {
    let ReceiptRecord { rescued, unrescued, hanging, .. } = receipt;
    let total = rescued + unrescued;
    let failed = match (total, unrescued) {
        (0, _) => None,
        (_, 0) => Some(format!("all {total} were rescued by Helios")),
        (_, some) => Some(format!(
            "{rescued} of {total} were rescued by Helios; {some} could not be, and were told so"
        )),
    };
    let hung = (*hanging > 0).then(|| {
        format!("{hanging} hung at that moment; those that could be asked again were then asked of Helios")
    });
    failed.into_iter().chain(hung).collect()
}

fn then(receipt: &ReceiptRecord) -> String {
    let (before, after) = (receipt.weight_before_percent, receipt.weight_after_percent);
    match &receipt.applied {
        Some(applied) => format!(
            "weight {before:.2} → {after:.2} on {} of {} workers in {:.1} ms",
            applied.workers,
            applied.of,
            applied.took_us as f64 / 1e3
        ),
        None => format!("weight {before:.2} → {after:.2}"),
    }
}

fn present(status: &ServiceStatus, receipt: &ReceiptRecord) -> String {
    if status.why == "held" {
        return format!("held. To end: switchback release {} --to 1 --reason …", receipt.service);
    }
    let since = status.since_unix_ms.map(|since| format!(" since {} ago", ago(since))).unwrap_or_default();
    format!("released: weight {:.2} ({}{since})", status.weight_percent, status.why)
}

/// What else is in a receipt: what each question had to say, and each second.
pub(super) fn tell_more(receipt: &ReceiptRecord, screen: &Screen) -> String {
    let mut parts = Vec::new();
    if !receipt.evidence.is_empty() {
        let columns = [
            Column::shortens(3, "question"),
            Column::stays("kubernetes"),
            Column::stays("helios"),
            Column::goes(2, "tolerated"),
            Column::goes(1, "bad after"),
            Column::stays("evidence"),
        ];
        let rows: Vec<_> = receipt.evidence.iter().map(asked).map(Cell::row).collect();
        parts.push(table(&columns, &rows, screen));
    }
    if !receipt.timeline.is_empty() {
        let columns = [
            Column::stays("second"),
            Column::stays("helios failed"),
            Column::stays("kubernetes failed"),
            Column::goes(1, "rescued"),
            Column::goes(2, "told so"),
        ];
        let rows: Vec<_> = receipt.timeline.iter().map(second).map(Cell::row).collect();
        parts.push(table(&columns, &rows, screen));
    }
    if !receipt.cited.is_empty() {
        // Whoever looks for a request in the access log needs its whole name.
        let columns =
            [Column::stays("request"), Column::shortens(2, "endpoint"), Column::shortens(1, "what")];
        let row = |CitedRecord { id, endpoint, cause }: &CitedRecord| {
            [id, endpoint, cause].map(Cell::from).to_vec()
        };
        let rows: Vec<_> = receipt.cited.iter().map(row).collect();
        parts.push(table(&columns, &rows, screen));
    }
    if parts.is_empty() {
        return "\nthis receipt is of an earlier version, which kept no more".to_owned();
    }
    format!("\n{}\n\nconfiguration {}", parts.join("\n\n"), receipt.configuration)
}

fn asked(evidence: &EvidenceRecord) -> Vec<String> {
    let EvidenceRecord { question, route, helios_after_ms, kubernetes_after_ms, .. } = evidence;
    let route = route.as_ref().map(|route| format!(" ({route})")).unwrap_or_default();
    let after = match (helios_after_ms, kubernetes_after_ms) {
        (Some(helios), Some(kubernetes)) => format!("{helios:.1} / {kubernetes:.1} ms"),
        _ => String::new(),
    };
    let shut = if evidence.ungated_s > 2.0 * evidence.evidence_s && evidence.ungated_s > 10.0 {
        format!(" (gate shut: {:.1e} s)", evidence.ungated_s)
    } else {
        String::new()
    };
    vec![
        format!("{}{route}", question_in_words(question)),
        format!("{} of {}", evidence.kubernetes_bad, evidence.kubernetes_votes),
        format!("{} of {}", evidence.helios_bad, evidence.helios_votes),
        percent(evidence.tolerated),
        after,
        format!("{:.1e} s{shut}", evidence.evidence_s),
    ]
}

fn second(second: &SecondRecord) -> Vec<String> {
    vec![
        moment(second.from_unix_ms),
        format!("{} of {}", second.helios_failed, second.helios_tries),
        format!("{} of {}", second.kubernetes_failed, second.kubernetes_tries),
        second.rescued.to_string(),
        second.unrescued.to_string(),
    ]
}

/// Requests that others have written of under these names.
fn cited(receipt: &ReceiptRecord) -> Option<String> {
    /// As many as fit a line.
    const TOLD: usize = 3;
    let ids: Vec<&str> = receipt.cited.iter().take(TOLD).map(|cited| cited.id.as_str()).collect();
    let more = if receipt.cited.len() > TOLD { ", …" } else { "" };
    (!ids.is_empty()).then(|| format!("{}{more}", ids.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::CourseRecord;

    fn finding(question: &str) -> FindingRecord {
        serde_json::from_value(serde_json::json!({
            "question": question, "route": "GET /x", "took_s": 9.0, "helios_votes": 34,
            "helios_bad": 14, "kubernetes_votes": 52, "kubernetes_bad": 42, "tolerated": 0.5, "evidence_s": 3.3e7,
            "promise_s": 3.2e7, "gate_nats": 9.0, "gate_needed_nats": 8.5, "noise": 1.0
        }))
        .unwrap()
    }

    #[test]
    fn what_was_found_is_told_in_words() {
        for (question, told) in [
            ("failure", "failures on Kubernetes, GET /x: 42 of 52 in 9 s (tolerated here: 50%)"),
            (
                "slower",
                "answers slower all in all on Kubernetes, GET /x: 42 of 52 later than Helios' median in 9 s \
                 (tolerated here: 50%)",
            ),
            ("of-tomorrow", "of-tomorrow on Kubernetes, GET /x: 42 of 52 in 9 s (tolerated here: 50%)"),
        ] {
            assert_eq!(what(&finding(question)), told);
        }
    }

    #[test]
    fn a_gate_that_was_shut_is_told_in_the_course() {
        let moment = |before_s, evidence_s, ungated_s| CourseRecord { before_s, evidence_s, ungated_s };
        let course = super::course(&FindingRecord {
            course: vec![moment(2.0, 1.0, 16.0), moment(1.0, 5_657.0, 5_657.0)],
            ..finding("failure")
        });
        assert_eq!(
            course.unwrap(),
            "evidence 2 s before: 16 % (gate shut: Helios is degraded too), 1 s before: 50 %"
        );
    }
}
