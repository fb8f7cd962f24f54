use std::collections::HashMap;

use crate::model::{PerSide, Side};

use super::load::Seen;

/// What the last second brought, as it is shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Second {
    pub(super) at_s: f64,
    pub(super) weight_percent: f64,
    pub(super) held: bool,
    pub(super) sides: PerSide<SideSecond>,
    /// Requests that failed on Kubernetes and were answered by Helios.
    pub(super) rescued: u64,
    /// Requests of clients that failed, since the beginning.
    pub(super) clients_failed: u64,
}

/// One side in the last second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SideSecond {
    /// Tries, as the proxy counted them.
    pub(super) per_second: f64,
    /// The share of them that failed.
    pub(super) failed: f64,
    /// As clients saw them.
    pub(super) p50_ms: Option<f64>,
    pub(super) p99_ms: Option<f64>,
}

/// Reads the proxy's counters, and tells what they have grown by.
#[derive(Debug, Default)]
pub(super) struct Counters {
    before: HashMap<String, f64>,
}

impl Counters {
    /// Takes in the metrics' text, and makes a second of it and of what clients saw.
    pub(super) fn second(&mut self, metrics: &str, mut seen: Seen) -> Second {
        let now: HashMap<String, f64> = metrics
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.rsplit_once(' '))
            .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
            .collect();
        let grown = |wanted: &dyn Fn(&str) -> bool| -> f64 {
            let names = now.iter().filter(|(name, _)| wanted(name));
            names.fold(0.0, |sum, (name, value)| sum + value - self.before.get(name).copied().unwrap_or(0.0))
        };
        let value = |wanted: &str| {
            now.iter().find(|(name, _)| name.starts_with(wanted)).map_or(0.0, |(_, value)| *value)
        };
        let sides = PerSide::from_fn(|side: Side| {
            let label = format!("side=\"{side}\"");
            let tries = |name: &str| name.starts_with("switchback_tries_total") && name.contains(&label);
            let per_second = grown(&|name| tries(name));
            let failed = grown(&|name| tries(name) && name.contains("fault=\"side\""));
            SideSecond {
                per_second,
                failed: if per_second > 0.0 { failed / per_second } else { 0.0 },
                p50_ms: seen.quantile_ms(side, 0.5),
                p99_ms: seen.quantile_ms(side, 0.99),
            }
        });
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        let rescued = grown(&|name| name.contains("result=\"rescued\"")) as u64;
        let second = Second {
            weight_percent: value("switchback_weight_percent"),
            held: value("switchback_held") > 0.0,
            sides,
            rescued,
            ..Second::default()
        };
        self.before = now;
        second
    }
}
