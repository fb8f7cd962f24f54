use std::io::{self, IsTerminal, Write};

use tracing_subscriber::EnvFilter;

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Standard error, whoever reads it or not: a log that nobody takes any more must not end what it is about.
struct Unfailing;

impl Write for Unfailing {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let _ = io::stderr().write_all(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is in the log if nobody chooses. What rustls warns of is what single clients say, such as an address in place of a host
/// name: who connects often would fill the log with it.
const USUAL: &str = "info,rustls=error";

/// Starts the log on standard error. `SWITCHBACK_LOG` chooses what is in it, as in `info` or
/// `switchback=debug`; the default is `info`, and of rustls errors only. A second call does nothing.
pub fn init(format: LogFormat) {
    let filter = EnvFilter::try_from_env("SWITCHBACK_LOG").unwrap_or_else(|_| EnvFilter::new(USUAL));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .log_internal_errors(false)
        .with_writer(|| Unfailing);
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    // Another log may have been started already, as in tests: it is then the one that is written.
    let _ = match format {
        LogFormat::Text => builder.with_ansi(colour).with_target(false).try_init(),
        LogFormat::Json => builder.json().with_target(false).flatten_event(true).try_init(),
    };
}

#[cfg(test)]
mod tests {
    use tracing::{Level, enabled, subscriber};

    use super::*;

    #[test]
    fn what_single_clients_say_to_rustls_does_not_fill_the_log() {
        let usual = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(USUAL)).finish();
        subscriber::with_default(usual, || {
            assert!(!enabled!(target: "rustls::msgs::handshake", Level::WARN));
            assert!(enabled!(target: "rustls::msgs::handshake", Level::ERROR));
            assert!(enabled!(target: "switchback::dataplane", Level::INFO));
        });
    }
}
