use std::collections::{BTreeSet, VecDeque};
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use tokio::sync::oneshot;

use crate::model::{Millis, UnixMillis};

use super::message::Message;
use super::schedule::Since;
use super::status::Ended;
use super::turn::Turn;

/// What one webhook is still to be told, in order.
///
/// It is in memory, and the disk follows: one file a message, so that the next process goes on where this one ends, however that
/// is. What cannot be written is told all the same.
pub(super) struct Queue {
    folder: PathBuf,
    waiting: VecDeque<Queued>,
    /// The number of the one that is being sent: it is not dropped to make room.
    under_way: Option<u64>,
    next: u64,
}

/// A message in a queue.
pub(super) struct Queued {
    pub(super) sequence: u64,
    pub(super) message: Rc<Message>,
    /// Who wants to know what becomes of it.
    pub(super) asker: Option<oneshot::Sender<Ended>>,
    pub(super) since: Since,
    /// How often it was answered with 5xx.
    pub(super) answers: u32,
    written: bool,
}

/// What there was of a queue.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Files that are no messages; they were set aside.
    pub(super) bad: Vec<String>,
    /// Messages for which there was no room.
    pub(super) dropped: u64,
    /// Why it could not be looked what there was, or why something of it stays where it is.
    pub(super) trouble: Option<String>,
}

/// Messages that wait for one webhook. Past this the oldest goes.
pub(super) const MOST_QUEUED: usize = 1_000;
/// Files that are no messages, and are kept for whoever wants to know why.
const MOST_BAD: usize = 16;
/// The largest file that is read: some hundred times what a message takes.
const LARGEST: u64 = 1 << 20;

/// Digits of a message's number, so that names are in order.
const DIGITS: usize = 16;
const MESSAGE: &str = "json";
const ASIDE: &str = "new";
const BAD: &str = "bad";

impl Queue {
    /// A queue as the last process has left it. What cannot be read now stays where it is, for the next one.
    pub(super) fn open(folder: &Path, now: UnixMillis) -> (Self, Found) {
        let mut queue =
            Self { folder: folder.to_owned(), waiting: VecDeque::new(), under_way: None, next: 0 };
        let mut found = Found::default();
        let paths = files(folder).unwrap_or_else(|error| {
            found.note(folder, &error);
            // Nobody knows what numbers there are; this is beyond all that were counted.
            queue.next = now.0;
            Vec::new()
        });
        // Also of what is set aside or left: a number that is there is not given again.
        let last = paths.iter().filter_map(|path| sequence(path)).max();
        queue.next = queue.next.max(last.map_or(0, |last| last + 1));
        queue.read(paths, &mut found);
        (queue, found)
    }

    /// Adds a message. Gives the one that had to go for it.
    pub(super) fn push(
        &mut self,
        message: Rc<Message>,
        asker: Option<oneshot::Sender<Ended>>,
        now: Millis,
    ) -> Option<Queued> {
        let gone = (self.waiting.len() >= MOST_QUEUED).then(|| self.drop_oldest()).flatten();
        let since = Since::Here(now);
        let queued = Queued { sequence: self.next, message, asker, since, answers: 0, written: false };
        self.waiting.push_back(queued);
        self.next += 1;
        gone
    }

    /// The message whose turn it is. It stays until [`Queue::end`].
    pub(super) fn begin(&mut self, turn: Turn) -> Option<Rc<Message>> {
        let queued = match turn {
            Turn::First | Turn::Last => self.waiting.front()?,
            Turn::Other => self.other().or(self.waiting.front())?,
        };
        let (sequence, message) = (queued.sequence, queued.message.clone());
        self.under_way = Some(sequence);
        Some(message)
    }

    /// The message that was begun.
    pub(super) fn begun(&mut self) -> Option<&mut Queued> {
        let sequence = self.under_way?;
        self.waiting.iter_mut().find(|queued| queued.sequence == sequence)
    }

    /// The message that was begun is not under way any more, and its turn still.
    pub(super) fn put_back(&mut self) {
        self.under_way = None;
    }

