use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::config::{JudgeConfig, load_service, parse_duration, render};

use super::Failure;
use super::check::count;
use super::print::{complain, complaints_take_colour};

/// What requests are judged by, in `replay` and `simulate`.
#[derive(Args, Debug)]
pub(super) struct JudgedBy {
    /// Judges by what this service's file says of the judge.
    #[arg(long, value_name = "FILE")]
    pub(super) service: Option<PathBuf>,
    /// The promise: one false revert in this time, such as 30d or 1y. Stronger than the service's file.
    #[arg(long, value_name = "DURATION", value_parser = parse_promise)]
    false_revert_every: Option<Duration>,
}

impl JudgedBy {
    /// The rule to judge by, and what its word leads to.
    pub(super) fn judge(&self) -> Result<JudgeConfig, Failure> {
        let mut judge = match &self.service {
            None => JudgeConfig::default(),
            Some(path) => load_service(path).map(|service| service.judge).map_err(|faults| {
                complain(&format!("{}{}", render(&faults, complaints_take_colour()), count(faults.len())));
                Failure::Said
            })?,
        };
        if let Some(promise) = self.false_revert_every {
            judge.rule.false_revert_every = promise;
        }
        Ok(judge)
    }
}

fn parse_promise(text: &str) -> Result<Duration, String> {
    let promise = parse_duration(text)?;
    if promise < JudgeConfig::SHORTEST_PROMISE { Err("at least 1m".to_owned()) } else { Ok(promise) }
}
