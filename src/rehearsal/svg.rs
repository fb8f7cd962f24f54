use std::fmt::Write as _;

use crate::model::{Micros, PerSide, Side};

use super::hearing::{Decision, Word};
use super::picture::{Bin, Picture};

/// Draws a picture as one SVG file that needs nothing else, and reads on light and on dark ground.
pub(super) fn draw(picture: &Picture, title: &str) -> String {
    let axis = TimeAxis::of(picture);
    let labels = picture.decisions.len().min(MOST_LABELS);
    // The last row is for the numbers by which labels are found.
    let head = TITLE + (labels + usize::from(labels > 0)) as f64 * LABEL_ROW + HEAD_GAP;
    let panels = panels(picture);
    let height = head + panels.iter().map(|panel| panel.height + GAP).sum::<f64>() + FOOT;
    let mut out = String::new();
    // Writing to a String does not fail, here and below.
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" role=\"img\">\n<title>{title}</title>\n<style>{STYLE}</style>\n\
         <rect class=\"ground\" width=\"{WIDTH}\" height=\"{height}\"/>\n\
         <text class=\"title\" x=\"{LEFT}\" y=\"24\">{title}</text>\n",
        title = escaped(title),
    );
    let mut top = head;
    let bottom = height - FOOT - GAP;
    draw_time(&axis, top, bottom, &mut out);
    for panel in &panels {
        panel.draw(&axis, top, &mut out);
        top += panel.height + GAP;
    }
    draw_decisions(picture, &axis, head, bottom, &mut out);
    out.push_str("</svg>\n");
    out
}

const WIDTH: f64 = 1_100.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 150.0;
const TITLE: f64 = 34.0;
const HEAD_GAP: f64 = 14.0;
const GAP: f64 = 34.0;
const FOOT: f64 = 14.0;
const LABEL_ROW: f64 = 16.0;
/// Decisions with a label; all others up to [`MOST_LINES`] have a line only.
const MOST_LABELS: usize = 8;
const MOST_LINES: usize = 200;
/// The room that a number takes above its line.
const NUMBER: f64 = 12.0;
/// The highest latency that is drawn, as a power of ten of milliseconds: eleven days. What is beyond is drawn there.
const MOST_POWER: i32 = 9;

/// Light ground unless the reader's system prefers dark. Classes only: not every renderer knows variables.
const STYLE: &str = "text{font:12px system-ui,'DejaVu Sans',sans-serif;fill:#374151}\
    .title{font-size:15px;font-weight:600;fill:#111827}.name{font-weight:600}\
    .ground{fill:#fff}.grid{stroke:#e5e7eb}.frame{stroke:#9ca3af;fill:none}\
    path{fill:none;stroke-width:1.3;stroke-linejoin:round}\
    .helios{stroke:#c2410c}.kubernetes{stroke:#1d4ed8}.evidence{stroke:#7e22ce}\
    .tail{stroke-dasharray:4 2;stroke-width:1}\
    .decision{stroke:#b91c1c;stroke-width:1.2}.more{stroke-width:.6;opacity:.6}.shared{fill:#9ca3af;opacity:.3}\
    .limit{stroke:#b91c1c;stroke-dasharray:2 3}\
    text.helios{fill:#c2410c;stroke:none}text.kubernetes{fill:#1d4ed8;stroke:none}\
    text.evidence{fill:#7e22ce;stroke:none}text.decision{fill:#b91c1c;stroke:#fff;stroke-width:4;paint-order:stroke}\
    @media(prefers-color-scheme:dark){text{fill:#d1d5db}.title{fill:#f9fafb}\
    .ground{fill:#111827}.grid{stroke:#374151}.frame{stroke:#6b7280}\
    .helios{stroke:#fb923c}.kubernetes{stroke:#60a5fa}.evidence{stroke:#c084fc}\
    .decision{stroke:#f87171}.limit{stroke:#f87171}\
    text.helios{fill:#fb923c}text.kubernetes{fill:#60a5fa}\
    text.evidence{fill:#c084fc}text.decision{fill:#f87171;stroke:#111827}}";

/// Where moments are, from left to right.
#[expect(clippy::struct_field_names, reason = "names end in their unit")]
struct TimeAxis {
    /// The trace's time at the left edge, in seconds.
    from_s: f64,
    lasts_s: f64,
    bin_s: f64,
    /// What ticks count from: 0, or the start of a trace that begins long after 0.
    origin_s: f64,
}

