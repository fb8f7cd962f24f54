//! As text: for a terminal, and as Markdown.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::statistics::Spread;

use super::bounds::{BESIDE, BOUNDS, JUDGED};
use super::{About, Figure, Judged, Mark, Outcome};

/// The whole of it, as Markdown.
pub(crate) fn markdown(about: &About, outcomes: &[Outcome], judged: &[Judged]) -> String {
    let About { date, machine, versions, rounds, seconds } = about;
    let mut text = format!(
        "# Switchback beside its peers, {date}\n\n{}, {} cores, Linux {}. {rounds} rounds of {seconds} s a proxy. \
         `loadtest/compare` measures all of it anew.\n\n",
        machine.processor, machine.cores, machine.kernel
    );
    for version in versions {
        let _ = writeln!(text, "- {version}");
    }
    let _ = write!(text, "\n## What must be reached\n\n{}\n{HOW}", table(judged));
    let _ = writeln!(text, "\n![CPU a request](cpu.svg)\n\n![Latencies](latency.svg)\n\n## Scenarios");
    for outcome in outcomes {
        let _ = write!(text, "\n### {}\n\n{}.\n\n{}", outcome.scenario, outcome.about, figures(outcome));
    }
    text
}

/// How it was measured, for who reads results and not the program.
const HOW: &str = "\
Ratios are Switchback's figure over the peer's: CPU a request unless the row says otherwise. Each is the median of the
rounds' ratios, with its quartiles in brackets, and the bound behind it. ✓ is met, ✗ is missed, – was not measured.

## How it was measured

Each proxy has one thread, and that a core to itself; the load generator and the endpoints (nginx, and for gRPC a small
server of our own) share another. All run all the time, but are under load one after the other; rounds begin with another
one each time. CPU a request is what the kernel says that all of a proxy's threads have used, over the requests that were
answered, at as much load as one core of generator and endpoints can make: wrk for HTTP/1.1, h2load for HTTP/2. Latencies
are at a steady rate, half of that at which the slowest peer is saturated, and are counted from when a request was due,
not from when it was sent: nothing is left out because the generator had to wait. They are measured in many short rounds,
since a machine that stands still for some ms is the slowest hundredth of a second, whoever is measured. One failed
request makes a proxy's figures worthless. Rounds in which others took more than a tenth of a core were measured again, at
most as many as were asked for, and the least disturbed ones were kept.

Everybody has the same split (half to each of two sides), two endpoints a side, least requests in flight, keep-alive to
endpoints, `X-Forwarded-For`, time limits, checks of endpoints every 5 s (but nginx, which has none), no access log, and
TLS 1.3 with X25519, AES-128-GCM and one ECDSA certificate, without resumption. Switchback runs as it ships: judge,
metrics, limits and rescue are on.
";

/// Every bound, with what was found.
pub(crate) fn table(judged: &[Judged]) -> String {
    let mut text = "| | HAProxy | nginx | Envoy | floor (TCP relay) |\n|---|---|---|---|---|\n".to_owned();
    let (ratios, own): (Vec<&Judged>, Vec<&Judged>) =
        judged.iter().partition(|judged| judged.beside.is_some());
    for bound in &BOUNDS {
        let row: Vec<&&Judged> = ratios.iter().filter(|judged| judged.title == bound.title).collect();
        if row.is_empty() {
            continue;
        }
        let cells = BESIDE.map(|peer| {
            row.iter().find(|judged| judged.beside == Some(peer)).map_or(String::new(), |judged| cell(judged))
        });
        let _ = writeln!(text, "| {} | {} |", bound.title, cells.join(" | "));
    }
    text += "\n| Switchback itself | found | bound |\n|---|---|---|\n";
    for judged in own {
        let (_, unit, digits) = judged.figure.told();
        let found =
            judged.found.map_or("–".to_owned(), |found| format!("{:.digits$} {unit}", found.median));
        let sign = if judged.figure == Figure::Times { "≥" } else { "≤" };
        let _ = writeln!(
            text,
            "| {} | {found} {} | {sign} {} {unit} |",
            judged.title,
            judged.mark.sign(),
            judged.bound
        );
    }
    text
}

fn cell(judged: &Judged) -> String {
    let found = judged.found.map_or("–".to_owned(), |Spread { low, median, high, .. }| {
        format!("**{median:.2}** {} ({low:.2}–{high:.2})", judged.mark.sign())
    });
    format!("{found} ≤ {:.2}", judged.bound)
}

impl Mark {
    fn sign(self) -> &'static str {
        match self {
            Self::Met => "✓",
            Self::Missed => "✗",
            Self::NotMeasured => "",
        }
    }
}

/// What a scenario has come to: a row for each who was measured.
pub(crate) fn figures(outcome: &Outcome) -> String {
    let columns: BTreeSet<Figure> =
        outcome.figures.values().flat_map(|figures| figures.keys().copied()).collect();
    let heads: Vec<String> = columns
        .iter()
        .map(|figure| match figure.told() {
            (name, "", _) => name.to_owned(),
            (name, unit, _) => format!("{name}, {unit}"),
        })
        .collect();
    let mut text = format!("| | {} |\n|---|{}\n", heads.join(" | "), "---:|".repeat(heads.len()));
    // Switchback first.
    let mut names: Vec<&String> = outcome.figures.keys().collect();
    names.sort_by_key(|name| (*name != JUDGED, (*name).clone()));
    for who in names {
        let cells: Vec<String> = columns
            .iter()
            .map(|figure| outcome.spread(who, *figure).map_or(String::new(), |found| number(*figure, found)))
            .collect();
        let _ = writeln!(text, "| {who} | {} |", cells.join(" | "));
    }
    for (who, why) in &outcome.invalid {
        let _ = writeln!(text, "\n**{who} is not valid**: {}", why.replace('\n', " "));
    }
    if let Some(why) = &outcome.broken_off {
        let _ = writeln!(text, "\n**Not measured to its end**: {}", why.replace('\n', " "));
    }
    if !outcome.notes.is_empty() {
        let _ = writeln!(text, "\n{}.", outcome.notes.join("; "));
    }
    text + "\n"
}

fn number(figure: Figure, Spread { low, median, high, of }: Spread) -> String {
    let digits = figure.told().2;
    if of > 1 && high - low > NOISY * median.abs() {
        return format!("{median:.digits$} ({low:.digits$}–{high:.digits$})");
    }
    format!("{median:.digits$}")
}

/// Quartiles are told where they lie further apart than this share of the median.
const NOISY: f64 = 0.05;