    /// The message that was begun is done with.
    pub(super) fn end(&mut self) -> Option<Queued> {
        let sequence = self.under_way.take()?;
        let place = self.waiting.iter().position(|queued| queued.sequence == sequence)?;
        self.take(place)
    }

    /// The first is done with.
    pub(super) fn end_first(&mut self) -> Option<Queued> {
        self.take(0)
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
    pub(super) fn first(&mut self) -> Option<&mut Queued> {
        self.waiting.front_mut()
    }

    /// When what the first tells of has happened.
    pub(super) fn oldest(&self) -> Option<UnixMillis> {
        self.waiting.front().map(|queued| queued.message.at)
    }

    /// A message by which it is seen whether it is the first that does not arrive, or all: the earliest of another service, as
    /// none is to overtake one of its own; of several, one that was not answered with 5xx itself. If there is none, the second.
    fn other(&self) -> Option<&Queued> {
        let service = |queued: &Queued| queued.message.service.clone();
        let mut seen: BTreeSet<Option<String>> = self.waiting.front().map(service).into_iter().collect();
        let others = self.waiting.iter().filter(|queued| seen.insert(service(queued)));
        others.min_by_key(|queued| (queued.answers, queued.sequence)).or(self.waiting.get(1))
    }

    fn drop_oldest(&mut self) -> Option<Queued> {
        let first = self.waiting.front()?;
        self.take(usize::from(self.under_way == Some(first.sequence)))
    }

    fn take(&mut self, place: usize) -> Option<Queued> {
        let taken = self.waiting.remove(place)?;
        self.forget(&taken);
        Some(taken)
    }

    fn forget(&self, queued: &Queued) {
        if queued.written {
            // If it stays, it is told twice after a restart, under the same id.
            let _ = fs::remove_file(self.folder.join(name(queued.sequence)));
        }
    }

    /// Reads files. Trouble with one is no reason to leave the others.
    fn read(&mut self, paths: Vec<PathBuf>, found: &mut Found) {
        let mut bad = Vec::new();
        for path in paths {
            match (path.extension().and_then(OsStr::to_str), sequence(&path)) {
                (Some(MESSAGE), Some(sequence)) => match load(&path).map(|bytes| Message::decode(&bytes)) {
                    Ok(Ok(message)) => self.waiting.push_back(Queued {
                        sequence,
                        since: Since::Earlier(message.at),
                        message: Rc::new(message),
                        asker: None,
                        answers: 0,
                        written: true,
                    }),
                    Ok(Err(why)) => {
                        let aside = path.with_extension(format!("{MESSAGE}.{BAD}"));
                        found.bad.push(format!("{} {why}", path.display()));
                        match fs::rename(&path, &aside) {
                            Ok(()) => bad.push(aside),
                            Err(error) => found.note(&path, &error),
                        }
                    }
                    // It may be as good as ever.
                    Err(error) => found.note(&path, &error),
                },
                (Some(BAD), Some(_)) => bad.push(path),
                // Left over from a write that a crash cut short: nobody was told that it is here.
                (Some(ASIDE), _) => found.delete(&path),
                _ => {}
            }
        }
        while self.waiting.len() > MOST_QUEUED {
            self.drop_oldest();
            found.dropped += 1;
        }
        bad.sort();
        for oldest in bad.iter().take(bad.len().saturating_sub(MOST_BAD)) {
            found.delete(oldest);
        }
    }
}

impl Found {
    fn delete(&mut self, path: &Path) {
        if let Err(error) = fs::remove_file(path) {
            self.note(path, &error);
        }
    }

    /// The first trouble is told.
    fn note(&mut self, path: &Path, error: &io::Error) {
        self.trouble.get_or_insert_with(|| format!("{}: {error}", path.display()));
    }
}

/// What lies in a folder, by name.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<PathBuf>>>()?;
    paths.sort();
    Ok(paths)
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
    format!("{sequence:0DIGITS$}.{MESSAGE}")
}

