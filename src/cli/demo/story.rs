use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use http::Method;
use serde_json::Value;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::admin::client::{self, Address};
use crate::admin::wire;
use crate::clock::Clock;
use crate::control::{ReceiptRecord, ServiceStatus};
use crate::model::Side;

use super::super::explain;
use super::super::print::Screen;
use super::endpoint::Behaviour;
use super::live::{Counters, Second};
use super::load::Load;
use super::show::Show;
use super::stage::{HOST, SERVICE, Stage};

/// The median time that a demo endpoint takes.
const DELAY_MS: f64 = 4.0;
/// What Kubernetes fails in the first act.
const FAILURES: f64 = 0.3;
/// A revert that has not come by then does not come.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);

/// How the story ended.
#[derive(Debug, Default)]
pub(super) struct Ended {
    reverts: u32,
    clients_failed: u64,
}

/// Reverts that the story is about.
const REVERTS: u32 = 2;

impl Ended {
    /// Whether Switchback did what it is for.
    pub(super) fn is_good(&self) -> bool {
        self.reverts == REVERTS && self.clients_failed == 0
    }

    /// What it did not do.
    pub(super) fn complaint(&self) -> String {
        format!("{} of {REVERTS} reverts, {} requests of clients failed", self.reverts, self.clients_failed)
    }
}

/// Tells the story, from an empty machine to a service that was taken back twice.
pub(super) async fn tell(show: Show, rate: u32, once: bool) -> Result<Ended> {
    let stage = Stage::set(DELAY_MS)?;
    let load = Load::new(stage.listener, HOST);
    let loading = tokio::task::spawn_local(load.clone().run(rate));
    let admin = Address::from(stage.proxy.admin_address());
    let mut teller = Teller {
        show,
        clock: Clock::start(),
        admin,
        load,
        counters: Counters::default(),
        stage,
        ended: Ended::default(),
    };
    let told = tokio::select! {
        told = teller.story(rate, once) => told,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted.context("cannot listen for Ctrl-C")?;
            if once { Err(anyhow::anyhow!("interrupted")) } else { Ok(()) }
        }
    };
    loading.abort();
    let Teller { mut stage, ended, show, .. } = teller;
    drop(show); // gives the terminal back
    stage.strike().await;
    told.map(|()| ended)
}

struct Teller {
    show: Show,
    clock: Clock,
    admin: Address,
    load: Rc<Load>,
    counters: Counters,
    stage: Stage,
    ended: Ended,
}

impl Teller {
    async fn story(&mut self, rate: u32, once: bool) -> Result<()> {
        self.tell(&format!(
            "two small platforms, three endpoints each, and {rate} requests a second for {HOST}"
        ));
        self.tell(&format!("Switchback listens on http://{}", self.stage.listener));
        self.tell(&format!("its admin interface on http://{}", self.stage.proxy.admin_address()));
        self.tell(&format!("its configuration is in {}", self.stage.folder.path().display()));
        self.watch(3).await?;
        for percent in [5.0, 25.0, 50.0] {
            self.set_weight(percent).await?;
            self.watch(3).await?;
        }

        self.tell("Kubernetes degrades: three requests in ten are answered 500");
        let failing = Behaviour { delay_ms: DELAY_MS, failures: FAILURES, ..Behaviour::default() };
        self.kubernetes_behaves(failing);
        self.wait_for_revert().await?;
        self.tell("Kubernetes has been mended; a person releases the service");
        self.kubernetes_behaves(Behaviour { delay_ms: DELAY_MS, ..Behaviour::default() });
        self.release(50.0).await?;
        self.watch(3).await?;

        self.tell("somebody deletes the whole Kubernetes side");
        for endpoint in &self.stage.platforms[Side::Kubernetes] {
            endpoint.kill();
        }
        self.wait_for_revert().await?;
        self.tell(&format!(
            "the end: {} reverts, {} of the clients' requests failed",
            self.ended.reverts, self.ended.clients_failed
        ));
        if once { Ok(()) } else { self.stay().await }
    }