/// A trace that begins so many times its length after 0 counts from something else: most likely 1970.
const FAR_OFF: f64 = 100.0;

impl TimeAxis {
    fn of(picture: &Picture) -> Self {
        let from_s = picture.from.map_or(0.0, |Micros(us)| us as f64 / 1e6);
        let bin_s = picture.bin_s() as f64;
        let lasts_s = picture.bins.len().max(1) as f64 * bin_s;
        Self { from_s, lasts_s, bin_s, origin_s: if from_s > FAR_OFF * lasts_s { from_s } else { 0.0 } }
    }

    fn x(&self, at_s: f64) -> f64 {
        let share = (at_s - self.from_s) / self.lasts_s;
        LEFT + share.clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
    }

    /// Where a bin begins.
    fn x_from(&self, bin: usize) -> f64 {
        self.x(self.from_s + bin as f64 * self.bin_s)
    }

    /// The middle of a bin.
    fn x_of(&self, bin: usize) -> f64 {
        self.x(self.from_s + (bin as f64 + 0.5) * self.bin_s)
    }

    /// Seconds between ticks, of which there are about ten; and the unit to tell them in.
    fn step(&self) -> (f64, f64, &'static str) {
        const STEPS: [f64; 20] = [
            1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0, 7_200.0,
            14_400.0, 21_600.0, 43_200.0, 86_400.0, 172_800.0, 432_000.0,
        ];
        let fits = |step: &&f64| self.lasts_s / **step <= 11.0;
        let longest = 864_000.0 * (self.lasts_s / 8_640_000.0).ceil();
        let step = STEPS.iter().find(fits).copied().unwrap_or(longest);
        match step {
            ..60.0 => (step, 1.0, "s"),
            ..3_600.0 => (step, 60.0, "min"),
            ..86_400.0 => (step, 3_600.0, "h"),
            _ => (step, 86_400.0, "d"),
        }
    }
}

fn draw_time(axis: &TimeAxis, top: f64, bottom: f64, out: &mut String) {
    let (step, unit_s, unit) = axis.step();
    let mut tick = ((axis.from_s - axis.origin_s) / step).ceil();
    while tick * step <= axis.from_s - axis.origin_s + axis.lasts_s {
        let x = axis.x(axis.origin_s + tick * step);
        let label = tick * step / unit_s;
        let _ = writeln!(
            out,
            "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top:.1}\" y2=\"{bottom:.1}\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label} {unit}</text>",
            bottom + 16.0,
        );
        tick += 1.0;
    }
    let since = match axis.origin_s {
        0.0 => "time of the trace".to_owned(),
        origin_s => format!("since {origin_s} s"),
    };
    let (x, y) = (WIDTH - 10.0, bottom + 16.0);
    let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"end\">{since}</text>");
}

/// One quantity over time.
struct Panel {
    name: &'static str,
    height: f64,
    scale: Scale,
    curves: Vec<Curve>,
    /// A value that means something.
    limit: Option<f64>,
    /// Bins, from one to before another, in which the curve does not mean what it seems to.
    shaded: Vec<(usize, usize)>,
}

/// A value for each bin; without one, the curve is broken.
struct Curve {
    class: &'static str,
    label: String,
    values: Vec<Option<f64>>,
}

