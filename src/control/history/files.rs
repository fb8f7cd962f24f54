use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use tracing::warn;

use super::chain::Link;
use super::entry::{Deed, Draft};

/// The history on disk: lines that are only ever added, in files of a bounded size of which the oldest goes first.
///
/// What was added is on disk before anybody is told so. A crash may leave half a line at the end: nobody was told of it, so
/// it is cut off, and the history says so. Everything else stays as it is found: what is damaged is for people to look at.
#[derive(Debug)]
pub(crate) struct History {
    folder: PathBuf,
    file: Option<File>,
    /// Bytes of the file that are whole lines.
    size: u64,
    link: Link,
    most_bytes: u64,
    /// What was found when it was opened, and is not written down yet.
    found: Vec<Found>,
}

/// Something that is not as it should be.
#[derive(Debug)]
struct Found {
    what: String,
    /// Whether it stays as it is, and is found again.
    is_damage: bool,
}

/// More than this that a disk which is full leaves behind is not told one by one.
const MOST_FOUND: usize = 16;

/// A file that is larger is not added to any more.
const FILE_BYTES: u64 = 4 << 20;

impl History {
    /// Opens the history in a folder, making it if it is not there. All its files together have at most so many bytes.
    pub(crate) fn open(folder: &Path, most_bytes: u64) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut history = Self {
            folder: folder.to_owned(),
            file: None,
            size: 0,
            link: Link::origin(),
            most_bytes,
            found: Vec::new(),
        };
        history.resume()?;
        Ok(history)
    }

    /// Adds entries; all of them are on disk, or none.
    pub(crate) fn append(&mut self, drafts: &[(u64, Draft)]) -> io::Result<()> {
        if self.file.is_none() {
            // After a failure it is not known what the disk has.
            self.resume()?;
        }
        let noted: Vec<_> = self.found.iter().map(|found| opened(&found.what)).collect();
        let at = drafts.first().map_or(0, |(at, _)| *at);
        let all = noted.into_iter().map(|draft| (at, draft)).chain(drafts.iter().cloned());
        let (mut text, mut end) = (String::new(), self.link.clone());
        for (at_unix_ms, draft) in all {
            let (line, next) = end.next(draft, at_unix_ms);
            text.push_str(&line);
            end = next;
        }
        if let Err(error) = self.write(text.as_bytes()) {
            self.file = None;
            return Err(error);
        }
        self.link = end;
        self.found.clear();
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.size >= FILE_BYTES {
            self.rotate()?;
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let path = self.folder.join(file_name(self.link.seq + 1));
                let file = OpenOptions::new().create_new(true).append(true).mode(0o600).open(path)?;
                File::open(&self.folder)?.sync_all()?;
                self.size = 0;
                none.insert(file)
            }
        };
        file.write_all(bytes)?;
        file.sync_data()?;
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// The next line goes into a new file; the oldest files go.
    fn rotate(&mut self) -> io::Result<()> {
        self.file = None;
        self.size = 0;
        let files = files_in(&self.folder)?;
        let mut bytes = 0;
        // The newest are kept, with room for one more.
        let mut kept = files.len();
        for file in files.iter().rev() {
            bytes += fs::metadata(file)?.len();
            if bytes + FILE_BYTES > self.most_bytes {
                break;
            }
            kept -= 1;
        }
        // The oldest goes first, so that there never is a gap.
        for file in &files[..kept] {
            if let Err(error) = fs::remove_file(file) {
                warn!(%error, file = %file.display(), "cannot remove an old part of the history");
                break;
            }
        }
        Ok(())
    }

    /// Finds the end of what there is.
    fn resume(&mut self) -> io::Result<()> {
        (self.file, self.size) = (None, 0);
        // What was found the last time is still there, or was cut off by ourselves.
        self.found.retain(|found| !found.is_damage);
        let files = files_in(&self.folder)?;
        // A file that a crash has left empty tells nothing of the link.
        for path in files.iter().rev() {
            let bytes = fs::read(path)?;
            let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            let is_last = files.last() == Some(path);
            if whole < bytes.len() && is_last {
                let tail = &bytes[whole..];
                if is_entry_but_for_its_end(tail) {
                    // No crash leaves that: a line's end is written with the line.
                    end_line(path)?;
                    let what = format!("the end of the last line of {} has been changed", name(path));
                    self.found.push(Found { what, is_damage: false });
                    return self.resume();
                }
                cut(path, whole as u64)?;
                if self.found.len() < MOST_FOUND {
                    let what = format!("{} bytes of an unfinished entry were cut off", tail.len());
                    self.found.push(Found { what, is_damage: false });
                }
            }
            let text = String::from_utf8_lossy(&bytes[..whole]);
            let Some(last) = text.lines().last() else {
                if is_last {
                    fs::remove_file(path)?;
                }
                continue;
            };
            match Link::follow(None, last) {
                Ok((_, link)) => {
                    self.link = link;
                    if is_last {
                        self.file = Some(OpenOptions::new().append(true).open(path)?);
                        self.size = whole as u64;
                    }
                }
                Err(broken) => {
                    let lines = text.lines().count() as u64;
                    let first = seq_of(path).unwrap_or(1);
                    self.link = Link::to_damaged(last, first + lines - 1);
                    let what = format!("the last entry of {} {broken}", name(path));
                    self.found.push(Found { what, is_damage: true });
                }
            }
            return Ok(());
        }
        Ok(())
    }
}

fn opened(found: &str) -> Draft {
    Draft { details: Some(found.to_owned()), ..Draft::done(Deed::HistoryOpened) }
}

/// Whether a tail is a whole entry, of which only the line's end is another byte.
pub(super) fn is_entry_but_for_its_end(tail: &[u8]) -> bool {
    let Some((_, line)) = tail.split_last() else { return false };
    std::str::from_utf8(line).is_ok_and(|line| Link::follow(None, line).is_ok())
}

/// Ends the last line as it was.
fn end_line(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.seek(SeekFrom::End(-1))?;
    file.write_all(b"\n")?;
    file.sync_all()
}

fn cut(path: &Path, length: u64) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.set_len(length)?;
    file.seek(SeekFrom::End(0))?;
    file.sync_all()
}

/// Its name is the number of its first entry.
fn file_name(seq: u64) -> String {
    format!("{seq:012}.jsonl")
}

pub(super) fn seq_of(path: &Path) -> Option<u64> {
    path.file_stem()?.to_str()?.parse().ok()
}

pub(super) fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Files by age, the oldest first. None where there is no folder yet.
pub(super) fn files_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "jsonl") && seq_of(&path).is_some() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