    /// Goes on until somebody has seen enough.
    async fn stay(&mut self) -> Result<()> {
        let admin = self.admin.clone();
        self.tell("everything goes on until Ctrl-C. Try, in another terminal:");
        for command in [
            format!("switchback --admin {admin} status"),
            format!("switchback --admin {admin} explain {SERVICE}"),
            format!("switchback --admin {admin} events"),
            format!("curl -H 'host: {HOST}' http://{}/v1/tracks", self.stage.listener),
        ] {
            self.show.quote(&command, &Value::from(command.as_str()));
        }
        loop {
            self.watch(60).await?;
        }
    }

    fn tell(&mut self, text: &str) {
        let at_s = self.at_s();
        self.show.tell(at_s, text);
    }

    fn at_s(&self) -> f64 {
        self.clock.millis().seconds()
    }

    fn kubernetes_behaves(&self, behaviour: Behaviour) {
        for endpoint in &self.stage.platforms[Side::Kubernetes] {
            endpoint.behave(behaviour);
        }
    }

    async fn set_weight(&mut self, percent: f64) -> Result<()> {
        self.tell(&format!("$ switchback weight {SERVICE} {percent} --reason demo"));
        let body =
            wire::SetWeight { percent, reason: "demo".to_owned(), ticket: None, lasts: None, force: false };
        let path = format!("/v1/services/{SERVICE}/weight");
        client::ask_text(&self.admin, Method::PUT, &path, Some(&body)).await?;
        Ok(())
    }

    async fn release(&mut self, to_percent: f64) -> Result<()> {
        self.tell(&format!("$ switchback release {SERVICE} --to {to_percent} --reason demo"));
        let body = wire::Release {
            to_percent,
            reason: "demo".to_owned(),
            ticket: None,
            false_alarm: false,
            force: false,
        };
        let path = format!("/v1/services/{SERVICE}/release");
        client::ask_text(&self.admin, Method::POST, &path, Some(&body)).await?;
        Ok(())
    }

    /// Shows each second for some seconds.
    async fn watch(&mut self, seconds: u32) -> Result<()> {
        let mut second = interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        second.tick().await;
        for _ in 0..seconds {
            second.tick().await;
            self.show_second().await?;
        }
        Ok(())
    }

    async fn show_second(&mut self) -> Result<()> {
        let metrics = client::ask_text(&self.admin, Method::GET, "/metrics", None::<&()>).await?;
        let seen = self.load.look();
        self.ended.clients_failed += seen.failed;
        let second = self.counters.second(&metrics, seen);
        let second = Second { at_s: self.at_s(), clients_failed: self.ended.clients_failed, ..second };
        self.show.second(&second);
        Ok(())
    }

    async fn wait_for_revert(&mut self) -> Result<()> {
        let begun = self.clock.millis();
        let path = format!("/v1/services/{SERVICE}");
        loop {
            sleep(LOOK).await;
            let status: ServiceStatus = client::ask(&self.admin, Method::GET, &path, None::<&()>).await?;
            let waited = self.clock.millis().since(begun);
            if status.why == "held" {
                break;
            }
            if Duration::from_millis(waited.0) > PATIENCE {
                bail!("Switchback did not take the service back within {} s", PATIENCE.as_secs());
            }
        }
        self.ended.reverts += 1;
        self.show_second().await?;
        self.tell("Switchback has taken the service back to Helios. The receipt:");
        // Until the hold is on disk, which the receipt tells.
        self.watch(2).await?;
        let path = format!("{path}/receipt");
        let receipt: ReceiptRecord = client::ask(&self.admin, Method::GET, &path, None::<&()>).await?;
        self.show.quote(&explain::tell(&receipt, None, &Screen::PAPER), &serde_json::to_value(&receipt)?);
        Ok(())
    }
}
