//! Pictures of the results, as SVG.

use std::fmt::Write as _;

use crate::peers::Peer;

use super::{Figure, Outcome};

const COLOURS: [&str; 5] = ["#d62728", "#1f77b4", "#2ca02c", "#9467bd", "#8c8c8c"];
const LEFT: f64 = 120.0;
const WIDTH: f64 = 640.0;
const BAR: f64 = 13.0;
const GAP: f64 = 14.0;
const TOP: f64 = 40.0;

/// Each picture, with the name of its file.
pub(crate) fn pictures(outcomes: &[Outcome]) -> [(&'static str, String); 2] {
    [("cpu.svg", cpu(outcomes)), ("latency.svg", latency(outcomes))]
}

/// CPU a request: a bar for each peer of each scenario, dark in the program and light in the kernel. Scenarios are of
/// different sizes: each is drawn beside its own most.
fn cpu(outcomes: &[Outcome]) -> String {
    let drawn = with(outcomes, Figure::Cpu);
    let mut svg = begin(height(&drawn));
    legend(&mut svg, "dark: in the program, light: in the kernel; quartiles as a line");
    let mut y = TOP;
    for (outcome, peers) in drawn {
        label(&mut svg, LEFT - 10.0, y + 10.0, "end", outcome.scenario);
        let most = peers.iter().filter_map(|peer| outcome.spread(peer.name(), Figure::Cpu));
        let most = most.map(|spread| spread.high).fold(0.0, f64::max);
        for peer in peers {
            let Some(all) = outcome.spread(peer.name(), Figure::Cpu) else { continue };
            let user = outcome.spread(peer.name(), Figure::User).map_or(0.0, |spread| spread.median);
            let x = |us: f64| us / most * WIDTH;
            let colour = COLOURS[peer as usize];
            rectangle(&mut svg, LEFT, y, x(all.median), colour, 0.45);
            rectangle(&mut svg, LEFT, y, x(user), colour, 1.0);
            line(
                &mut svg,
                (LEFT + x(all.low), y + BAR / 2.0),
                (LEFT + x(all.high), y + BAR / 2.0),
                "#111111",
            );
            let text = format!("{:.1} µs {}", all.median, peer.title());
            label(&mut svg, LEFT + x(all.high).max(x(all.median)) + 6.0, y + 10.0, "start", &text);
            y += BAR + 2.0;
        }
        y += GAP;
    }
    svg + "</svg>\n"
}

/// p50, p99 and p99.9 of each peer, on a logarithmic axis from 10 µs to a second.
fn latency(outcomes: &[Outcome]) -> String {
    let drawn = with(outcomes, Figure::P99);
    let bottom = height(&drawn) - 25.0;
    let mut svg = begin(bottom + 25.0);
    legend(&mut svg, "p50, p99 and p99.9 at half the rate that saturates the slowest peer");
    let x = |us: f64| LEFT + (us.max(10.0).log10() - 1.0) / 5.0 * WIDTH;
    for (us, name) in
        [(10.0, "10 µs"), (100.0, "100 µs"), (1e3, "1 ms"), (1e4, "10 ms"), (1e5, "100 ms"), (1e6, "1 s")]
    {
        line(&mut svg, (x(us), TOP - 6.0), (x(us), bottom), "#dddddd");
        label(&mut svg, x(us), bottom + 15.0, "middle", name);
    }
    let mut y = TOP;
    for (outcome, peers) in drawn {
        label(&mut svg, LEFT - 10.0, y + 10.0, "end", outcome.scenario);
        for peer in peers {
            let at = [Figure::P50, Figure::P99, Figure::P999];
            let at =
                at.map(|figure| outcome.spread(peer.name(), figure).map_or(10.0, |spread| spread.median));
            let middle = y + BAR / 2.0;
            line(&mut svg, (x(at[0]), middle), (x(at[2]), middle), COLOURS[peer as usize]);
            for (us, radius) in at.into_iter().zip([3.0, 4.5, 3.0]) {
                let colour = COLOURS[peer as usize];
                let _ = writeln!(
                    svg,
                    r#"<circle cx="{:.1}" cy="{middle:.1}" r="{radius}" fill="{colour}"/>"#,
                    x(us)
                );
            }
            label(&mut svg, x(at[2]) + 8.0, y + 10.0, "start", peer.title());
            y += BAR + 2.0;
        }
        y += GAP;
    }
    svg + "</svg>\n"
}

/// Those that have this figure, and of whom.
fn with(outcomes: &[Outcome], figure: Figure) -> Vec<(&Outcome, Vec<Peer>)> {
    let peers = |outcome: &Outcome| {
        let has = |peer: &Peer| outcome.spread(peer.name(), figure).is_some();
        Peer::ALL.into_iter().filter(has).collect::<Vec<_>>()
    };
    outcomes.iter().map(|outcome| (outcome, peers(outcome))).filter(|(_, peers)| peers.len() > 1).collect()
}

fn height(drawn: &[(&Outcome, Vec<Peer>)]) -> f64 {
    let bars = |peers: &Vec<Peer>| peers.len() as f64 * (BAR + 2.0) + GAP;
    TOP + drawn.iter().map(|(_, peers)| bars(peers)).sum::<f64>() + 25.0
}

fn begin(height: f64) -> String {
    let width = LEFT + WIDTH + 180.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    )
}

fn legend(svg: &mut String, words: &str) {
    label(svg, LEFT, 20.0, "start", words);
}

fn rectangle(svg: &mut String, x: f64, y: f64, width: f64, colour: &str, opacity: f64) {
    let _ = writeln!(
        svg,
        r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{BAR}" fill="{colour}" fill-opacity="{opacity}"/>"#
    );
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64), colour: &str) {
    let _ = writeln!(
        svg,
        r#"<line x1="{:.1}" y1="{:.1}" x2="{:.1}" y2="{:.1}" stroke="{colour}"/>"#,
        from.0, from.1, to.0, to.1
    );
}

fn label(svg: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(svg, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{words}</text>"#);
}
