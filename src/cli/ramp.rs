use std::time::Duration;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use crate::admin::client::{self, Address};
use crate::admin::wire;
use crate::config::in_words;
use crate::control::{RampStatus, ServiceStatus, StepStatus};

use super::change::{Because, tell_change};
use super::complete::services;
use super::foresee::{Sure, foresee};
use super::print::{Cell, Column, Screen, Tone, ago, moment, say, table};
use super::scope::ScopeArguments;
use super::weight::parse_percent;
use super::{Failure, block_on};

/// Arguments of `ramp`.
#[derive(Args, Debug)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(super) struct Ramp {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts a service's ramp.
    Start(Box<Start>),
    /// Pauses ramps: they stay where they are.
    Pause(Pause),
    /// Resumes paused ramps. The time at their step begins anew.
    Resume(Pause),
    /// Stops a service's ramp: the file decides again.
    Stop(Stop),
    /// Shows a service's ramp, and what it waits for.
    Show(Show),
}

#[derive(Args, Debug)]
struct Start {
    /// The service.
    #[arg(add = services())]
    service: String,
    /// The step to begin at, in percent. After a revert it must be said.
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent)]
    from: Option<f64>,
    /// Steps in place of those of the service's file, such as 1,5,25,50,100.
    #[arg(long, value_name = "PERCENTS", value_delimiter = ',', value_parser = parse_percent)]
    steps: Vec<f64>,
    /// With --steps: how long each lasts at least, such as 2h.
    #[arg(long, value_name = "DURATION", requires = "steps")]
    hold: Option<String>,
    /// With --steps: requests that Kubernetes has answered at each, at least.
    #[arg(long, value_name = "NUMBER", requires = "steps")]
    requests: Option<u64>,
    /// With --steps: how sure the judge must be that Kubernetes is not worse, in percent.
    #[arg(long, value_name = "PERCENT", requires = "steps")]
    certainty: Option<f64>,
    /// With --steps: when steps may be taken, such as "Mon-Thu 09:00-16:00".
    #[arg(long, value_name = "HOURS", requires = "steps")]
    hours: Vec<String>,
    /// With --hours: the time zone, such as Europe/Stockholm.
    #[arg(long, value_name = "ZONE", requires = "hours")]
    zone: Option<String>,
    /// Also where Helios could not take everything back.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    because: Because,
    #[command(flatten)]
    sure: Sure,
}

#[derive(Args, Debug)]
struct Pause {
    #[command(flatten)]
    scope: ScopeArguments,
    #[command(flatten)]
    because: Because,
}

#[derive(Args, Debug)]
struct Stop {
    /// The service.
    #[arg(add = services())]
    service: String,
    #[command(flatten)]
    because: Because,
    #[command(flatten)]
    sure: Sure,
}

#[derive(Args, Debug)]
struct Show {
    /// The service.
    #[arg(add = services())]
    service: String,
    /// Prints the ramp as the admin interface tells it; null if there is none.
    #[arg(long)]
    json: bool,
}

impl Ramp {
    pub(super) fn run(self, admin: &Address) -> Result<(), Failure> {
        match self.command {
            Command::Start(start) => start.run(admin),
            Command::Pause(pause) => pause.run(admin, "/v1/ramps/pause"),
            Command::Resume(resume) => resume.run(admin, "/v1/ramps/resume"),
            Command::Stop(stop) => stop.run(admin),
            Command::Show(show) => show.run(admin),
        }
    }
}

impl Start {
    fn run(self, admin: &Address) -> Result<(), Failure> {
        let (plan, Self { service, from: from_percent, force, because, sure, .. }) = (self.plan(), self);
        let wanted = wire::Preview::StartRamp { service: service.clone(), from_percent, plan: plan.clone() };
        let foreseen = foresee(admin, &wanted, &sure, because.json)?;
        let path = format!("{}/ramp", client::service(&service));
        let Because { reason, ticket, json } = because;
        let body = wire::StartRamp { reason, ticket, from_percent, plan, force };
        tell_change(&block_on(client::ask_text(admin, Method::POST, &path, Some(&body)))?, &foreseen, json)?;
        if !json {
            say(&format!("switchback ramp show {service} says what it waits for"));
        }
        Ok(())
    }

    /// The plan that was typed, with the keys of a service's file.
    fn plan(&self) -> Option<Value> {
        if self.steps.is_empty() {
            return None;
        }
        let mut plan = json!({ "steps": self.steps });
        let said = [
            ("hold", self.hold.as_ref().map(|hold| json!(hold))),
            ("requests", self.requests.map(|requests| json!(requests))),
            ("certainty", self.certainty.map(|certainty| json!(certainty))),
            ("hours", (!self.hours.is_empty()).then(|| json!(self.hours))),
            ("zone", self.zone.as_ref().map(|zone| json!(zone))),
        ];
        for (key, value) in said {
            if let Some(value) = value {
                plan[key] = value;
            }
        }
        Some(plan)
    }
}

