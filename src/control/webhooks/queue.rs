use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use tokio::sync::oneshot;

use super::message::Message;
use super::status::Ended;

/// What one webhook is still to be told, in order.
///
/// It is in memory, and the disk follows: one file a message, so that the next process goes on where this one ends, however that
/// is. What cannot be written is told all the same.
pub(super) struct Queue {
    folder: PathBuf,
    waiting: VecDeque<Queued>,
    /// The first is being sent: it is not dropped to make room.
    under_way: bool,
    next: u64,
}

/// A message in a queue.
pub(super) struct Queued {
    sequence: u64,
    pub(super) message: Rc<Message>,
    /// Who wants to know what becomes of it.
    pub(super) asker: Option<oneshot::Sender<Ended>>,
    written: bool,
}

/// What there was of a queue.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Files that are no messages; they were set aside.
    pub(super) bad: Vec<String>,
    /// Messages for which there was no room.
    pub(super) dropped: u64,
    /// Why it could not be looked what there was.
    pub(super) trouble: Option<io::Error>,
}

/// Messages that wait for one webhook. Past this the oldest goes.
pub(super) const MOST_QUEUED: usize = 1_000;
/// Files that are no messages, and are kept for whoever wants to know why.
const MOST_BAD: usize = 16;
/// The largest file that is read: some hundred times what a message takes.
const LARGEST: u64 = 1 << 20;

const MESSAGE: &str = "json";
const ASIDE: &str = "new";
const BAD: &str = "bad";

impl Queue {
    /// A queue as the last process has left it.
    pub(super) fn open(folder: &Path) -> (Self, Found) {
        let mut queue =
            Self { folder: folder.to_owned(), waiting: VecDeque::new(), under_way: false, next: 0 };
        let mut found = Found::default();
        if let Err(error) = queue.read(&mut found) {
            found.trouble = Some(error);
        }
        (queue, found)
    }

    /// Adds a message. Gives the one that had to go for it.
    pub(super) fn push(
        &mut self,
        message: Rc<Message>,
        asker: Option<oneshot::Sender<Ended>>,
    ) -> Option<Queued> {
        let gone = (self.waiting.len() >= MOST_QUEUED).then(|| self.drop_oldest()).flatten();
        self.waiting.push_back(Queued { sequence: self.next, message, asker, written: false });
        self.next += 1;
        gone
    }

    /// The message whose turn it is. It stays until [`Queue::end`].
    pub(super) fn begin(&mut self) -> Option<Rc<Message>> {
        let first = self.waiting.front()?;
        self.under_way = true;
        Some(first.message.clone())
    }

    /// The message that was begun is not under way any more, and its turn still.
    pub(super) fn put_back(&mut self) {
        self.under_way = false;
    }

    /// The message that was begun is done with.
    pub(super) fn end(&mut self) -> Option<Queued> {
        self.under_way = false;
        let done = self.waiting.pop_front()?;
        self.forget(&done);
        Some(done)
    }

