//! The delay table: how soon the judge finds what it must, and that it finds nothing else.

use std::fmt::Write as _;

use crate::race::Race;

/// What was asked of the judge, in seconds from the change to the revert: a scenario's median is at most this,
/// and, where there is one, this is aimed at.
const BOUNDS: [(&str, &str, f64, Option<f64>); 14] = [
    ("refuses", "outage", 1.1, None),
    ("hangs", "hang", 1.1, None),
    ("errors-10", "10 % errors", 2.0, None),
    ("errors-5", "5 % errors", 4.0, None),
    ("errors-1", "1 % errors", 16.0, None),
    ("slower-1.3", "p50 × 1.3", 11.0, Some(7.0)),
    ("tail-2", "p99 × 2", 10.0, None),
    ("tail-5", "p99 × 5", 12.0, Some(5.0)),
    ("one-fails", "one endpoint of ten fails", 4.0, None),
    ("one-slow", "one endpoint of ten is slow", 4.0, None),
    ("route-20", "20 % errors on a route of 8 %", 9.0, None),
    ("refuses-at-1", "outage at weight 1", 2.5, None),
    ("refuses-at-99", "outage at weight 99", 6.0, None),
    ("refuses-1-a-second", "outage at 1 request a second", 22.0, None),
];
/// Trouble has a bound of its own, in which the limit has no say.
const AMID_TROUBLE: (&str, &str, f64, Option<f64>) =
    ("errors-5-amid-trouble", "5 % errors amid bursts and restarts", 40.0, Some(15.0));
/// The geometric mean of delay over limit.
const FACTOR: (f64, f64) = (2.4, 1.7);

/// Delays and limits below this are as good as this.
const LEAST_S: f64 = 1.0;

/// All of it, as Markdown.
pub(crate) fn report(races: &[Race]) -> String {
    let mut text =
        String::from("## What was asked\n\n| | at most | aim | reached | |\n|---|---:|---:|---:|---|\n");
    totals(&mut text, races);
    for bound in BOUNDS.iter().chain([&AMID_TROUBLE]) {
        bound_row(&mut text, races, bound);
    }
    text.push_str(
        "\n## Kubernetes becomes worse\n\nMedian seconds from the change. † The limit knows nothing of the \
         troubles of this scenario: it is too good to be true.\n\n| scenario | | limit | Switchback | from … to | \
         delay / limit | found | by |\n|---|---|---:|---:|---:|---:|---:|---|\n",
    );
    for race in races.iter().filter(|race| race.change_s().is_some()) {
        worse_row(&mut text, race);
    }
    text.push_str("\n## Nothing to be found\n\n| scenario | | traces | hours | false reverts |\n|---|---|---:|---:|---:|\n");
    for race in races.iter().filter(|race| race.change_s().is_none()) {
        let (scenario, score) = (&race.scenario, race.score());
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:.1} | {} |",
            scenario.name,
            scenario.about,
            race.traces.len(),
            score.healthy_hours,
            score.false_reverts
        );
    }
    text
}

/// The geometric mean of delay over limit, where the limit knows all there is to know.
pub(crate) fn factor(races: &[Race]) -> f64 {
    let logs: Vec<f64> = races
        .iter()
        .filter(|race| race.change_s().is_some() && !race.scenario.is_troubled())
        .map(|race| factor_of(race).ln())
        .filter(|log| !log.is_nan())
        .collect();
    (logs.iter().sum::<f64>() / logs.len() as f64).exp()
}

fn factor_of(race: &Race) -> f64 {
    race.score().median_s().max(LEAST_S) / race.limit_s.max(LEAST_S)
}

fn totals(text: &mut String, races: &[Race]) {
    for (name, worse) in [("must-hold scenarios", false), ("healthy parts of the others", true)] {
        let of_kind = || races.iter().filter(|race| race.change_s().is_some() == worse);
        let (wrong, hours) = of_kind().map(Race::score).fold((0, 0.0), |(wrong, hours), score| {
            (wrong + score.false_reverts, hours + score.healthy_hours)
        });
        let _ = writeln!(
            text,
            "| false reverts in {name}, {hours:.1} hours | 0 | | {wrong} | {} |",
            mark(wrong == 0)
        );
    }
    let scores: Vec<_> = races.iter().filter(|race| race.change_s().is_some()).map(Race::score).collect();
    let delays = || scores.iter().flat_map(|score| &score.delays_s);
    let (all, found) = (delays().count(), delays().filter(|delay| delay.is_finite()).count());
    let _ = writeln!(text, "| degradations found | {all} | | {found} | {} |", mark(found == all));
    let factor = factor(races);
    let (most, aim) = FACTOR;
    let _ = writeln!(
        text,
        "| geometric mean of delay / limit, both at least 1 s | {most} | {aim} | {factor:.2} | {} |",
        marks(factor, most, Some(aim))
    );
}

fn bound_row(text: &mut String, races: &[Race], (name, about, most, aim): &(&str, &str, f64, Option<f64>)) {
    let Some(race) = races.iter().find(|race| race.scenario.name == *name) else { return };
    let median = race.score().median_s();
    let aimed = aim.map_or(String::new(), |aim| format!("{aim} s"));
    let _ = writeln!(
        text,
        "| {about} | {most} s | {aimed} | {} | {} |",
        seconds(median),
        marks(median, *most, *aim)
    );
}

fn worse_row(text: &mut String, race: &Race) {
    let (scenario, score) = (&race.scenario, race.score());
    let dagger = if scenario.is_troubled() { "†" } else { "" };
    let early = match score.false_reverts {
        0 => String::new(),
        count => format!(", {count} before the change"),
    };
    let least = score.delays_s.iter().copied().fold(f64::INFINITY, f64::min);
    let most = score.delays_s.iter().copied().fold(0.0, f64::max);
    let _ = writeln!(
        text,
        "| {} | {} | {}{dagger} | {} | {} … {} | {:.1} | {} of {}{early} | {} |",
        scenario.name,
        scenario.about,
        seconds(race.limit_s),
        seconds(score.median_s()),
        seconds(least),
        seconds(most),
        factor_of(race),
        score.delays_s.iter().filter(|delay| delay.is_finite()).count(),
        race.traces.len(),
        race.answers().join(", ")
    );
}

/// Seconds for people.
pub(crate) fn seconds(seconds: f64) -> String {
    match seconds {
        s if s.is_nan() => "–".to_owned(),
        s if s.is_infinite() => "never".to_owned(),
        s if s < 0.995 => format!("{s:.2}"),
        s if s < 99.5 => format!("{s:.1}"),
        s => format!("{s:.0}"),
    }
}

fn marks(reached: f64, most: f64, aim: Option<f64>) -> &'static str {
    match aim {
        Some(aim) if reached <= aim => "✓✓",
        _ => mark(reached <= most),
    }
}

fn mark(good: bool) -> &'static str {
    if good { "✓" } else { "✗" }
}
