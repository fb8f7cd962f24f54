use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::interval;
use tracing::{error, info};

use crate::app::{BuildError, Ending, Running, build};
use crate::config::render;
use crate::telemetry::{LogFormat, init_log};

use super::Failure;
use super::print::{complain, complaints_take_colour};

/// Arguments of `serve`.
#[derive(Args, Debug)]
pub(super) struct Serve {
    /// The folder with switchback.toml and services/.
    #[arg(long, value_name = "DIR", env = "SWITCHBACK_CONFIG")]
    config: PathBuf,
    /// How the log is written to standard error.
    #[arg(long, value_enum, default_value = "text")]
    log: Log,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Log {
    Text,
    Json,
}

/// How often it is looked whether every thread is alive, …
const LOOK: Duration = Duration::from_secs(3);
/// … and whether all have ended that were told to.
const LOOK_FOR_THE_END: Duration = Duration::from_millis(50);
/// Looks between two complaints about one that is not.
const LOOKS_BETWEEN_COMPLAINTS: u32 = 10;

impl Serve {
    pub(super) fn run(self) -> Result<(), Failure> {
        init_log(match self.log {
            Log::Text => LogFormat::Text,
            Log::Json => LogFormat::Json,
        });
        let bound = build(&self.config).map_err(explain)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(anyhow::Error::from)?;
        // Before anything runs: from here on no signal ends the process unheard.
        let mut signals = {
            let _inside = runtime.enter();
            Signals::new().map_err(anyhow::Error::from)?
        };
        let mut running = bound.start().map_err(anyhow::Error::from)?;
        runtime.block_on(watch(&running, &mut signals));
        running.join();
        info!("ended");
        Ok(())
    }
}

struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

/// Waits for the end. The first signal asks for it gracefully; a second SIGINT ends at once.
async fn watch(running: &Running, signals: &mut Signals) {
    let mut look = interval(LOOK);
    let (mut stopping, mut looks) = (false, 0);
    loop {
        tokio::select! {
            _ = signals.terminate.recv(), if !stopping => {
                info!("SIGTERM: accepting nothing more, finishing what is in flight");
                running.stop(Ending::Graceful);
                (stopping, look) = (true, interval(LOOK_FOR_THE_END));
            }
            _ = signals.interrupt.recv() => {
                if stopping {
                    info!("SIGINT again: ending at once");
                    running.stop(Ending::Now);
                } else {
                    info!("SIGINT: finishing what is in flight; once more ends at once");
                    running.stop(Ending::Graceful);
                }
                (stopping, look) = (true, interval(LOOK_FOR_THE_END));
            }
            _ = signals.hangup.recv() => running.reload(),
            _ = look.tick() => {
                if stopping && running.has_ended() {
                    return;
                }
                let missing = running.missing();
                if !stopping && !missing.is_empty() {
                    if looks % LOOKS_BETWEEN_COMPLAINTS == 0 {
                        error!(?missing, "a thread has ended in a panic; restart Switchback: what is left serves on");
                    }
                    looks += 1;
                }
            }
        }
    }
}

fn explain(error: BuildError) -> Failure {
    match error {
        BuildError::Config(faults) => {
            complain(&render(&faults, complaints_take_colour()));
            Failure::Refused(format!(
                "not started: {} in the configuration",
                super::check::count(faults.len())
            ))
        }
        other @ (BuildError::State(_) | BuildError::AccessLog { .. } | BuildError::Listen { .. }) => {
            Failure::Refused(format!("not started: {other}"))
        }
    }
}
