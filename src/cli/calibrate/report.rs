use std::time::Duration;

use crate::config::in_words;
use crate::control::{
    ActorRecord, CalibrationRecord, CalibrationStatus, EndingRecord, HalfRecord, JudgementRecord,
    QuestionRecord, SensitivityRecord, TrialRecord,
};

use super::super::explain::question_in_words;
use super::super::print::{Cell, Column, Screen, Tone, facts, moment, percent, table};

/// Noise that is worth a word: the judge needs half as much evidence again.
const NOISY: f64 = 1.5;

/// What there is to tell of a service's calibrations.
pub(super) fn of(status: &CalibrationStatus, screen: &Screen) -> String {
    let mut parts = Vec::new();
    match (&status.running, &status.last) {
        (Some(record), _) | (None, Some(record)) => parts.push(tell(record, screen)),
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
pub(super) fn tell(record: &CalibrationRecord, screen: &Screen) -> String {
    let mut rows = Vec::new();
    let mut add = |what: &str, text: String| rows.push([format!("  {what}"), text]);
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
    let soon = soon(&record.sensitivity, screen);
    format!("{}\n{}{soon}", head(record, screen), facts(&rows, screen))
}

/// What it says of the promise.
pub(in crate::cli) fn in_a_word(judgement: JudgementRecord) -> &'static str {
    match judgement {
        JudgementRecord::Within => "within the promise",
        JudgementRecord::Broken => "the promise is broken",
        JudgementRecord::TooShort => "too short to say",
    }
}

fn head(record: &CalibrationRecord, screen: &Screen) -> String {
    let [ran, lasts] = [record.ran_s, record.lasts_s].map(|s| in_words(Duration::from_secs_f64(s)));
    let (until, why) = (moment(record.ended_unix_ms), record.ending_why.as_deref().unwrap_or_default());
    let tone = if record.judgement == JudgementRecord::Broken { Tone::Bad } else { Tone::Plain };
    let word = screen.paint(tone, in_a_word(record.judgement));
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
    let mut lines = Vec::new();
    if noisy.is_empty() {
        lines.push("quiet: Helios' requests fail and are slow one by one, as by chance".to_owned());
    } else {
        lines.push("these come in clumps, and the judge asks for so many times the evidence:".to_owned());
    }
    lines.extend(noisy.into_iter().map(|question| {
        let words = question_in_words(&question.question);
        format!("{:.1} times for {words}", question.noise)
    }));
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
fn soon(sensitivity: &[SensitivityRecord], screen: &Screen) -> String {
    let Some(first) = sensitivity.first() else { return String::new() };
    let weight = |row: &SensitivityRecord| {
        format!("{:.2}{}", row.weight_percent, if row.in_force { " (now)" } else { "" })
    };
    let mut columns = vec![Column::shortens(0, "  weight")];
    columns.extend(sensitivity.iter().map(|row| Column::stays(weight(row))));
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    let mut never: Vec<(&str, Vec<String>)> = Vec::new();
    for (place, degradation) in first.degradations.iter().enumerate() {
        let mut cells = vec![Cell::from(format!("  {}", degradation.text))];
        for row in sensitivity {
            let Some(here) = row.degradations.get(place) else { continue };
            let seen = match (here.seen_in_s, &here.why_never) {
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
            };
            cells.push(seen.into());
        }
        rows.push(cells);
    }
    let never = never.into_iter().map(|(why, weights)| format!("\n  never at {}: {why}", weights.join(", ")));
    let never: String = never.collect();
    let all = first.helios_per_second + first.kubernetes_per_second;
    format!(
        "\nAt {all:.1} requests a second, and with what is known of Helios now, this is how soon it would be seen if on \
         Kubernetes …\n{}{never}",
        table(&columns, &rows, screen)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{BegunRecord, DegradationStatus};

    fn record() -> CalibrationRecord {
        let trial = |promise_s, expected, found| TrialRecord {
            promise_s,
            expected,
            found,
            chance: 1.0,
            most_evidence: 0.31,
            most_with_gated: 0.44,
        };
        let half = |requests, failed| HalfRecord { requests, per_second: requests as f64 / 1_800.0, failed };
        let question = |question: &str, noise, votes, found| QuestionRecord {
            question: question.to_owned(),
            noise,
            a_votes: votes,
            a_bad: 0,
            b_votes: votes,
            b_bad: 0,
            found,
        };
        let row = |weight_percent, in_force, seen: [Option<f64>; 2], why: Option<&str>| SensitivityRecord {
            weight_percent,
            in_force,
            helios_per_second: 24.0,
            kubernetes_per_second: 1.0,
            degradations: [
                ("fails", 1.0, "100% of requests fail"),
                ("slower", 1.3, "answers take 1.3 times as long"),
            ]
            .into_iter()
            .zip(seen)
            .map(|((kind, amount, text), seen_in_s)| DegradationStatus {
                kind: kind.to_owned(),
                amount,
                text: text.to_owned(),
                seen_in_s,
                why_never: why.filter(|_| seen_in_s.is_none()).map(str::to_owned),
            })
            .collect(),
        };
        CalibrationRecord {
            service: "playlist".to_owned(),
            begun_unix_ms: 1_795_315_447_312,
            by: ActorRecord::Person("ann".to_owned()),
            reason: Some("before the ramp".to_owned()),
            lasts_s: 1_800.0,
            ended_unix_ms: 1_795_317_247_312,
            ran_s: 1_800.0,
            ending: EndingRecord::Finished,
            ending_why: None,
            judgement: JudgementRecord::Within,
            told: "at one false revert in 1 min 30 s at most 20 are expected in 30 min, and 0 were found"
                .to_owned(),
            own: trial(31_557_600.0, 5.7e-5, 0),
            short: trial(90.0, 20.0, 0),
            a: half(21_931, 0.0003),
            b: half(21_870, 0.0002),
            p50_ms: Some(5.5),
            p99_ms: Some(13.1),
            questions: vec![question("failure", 1.1, 21_000, 1), question("slower", 1.0, 21_000, 0)],
            votes_lost: 0,
            sensitivity: vec![
                row(0.0, true, [None, None], Some("nothing on Kubernetes")),
                row(5.0, false, [Some(1.3), None], Some("within what is tolerated")),
            ],
        }
    }

    #[test]
    fn a_report_reads_as_people_read_it() {
        assert_eq!(
            tell(&record(), &Screen::PAPER),
            "\
playlist: within the promise. Helios was compared with itself for 30 min until 2026-11-22 03:14:07.312 UTC. Begun by ann: before the ramp.
  because  at one false revert in 1 min 30 s at most 20 are expected in 30 min, and 0 were found
  promise  one false revert in 1 y: 0 found, at most 5.7e-5 expected; the evidence came to 31% of what reverts, 44% with what the gate held back as a shared event
  halves   A 21931 requests, 12.2/s, 0.03% failed
           B 21870 requests, 12.2/s, 0.02% failed
  latency  p50 5.5 ms, p99 13.1 ms
  noise    quiet: Helios' requests fail and are slow one by one, as by chance
At 25.0 requests a second, and with what is known of Helios now, this is how soon it would be seen if on Kubernetes …
  weight                          0.00 (now)  5.00
  100% of requests fail           never       1.3 s
  answers take 1.3 times as long  never       never
  never at 0.00: nothing on Kubernetes
  never at 5.00: within what is tolerated"
        );
    }

    #[test]
    fn a_broken_promise_comes_with_what_to_look_for() {
        let mut record = record();
        record.judgement = JudgementRecord::Broken;
        record.questions[0].noise = 3.94;
        record.questions[1].a_votes = 0;
        record.questions[1].b_votes = 0;
        record.ending = EndingRecord::Stopped;
        record.ending_why = Some("bob: seen enough".to_owned());
        record.sensitivity.clear();
        let told = tell(&record, &Screen::PAPER);
        for line in [
            "playlist: the promise is broken. Helios was compared with itself for 30 min until 2026-11-22 03:14:07.312 UTC, \
             when it was stopped by bob: seen enough. Begun by ann: before the ramp.",
            "  noise    these come in clumps, and the judge asks for so many times the evidence:",
            "           3.9 times for failures",
            "           nobody voted on answers slower all in all: Helios is not known well enough, or too little time has passed",
            "  then     a Kubernetes as good as Helios would be reverted more often than is promised. Look for what brings \
             failures to some of Helios' endpoints, users or moments and not to others; or tolerate more",
        ] {
            assert!(told.lines().any(|told| told == line), "{line}\nin\n{told}");
        }
    }

    #[test]
    fn without_a_result_it_is_told_what_there_is() {
        let mut status =
            CalibrationStatus { service: "a".to_owned(), running: None, last: None, interrupted: None };
        assert_eq!(of(&status, &Screen::PAPER), "a has never been calibrated to an end");
        status.interrupted = Some(BegunRecord {
            begun_unix_ms: 1_795_317_247_312,
            by: ActorRecord::Person("ann".to_owned()),
            reason: None,
            lasts_s: 7_200.0,
        });
        assert!(of(&status, &Screen::PAPER).ends_with(
            "\na calibration for 2 h that began on 2026-11-22 03:14:07.312 UTC was interrupted by a restart"
        ));
        let running = CalibrationRecord { ending: EndingRecord::Running, ran_s: 240.0, ..record() };
        status.running = Some(running);
        assert!(of(&status, &Screen::PAPER).starts_with(
            "playlist: within the promise so far. Helios has been compared with itself for 4 min of 30 min.\n"
        ));
    }
}
