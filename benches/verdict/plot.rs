//! Pictures of the results, as SVG written by hand.

use std::fmt::Write as _;

use crate::evidence::Course;
use crate::race::{Race, Score};
use crate::reference::NAMES;
use crate::report::scores;

const COLOURS: [&str; 7] = ["#111111", "#d62728", "#1f77b4", "#2ca02c", "#9467bd", "#ff7f0e", "#8c8c8c"];
const LEFT: f64 = 190.0;
const WIDTH: f64 = 640.0;
const ROW: f64 = 20.0;
const TOP: f64 = 50.0;

/// Delay by scenario on a logarithmic axis: the limit, the judge, and others.
pub(crate) fn delays(races: &[Race]) -> String {
    let worse: Vec<&Race> = races.iter().filter(|race| race.change_s().is_some()).collect();
    let height = TOP + ROW * worse.len() as f64 + 40.0;
    let mut svg = begin(LEFT + WIDTH + 60.0, height);
    let bottom = height - 35.0;
    // From 10 ms to an hour and three quarters.
    let x = |s: f64| LEFT + (s.max(0.01).log10() + 2.0) / 5.8 * WIDTH;
    for (s, label) in [
        (0.01, "10 ms"),
        (0.1, "0.1 s"),
        (1.0, "1 s"),
        (10.0, "10 s"),
        (60.0, "1 min"),
        (600.0, "10 min"),
        (3_600.0, "1 h"),
    ] {
        line(&mut svg, (x(s), TOP - 8.0), (x(s), bottom), "#dddddd");
        text(&mut svg, x(s), bottom + 16.0, "middle", label);
    }
    let never = LEFT + WIDTH + 30.0;
    text(&mut svg, never, bottom + 16.0, "middle", "never");
    for (row, race) in worse.iter().enumerate() {
        let y = TOP + ROW * row as f64 + 4.0;
        text(&mut svg, LEFT - 10.0, y + 4.0, "end", &race.scenario.name);
        let scores = scores(race);
        let delays = std::iter::once(race.limit_s).chain(scores.iter().map(Score::median_s));
        // The judge last, on top of others.
        let mut marks: Vec<(usize, f64)> = delays.enumerate().filter(|(_, delay)| !delay.is_nan()).collect();
        marks.sort_by_key(|(series, _)| std::cmp::Reverse(*series));
        for (series, delay) in marks {
            let at = if delay.is_finite() { x(delay) } else { never };
            mark(&mut svg, at, y, series);
        }
    }
    let names = ["limit", "Switchback"].into_iter().chain(NAMES);
    for (series, name) in names.enumerate() {
        let at = 20.0 + 125.0 * series as f64;
        mark(&mut svg, at, 18.0, series);
        text(&mut svg, at + 10.0, 22.0, "start", name);
    }
    svg + "</svg>\n"
}

/// Evidence over time, one panel for each trace.
pub(crate) fn evidence(courses: &[Course]) -> String {
    const PANEL: f64 = 130.0;
    let mut svg = begin(LEFT + WIDTH + 60.0, 20.0 + PANEL * courses.len() as f64);
    for (place, course) in courses.iter().enumerate() {
        let (top, bottom) = (20.0 + PANEL * place as f64, 20.0 + PANEL * place as f64 + PANEL - 45.0);
        let (from_s, to_s) = course.span_s;
        let x = |s: f64| LEFT + (s - from_s) / (to_s - from_s) * WIDTH;
        let y = |share: f64| bottom - share.clamp(0.0, 1.0) * (bottom - top);
        text(&mut svg, LEFT - 10.0, top + 14.0, "end", &course.name);
        text(&mut svg, LEFT - 10.0, top + 30.0, "end", &course.about);
        for share in [0.0, 0.5, 1.0] {
            line(&mut svg, (LEFT, y(share)), (LEFT + WIDTH, y(share)), "#dddddd");
            text(&mut svg, LEFT + WIDTH + 8.0, y(share) + 4.0, "start", &format!("{:.0} %", share * 100.0));
        }
        if let Some(change_s) = course.change_s {
            line(&mut svg, (x(change_s), top), (x(change_s), bottom), COLOURS[0]);
            text(&mut svg, x(change_s), bottom + 14.0, "middle", "change");
        }
        text(&mut svg, LEFT, bottom + 14.0, "middle", &format!("{from_s:.0} s"));
        text(&mut svg, LEFT + WIDTH, bottom + 14.0, "middle", &format!("{to_s:.0} s"));
        let points: Vec<String> =
            course.points.iter().map(|(s, share)| format!("{:.1},{:.1}", x(*s), y(*share))).collect();
        let _ = writeln!(
            svg,
            r#"<polyline fill="none" stroke="{}" stroke-width="1.5" points="{}"/>"#,
            COLOURS[1],
            points.join(" ")
        );
    }
    svg + "</svg>\n"
}

fn begin(width: f64, height: f64) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    )
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64), colour: &str) {
    let _ = writeln!(
        svg,
        r#"<line x1="{:.1}" y1="{:.1}" x2="{:.1}" y2="{:.1}" stroke="{colour}"/>"#,
        from.0, from.1, to.0, to.1
    );
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(svg, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{words}</text>"#);
}

/// The limit is a bar, the judge a large dot, others small ones.
fn mark(svg: &mut String, x: f64, y: f64, series: usize) {
    let colour = COLOURS[series];
    let _ = match series {
        0 => writeln!(
            svg,
            r#"<rect x="{:.1}" y="{:.1}" width="3" height="14" fill="{colour}"/>"#,
            x - 1.5,
            y - 7.0
        ),
        1 => writeln!(svg, r#"<circle cx="{x:.1}" cy="{y:.1}" r="5" fill="{colour}"/>"#),
        _ => writeln!(svg, r#"<circle cx="{x:.1}" cy="{y:.1}" r="3" fill="{colour}"/>"#),
    };
}
