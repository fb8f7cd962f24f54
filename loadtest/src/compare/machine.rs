//! The machine that it is measured on, and who else is at work there.

use std::fs;
use std::sync::OnceLock;
use std::time::Instant;

use serde::Serialize;

use crate::process::{Usage, ticks};
use crate::world::Cores;

/// What a result depends on besides the programs.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
}

/// How busy the machine was at one moment, and how busy we were.
pub(crate) struct Moment {
    at: Instant,
    busy: u64,
    stolen: u64,
    ours: u64,
}

/// Ticks of the kernel's accounting in a second.
const TICKS: f64 = 100.0;

impl Machine {
    pub(crate) fn look() -> Self {
        let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let processor = processor.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let processor = processor.map_or("unknown", |(_, name)| name).replace("(R)", "").replace("(TM)", "");
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self { processor, cores: cores(), kernel: kernel.trim().to_owned() }
    }

    /// As a part of a folder's name.
    pub(crate) fn slug(&self) -> String {
        let name = format!("{} {} cores", self.processor, self.cores).to_ascii_lowercase();
        let words = name.split(|letter: char| !letter.is_ascii_alphanumeric());
        words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-")
    }
}

impl Moment {
    /// `running` is what our processes that still run have used.
    pub(crate) fn now(running: Usage) -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let all: Vec<u64> = stat
            .lines()
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .filter_map(|n| n.parse().ok())
            .collect();
        // user, nice, system, idle, iowait, irq, softirq, steal
        let at = |place: usize| all.get(place).copied().unwrap_or(0);
        // We ourselves, and those whose end we have waited for.
        let (user, system) = ticks("/proc/self/stat", 11);
        let (ended_user, ended_system) = ticks("/proc/self/stat", 13);
        Self {
            at: Instant::now(),
            busy: at(0) + at(1) + at(2) + at(5) + at(6),
            stolen: at(7),
            ours: user + system + ended_user + ended_system + running.ticks(),
        }
    }

    /// How much others, and the machine below this one, have used since: 1 is a whole core.
    pub(crate) fn others_since(&self, then: &Self) -> f64 {
        let busy = self.busy.saturating_sub(then.busy);
        let ours = self.ours.saturating_sub(then.ours);
        let others = busy.saturating_sub(ours) + self.stolen.saturating_sub(then.stolen);
        others as f64 / TICKS / (self.at - then.at).as_secs_f64()
    }
}

/// The first core is the proxies', the last the load's.
pub(crate) fn split() -> Cores {
    Cores { proxies: "0".to_owned(), load: (cores() - 1).to_string() }
}

/// As many as there were before this process kept to one of them.
pub(crate) fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get))
}