/// Where values are, from bottom to top.
enum Scale {
    /// From 0, in steps, with a unit.
    Even { most: f64, step: f64, unit: &'static str },
    /// From one power of ten to another.
    Powers { least: i32, most: i32 },
}

fn panels(picture: &Picture) -> Vec<Panel> {
    let bin_s = picture.bin_s() as f64;
    let curves = |label: &dyn Fn(Side) -> String, value: &dyn Fn(&Bin, Side) -> Option<f64>| {
        PerSide::from_fn(|side| Curve {
            class: side.as_str(),
            label: label(side),
            values: picture.bins.iter().map(|bin| value(bin, side)).collect(),
        })
    };
    let name = |side: Side| side.title().to_owned();
    let asked = curves(&name, &|bin, side| Some(bin.sides[side].asked as f64 / bin_s));
    let failed = curves(&name, &|bin, side| {
        let side = &bin.sides[side];
        (side.asked > 0).then(|| 100.0 * side.failed as f64 / side.asked as f64)
    });
    let median = curves(&name, &|bin, side| bin.sides[side].quantile_ms(0.5));
    let mut tail =
        curves(&|side| format!("{}, 99 %", side.title()), &|bin, side| bin.sides[side].quantile_ms(0.99));
    (tail.helios.class, tail.kubernetes.class) = ("helios tail", "kubernetes tail");
    let evidence = Curve {
        class: "evidence",
        label: "evidence".to_owned(),
        values: picture.bins.iter().map(|bin| Some(100.0 * bin.evidence?)).collect(),
    };
    let even = |name, height, unit, curves: PerSide<Curve>, least: f64| {
        let PerSide { helios, kubernetes } = curves;
        let most = highest([&helios, &kubernetes]).max(least);
        Panel { name, height, scale: Scale::even(most, unit), curves: vec![helios, kubernetes], ..PLAIN }
    };
    let latencies = vec![median.helios, median.kubernetes, tail.helios, tail.kubernetes];
    vec![
        even("Requests a second", 80.0, "", asked, 1.0),
        even("Failures", 140.0, " %", failed, 1.0),
        Panel {
            name: "Latency: median and 99 %",
            height: 180.0,
            scale: Scale::powers(&latencies),
            curves: latencies,
            ..PLAIN
        },
        Panel {
            name: "Evidence, logarithmic: 100 % reverts",
            height: 120.0,
            scale: Scale::Even { most: 100.0, step: 25.0, unit: " %" },
            curves: vec![evidence],
            limit: Some(100.0),
            shaded: shared(picture),
        },
    ]
}

const PLAIN: Panel = Panel {
    name: "",
    height: 0.0,
    scale: Scale::Powers { least: 0, most: 1 },
    curves: Vec::new(),
    limit: None,
    shaded: Vec::new(),
};

/// Bins in which Helios was degraded too, one after the other together.
fn shared(picture: &Picture) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (bin, _) in picture.bins.iter().enumerate().filter(|(_, bin)| bin.is_shared) {
        match runs.last_mut() {
            Some((_, end)) if *end == bin => *end += 1,
            Some(_) | None => runs.push((bin, bin + 1)),
        }
    }
    runs
}

fn highest<'a>(curves: impl IntoIterator<Item = &'a Curve>) -> f64 {
    curves.into_iter().flat_map(|curve| &curve.values).flatten().copied().fold(0.0, f64::max)
}

impl Scale {
    /// A scale up to a round number that is at least `most`, with four or five steps.
    fn even(most: f64, unit: &'static str) -> Self {
        let magnitude = 10_f64.powf((most / 5.0).log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|times| times * magnitude);
        let step = step.into_iter().find(|step| step * 5.0 >= most).unwrap_or(most);
        Scale::Even { most: (most / step).ceil() * step, step, unit }
    }

