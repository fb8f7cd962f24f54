use std::time::Duration;

use crate::config::in_words;
use crate::model::PerSide;
use crate::verdict::Question;

use super::super::journal::JudgementRecord;
use super::trial::Trial;

/// What a calibration says of the promise, and why.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Judgement {
    pub(super) word: JudgementRecord,
    /// In a sentence.
    pub(super) told: String,
}

/// Why nothing can be said.
enum Lack {
    /// Not even one finding was to be expected.
    Time,
    /// One half was asked nothing, or next to nothing.
    Requests,
    /// What would be found at once elsewhere takes longer here than the time in which one finding may be expected.
    Speed(Duration),
}

impl Judgement {
    /// Of two trials that ran for so long, with so many requests a second on either half.
    pub(super) fn of(own: &Trial, short: &Trial, ran: Duration, asked: PerSide<f64>) -> Self {
        // Too many are too many, however short the time was.
        if let Some(trial) = [own, short].into_iter().find(|trial| trial.is_broken(ran)) {
            let told = format!("{}{}", counted(trial, ran), blamed(trial));
            return Self { word: JudgementRecord::Broken, told };
        }
        match lack(short, ran, asked) {
            Some(lack) => Self { word: JudgementRecord::TooShort, told: lack.told(short, ran, asked) },
            None => Self { word: JudgementRecord::Within, told: counted(short, ran) },
        }
    }
}

fn lack(short: &Trial, ran: Duration, asked: PerSide<f64>) -> Option<Lack> {
    if ran < short.promise() {
        return Some(Lack::Time);
    }
    match short.outage_seen_in(asked) {
        None => Some(Lack::Requests),
        Some(seen_in) => (seen_in > short.promise()).then_some(Lack::Speed(seen_in)),
    }
}

impl Lack {
    fn told(&self, short: &Trial, ran: Duration, asked: PerSide<f64>) -> String {
        let promise = in_words(short.promise());
        match self {
            Lack::Time => {
                format!(
                    "it ran for {}, and not even one false revert in {promise} is expected by then",
                    in_words(ran)
                )
            }
            Lack::Requests => format!(
                "Helios had {:.2} requests a second on one half and {:.2} on the other: there is too little to compare",
                asked.helios, asked.kubernetes
            ),
            Lack::Speed(seen_in) => format!(
                "at {:.2} requests a second on either half even an outage takes {} to be seen, and the promise that is \
                 put to the test is one false revert in {promise}; calibrate for {} or longer",
                asked.helios.min(asked.kubernetes),
                in_words(*seen_in),
                in_words(*seen_in * super::running::ALLOWED),
            ),
        }
    }
}

/// What was expected and what came.
fn counted(trial: &Trial, ran: Duration) -> String {
    let expected = trial.expected(ran);
    let expected = if expected < 0.1 { format!("{expected:.1e}") } else { format!("{expected:.1}") };
    let expected = expected.trim_end_matches(".0");
    format!(
        "at one false revert in {} at most {expected} are expected in {}, and {} {} found",
        in_words(trial.promise()),
        in_words(ran),
        trial.found(),
        if trial.found() == 1 { "was" } else { "were" },
    )
}

/// What led to most of the findings.
fn blamed(trial: &Trial) -> String {
    let most = Question::ALL.into_iter().rev().max_by_key(|question| trial.found_by()[*question]);
    most.map(|question| format!(", mostly of {}", question.in_words())).unwrap_or_default()
}
