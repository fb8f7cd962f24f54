use serde_json::json;

use crate::model::Side;

use super::super::print::say;
use super::live::{Second, SideSecond};
use super::screen::Screen;

/// How the demo shows itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// A table that stays at the bottom of a terminal, and the story above it.
    Screen,
    /// Line by line.
    Lines,
    /// One JSON object a line.
    Json,
}

/// Where the demo shows itself.
pub(super) struct Show {
    manner: Manner,
    screen: Option<Screen>,
}

impl Show {
    /// A terminal that cannot do more gets lines.
    pub(super) fn new(manner: Manner) -> Self {
        let screen = if manner == Manner::Screen { Screen::open() } else { None };
        let manner = if manner == Manner::Screen && screen.is_none() { Manner::Lines } else { manner };
        Self { manner, screen }
    }

    /// Tells a piece of the story.
    pub(super) fn tell(&mut self, at_s: f64, text: &str) {
        match (&mut self.screen, self.manner) {
            (Some(screen), _) => screen.tell(&format!("{at_s:5.1} s  {text}")),
            (None, Manner::Json) => say(&json!({ "at_s": round(at_s), "story": text }).to_string()),
            (None, _) => say(&format!("{at_s:5.1} s  {text}")),
        }
    }

    /// Shows what is longer than a line, and is not part of the story's time.
    pub(super) fn quote(&mut self, text: &str, value: &serde_json::Value) {
        match (&mut self.screen, self.manner) {
            (Some(screen), _) => text.lines().for_each(|line| screen.tell(&format!("         {line}"))),
            (None, Manner::Json) => say(&value.to_string()),
            (None, _) => text.lines().for_each(|line| say(&format!("         {line}"))),
        }
    }

    /// Shows what the last second brought.
    pub(super) fn second(&mut self, second: &Second) {
        match (&mut self.screen, self.manner) {
            (Some(screen), _) => screen.draw(second),
            (None, Manner::Json) => say(&value(second).to_string()),
            (None, _) => say(&line(second)),
        }
    }
}

fn line(second: &Second) -> String {
    let side = |side: Side| {
        let SideSecond { per_second, failed, .. } = second.sides[side];
        let latency = latency(&second.sides[side]);
        format!("{side} {per_second:4.0}/s {:5.1} % failed {latency}", failed * 100.0)
    };
    format!(
        "{:5.1} s  weight {:6.2}{}  {}  {}  clients failed {}",
        second.at_s,
        second.weight_percent,
        if second.held { " held" } else { "     " },
        side(Side::Helios),
        side(Side::Kubernetes),
        second.clients_failed
    )
}

/// `p50 4.1 p99 9.8 ms`
pub(super) fn latency(side: &SideSecond) -> String {
    match (side.p50_ms, side.p99_ms) {
        (Some(p50), Some(p99)) => format!("p50 {p50:4.1} p99 {p99:5.1} ms"),
        _ => "p50    – p99     – ms".to_owned(),
    }
}

fn value(second: &Second) -> serde_json::Value {
    let side = |side: Side| {
        let SideSecond { per_second, failed, p50_ms, p99_ms } = second.sides[side];
        json!({ "per_second": per_second, "failed": failed, "p50_ms": p50_ms, "p99_ms": p99_ms })
    };
    json!({
        "at_s": round(second.at_s),
        "weight_percent": second.weight_percent,
        "held": second.held,
        "helios": side(Side::Helios),
        "kubernetes": side(Side::Kubernetes),
        "rescued": second.rescued,
        "clients_failed": second.clients_failed,
    })
}

fn round(at_s: f64) -> f64 {
    (at_s * 1e3).round() / 1e3
}
