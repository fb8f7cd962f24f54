use std::time::Duration;

use crate::config::in_words;
use crate::control::{
    ActorRecord, CalibrationRecord, CalibrationStatus, EndingRecord, HalfRecord, JudgementRecord,
    QuestionRecord, SensitivityRecord, TrialRecord,
};

use super::super::explain::question_in_words;
use super::super::print::{moment, percent, table};

/// Noise that is worth a word: the judge needs half as much evidence again.
const NOISY: f64 = 1.5;

/// What there is to tell of a service's calibrations.
pub(super) fn of(status: &CalibrationStatus) -> String {
    let mut parts = Vec::new();
    match (&status.running, &status.last) {
        (Some(record), _) | (None, Some(record)) => parts.push(tell(record)),
        (None, None) => parts.push(format!("{} has never been calibrated to an end", status.service)),
    }
    if let Some(begun) = &status.interrupted {
        let lasts = in_words(Duration::from_secs_f64(begun.lasts_s));
        let since = moment(begun.begun_unix_ms);
        parts.push(format!("a calibration for {lasts} that began on {since} was interrupted by a restart"));
    }
    parts.join("\n")
}

/// What a calibration came to, as people read it.
pub(super) fn tell(record: &CalibrationRecord) -> String {
    let mut rows = Vec::new();
    let mut add = |what: &str, text: String| rows.push(vec![format!("  {what}"), text]);
    add("because", record.told.clone());
    add("promise", own(&record.own));
    add("halves", format!("A {}", half(&record.a)));
    add("", format!("B {}", half(&record.b)));
    if let (Some(p50), Some(p99)) = (record.p50_ms, record.p99_ms) {
        add("latency", format!("p50 {p50:.1} ms, p99 {p99:.1} ms"));
    }
    for (place, line) in noise(&record.questions).into_iter().enumerate() {
        add(if place == 0 { "noise" } else { "" }, line);
    }
    if record.votes_lost > 0 {
        add("lost", format!("{} votes, as too many waited: a worker is overloaded", record.votes_lost));
    }
    if record.judgement == JudgementRecord::Broken {
        add("then", advice(record));
    }
    let soon = soon(&record.sensitivity);
    format!("{}\n{}{soon}", head(record), table(&rows))
}

fn head(record: &CalibrationRecord) -> String {
    let [ran, lasts] = [record.ran_s, record.lasts_s].map(|s| in_words(Duration::from_secs_f64(s)));
    let (until, why) = (moment(record.ended_unix_ms), record.ending_why.as_deref().unwrap_or_default());
    let word = match record.judgement {
        JudgementRecord::Within => "within the promise",
        JudgementRecord::Broken => "the promise is broken",
        JudgementRecord::TooShort => "too short to say",
    };
    let how = match record.ending {
        EndingRecord::Running => {
            return format!(
                "{}: {word} so far. Helios has been compared with itself for {ran} of {lasts}.",
                record.service
            );
        }
        EndingRecord::Finished => String::new(),
        EndingRecord::Stopped => format!(", when it was stopped by {why}"),
        EndingRecord::Changed => format!(", when it ended: {why}"),
    };
    let by = match (&record.by, &record.reason) {
        (ActorRecord::Person(name), None) => format!(" by {name}"),
        (by, Some(reason)) => format!(" by {by}: {reason}"),
        (by, None) => format!(" by {by}"),
    };
    format!(
        "{}: {word}. Helios was compared with itself for {ran} until {until}{how}. Begun{by}.",
        record.service
    )
}

fn own(trial: &TrialRecord) -> String {
    let (open, all) = (trial.most_evidence * 100.0, trial.most_with_gated * 100.0);
    let gated = if all > open + 0.5 {
        format!(", {all:.0}% with what the gate held back as a shared event")
    } else {
        String::new()
    };
    format!(
        "one false revert in {}: {} found, at most {} expected; the evidence came to {open:.0}% of what reverts{gated}",
        in_words(Duration::from_secs_f64(trial.promise_s)),
        trial.found,
        if trial.expected < 0.1 {
            format!("{:.1e}", trial.expected)
        } else {
            format!("{:.1}", trial.expected)
        },
    )
}

fn half(half: &HalfRecord) -> String {
    format!("{} requests, {:.1}/s, {} failed", half.requests, half.per_second, percent(half.failed))
}

/// Which questions are noisy, the noisiest first; and which nobody voted on.
fn noise(questions: &[QuestionRecord]) -> Vec<String> {
    let mut noisy: Vec<_> = questions.iter().filter(|question| question.noise >= NOISY).collect();
    noisy.sort_by(|a, b| b.noise.total_cmp(&a.noise));
    let mut lines: Vec<String> = noisy
        .into_iter()
        .map(|question| {
            let words = question_in_words(&question.question);
            format!(
                "{words} come in clumps: they vary {:.1} times as much as by chance, and take as many times the evidence",
                question.noise
            )
        })
        .collect();
    if lines.is_empty() {
        lines.push("quiet: Helios' requests fail and are slow one by one, as by chance".to_owned());
    }
    let silent: Vec<_> = questions
        .iter()
        .filter(|question| question.a_votes + question.b_votes == 0)
        .map(|question| question_in_words(&question.question))
        .collect();
    if !silent.is_empty() {
        let silent = silent.join(", ");
        lines.push(format!(
            "nobody voted on {silent}: Helios is not known well enough, or too little time has passed"
        ));
    }
    lines
}

fn advice(record: &CalibrationRecord) -> String {
    let most = record.questions.iter().rev().max_by_key(|question| question.found);
    let what = most
        .filter(|question| question.found > 0)
        .map_or("trouble", |question| question_in_words(&question.question));
    format!(
        "a Kubernetes as good as Helios would be reverted more often than is promised. Look for what brings {what} to \
         some of Helios' endpoints, users or moments and not to others; or tolerate more"
    )
}

/// How soon trouble would be seen, by weight.
fn soon(sensitivity: &[SensitivityRecord]) -> String {
    let Some(first) = sensitivity.first() else { return String::new() };
    let weight = |row: &SensitivityRecord| {
        format!("{:.2}{}", row.weight_percent, if row.in_force { " (now)" } else { "" })
    };
    let mut head = vec!["  weight".to_owned()];
    head.extend(sensitivity.iter().map(weight));
    let mut rows = vec![head];
    let mut never: Vec<(&str, Vec<String>)> = Vec::new();
    for (place, degradation) in first.degradations.iter().enumerate() {
        let mut cells = vec![format!("  {}", degradation.text)];
        for row in sensitivity {
            let Some(here) = row.degradations.get(place) else { continue };
            cells.push(match (here.seen_in_s, &here.why_never) {
                (Some(s), _) => in_words(Duration::from_secs_f64(s)),
                (None, why) => {
                    let why = why.as_deref().unwrap_or("as it is");
                    let weight = format!("{:.2}", row.weight_percent);
                    match never.iter_mut().find(|(known, _)| *known == why) {
                        Some((_, weights)) if weights.contains(&weight) => {}
                        Some((_, weights)) => weights.push(weight),
                        None => never.push((why, vec![weight])),
                    }
                    "never".to_owned()
                }
            });
        }
        rows.push(cells);
    }
    let never = never.into_iter().map(|(why, weights)| format!("\n  never at {}: {why}", weights.join(", ")));
    let never: String = never.collect();
    let all = first.helios_per_second + first.kubernetes_per_second;
    format!(
        "\nAt {all:.1} requests a second, and with what is known of Helios now, this is how soon it would be seen if on \
         Kubernetes …\n{}{never}",
        table(&rows)
    )
}