    /// Writes what is not on disk yet, in order. What could not be is written the next time.
    pub(super) fn write(&mut self) -> io::Result<()> {
        if self.waiting.iter().all(|queued| queued.written) {
            return Ok(());
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        for queued in self.waiting.iter_mut().filter(|queued| !queued.written) {
            write(&self.folder, queued.sequence, &queued.message.encode())?;
            queued.written = true;
        }
        File::open(&self.folder)?.sync_all()
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The message that waits for the longest time.
    pub(super) fn oldest(&self) -> Option<&Message> {
        self.waiting.front().map(|queued| &*queued.message)
    }

    fn drop_oldest(&mut self) -> Option<Queued> {
        let gone = self.waiting.remove(usize::from(self.under_way))?;
        self.forget(&gone);
        Some(gone)
    }

    fn forget(&self, queued: &Queued) {
        if queued.written {
            // If it stays, it is told twice after a restart, under the same id.
            let _ = fs::remove_file(self.folder.join(name(queued.sequence)));
        }
    }

    fn read(&mut self, found: &mut Found) -> io::Result<()> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.sort();
        let mut bad = Vec::new();
        for path in paths {
            // Also of one that was set aside: its number is not given again.
            let sequence = sequence(&path);
            self.next = self.next.max(sequence.map_or(0, |sequence| sequence + 1));
            match (path.extension().and_then(OsStr::to_str), sequence) {
                (Some(MESSAGE), Some(sequence)) => match load(&path) {
                    Ok(message) => self.waiting.push_back(Queued {
                        sequence,
                        message: Rc::new(message),
                        asker: None,
                        written: true,
                    }),
                    Err(why) => {
                        let aside = path.with_extension(format!("{MESSAGE}.{BAD}"));
                        fs::rename(&path, &aside)?;
                        found.bad.push(format!("{} {why}", path.display()));
                        bad.push(aside);
                    }
                },
                (Some(BAD), Some(_)) => bad.push(path),
                // Left over from a write that a crash cut short: nobody was told that it is here.
                (Some(ASIDE), _) => fs::remove_file(&path)?,
                _ => {}
            }
        }
        while self.waiting.len() > MOST_QUEUED {
            self.drop_oldest();
            found.dropped += 1;
        }
        bad.sort();
        for oldest in bad.iter().take(bad.len().saturating_sub(MOST_BAD)) {
            fs::remove_file(oldest)?;
        }
        Ok(())
    }
}

/// Deletes a queue, and tells how many messages were in it.
pub(super) fn delete(folder: &Path) -> io::Result<usize> {
    let is_message = |path: &Path| path.extension().is_some_and(|end| end == MESSAGE);
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    let messages = entries.filter_map(Result::ok).filter(|entry| is_message(&entry.path())).count();
    fs::remove_dir_all(folder)?;
    Ok(messages)
}

fn name(sequence: u64) -> String {
    format!("{sequence:016}.{MESSAGE}")
}

/// The number that a file's name begins with.
fn sequence(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.split('.').next()?.parse().ok()
}

/// Aside, synced, renamed: it is there whole, or not at all.
fn write(folder: &Path, sequence: u64, bytes: &[u8]) -> io::Result<()> {
    let aside = folder.join(format!("{}.{ASIDE}", name(sequence)));
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&aside, folder.join(name(sequence)))
}

