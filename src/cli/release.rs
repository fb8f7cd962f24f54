use clap::Args;
use http::Method;

use crate::admin::client::{self, Address};
use crate::admin::wire;

use super::change::{Because, tell_change};
use super::complete::services;
use super::foresee::{Sure, foresee};
use super::weight::parse_percent;
use super::{Failure, block_on};

/// Arguments of `release`.
#[derive(Args, Debug)]
pub(super) struct Release {
    /// The service.
    #[arg(add = services())]
    service: String,
    /// The weight from here on, in percent.
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent)]
    to: f64,
    /// Kubernetes was fine, and the judge was wrong: it is counted against its promise.
    #[arg(long)]
    false_alarm: bool,
    /// Also where Helios could not take everything back.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    because: Because,
    #[command(flatten)]
    sure: Sure,
}

impl Release {
    pub(super) fn run(self, admin: &Address) -> Result<(), Failure> {
        let Self { service, to: to_percent, false_alarm, force, because, sure } = self;
        let wanted = wire::Preview::Release { service: service.clone(), to_percent };
        let foreseen = foresee(admin, &wanted, &sure, because.json)?;
        let path = format!("{}/release", client::service(&service));
        let Because { reason, ticket, json } = because;
        let body = wire::Release { to_percent, reason, ticket, false_alarm, force };
        tell_change(&block_on(client::ask_text(admin, Method::POST, &path, Some(&body)))?, &foreseen, json)
    }
}
