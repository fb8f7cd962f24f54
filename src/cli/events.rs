use clap::Args;

use crate::admin::client::{self, Address};
use crate::admin::wire::Missed;
use crate::control::Announcement;

use super::print::{moment, say};
use super::{Failure, block_on};

/// Arguments of `events`.
#[derive(Args, Debug)]
pub(super) struct Events {
    /// Prints each as one JSON object a line.
    #[arg(long)]
    json: bool,
    /// Ends after what happened lately.
    #[arg(long)]
    recent: bool,
}

impl Events {
    pub(super) fn run(self, admin: &Address) -> Result<(), Failure> {
        let path = if self.recent { "/v1/events?recent=true" } else { "/v1/events" };
        block_on(client::follow(admin, path, |line| {
            if self.json {
                say(line);
            } else if let Ok(Announcement { at_unix_ms, text, .. }) = serde_json::from_str(line) {
                say(&format!("{}  {text}", moment(at_unix_ms)));
            } else if let Ok(Missed { missed }) = serde_json::from_str(line) {
                say(&format!("… {missed} missed: this reader is too slow"));
            }
        }))
    }
}