    fn powers(curves: &[Curve]) -> Self {
        let values =
            || curves.iter().flat_map(|curve| &curve.values).flatten().map(|ms| ms.max(1e-3).log10());
        let (least, most) =
            (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
        if least > most {
            return Scale::Powers { least: 0, most: 1 };
        }
        #[expect(clippy::cast_possible_truncation, reason = "latencies have few digits")]
        let (least, most) = (least.floor() as i32, most.ceil() as i32);
        let least = least.min(MOST_POWER - 1);
        Scale::Powers { least, most: most.clamp(least + 1, MOST_POWER) }
    }

    /// How high up a value is, 0 to 1.
    fn share(&self, value: f64) -> f64 {
        let share = match self {
            Scale::Even { most, .. } => value / most,
            Scale::Powers { least, most } => {
                (value.max(1e-9).log10() - f64::from(*least)) / f64::from(most - least)
            }
        };
        share.clamp(0.0, 1.0)
    }

    /// Values with a line, and what stands beside it.
    fn ticks(&self) -> Vec<(f64, String)> {
        match self {
            Scale::Even { most, step, unit } => {
                let places = if *step < 0.1 { 2 } else { usize::from(*step < 1.0) };
                let count = (most / step).round();
                let ticks = std::iter::successors(Some(0.0), |tick| Some(tick + 1.0));
                let ticks = ticks.take_while(|tick| *tick <= count).map(|tick| tick * step);
                ticks.map(|value| (value, format!("{value:.places$}{unit}"))).collect()
            }
            Scale::Powers { least, most } => (*least..=*most)
                .map(|power| {
                    let ms = 10_f64.powi(power);
                    (ms, if ms < 1_000.0 { format!("{ms} ms") } else { format!("{} s", ms / 1_000.0) })
                })
                .collect(),
        }
    }
}

impl Panel {
    fn draw(&self, axis: &TimeAxis, top: f64, out: &mut String) {
        let (right, bottom) = (WIDTH - RIGHT, top + self.height);
        let y = |value: f64| bottom - self.scale.share(value) * self.height;
        let _ =
            writeln!(out, "<text class=\"name\" x=\"{LEFT}\" y=\"{:.1}\">{}</text>", top - 5.0, self.name);
        for (value, label) in self.scale.ticks() {
            let _ = writeln!(
                out,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
                LEFT - 6.0,
                y(value) + 4.0,
                y = y(value),
            );
        }
        self.shade(axis, top, out);
        if let Some(limit) = self.limit {
            let y = y(limit);
            let _ = writeln!(
                out,
                "<line class=\"limit\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>"
            );
        }
        for (place, curve) in self.curves.iter().enumerate() {
            let _ = writeln!(out, "<path class=\"{}\" d=\"{}\"/>", curve.class, curve.path(axis, y));
            let (class, row) = (curve.class, top + 12.0 + place as f64 * 16.0);
            let _ = writeln!(
                out,
                "<path class=\"{class}\" d=\"M{:.1} {y:.1}h18\"/>\
                 <text class=\"{class}\" x=\"{:.1}\" y=\"{row:.1}\">{}</text>",
                right + 8.0,
                right + 31.0,
                curve.label,
                y = row - 4.0,
            );
        }
        let _ = writeln!(
            out,
            "<rect class=\"frame\" x=\"{LEFT}\" y=\"{top:.1}\" width=\"{}\" height=\"{}\"/>",
            right - LEFT,
            self.height
        );
    }

    fn shade(&self, axis: &TimeAxis, top: f64, out: &mut String) {
        for (from, end) in &self.shaded {
            let (x, to) = (axis.x_from(*from), axis.x_from(*end));
            let (width, height) = (to - x, self.height);
            let _ = writeln!(
                out,
                "<rect class=\"shared\" x=\"{x:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height}\"/>"
            );
        }
        if !self.shaded.is_empty() {
            let (x, y) = (WIDTH - RIGHT + 8.0, top + 21.0);
            let _ = writeln!(
                out,
                "<rect class=\"shared\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"18\" height=\"12\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\">Helios too: shared</text>",
                x + 23.0,
                y + 10.0
            );
        }
    }
}

impl Curve {
    /// The way of the pen. A value alone between gaps is a dot.
    fn path(&self, axis: &TimeAxis, y: impl Fn(f64) -> f64) -> String {
        let mut path = String::new();
        let mut is_down = false;
        for (bin, value) in self.values.iter().enumerate() {
            if let Some(value) = value {
                let (x, y) = (axis.x_of(bin), y(*value));
                let _ =
                    if is_down { write!(path, "L{x:.1} {y:.1}") } else { write!(path, "M{x:.1} {y:.1}h.1") };
            }
            is_down = value.is_some();
        }
        path
    }
}

/// A numbered row for each of the first few decisions; and a line down through all panels for each, with its number
/// above where there is room. Rows above all lines: a label beside its line would lie over others.
fn draw_decisions(picture: &Picture, axis: &TimeAxis, head: f64, bottom: f64, out: &mut String) {
    let top = head - HEAD_GAP - 2.0;
    let mut free = 0.0;
    for (place, decision) in picture.decisions.iter().take(MOST_LINES).enumerate() {
        let x = axis.x(decision.finding.at.seconds());
        let has_label = place < MOST_LABELS;
        let _ = writeln!(
            out,
            "<line class=\"decision{}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top:.1}\" y2=\"{bottom:.1}\"/>",
            if has_label { "" } else { " more" },
        );
        if has_label && x >= free {
            free = x + NUMBER;
            let _ = writeln!(
                out,
                "<text class=\"decision\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                top - 3.0,
                place + 1
            );
        }
    }
    for (place, decision) in picture.decisions.iter().take(MOST_LABELS).enumerate() {
        let _ = writeln!(
            out,
            "<text class=\"decision\" x=\"{LEFT}\" y=\"{:.1}\">{}. {}</text>",
            TITLE + 12.0 + place as f64 * LABEL_ROW,
            place + 1,
            escaped(&label(decision))
        );
    }
    if let Some(more) = picture.decisions.len().checked_sub(MOST_LABELS).filter(|more| *more > 0) {
        let _ = writeln!(
            out,
            "<text class=\"decision\" x=\"{:.1}\" y=\"{:.1}\">and {more} more</text>",
            WIDTH - RIGHT + 10.0,
            TITLE + 12.0 + (MOST_LABELS - 1) as f64 * LABEL_ROW
        );
    }
}

fn label(decision: &Decision) -> String {
    let Decision { word, finding, route } = decision;
    let word = match word {
        Word::Revert => "revert",
        Word::Advise => "advice",
    };
    let route = route.as_ref().map(|route| format!(", {route}")).unwrap_or_default();
    let (bad, cast) = (finding.counts.bad.kubernetes, finding.counts.cast.kubernetes);
    format!("{word} at {} s: {}{route}, {bad} of {cast}", finding.at.seconds(), finding.question.in_words())
}

/// The longest text that has room.
const LONGEST: usize = 120;

/// Text as XML has it. Characters that it cannot have are replaced.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars().take(LONGEST) {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            odd if odd.is_control() || matches!(odd, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Millis;
    use crate::rehearsal::{Conduct, Hearing, Request, Routes};
    use crate::verdict::Rule;

