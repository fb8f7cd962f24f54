//! The weight is changed all the time, as nobody would: what does it cost requests?

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::anyhow;

use crate::peers::Peer;
use crate::report::{Figure, Outcome};
use crate::world::World;

use super::Setting;
use super::admin::Admin;
use super::load::Load;
use super::saturation::{saturate_and_keep, warm_up};

const EVERY: Duration = Duration::from_millis(10);
/// Requests a second while latencies are measured.
const RATE: f64 = 5_000.0;
const FLIPPED: &str = "flipped";
const STILL: &str = "left alone";

pub(super) fn run(setting: &Setting, outcome: &mut Outcome) -> anyhow::Result<()> {
    let mut world = World::new(&setting.switchback, &setting.cores, 1)?;
    world.start(Peer::Switchback)?;
    warm_up(&mut world, Peer::Switchback, &Load::PLAIN)?;
    let admin = world.port("switchback-admin");
    for _ in 0..setting.rounds {
        measure(&mut world, STILL, setting.seconds, outcome)?;
        let flips = Flips::start(admin)?;
        measure(&mut world, FLIPPED, setting.seconds, outcome)?;
        outcome.add(FLIPPED, Figure::Changes, flips.end()?);
    }
    Ok(())
}

fn measure(world: &mut World, who: &str, seconds: u64, outcome: &mut Outcome) -> anyhow::Result<()> {
    saturate_and_keep(world, Peer::Switchback, who, &Load::PLAIN, seconds, outcome)?;
    let told = Load::PLAIN.steady(world, Peer::Switchback, RATE, seconds as f64)?;
    outcome.add(who, Figure::P50, told.latency.p50);
    outcome.add(who, Figure::P99, told.latency.p99);
    outcome.add(who, Figure::P999, told.latency.p999);
    outcome.add(who, Figure::Slowest, told.latency.most / 1e3);
    if told.failed > 0 {
        outcome.reject(who, format!("{} requests failed", told.failed));
    }
    Ok(())
}

/// Somebody who changes the weight.
struct Flips {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    begun: Instant,
    thread: thread::JoinHandle<anyhow::Result<()>>,
}

impl Flips {
    fn start(port: u16) -> anyhow::Result<Self> {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, count, begun) = (stop.clone(), done.clone(), Instant::now());
        let mut admin = Admin::connect(port)?;
        let thread = thread::Builder::new().name("flips".to_owned()).spawn(move || {
            let mut next = begun;
            while !stopped.load(Ordering::Relaxed) {
                let percent = if count.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) { 40 } else { 60 };
                let body = format!("{{\"percent\": {percent}, \"reason\": \"measuring\"}}");
                admin.ask("PUT", "/v1/services/bench/weight", &body)?;
                // One that was late is made up for.
                next += EVERY;
                thread::sleep(next.saturating_duration_since(Instant::now()));
            }
            Ok(())
        })?;
        Ok(Self { stop, done, begun, thread })
    }

    /// Ends, and tells how many changes there were a second.
    fn end(self) -> anyhow::Result<f64> {
        let rate = self.done.load(Ordering::Relaxed) as f64 / self.begun.elapsed().as_secs_f64();
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the thread that changes weights has panicked"))??;
        Ok(rate)
    }
}
