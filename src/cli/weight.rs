use clap::Args;
use http::Method;

use crate::admin::client::{self, Address};
use crate::admin::wire;
use crate::config::parse_duration;

use super::print::say;
use super::{Failure, block_on};

/// Arguments of `weight`.
#[derive(Args, Debug)]
pub(super) struct SetWeight {
    /// The service.
    service: String,
    /// The percentage that goes to Kubernetes: 0 to 100 in steps of 0.01.
    #[arg(value_parser = parse_percent, required_unless_present = "clear", conflicts_with = "clear")]
    percent: Option<f64>,
    /// Ends the override: the configuration file decides again.
    #[arg(long)]
    clear: bool,
    /// Why: others will read it at three in the morning
    #[arg(long)]
    reason: String,
    /// How long, such as 2h; then the configuration file decides again.
    #[arg(long = "for", value_name = "DURATION", value_parser = check_duration, conflicts_with = "clear")]
    lasts: Option<String>,
    /// Also raises it where Helios could not take everything back.
    #[arg(long, conflicts_with = "clear")]
    force: bool,
    /// Prints what the admin interface answers.
    #[arg(long)]
    json: bool,
}

impl SetWeight {
    pub(super) fn run(self, admin: &Address) -> Result<(), Failure> {
        let path = format!("{}/weight", client::service(&self.service));
        let text = match self.percent {
            Some(percent) => {
                let body = wire::SetWeight {
                    percent,
                    reason: self.reason,
                    lasts: self.lasts.clone(),
                    force: self.force,
                };
                block_on(client::ask_text(admin, Method::PUT, &path, Some(&body)))?
            }
            None => block_on(client::ask_text(
                admin,
                Method::DELETE,
                &path,
                Some(&wire::Clear { reason: self.reason }),
            ))?,
        };
        tell(&text, self.json)?;
        if let (Some(lasts), false) = (self.lasts, self.json) {
            say(&format!("in {lasts} the configuration file decides again"));
        }
        Ok(())
    }
}

/// Tells what a change came to.
pub(super) fn tell(text: &str, json: bool) -> Result<(), Failure> {
    if json {
        say(text);
        return Ok(());
    }
    let changed: wire::Changed = serde_json::from_str(text).map_err(anyhow::Error::from)?;
    if changed.changes.is_empty() {
        say("nothing to change: no service gets requests on Kubernetes");
        return Ok(());
    }
    for change in &changed.changes {
        let why = if change.why == "held" { ", held" } else { "" };
        say(&format!(
            "{}: weight {:.2} → {:.2}{why}",
            change.service, change.before_percent, change.after_percent
        ));
    }
    if let Some(applied) = changed.applied {
        let took = applied.took_us as f64 / 1e3;
        say(&format!("applied on {} of {} workers in {took:.1} ms", applied.workers, applied.of));
    }
    Ok(())
}

/// Reads a percentage; the process says whether it is one.
pub(super) fn parse_percent(text: &str) -> Result<f64, String> {
    let percent =
        text.trim_end_matches('%').trim().parse::<f64>().map_err(|_| "a number: 5, 12.5".to_owned())?;
    match crate::model::Weight::from_percent(percent) {
        Some(_) => Ok(percent),
        None => Err("0 to 100, in steps of 0.01".to_owned()),
    }
}

pub(super) fn check_duration(text: &str) -> Result<String, String> {
    parse_duration(text).map(|_| text.to_owned())
}
