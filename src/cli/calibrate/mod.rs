//! `switchback calibrate`: how noisy is a service, and does the judge keep its promise with it?

mod command;
mod follow;
mod report;

pub(super) use command::Calibrate;
pub(super) use report::in_a_word;
