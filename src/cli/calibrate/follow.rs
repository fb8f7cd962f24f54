use std::io::{IsTerminal, Write, stdout};
use std::time::Duration;

use http::Method;
use tokio::signal::unix::{SignalKind, signal};

use crate::admin::client::{self, Address, AskError};
use crate::config::in_words;
use crate::control::{CalibrationRecord, CalibrationStatus};

use super::super::print::{Screen, one_line, say};

/// How following a calibration ended.
pub(super) enum Followed {
    /// It has come to this.
    Ended(Box<CalibrationRecord>),
    /// The person has left, and it goes on.
    Left,
    /// It is gone, and came to nothing.
    Lost,
}

/// How progress is shown.
enum Manner {
    /// A line that is written over.
    Live,
    /// A line for each tenth of the time.
    Lines,
    Silent,
}

/// Follows a calibration to its end, or until Ctrl-C.
pub(super) async fn follow(
    admin: &Address,
    path: &str,
    begun: &CalibrationRecord,
    json: bool,
) -> Result<Followed, AskError> {
    let manner = match (json, stdout().is_terminal()) {
        (true, _) => Manner::Silent,
        (false, true) => Manner::Live,
        (false, false) => Manner::Lines,
    };
    let pause = Duration::from_secs_f64((begun.lasts_s / 50.0).clamp(0.1, 1.0));
    let mut tenths = 0;
    // Whoever reads the first line may leave: the signal is heard before.
    let mut interrupts = signal(SignalKind::interrupt()).ok();
    manner.show(begun, &mut tenths);
    loop {
        let interrupted = async {
            match &mut interrupts {
                Some(interrupts) => interrupts.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // Without the signal there is nobody to leave.
            Some(()) = interrupted => {
                manner.end();
                return Ok(Followed::Left);
            }
            () = tokio::time::sleep(pause) => {}
        }
        let status: CalibrationStatus = client::ask(admin, Method::GET, path, None::<&()>).await?;
        let is_this = |record: &CalibrationRecord| record.begun_unix_ms == begun.begun_unix_ms;
        if let Some(record) = status.running.filter(is_this) {
            manner.show(&record, &mut tenths);
            continue;
        }
        manner.end();
        return Ok(match status.last.filter(is_this) {
            Some(record) => Followed::Ended(Box::new(record)),
            None => Followed::Lost,
        });
    }
}

impl Manner {
    fn show(&self, record: &CalibrationRecord, tenths: &mut u32) {
        match self {
            // A terminal that is gone has nobody before it.
            Manner::Live => {
                // A line that went on below could not be written over.
                let line = one_line(&progress(record), &Screen::of_output());
                let _ = write!(stdout(), "\r{line}\x1b[K").and_then(|()| stdout().flush());
            }
            Manner::Lines => {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few tenths")]
                let done = (record.ran_s / record.lasts_s * 10.0) as u32;
                if done >= *tenths {
                    *tenths = done + 1;
                    say(&progress(record));
                }
            }
            Manner::Silent => {}
        }
    }

    /// Makes room for what follows.
    fn end(&self) {
        if matches!(self, Manner::Live) {
            let _ = write!(stdout(), "\r\x1b[K").and_then(|()| stdout().flush());
        }
    }
}

fn progress(record: &CalibrationRecord) -> String {
    let [ran, lasts] = [record.ran_s, record.lasts_s].map(|s| in_words(Duration::from_secs_f64(s)));
    format!(
        "{}: {ran} of {lasts}: {} and {} requests, {} found where at most {:.1} are expected",
        record.service, record.a.requests, record.b.requests, record.short.found, record.short.expected
    )
}
