use std::ffi::OsString;
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
const LOOK: Duration = Duration::from_secs(10);
/// … and whether all have ended that were told to.
const LOOK_FOR_THE_END: Duration = Duration::from_millis(50);
/// Looks between two complaints about one that is not.
const LOOKS_BETWEEN_COMPLAINTS: u32 = 3;

/// The folder, if the command line does not say it.
const CONFIG: &str = "SWITCHBACK_CONFIG";
/// What chooses what is in the log.
const LOG: &str = "SWITCHBACK_LOG";
/// How all variables begin that we know.
const OURS: &str = "SWITCHBACK_";

impl Serve {
    /// Reads the plain forms of this command without the description of all the others: most of what a quiet proxy's memory
    /// would have in it. Whatever else is said, right or wrong, is for who knows them all.
    pub(super) fn read(
        words: impl IntoIterator<Item = OsString>,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Option<Self> {
        let mut inherited = None;
        for (name, value) in variables {
            match name.to_str() {
                Some(CONFIG) => inherited = Some(value),
                Some(LOG) => {}
                _ if name.as_encoded_bytes().starts_with(OURS.as_bytes()) => return None,
                _ => {}
            }
        }
        let mut words = words.into_iter().map(OsString::into_string);
        if words.next()?.ok()? != "serve" {
            return None;
        }
        let (mut config, mut log) = (None, None);
        while let Some(word) = words.next() {
            let word = word.ok()?;
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, value.to_owned()),
                None => (&*word, words.next()?.ok().filter(|value| !value.starts_with('-'))?),
            };
            let place = match name {
                "--config" => &mut config,
                "--log" => &mut log,
                _ => return None,
            };
            if place.replace(value).is_some() {
                return None;
            }
        }
        let config = config.map(OsString::from).or(inherited).filter(|config| !config.is_empty())?;
        let log = match log.as_deref() {
            None | Some("text") => Log::Text,
            Some("json") => Log::Json,
            Some(_) => return None,
        };
        Some(Self { config: config.into(), log })
    }

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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::{Arguments, Command};
    use super::*;

    #[test]
    fn plain_forms_are_read_as_the_whole_command_line_is_and_others_are_left_to_it() {
        for (line, is_plain) in [
            ("serve --config /etc/switchback", true),
            ("serve --config=/etc/switchback --log json", true),
            ("serve --log=text --config a=b", true),
            ("serve --config a --log xml", false),
            ("serve --config a --config b", false),
            ("serve --config --log", false),
            ("serve --config=", false),
            ("serve --config", false),
            ("serve", false),
            ("serve --config a b", false),
            ("serve --config a --color never", false),
            ("serve --conf a", false),
            ("serve --help", false),
            ("check --config a", false),
            ("", false),
        ] {
            let words = || line.split_whitespace().map(OsString::from);
            let read = Serve::read(words(), []);
            assert_eq!(read.is_some(), is_plain, "{line}");
            let Some(read) = read else { continue };
            let all = Arguments::try_parse_from(std::iter::once("switchback".into()).chain(words()));
            let Command::Serve(serve) = all.unwrap().command else { panic!("{line}") };
            assert_eq!(format!("{read:?}"), format!("{serve:?}"));
        }
    }

    #[test]
    fn a_variable_says_the_folder_and_others_are_not_passed_over() {
        let with = |name: &str, value: &str| {
            Serve::read(["serve".into()], [("HOME".into(), "/".into()), (name.into(), value.into())])
        };
        assert_eq!(with("SWITCHBACK_CONFIG", "a").unwrap().config, PathBuf::from("a"));
        assert!(with("SWITCHBACK_CONFIG", "").is_none());
        let both = |name: &str| {
            let words = ["serve", "--config", "a"].map(OsString::from);
            Serve::read(words, [(name.into(), "b".into())])
        };
        assert_eq!(both("SWITCHBACK_CONFIG").unwrap().config, PathBuf::from("a"));
        assert!(both("SWITCHBACK_LOG").is_some() && both("SWITCHBACK_ADMIN").is_none());
    }
}
