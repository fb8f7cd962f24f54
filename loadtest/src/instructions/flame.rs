use std::collections::HashMap;
use std::fmt::Write as _;

use super::profile::Profile;

const WIDTH: f64 = 1_400.0;
const ROW: f64 = 16.0;
const TOP: f64 = 30.0;
/// What is narrower than this share of all is left out, …
const LEAST: f64 = 0.003;
/// … and so is what lies deeper.
const DEEPEST: usize = 120;
/// A letter's width.
const LETTER: f64 = 6.3;

/// A function on the way to others.
struct Frame {
    function: usize,
    depth: usize,
    left: f64,
    width: f64,
}

/// A flame graph: who is called by whom, from the bottom up, as wide as it costs.
pub(super) fn draw(profile: &Profile, title: &str) -> String {
    let frames = frames(profile);
    let deepest = frames.iter().map(|frame| frame.depth).max().unwrap_or(0);
    let height = TOP + ROW * (deepest + 1) as f64 + 10.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH:.0} {height:.0}\" font-family=\"monospace\" \
         font-size=\"10\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"8\" y=\"18\" font-size=\"13\">{}</text>\n",
        escaped(title)
    );
    for Frame { function, depth, left, width } in frames {
        let (name, y) = (&profile.names[function], height - 10.0 - ROW * (depth + 1) as f64);
        let (x, wide) = (left * WIDTH, width * WIDTH);
        let _ = write!(
            svg,
            r#"<g><title>{} ({:.1} %)</title><rect x="{x:.1}" y="{y:.1}" width="{wide:.1}" height="15" fill="{}"/>"#,
            escaped(name),
            width * 100.0,
            colour(name)
        );
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of letters")]
        let letters = ((wide - 4.0) / LETTER).max(0.0) as usize;
        if letters > 3 {
            let short: String = short(name).chars().take(letters).collect();
            let _ = write!(svg, r#"<text x="{:.1}" y="{:.1}">{}</text>"#, x + 2.0, y + 11.0, escaped(&short));
        }
        svg += "</g>\n";
    }
    svg + "</svg>\n"
}

/// Every function on every way to it, widest ways first.
fn frames(profile: &Profile) -> Vec<Frame> {
    let mut callees: HashMap<usize, Vec<(usize, u64)>> = HashMap::new();
    let mut is_called = vec![false; profile.names.len()];
    for ((caller, callee), calls) in &profile.calls {
        if caller != callee {
            callees.entry(*caller).or_default().push((*callee, calls.cost));
            is_called[*callee] = true;
        }
    }
    for calls in callees.values_mut() {
        calls.sort_by_key(|(callee, cost)| (std::cmp::Reverse(*cost), *callee));
    }
    let cost = |function: usize| {
        profile.own[function]
            + callees.get(&function).map_or(0, |calls| calls.iter().map(|(_, cost)| cost).sum())
    };
    let mut roots: Vec<usize> = (0..profile.names.len()).filter(|function| !is_called[*function]).collect();
    roots.sort_by_key(|function| std::cmp::Reverse(cost(*function)));
    let all: u64 = roots.iter().map(|function| cost(*function)).sum();
    let mut walk = Walk { callees: &callees, cost: &cost, frames: Vec::new(), way: Vec::new() };
    let mut left = 0.0;
    for root in roots {
        let width = cost(root) as f64 / all.max(1) as f64;
        walk.visit(root, left, width);
        left += width;
    }
    walk.frames
}

struct Walk<'a> {
    callees: &'a HashMap<usize, Vec<(usize, u64)>>,
    cost: &'a dyn Fn(usize) -> u64,
    frames: Vec<Frame>,
    way: Vec<usize>,
}

impl Walk<'_> {
    fn visit(&mut self, function: usize, left: f64, width: f64) {
        // Who is on the way already calls itself by way of others; its cost is counted there.
        if width < LEAST || self.way.len() >= DEEPEST || self.way.contains(&function) {
            return;
        }
        self.frames.push(Frame { function, depth: self.way.len(), left, width });
        let whole = (self.cost)(function).max(1) as f64;
        let Some(calls) = self.callees.get(&function) else { return };
        self.way.push(function);
        let mut at = left;
        for (callee, cost) in calls {
            let part = width * *cost as f64 / whole;
            self.visit(*callee, at, part);
            at += part;
        }
        self.way.pop();
    }
}

/// The last two parts of a path, without what stands in angle brackets.
fn short(name: &str) -> String {
    let mut depth = 0_u32;
    let outside = |letter: &char| {
        match letter {
            '<' => depth += 1,
            '>' => depth = depth.saturating_sub(1),
            _ => return depth == 0,
        }
        false
    };
    let bare: String = name.chars().filter(outside).collect();
    let parts: Vec<&str> = bare.split("::").filter(|part| !part.is_empty()).collect();
    let from = parts.len().saturating_sub(2);
    if parts.is_empty() { name.to_owned() } else { parts[from..].join("::") }
}

/// By whose code it is: ours stands out.
fn colour(name: &str) -> &'static str {
    let of = [
        ("switchback::", "#e4572e"),
        ("hyper", "#f3a712"),
        ("h2::", "#f3a712"),
        ("http", "#f7c873"),
        ("tokio", "#a8c686"),
        ("rustls", "#669bbc"),
        ("aws_lc", "#4f7ca0"),
        ("mi_", "#b8b8d1"),
    ];
    of.iter().find(|(part, _)| name.contains(part)).map_or("#dddddd", |(_, colour)| colour)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
