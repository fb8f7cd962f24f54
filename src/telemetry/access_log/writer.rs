use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::sleep;
use tracing::{error, info, warn};

use crate::clock::Clock;
use crate::model::{Millis, UnixMicros};

use super::file::LogFile;
use super::queue::{AccessLog, Counts, channel};
use super::record::Finished;

/// The writer's thread.
#[derive(Debug)]
pub(crate) struct AccessLogWriter {
    thread: JoinHandle<()>,
    /// Closed when the thread ends.
    ended: std::sync::mpsc::Receiver<Infallible>,
    reopen: Arc<Notify>,
    stop: watch::Sender<bool>,
}

/// Records that are written at once.
const BATCH: usize = 1_024;
/// How long records gather before they are written. While the writer rests, a worker that hands over a record
/// wakes nobody.
const GATHER: Duration = Duration::from_millis(10);
/// How often it is looked whether the file has been moved, while there is something to write.
const LOOK_EVERY: Millis = Millis(1_000);
/// How long it takes until what could not be written is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How long it takes until there is room in a pipe.
const PIPE_DRAINS_IN: Duration = Duration::from_millis(5);
/// How long the last lines may take when the process ends: a disk may never answer.
const LAST_LINES: Duration = Duration::from_secs(5);
/// How often people are told of the same trouble.
const COMPLAIN_EVERY: Millis = Millis(60_000);

/// Starts the writer on a thread of its own.
pub(crate) fn start(
    file: LogFile,
    clock: Clock,
    counts: Arc<Counts>,
) -> io::Result<(AccessLog, AccessLogWriter)> {
    let (log, records) = channel(counts.clone());
    let reopen = Arc::new(Notify::new());
    let (stop, stopped) = watch::channel(false);
    let state = State {
        file,
        records,
        counts,
        clock,
        reopen: reopen.clone(),
        stopped,
        lines: Vec::new(),
        written: 0,
        looked: clock.millis(),
        complained: None,
    };
    let (open, ended) = std::sync::mpsc::channel();
    let thread = thread::Builder::new().name("access-log".to_owned()).spawn(move || {
        let _open = open;
        match Builder::new_current_thread().enable_time().build() {
            Ok(runtime) => runtime.block_on(state.run()),
            Err(error) => error!(%error, "the access log cannot be written"),
        }
    })?;
    Ok((log, AccessLogWriter { thread, ended, reopen, stop }))
}

impl AccessLogWriter {
    /// Has whatever has the file's name opened.
    pub(crate) fn reopen(&self) {
        self.reopen.notify_one();
    }

    /// Has what waits written, takes nothing more, and waits until that is done. Blocks.
    pub(crate) fn end(self) {
        // If the thread has ended, there is nothing left to tell it.
        let _ = self.stop.send(true);
        match self.ended.recv_timeout(LAST_LINES) {
            Err(RecvTimeoutError::Timeout) => error!("the access log hangs in a write: its end is lost"),
            Err(RecvTimeoutError::Disconnected) => {
                if self.thread.join().is_err() {
                    error!("the access log had ended in a panic");
                }
            }
            Ok(never) => match never {},
        }
    }

    /// Whether the thread has ended.
    pub(crate) fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }
}

struct State {
    file: LogFile,
    records: mpsc::Receiver<Finished>,
    counts: Arc<Counts>,
    clock: Clock,
    reopen: Arc<Notify>,
    stopped: watch::Receiver<bool>,
    /// What is being written, and how much of it has been.
    lines: Vec<u8>,
    written: usize,
    /// When it was looked whether the file has been moved.
    looked: Millis,
    complained: Option<Millis>,
}

impl State {
    async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let is_stopping = self.is_stopping();
            if is_stopping {
                self.records.close();
            }
            let count = tokio::select! {
                biased;
                () = self.reopen.notified() => {
                    self.open_anew();
                    continue;
                }
                _ = self.stopped.changed(), if !is_stopping => continue,
                count = self.records.recv_many(&mut batch, BATCH) => count,
            };
            if count == 0 {
                return;
            }
            self.format(&mut batch);
            self.write().await;
            if count < BATCH && !is_stopping {
                sleep(GATHER).await;
            }
        }
    }

    fn format(&mut self, batch: &mut Vec<Finished>) {
        // Requests are timed by the clock that does not jump; what people read follows the one that does.
        let began = UnixMicros(self.clock.wall_micros().0.saturating_sub(self.clock.micros().0));
        self.lines.clear();
        self.written = 0;
        for finished in batch.drain(..) {
            let line = self.lines.len();
            if serde_json::to_writer(&mut self.lines, &finished.into_record(began)).is_ok() {
                self.lines.push(b'\n');
            } else {
                // Neither memory nor such a record refuses; half a line would spoil the next.
                self.lines.truncate(line);
                self.counts.drop_records(1);
            }
        }
    }

    /// Writes the lines, however long that takes; at the end of the process only once.
    async fn write(&mut self) {
        loop {
            self.look();
            let Err(error) = self.file.write(&self.lines, &mut self.written) else { return };
            if error.kind() == io::ErrorKind::WouldBlock {
                // A pipe is full until its reader has read on. At the end of the process nobody waits for long.
                sleep(PIPE_DRAINS_IN).await;
                continue;
            }
            self.complain(&error, "the access log cannot be written, trying again");
            if self.is_stopping() {
                let left = self.lines[self.written..].split_inclusive(|byte| *byte == b'\n').count();
                self.counts.drop_records(left as u64);
                error!(%error, lines = left, "the end of the access log could not be written");
                return;
            }
            tokio::select! {
                () = sleep(RETRY_AFTER) => {}
                () = self.reopen.notified() => self.open_anew(),
                _ = self.stopped.changed() => {}
            }
        }
    }

    /// Looks now and then whether the file has been moved, and follows its name.
    fn look(&mut self) {
        let now = self.clock.millis();
        if now.since(self.looked) >= LOOK_EVERY {
            self.looked = now;
            if self.file.is_moved() {
                self.open_anew();
            }
        }
    }

    fn open_anew(&mut self) {
        match self.file.reopen() {
            Ok(()) => {
                // A line that is half in the old file is written whole into the new one.
                self.written = whole(&self.lines[..self.written]);
                info!(file = %self.file.path().display(), "access log opened anew");
            }
            Err(error) => self.complain(&error, "the access log cannot be opened, writing to the old file"),
        }
    }

    /// Whether the process ends, or whoever would say so is gone.
    fn is_stopping(&self) -> bool {
        *self.stopped.borrow() || self.stopped.has_changed().is_err()
    }

    fn complain(&mut self, error: &io::Error, what: &str) {
        self.counts.fail();
        let now = self.clock.millis();
        if self.complained.is_none_or(|last| now.since(last) >= COMPLAIN_EVERY) {
            self.complained = Some(now);
            warn!(%error, file = %self.file.path().display(), "{what}");
        }
    }
}

/// How many of these bytes are whole lines.
fn whole(lines: &[u8]) -> usize {
    lines.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_line_is_none() {
        for (lines, length) in [("", 0), ("a", 0), ("a\n", 2), ("a\nb", 2), ("a\nb\n", 4), ("\n\nc", 2)] {
            assert_eq!(whole(lines.as_bytes()), length, "{lines:?}");
        }
    }
}
