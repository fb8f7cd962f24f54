use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::super::Failure;

/// Writes a line to standard output. When nobody reads any more, as after `| head`, the program ends quietly.
pub(in crate::cli) fn say(text: &str) {
    if let Err(error) = writeln!(io::stdout(), "{text}")
        && error.kind() == ErrorKind::BrokenPipe
    {
        std::process::exit(0);
    }
}

/// Many lines for programs, to standard output or a file.
pub(in crate::cli) struct Lines {
    out: BufWriter<Box<dyn Write>>,
    /// The file; `None` for standard output.
    file: Option<PathBuf>,
}

impl Lines {
    /// To standard output, which is nobody else's until the end.
    pub(in crate::cli) fn to_standard_output() -> Self {
        Self { out: BufWriter::new(Box::new(io::stdout().lock())), file: None }
    }

    /// To a file, which is made or emptied; or to standard output for `-`.
    pub(in crate::cli) fn to(path: &Path) -> Result<Self, Failure> {
        if is_standard(path) {
            return Ok(Self::to_standard_output());
        }
        let file = File::create(path);
        let file = file.map_err(|error| Failure::Refused(format!("{}: {error}", path.display())))?;
        Ok(Self { out: BufWriter::new(Box::new(file)), file: Some(path.to_owned()) })
    }

    /// Writes text as it is. It may not be out before the next [`Lines::flush`].
    pub(in crate::cli) fn write(&mut self, text: &str) -> Result<(), Failure> {
        let written = self.out.write_all(text.as_bytes());
        self.check(written)
    }

    /// Writes something as a line of JSON, which a reader has at once.
    pub(in crate::cli) fn json(&mut self, line: &impl serde::Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(line).map_err(anyhow::Error::from)?;
        self.write(&text)?;
        self.write("\n")?;
        self.flush()
    }

    /// Hands over what has been written.
    pub(in crate::cli) fn flush(&mut self) -> Result<(), Failure> {
        let flushed = self.out.flush();
        self.check(flushed)
    }

    /// As with [`say`], a reader that leaves ends the program quietly.
    fn check(&self, done: io::Result<()>) -> Result<(), Failure> {
        done.map_err(|error| match &self.file {
            None if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
            None => Failure::Refused(format!("standard output: {error}")),
            Some(path) => Failure::Refused(format!("{}: {error}", path.display())),
        })
    }
}

/// Whether a path stands for standard input or output: `-`.
pub(in crate::cli) fn is_standard(path: &Path) -> bool {
    path == Path::new("-")
}

/// Writes a line to standard error. Where that is closed there is nobody left to tell.
pub(in crate::cli) fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