/// The number that a file's name begins with, if it is one of ours.
fn sequence(path: &Path) -> Option<u64> {
    let number = path.file_name()?.to_str()?.split('.').next()?;
    if number.len() == DIGITS { number.parse().ok() } else { None }
}

/// Aside, synced, renamed: it is there whole, or not at all.
fn write(folder: &Path, sequence: u64, bytes: &[u8]) -> io::Result<()> {
    let aside = folder.join(format!("{}.{ASIDE}", name(sequence)));
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&aside, folder.join(name(sequence)))
}

fn load(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::reverted;
    use super::*;

    fn message(id: usize) -> Rc<Message> {
        Rc::new(Message { id: id.to_string(), ..reverted() })
    }

    fn open(folder: &Path) -> (Queue, Found) {
        Queue::open(folder, UnixMillis(1_795_317_247_000))
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
        let (mut queue, _) = open(folder);
        for id in 0..count {
            assert!(queue.push(message(id), None, Millis(0)).is_none());
        }
        queue.write().unwrap();
        queue
    }

    #[test]
    fn the_next_process_goes_on_where_this_one_ends() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("webhooks/oncall");
        let mut queue = filled(&folder, 4);
        assert_eq!(queue.begin(Turn::First).unwrap().id, "0");
        assert_eq!(queue.end().unwrap().message.id, "0");
        assert_eq!(queue.begin(Turn::First).unwrap().id, "1", "under way when the process is killed");
        drop(queue);
        let (mut queue, found) = open(&folder);
        assert_eq!(
            (ids(&queue), found.dropped, found.bad.len()),
            (vec!["1".into(), "2".into(), "3".into()], 0, 0)
        );
        queue.push(message(4), None, Millis(0));
        queue.write().unwrap();
        assert_eq!(ids(&open(&folder).0), ["1", "2", "3", "4"]);
    }

    #[test]
    fn a_crash_in_the_middle_of_a_write_costs_that_message_only() {
        let folder = tempfile::tempdir().unwrap();
        filled(folder.path(), 3);
        let at = |name: &str| folder.path().join(name);
        fs::write(at("0000000000000003.json.new"), "{\"version\":1,\"id\":").unwrap();
        fs::write(at("0000000000000001.json"), "{\"version\":1,\"id\":").unwrap();
        fs::write(at("README"), "not ours").unwrap();
        let (mut queue, found) = open(folder.path());
        assert_eq!((ids(&queue), found.bad.len()), (vec!["0".into(), "2".into()], 1));
        assert!(found.bad[0].contains("0000000000000001.json is not a message"), "{:?}", found.bad);
        let left = ["0000000000000000.json", "0000000000000001.json.bad", "0000000000000002.json", "README"];
        assert_eq!(files(folder.path()), left);
        queue.push(message(9), None, Millis(0));
        queue.write().unwrap();
        let (queue, found) = open(folder.path());
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
        let (mut queue, found) = open(folder.path());
        assert_eq!((queue.len(), found.bad.len()), (0, MOST_BAD + 4));
        let kept = files(folder.path());
        assert_eq!((kept.len(), kept[0].as_str()), (MOST_BAD, "0000000000000004.json.bad"));
        queue.push(message(0), None, Millis(0));
        queue.write().unwrap();
        assert!(files(folder.path()).contains(&name(MOST_BAD as u64 + 4)));
    }

    #[test]
    fn a_full_queue_loses_the_oldest_that_is_not_under_way() {
        let folder = tempfile::tempdir().unwrap();
        let (mut queue, _) = open(folder.path());
        for id in 0..MOST_QUEUED {
            assert!(queue.push(message(id), None, Millis(0)).is_none());
        }
        assert_eq!(queue.push(message(MOST_QUEUED), None, Millis(0)).unwrap().message.id, "0");
        assert_eq!(queue.begin(Turn::First).unwrap().id, "1");
        assert_eq!(queue.push(message(MOST_QUEUED + 1), None, Millis(0)).unwrap().message.id, "2");
        queue.put_back();
        assert_eq!(queue.push(message(MOST_QUEUED + 2), None, Millis(0)).unwrap().message.id, "1");
        assert_eq!(queue.len(), MOST_QUEUED);
    }

    #[test]
    fn what_was_kept_beyond_the_bound_is_dropped_at_the_start_the_oldest_first() {
        let folder = tempfile::tempdir().unwrap();
        for sequence in 0..MOST_QUEUED + 3 {
            fs::write(folder.path().join(name(sequence as u64)), message(sequence).encode()).unwrap();
        }
        let (queue, found) = open(folder.path());
        assert_eq!((queue.len(), found.dropped, ids(&queue)[0].as_str()), (MOST_QUEUED, 3, "3"));
        assert_eq!(files(folder.path()).len(), MOST_QUEUED);
    }

    #[test]
    fn what_cannot_be_written_waits_in_memory_and_is_written_later() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("oncall");
        fs::write(&folder, "a file where the folder should be").unwrap();
        let (mut queue, found) = open(&folder);
        assert!(found.trouble.is_some());
        assert_eq!(queue.next, 1_795_317_247_000, "no number that may be there is given again");
        queue.push(message(0), None, Millis(0));
        queue.push(message(1), None, Millis(0));
        assert!(queue.write().is_err());
        assert_eq!(queue.begin(Turn::First).unwrap().id, "0");
        queue.end();
        fs::remove_file(&folder).unwrap();
        queue.write().unwrap();
        assert_eq!(ids(&open(&folder).0), ["1"]);
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

    #[test]
    fn what_cannot_be_read_stays_and_costs_neither_the_others_nor_their_order() {
        let folder = tempfile::tempdir().unwrap();
        filled(folder.path(), 3);
        let at = |number| folder.path().join(name(number));
        // To read a folder is an error of the disk's, as far as this is concerned; to rename onto one, too.
        fs::create_dir(at(7)).unwrap();
        fs::create_dir_all(folder.path().join("0000000000000001.json.bad/full")).unwrap();
        fs::write(at(1), "nonsense").unwrap();
        fs::create_dir(folder.path().join("0000000000000000.json.new")).unwrap();
        let (mut queue, found) = open(folder.path());
        assert_eq!((ids(&queue), found.bad.len()), (vec!["0".into(), "2".into()], 1));
        assert!(found.trouble.unwrap().contains(".json"), "the first trouble is told");
        assert!(at(7).exists() && at(1).exists(), "the next process may have more luck");
        queue.push(message(9), None, Millis(0));
        queue.write().unwrap();
        assert!(at(8).exists(), "and no number is given twice");
    }

    #[test]
    fn whether_it_is_the_first_that_does_not_arrive_another_service_shows() {
        let folder = tempfile::tempdir().unwrap();
        let (mut queue, _) = open(folder.path());
        let mut push = |id: &str, service: &str| {
            let message = Message { id: id.to_owned(), service: Some(service.to_owned()), ..reverted() };
            queue.push(Rc::new(message), None, Millis(0));
        };
        for (id, service) in [("a1", "a"), ("a2", "a"), ("b1", "b"), ("b2", "b"), ("c1", "c")] {
            push(id, service);
        }
        assert_eq!(queue.begin(Turn::Other).unwrap().id, "b1", "a2 is not to overtake a1, nor b2 b1");
        queue.begun().unwrap().answers += 1;
        queue.put_back();
        assert_eq!(queue.begin(Turn::Other).unwrap().id, "c1", "of which nothing bad is known");
        assert_eq!(queue.end().unwrap().message.id, "c1");
        assert_eq!(queue.begin(Turn::First).unwrap().id, "a1");
        queue.put_back();
        for _ in 0..2 {
            assert_eq!(queue.begin(Turn::Other).unwrap().service.as_deref(), Some("b"));
            queue.end();
        }
        assert_eq!(queue.begin(Turn::Other).unwrap().id, "a2", "if there is no other service");
        assert_eq!(queue.end().unwrap().message.id, "a2");
        assert_eq!(queue.begin(Turn::Other).unwrap().id, "a1", "nor another message");
    }
}