fn load(path: &Path) -> Result<Message, String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST).read_to_end(&mut bytes));
    read.map_err(|error| format!("cannot be read: {error}"))?;
    Message::decode(&bytes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::reverted;
    use super::*;

    fn message(id: usize) -> Rc<Message> {
        Rc::new(Message { id: id.to_string(), ..reverted() })
    }

    fn ids(queue: &Queue) -> Vec<String> {
        queue.waiting.iter().map(|queued| queued.message.id.clone()).collect()
    }

    fn files(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn filled(folder: &Path, count: usize) -> Queue {
        let (mut queue, _) = Queue::open(folder);
        for id in 0..count {
            assert!(queue.push(message(id), None).is_none());
        }
        queue.write().unwrap();
        queue
    }

    #[test]
    fn the_next_process_goes_on_where_this_one_ends() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("webhooks/oncall");
        let mut queue = filled(&folder, 4);
        assert_eq!(queue.begin().unwrap().id, "0");
        assert_eq!(queue.end().unwrap().message.id, "0");
        assert_eq!(queue.begin().unwrap().id, "1", "under way when the process is killed");
        drop(queue);
        let (mut queue, found) = Queue::open(&folder);
        assert_eq!(
            (ids(&queue), found.dropped, found.bad.len()),
            (vec!["1".into(), "2".into(), "3".into()], 0, 0)
        );
        queue.push(message(4), None);
        queue.write().unwrap();
        assert_eq!(ids(&Queue::open(&folder).0), ["1", "2", "3", "4"]);
    }

    #[test]
    fn a_crash_in_the_middle_of_a_write_costs_that_message_only() {
        let folder = tempfile::tempdir().unwrap();
        filled(folder.path(), 3);
        let at = |name: &str| folder.path().join(name);
        fs::write(at("0000000000000003.json.new"), "{\"version\":1,\"id\":").unwrap();
        fs::write(at("0000000000000001.json"), "{\"version\":1,\"id\":").unwrap();
        fs::write(at("README"), "not ours").unwrap();
        let (mut queue, found) = Queue::open(folder.path());
        assert_eq!((ids(&queue), found.bad.len()), (vec!["0".into(), "2".into()], 1));
        assert!(found.bad[0].contains("0000000000000001.json is not a message"), "{:?}", found.bad);
        let left = ["0000000000000000.json", "0000000000000001.json.bad", "0000000000000002.json", "README"];
        assert_eq!(files(folder.path()), left);
        queue.push(message(9), None);
        queue.write().unwrap();
        let (queue, found) = Queue::open(folder.path());
        assert_eq!(
            (ids(&queue), found.bad.len()),
            (vec!["0".into(), "2".into(), "9".into()], 0),
            "told once"
        );
    }

    #[test]
    fn numbers_of_files_that_were_set_aside_are_not_given_again_and_only_some_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..MOST_BAD + 4 {
            fs::write(folder.path().join(name(number as u64)), "nonsense").unwrap();
        }
        let (mut queue, found) = Queue::open(folder.path());
        assert_eq!((queue.len(), found.bad.len()), (0, MOST_BAD + 4));
        let kept = files(folder.path());
        assert_eq!((kept.len(), kept[0].as_str()), (MOST_BAD, "0000000000000004.json.bad"));
        queue.push(message(0), None);
        queue.write().unwrap();
        assert!(files(folder.path()).contains(&name(MOST_BAD as u64 + 4)));
    }

    #[test]
    fn a_full_queue_loses_the_oldest_that_is_not_under_way() {
        let folder = tempfile::tempdir().unwrap();
        let (mut queue, _) = Queue::open(folder.path());
        for id in 0..MOST_QUEUED {
            assert!(queue.push(message(id), None).is_none());
        }
        assert_eq!(queue.push(message(MOST_QUEUED), None).unwrap().message.id, "0");
        assert_eq!(queue.begin().unwrap().id, "1");
        assert_eq!(queue.push(message(MOST_QUEUED + 1), None).unwrap().message.id, "2");
        queue.put_back();
        assert_eq!(queue.push(message(MOST_QUEUED + 2), None).unwrap().message.id, "1");
        assert_eq!(queue.len(), MOST_QUEUED);
    }

    #[test]
    fn what_was_kept_beyond_the_bound_is_dropped_at_the_start_the_oldest_first() {
        let folder = tempfile::tempdir().unwrap();
        for sequence in 0..MOST_QUEUED + 3 {
            fs::write(folder.path().join(name(sequence as u64)), message(sequence).encode()).unwrap();
        }
        let (queue, found) = Queue::open(folder.path());
        assert_eq!((queue.len(), found.dropped, queue.oldest().unwrap().id.as_str()), (MOST_QUEUED, 3, "3"));
        assert_eq!(files(folder.path()).len(), MOST_QUEUED);
    }

    #[test]
    fn what_cannot_be_written_waits_in_memory_and_is_written_later() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("oncall");
        fs::write(&folder, "a file where the folder should be").unwrap();
        let (mut queue, found) = Queue::open(&folder);
        assert!(found.trouble.is_some());
        queue.push(message(0), None);
        queue.push(message(1), None);
        assert!(queue.write().is_err());
        assert_eq!(queue.begin().unwrap().id, "0");
        queue.end();
        fs::remove_file(&folder).unwrap();
        queue.write().unwrap();
        assert_eq!(ids(&Queue::open(&folder).0), ["1"]);
    }

    #[test]
    fn a_queue_that_is_deleted_tells_how_much_was_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("oncall");
        assert_eq!(delete(&folder).unwrap(), 0);
        filled(&folder, 3);
        fs::write(folder.join("0000000000000009.json.bad"), "").unwrap();
        assert_eq!(delete(&folder).unwrap(), 3);
        assert!(!folder.exists());
    }
}
