use clap::Args;
use http::Method;

use crate::admin::client::{self, Address};
use crate::admin::wire;
use crate::control::{ReadinessCheck, ReadinessStatus};

use super::change::tell_change;
use super::complete::services;
use super::foresee::{Sure, foresee};
use super::print::{Screen, Tone, facts, say};
use super::{Failure, block_on};

/// Arguments of `migrate`.
#[derive(Args, Debug)]
pub(super) struct Migrate {
    /// The service.
    #[arg(add = services())]
    service: String,
    /// Only says whether it is ready.
    #[arg(long)]
    check: bool,
    /// Why: others will read it at three in the morning.
    #[arg(long, required_unless_present = "check", default_value = "", hide_default_value = true)]
    reason: String,
    /// The ticket that it belongs to. Default: what looks like one in the reason, such as INC-4711.
    #[arg(long)]
    ticket: Option<String>,
    /// Prints what the admin interface answers.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    sure: Sure,
}

impl Migrate {
    pub(super) fn run(self, admin: &Address) -> Result<(), Failure> {
        let service = client::service(&self.service);
        let path = format!("{service}/readiness");
        let text = block_on(client::ask_text(admin, Method::GET, &path, None::<&()>))?;
        let readiness: ReadinessStatus = serde_json::from_str(&text).map_err(anyhow::Error::from)?;
        if self.json && (self.check || !readiness.ready) {
            say(&text);
        }
        if !self.json {
            say(&describe(&readiness, &Screen::of_output()));
        }
        if !readiness.ready {
            return Err(Failure::Refused(format!("{} is not ready to be migrated", self.service)));
        }
        if self.check {
            return Ok(());
        }
        let wanted = wire::Preview::Migrate { service: self.service.clone() };
        let foreseen = foresee(admin, &wanted, &self.sure, self.json)?;
        let path = format!("{service}/migration");
        let body = wire::Reason { reason: self.reason, ticket: self.ticket };
        tell_change(
            &block_on(client::ask_text(admin, Method::POST, &path, Some(&body)))?,
            &foreseen,
            self.json,
        )?;
        if !self.json {
            say(&format!(
                "its ramp is on its way: switchback ramp show {} says what it waits for",
                self.service
            ));
        }
        Ok(())
    }
}

fn describe(readiness: &ReadinessStatus, screen: &Screen) -> String {
    let row = |check: &ReadinessCheck| {
        let mark = if check.ok { "✓" } else { "✗" };
        [format!("  {mark} {}", check.what), check.details.clone()]
    };
    let head = if readiness.ready { "is ready to be migrated" } else { "is not ready to be migrated" };
    let head = screen.paint(if readiness.ready { Tone::Plain } else { Tone::Bad }, head);
    let rows: Vec<_> = readiness.checks.iter().map(row).collect();
    format!("{} {head}:\n{}", readiness.service, facts(&rows, screen))
}