impl Pause {
    fn run(self, admin: &Address, path: &str) -> Result<(), Failure> {
        let Because { reason, ticket, json } = self.because;
        let body = wire::OfScope::new(self.scope.into(), reason, ticket);
        let text = block_on(client::ask_text(admin, Method::POST, path, Some(&body)))?;
        if json {
            say(&text);
            return Ok(());
        }
        let changed: wire::Changed = serde_json::from_str(&text).map_err(anyhow::Error::from)?;
        let word = if path.ends_with("pause") { "paused" } else { "resumed" };
        if changed.changes.is_empty() {
            say(&format!("there is no ramp to be {word}"));
        }
        for change in &changed.changes {
            say(&format!("{}: ramp {word} at {:.2}", change.service, change.after_percent));
        }
        if changed.written == Some(false) {
            say("not all of it is on disk yet: the disk is slow, or full. A ramp goes on once it is");
        }
        Ok(())
    }
}

impl Stop {
    fn run(self, admin: &Address) -> Result<(), Failure> {
        let wanted = wire::Preview::StopRamp { service: self.service.clone() };
        let foreseen = foresee(admin, &wanted, &self.sure, self.because.json)?;
        let path = format!("{}/ramp", client::service(&self.service));
        let Because { reason, ticket, json } = self.because;
        let body = wire::Reason { reason, ticket };
        tell_change(&block_on(client::ask_text(admin, Method::DELETE, &path, Some(&body)))?, &foreseen, json)
    }
}

impl Show {
    fn run(self, admin: &Address) -> Result<(), Failure> {
        let path = client::service(&self.service);
        let status: ServiceStatus = block_on(client::ask(admin, Method::GET, &path, None::<&()>))?;
        if self.json {
            say(&serde_json::to_string(&status.ramp).map_err(anyhow::Error::from)?);
            return Ok(());
        }
        say(&match &status.ramp {
            Some(ramp) => describe(&status.service, ramp, &Screen::of_output()),
            None => describe_none(&status),
        });
        Ok(())
    }
}

fn describe_none(status: &ServiceStatus) -> String {
    let name = &status.service;
    match (status.ramp_cut_at_percent, status.again_unix_ms) {
        (Some(at), Some(again)) => format!(
            "{name} has no ramp: a revert has ended it at {at:.2}; it starts again by itself on {}",
            moment(again)
        ),
        (Some(at), None) => format!(
            "{name} has no ramp: a revert has ended it at {at:.2}; release the service, and name the step to begin at: \
             switchback ramp start {name} --from …"
        ),
        (None, _) => format!("{name} has no ramp: switchback ramp start {name} --reason …"),
    }
}

/// A ramp as people read it.
fn describe(service: &str, ramp: &RampStatus, screen: &Screen) -> String {
    let head = format!(
        "{service} is at {:.2}, step {} of {}, since {}; {} started its ramp on {}: {}",
        ramp.weight_percent,
        ramp.step,
        ramp.steps.len(),
        ago(ramp.since_unix_ms),
        ramp.by,
        moment(ramp.started_unix_ms),
        ramp.reason
    );
    let step = |(number, step): (usize, &StepStatus)| {
        let mark = if number == ramp.step { "▶" } else { " " };
        Cell::row(vec![
            format!(" {mark} {:.2}", step.to_percent),
            format!("at least {}", in_words(Duration::from_secs_f64(step.hold_s))),
            format!("{} requests", step.requests),
            format!("{}% sure", step.certainty_percent),
        ])
    };
    let rows: Vec<_> = (1..).zip(&ramp.steps).map(step).collect();
    let columns = [Column::stays(""), Column::stays(""), Column::goes(2, ""), Column::goes(1, "")];
    let mut lines = vec![head, table(&columns, &rows, screen)];
    match (ramp.going.as_str(), ramp.next_percent) {
        ("done", _) | (_, None) => {
            lines.push(format!("it is done: write {:.2} into the service's file", ramp.weight_percent));
        }
        (_, Some(next)) if ramp.waits.is_empty() => {
            lines.push(format!("it is taking its next step, to {next:.2}"));
        }
        (_, Some(next)) => {
            lines.push(format!("before {next:.2} it waits for:"));
            for wait in &ramp.waits {
                let left = wait
                    .left_s
                    .map(|left_s| format!(" ({} more)", in_words(Duration::from_secs_f64(left_s))));
                let line = format!("  - {}{}", wait.text, left.unwrap_or_default());
                lines.push(screen.paint(Tone::Waiting, &line));
            }
        }
    }
    lines.join("\n")
}
