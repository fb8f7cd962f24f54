use std::time::Duration;

use clap::Args;
use http::{Method, StatusCode};

use crate::admin::client::{self, Address, AskError};
use crate::config::in_words;
use crate::control::{
    ActorRecord, DegradationStatus, FindingRecord, ReceiptRecord, SensitivityStatus, ServiceStatus,
    SideRecord,
};
use crate::model::Cause;
use crate::verdict::Question;

use super::print::{ago, moment, percent, say, table};
use super::status::{evidence, word};
use super::{Failure, block_on};

/// Arguments of `explain`.
#[derive(Args, Debug)]
pub(super) struct Explain {
    /// The service.
    service: String,
    /// Tells instead how soon the judge would see trouble, at the present rates of requests.
    #[arg(long)]
    sensitivity: bool,
    /// Prints the receipt as it is kept, or what the admin interface answers.
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub(super) fn run(self, admin: &Address) -> Result<(), Failure> {
        let status = client::service(&self.service);
        let what = if self.sensitivity { "sensitivity" } else { "receipt" };
        let path = format!("{status}/{what}");
        if self.json {
            say(&block_on(client::ask_text(admin, Method::GET, &path, None::<&()>))?);
            return Ok(());
        }
        if self.sensitivity {
            let sensitivity = block_on(client::ask(admin, Method::GET, &path, None::<&()>))?;
            say(&tell_sensitivity(&sensitivity));
            return Ok(());
        }
        let receipt = match block_on(client::ask(admin, Method::GET, &path, None::<&()>)) {
            Ok(receipt) => Some(receipt),
            // It was never reverted, or there is no such service: its status tells which.
            Err(Failure::Admin(AskError::Refused { status: StatusCode::NOT_FOUND, .. })) => None,
            Err(failure) => return Err(failure),
        };
        let status: ServiceStatus = block_on(client::ask(admin, Method::GET, &status, None::<&()>))?;
        say(&match receipt {
            Some(receipt) => tell(&receipt, Some(&status)),
            None => tell_state(&status),
        });
        Ok(())
    }
}

/// How soon trouble would be seen, as people read it.
fn tell_sensitivity(sensitivity: &SensitivityStatus) -> String {
    let SensitivityStatus { service, helios_per_second: helios, kubernetes_per_second: kubernetes, .. } =
        sensitivity;
    let promise = in_words(Duration::from_secs_f64(sensitivity.promise_s));
    let head = format!(
        "{service}: at {helios:.1}/s on Helios and {kubernetes:.1}/s on Kubernetes, with one false revert in \
         {promise}, this is how soon it would be seen if on Kubernetes …"
    );
    let rows: Vec<_> = sensitivity
        .degradations
        .iter()
        .map(|DegradationStatus { text, seen_in_s, why_never, .. }| {
            let seen_in = match (seen_in_s, why_never) {
                (Some(s), _) => in_words(Duration::from_secs_f64(*s)),
                (None, Some(why)) => format!("never: {why}"),
                (None, None) => "never, as it is".to_owned(),
            };
            vec![format!("  {text}"), seen_in]
        })
        .collect();
    let off = match sensitivity.judge.as_str() {
        "off" => "\nthe judge of this service is off",
        "advise" => "\nthe judge of this service only advises",
        _ => "",
    };
    format!("{head}\n{}{off}", table(&rows))
}

/// What the judge has to say of a service that was never reverted.
fn tell_state(status: &ServiceStatus) -> String {
    let mut rows = Vec::new();
    let mut add = |what: &str, text: String| rows.push(vec![format!("  {what}"), text]);
    add("weight", format!("{:.2} ({})", status.weight_percent, status.why));
    add("judge", status.judge.clone());
    if status.judge != "off" {
        add("verdict", word(status));
        add("evidence", evidence(status));
        let gate = if status.shared { "shut: Helios is degraded too" } else { "not shut" };
        add("gate", gate.to_owned());
    }
    if let Some(case) = &status.case {
        add("what", what(case));
        add("", on_helios(case));
        add("how sure", how_sure(case));
        if let Some(course) = course(case) {
            add("", course);
        }
    }
    format!("{} has never been reverted.\n{}", status.service, table(&rows))
}

/// A receipt as people read it.
pub(super) fn tell(receipt: &ReceiptRecord, now: Option<&ServiceStatus>) -> String {
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
    let mut add = |what: &str, text: String| rows.push(vec![format!("  {what}"), text]);
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
    format!("{head}\n{}", table(&rows))
}

pub(super) fn what(finding: &FindingRecord) -> String {
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
pub(super) fn question_in_words(name: &str) -> &str {
    let question = Question::ALL.into_iter().find(|question| question.as_str() == name);
    question.map_or(name, |question| question.in_words())
}

pub(super) fn on_helios(finding: &FindingRecord) -> String {
    format!("the same on Helios: {} of {}", finding.helios_bad, finding.helios_votes)
}

pub(super) fn how_sure(finding: &FindingRecord) -> String {
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
fn course(finding: &FindingRecord) -> Option<String> {
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
    let before = receipt.weight_before_percent;
    match &receipt.applied {
        Some(applied) => format!(
            "weight {before:.2} → 0.00 on {} of {} workers in {:.1} ms",
            applied.workers,
            applied.of,
            applied.took_us as f64 / 1e3
        ),
        None => format!("weight {before:.2} → 0.00"),
    }
}

fn present(status: &ServiceStatus, receipt: &ReceiptRecord) -> String {
    if status.why == "held" {
        return format!("held. To end: switchback release {} --to 1 --reason …", receipt.service);
    }
    let since = status.since_unix_ms.map(|since| format!(" since {} ago", ago(since))).unwrap_or_default();
    format!("released: weight {:.2} ({}{since})", status.weight_percent, status.why)
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

    #[test]
    fn a_service_that_was_never_reverted_is_told_as_it_is() {
        let side = serde_json::json!({"endpoints": 1, "per_second": 9.0, "failed": 0.0});
        let status = serde_json::from_value(serde_json::json!({
            "service": "a", "team": "t", "weight_percent": 25.0, "why": "file", "file_percent": 25.0,
            "helios": side, "kubernetes": side, "judge": "revert", "verdict": "not worse", "evidence": 0.34,
            "leading": "slower", "leading_route": "GET /x", "shared": true
        }))
        .unwrap();
        let lines = [
            "a has never been reverted.",
            "  weight    25.00 (file)",
            "  judge     revert",
            "  verdict   not worse",
            "  evidence  34% (slower on GET /x)",
            "  gate      shut: Helios is degraded too",
        ];
        assert_eq!(tell_state(&status), lines.join("\n"));
        let quiet = ServiceStatus { evidence: 0.0, shared: false, ..status };
        let told = tell_state(&quiet);
        assert!(told.contains("  evidence  none\n") && told.ends_with("  gate      not shut"), "{told}");
        let off = ServiceStatus { judge: "off".to_owned(), ..quiet };
        assert_eq!(tell_state(&off), "a has never been reverted.\n  weight  25.00 (file)\n  judge   off");
    }
}
