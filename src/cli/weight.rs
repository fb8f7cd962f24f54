use clap::Args;
use http::Method;

use crate::admin::client::{self, Address};
use crate::admin::wire;
use crate::config::parse_duration;

use super::change::{Because, tell_change};
use super::complete::services;
use super::foresee::{Sure, foresee};
use super::print::say;
use super::{Failure, block_on};

/// Arguments of `weight`.
#[derive(Args, Debug)]
pub(super) struct SetWeight {
    /// The service.
    #[arg(add = services())]
    service: String,
    /// The percentage that goes to Kubernetes: 0 to 100 in steps of 0.01.
    #[arg(value_parser = parse_percent, required_unless_present = "clear", conflicts_with = "clear")]
    percent: Option<f64>,
    /// Ends the override: the ramp or the configuration file decides again.
    #[arg(long)]
    clear: bool,
    /// How long, such as 2h; then the ramp or the configuration file decides again.
    #[arg(long = "for", value_name = "DURATION", value_parser = check_duration, conflicts_with = "clear")]
    lasts: Option<String>,
    /// Also raises it where Helios could not take everything back.
    #[arg(long, conflicts_with = "clear")]
    force: bool,
    #[command(flatten)]
    because: Because,
    #[command(flatten)]
    sure: Sure,
}

impl SetWeight {
    pub(super) fn run(self, admin: &Address) -> Result<(), Failure> {
        let Self { service, percent, lasts, force, because, sure, .. } = self;
        let path = format!("{}/weight", client::service(&service));
        let Because { reason, ticket, json } = because;
        let wanted = match percent {
            Some(percent) => wire::Preview::Weight { service, percent },
            None => wire::Preview::Clear { service },
        };
        let foreseen = foresee(admin, &wanted, &sure, json)?;
        let text = if let Some(percent) = percent {
            let body = wire::SetWeight { percent, reason, ticket, lasts: lasts.clone(), force };
            block_on(client::ask_text(admin, Method::PUT, &path, Some(&body)))?
        } else {
            let body = wire::Reason { reason, ticket };
            block_on(client::ask_text(admin, Method::DELETE, &path, Some(&body)))?
        };
        tell_change(&text, &foreseen, json)?;
        if let (Some(lasts), false) = (lasts, json) {
            say(&format!("in {lasts} the ramp or the configuration file decides again"));
        }
        Ok(())
    }
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
