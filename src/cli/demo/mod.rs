//! Switchback at work, on this machine alone: two small platforms, real load over loopback, the real program
//! with the shipped configuration, and a story that can be watched.

mod endpoint;
mod live;
mod load;
mod screen;
mod show;
mod stage;
mod story;

use std::io::{IsTerminal, stdout};

use clap::Args;
use tokio::runtime::{Builder, LocalOptions};

use super::Failure;

pub(super) use endpoint::{Behaviour, Endpoint};

/// Arguments of `demo`.
#[derive(Args, Debug)]
pub(super) struct Demo {
    /// Ends after the story: 0 if Kubernetes was left in time and no client's request failed, 1 if not.
    #[arg(long)]
    once: bool,
    /// Prints what happens as one JSON object a line.
    #[arg(long)]
    json: bool,
    /// Requests a second.
    #[arg(long, default_value_t = 500, value_name = "N", value_parser = clap::value_parser!(u32).range(50..=5_000))]
    rate: u32,
}

impl Demo {
    pub(super) fn run(self) -> Result<(), Failure> {
        let manner = match (self.json, stdout().is_terminal()) {
            (true, _) => show::Manner::Json,
            (false, true) => show::Manner::Screen,
            (false, false) => show::Manner::Lines,
        };
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        let runtime = runtime.map_err(anyhow::Error::from)?;
        let ended = runtime.block_on(story::tell(show::Show::new(manner), self.rate, self.once))?;
        if self.once && !ended.is_good() {
            return Err(Failure::Refused(ended.complaint()));
        }
        Ok(())
    }
}
