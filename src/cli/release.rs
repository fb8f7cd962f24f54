use clap::Args;
use http::Method;

use crate::admin::client::{self, Address};
use crate::admin::wire;

use super::weight::{parse_percent, tell};
use super::{Failure, block_on};

/// Arguments of `release`.
#[derive(Args, Debug)]
pub(super) struct Release {
    /// The service.
    service: String,
    /// The weight from here on, in percent.
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent)]
    to: f64,
    /// Why: others will read it at three in the morning
    #[arg(long)]
    reason: String,
    /// The ticket that it belongs to. Default: what looks like one in the reason, such as INC-4711.
    #[arg(long)]
    ticket: Option<String>,
    /// Kubernetes was fine, and the judge was wrong: it is counted against its promise.
    #[arg(long)]
    false_alarm: bool,
    /// Also where Helios could not take everything back.
    #[arg(long)]
    force: bool,
    /// Prints what the admin interface answers.
    #[arg(long)]
    json: bool,
}

impl Release {
    pub(super) fn run(self, admin: &Address) -> Result<(), Failure> {
        let path = format!("{}/release", client::service(&self.service));
        let body = wire::Release {
            to_percent: self.to,
            reason: self.reason,
            ticket: self.ticket,
            false_alarm: self.false_alarm,
            force: self.force,
        };
        tell(&block_on(client::ask_text(admin, Method::POST, &path, Some(&body)))?, self.json)
    }
}
