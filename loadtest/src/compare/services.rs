//! Many services in one process.

use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::generate::{Generated, Speaks};
use crate::peers::Peer;
use crate::report::{Figure, Outcome};
use crate::world::World;

use super::Setting;
use super::admin::Admin;
use super::load::Load;
use super::saturation::saturate_and_keep;

const SERVICES: usize = 5_000;
/// Of each side. They are the same for all services: what counts is how many there are to keep.
const ENDPOINTS: usize = 10;
/// Services that are asked while the configuration changes.
const ASKED: u64 = 64;
const RATE: f64 = 1_000.0;
/// The load goes on for so long, or so long in a hurry; …
const SECONDS: f64 = 4.0;
const FEWER_SECONDS: f64 = 2.0;
/// … and this far in a file changes.
const CHANGED_AFTER: Duration = Duration::from_millis(750);
const LOOK: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(30);
const ROUNDS: u64 = 5;

/// One of them is asked; in the other process there is one service, which answers every host.
const ROUTED: Load = Load { host: Some("service-4321.test"), ..Load::PLAIN };

const MANY: &str = "5,000 services";
const ONE: &str = "one service";

pub(super) fn run(setting: &Setting, outcome: &mut Outcome) -> anyhow::Result<()> {
    let mut many = World::new(&setting.switchback, &setting.cores, 1)?;
    let command = prepare(&mut many)?;
    let rounds = setting.rounds.min(ROUNDS);
    let seconds = if setting.is_quick { FEWER_SECONDS } else { SECONDS };
    for _ in 0..rounds {
        many.end(Peer::Switchback);
        let begun = Instant::now();
        many.start_as(Peer::Switchback, &command)?;
        many.wait(Peer::Switchback, Speaks::Http1, PATIENCE)?;
        outcome.add(Peer::Switchback.name(), Figure::Start, begun.elapsed().as_secs_f64());
    }
    // Connections to their endpoints are made before anything is measured.
    load_meanwhile(&mut many, seconds, || Ok(()))?;
    for round in 0..rounds {
        let (calm, ()) = load_meanwhile(&mut many, seconds, || Ok(()))?;
        keep(outcome, "left alone", &calm);
        let port = many.port("switchback-admin");
        let (path, weight) = (many.path("switchback/services/service-4999.toml"), 60 + round);
        let text = service(&mut many, 4_999, weight);
        let (told, took) = load_meanwhile(&mut many, seconds, || {
            thread::sleep(CHANGED_AFTER);
            change(port, &path, &text, weight)
        })?;
        keep(outcome, Peer::Switchback.name(), &told);
        outcome.add(Peer::Switchback.name(), Figure::Reload, took.as_secs_f64());
    }
    let memory = many.process(Peer::Switchback)?.rss_kib() as f64 / 1024.0;
    outcome.add(Peer::Switchback.name(), Figure::Memory, memory);
    let mut one = World::new(&setting.switchback, &setting.cores, 1)?;
    one.start(Peer::Switchback)?;
    for world in [&mut one, &mut many] {
        saturate_and_keep(
            world,
            Peer::Switchback,
            "warm-up",
            &ROUTED,
            setting.seconds,
            &mut Outcome::default(),
        )?;
    }
    for _ in 0..setting.rounds {
        for (who, world) in [(ONE, &mut one), (MANY, &mut many)] {
            saturate_and_keep(world, Peer::Switchback, who, &ROUTED, setting.seconds, outcome)?;
        }
    }
    outcome.notes.push("routing: CPU a request with 5,000 services, beside one".to_owned());
    Ok(())
}

/// Writes the files, and tells how Switchback is started.
fn prepare(world: &mut World) -> anyhow::Result<Vec<String>> {
    let command = Peer::Switchback.prepare(world)?;
    for place in 0..SERVICES {
        let text = service(world, place, 50);
        world.write(&format!("switchback/services/service-{place}.toml"), &text)?;
    }
    Ok(command)
}

fn service(world: &mut World, place: usize, weight: u64) -> String {
    let mut text = format!(
        "team = \"bench\"\n[match]\nhosts = [\"service-{place}.test\"]\n[split]\nkubernetes = {weight}\n"
    );
    for side in ["helios", "kubernetes"] {
        let names = ["a", "b"].map(|which| format!("{side}-{which}"));
        let ports = names.map(|name| world.port(&name));
        // 127.0.0.1 to 127.0.0.5, as the endpoints listen.
        let addresses = (0..ENDPOINTS)
            .map(|endpoint| format!("\"127.0.0.{}:{}\"", 1 + endpoint / 2, ports[endpoint % 2]));
        let addresses: Vec<String> = addresses.collect();
        let _ = writeln!(text, "[{side}]\nsource = {{ addresses = [{}] }}", addresses.join(", "));
    }
    text
}

/// Does something while requests come at a steady rate.
fn load_meanwhile<T>(
    world: &mut World,
    seconds: f64,
    what: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<(Generated, T)> {
    let port = Peer::Switchback.port(world, Speaks::Http1);
    let child = Command::new(std::env::current_exe()?)
        .arg("generate")
        .args(Load::PLAIN.arguments(world, port))
        .args(["--rate", &RATE.to_string(), "--seconds", &seconds.to_string(), "--hosts", &ASKED.to_string()])
        .stdout(Stdio::piped())
        .spawn()?;
    let done = what();
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "the load generator has failed");
    Ok((serde_json::from_slice(&output.stdout)?, done?))
}

/// Changes a service's file, and tells how long it took until that was in force.
fn change(port: u16, path: &std::path::Path, text: &str, weight: u64) -> anyhow::Result<Duration> {
    let mut admin = Admin::connect(port)?;
    let begun = Instant::now();
    std::fs::write(path, text)?;
    loop {
        let said: serde_json::Value =
            serde_json::from_str(&admin.ask("GET", "/v1/services/service-4999", "")?)?;
        let percent = said["weight_percent"].as_f64().context("a status without a weight")?;
        if (percent - weight as f64).abs() < 0.001 {
            return Ok(begun.elapsed());
        }
        ensure!(begun.elapsed() < PATIENCE, "the change did not come into force: {said}");
        thread::sleep(LOOK);
    }
}

fn keep(outcome: &mut Outcome, who: &str, told: &Generated) {
    outcome.add(who, Figure::P99, told.latency.p99);
    outcome.add(who, Figure::Slowest, told.latency.most / 1e3);
    if told.failed > 0 {
        let failure = told.first_failure.as_deref().unwrap_or_default();
        outcome.reject(who, format!("{} requests failed: {failure}", told.failed));
    }
}
