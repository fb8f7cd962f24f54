use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The log's file. Others rename and remove it, and make a new one in its place.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    file: File,
    /// Device and inode, by which a file is known whatever its name.
    identity: (u64, u64),
}

/// Paths of requests are for those who run the service.
const MODE: u32 = 0o640;

impl LogFile {
    /// Opens the file for appending, and makes it if it is not there.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        // A pipe that nobody reads is an error, and nothing to wait for. To a file this means nothing.
        let at_once = nix::libc::O_NONBLOCK;
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(MODE).custom_flags(at_once);
        let mut file = options.open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_file() && !ends_in_a_line(path, metadata.len())? {
            // Who wrote it before died amid a line; ours begin on the next.
            file.write_all(b"\n")?;
        }
        Ok(Self { path: path.to_owned(), file, identity: identity(&metadata) })
    }

    /// Opens whatever has the file's name by now. If that fails, the file stays that it was.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        *self = Self::open(&self.path)?;
        Ok(())
    }

    /// Whether the file's name has been given to another, or to none.
    pub(super) fn is_moved(&self) -> bool {
        std::fs::metadata(&self.path).map_or(true, |there| identity(&there) != self.identity)
    }

    /// Writes as much as it can; `written` bytes are in the file before and after.
    pub(super) fn write(&mut self, lines: &[u8], written: &mut usize) -> io::Result<()> {
        while *written < lines.len() {
            match self.file.write(&lines[*written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(more) => *written += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Whether the file is empty or its last byte ends a line. Who may not read it cannot know.
fn ends_in_a_line(path: &Path, length: u64) -> io::Result<bool> {
    let Some(last) = length.checked_sub(1) else { return Ok(true) };
    let mut byte = [0];
    match File::open(path).and_then(|file| file.read_exact_at(&mut byte, last)) {
        Ok(()) => Ok(byte == *b"\n"),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(true),
        Err(error) => Err(error),
    }
}

fn identity(of: &Metadata) -> (u64, u64) {
    (of.dev(), of.ino())
}
