use clap::Args;
use http::Method;

use crate::admin::client::{self, Address};
use crate::admin::wire;
use crate::control::{CalibrationRecord, CalibrationStatus};

use super::super::complete::services;
use super::super::print::{Screen, clock, say};
use super::super::weight::check_duration;
use super::super::{Failure, block_on};
use super::follow::{Followed, follow};
use super::report;

/// Arguments of `calibrate`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Calibrate {
    /// The service.
    #[arg(add = services())]
    service: String,
    /// How long, from 1s to 7d; 30m unless told. In less than ten minutes little can be said, and a service with few
    /// requests takes hours.
    #[arg(long = "for", value_name = "DURATION", value_parser = check_duration, conflicts_with_all = ["show", "stop"])]
    lasts: Option<String>,
    /// Why, for others to read.
    #[arg(long, conflicts_with = "show")]
    reason: Option<String>,
    /// Begins, and does not wait for the end.
    #[arg(long, conflicts_with_all = ["show", "stop"])]
    detach: bool,
    #[command(flatten)]
    instead: Instead,
    /// Prints what the admin interface answers; of a calibration that is waited for, what it came to.
    #[arg(long)]
    json: bool,
}

/// What is done in place of beginning.
#[derive(Args, Debug)]
struct Instead {
    /// Shows how the running one goes, or what the last one came to.
    #[arg(long, conflicts_with = "stop")]
    show: bool,
    /// Ends the running one; what was seen is kept.
    #[arg(long)]
    stop: bool,
}

impl Calibrate {
    pub(in crate::cli) fn run(self, admin: &Address) -> Result<(), Failure> {
        let path = format!("{}/calibration", client::service(&self.service));
        let Instead { show, stop } = self.instead;
        let text = if show {
            block_on(client::ask_text(admin, Method::GET, &path, None::<&()>))?
        } else if stop {
            let body = wire::StopCalibration { reason: self.reason };
            block_on(client::ask_text(admin, Method::DELETE, &path, Some(&body)))?
        } else {
            let body = wire::Calibrate { lasts: self.lasts, reason: self.reason };
            block_on(client::ask_text(admin, Method::POST, &path, Some(&body)))?
        };
        let waits = !(show || stop || self.detach);
        if self.json && !waits {
            say(&text);
            return Ok(());
        }
        let status: CalibrationStatus = serde_json::from_str(&text).map_err(anyhow::Error::from)?;
        match &status.running {
            Some(begun) if self.detach => say(&going_on(begun)),
            Some(begun) if waits => return wait(admin, &path, begun, self.json),
            Some(_) | None => say(&report::of(&status, &Screen::of_output())),
        }
        Ok(())
    }
}

/// Waits for a calibration that has begun, and tells what it came to.
fn wait(admin: &Address, path: &str, begun: &CalibrationRecord, json: bool) -> Result<(), Failure> {
    let name = &begun.service;
    match block_on(follow(admin, path, begun, json))? {
        Followed::Ended(record) if json => {
            say(&serde_json::to_string(&*record).map_err(anyhow::Error::from)?);
        }
        Followed::Ended(record) => say(&report::tell(&record, &Screen::of_output())),
        Followed::Left => say(&going_on(begun)),
        Followed::Lost => {
            return Err(Failure::Refused(format!(
                "{name}: the calibration was cut short, as by a restart; switchback calibrate {name} begins anew"
            )));
        }
    }
    Ok(())
}

fn going_on(begun: &CalibrationRecord) -> String {
    let name = &begun.service;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a week at most")]
    let until = begun.begun_unix_ms + (begun.lasts_s * 1e3) as u64;
    format!(
        "{name} is being calibrated until {}; no request goes elsewhere for it. How it goes: switchback calibrate {name} \
         --show; to end it: --stop",
        clock(until)
    )
}