    /// A side that fails from the second minute on, so that there are several decisions close to each other.
    fn picture() -> Picture {
        let mut routes = Routes::default();
        let route = routes.number("GET /");
        let mut picture = Picture::default();
        let mut hearing = Hearing::new(Rule::default(), Conduct::RevertAndRelease);
        for at in 0..40_000_u64 {
            let side = if at % 2 == 0 { Side::Helios } else { Side::Kubernetes };
            let start = Micros(at * 5_000);
            let failed = side == Side::Kubernetes && start.0 > 100_000_000;
            let request = Request { start, side, failed, latency: Some(Micros(20_000)), route };
            picture.add(&request);
            hearing.take(&request, &routes, &mut |decision| picture.decide(decision));
        }
        picture
    }

    #[test]
    fn labels_stand_above_all_lines() {
        let picture = picture();
        assert!(picture.decisions.len() >= 3, "{}", picture.decisions.len());
        let svg = picture.draw("x");
        let number = |line: &str, key: &str| {
            let text = line.split(&format!(" {key}=\"")).nth(1).and_then(|rest| rest.split('"').next());
            text.and_then(|text| text.parse::<f64>().ok()).unwrap()
        };
        let of = |begins: &str| svg.lines().filter(|line| line.starts_with(begins)).collect::<Vec<_>>();
        let top = of("<line class=\"decision").iter().map(|line| number(line, "y1")).fold(f64::MAX, f64::min);
        let labels = of("<text class=\"decision");
        assert!(labels.len() > picture.decisions.len().min(MOST_LABELS), "labels and numbers");
        for label in labels {
            assert!(number(label, "y") < top, "{label} over a line from {top}");
        }
    }

    #[test]
    fn latencies_beyond_all_sense_are_drawn_at_the_edge() {
        let mut picture = Picture::default();
        for ms in [1, 1_000_000_000_000] {
            picture.add(&Request {
                start: Micros(0),
                side: Side::Helios,
                failed: false,
                latency: Some(Micros(ms * 1_000)),
                route: 0,
            });
        }
        picture.judge(Millis(1_000), &Hearing::new(Rule::default(), Conduct::Revert).standing());
        let svg = picture.draw("x");
        assert!(svg.contains(">1000000 s</text>") && !svg.contains(">10000000 s</text>"), "{svg}");
        let only = Curve { class: "", label: String::new(), values: vec![Some(1e15)] };
        assert!(matches!(Scale::powers(&[only]), Scale::Powers { least: 8, most: 9 }));
    }
}
