use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Something that is wrong with what somebody wrote: what, where, and how to mend it.
#[derive(Clone, Debug)]
pub struct Fault {
    pub(super) source: Arc<Source>,
    /// Bytes of the file; `None` if it is about the file as a whole.
    pub(super) span: Option<Range<usize>>,
    /// What is wrong, in a few words.
    pub message: String,
    /// What stands there, or what should.
    pub(super) label: String,
    /// How to mend it.
    pub help: Option<String>,
}

/// A file that was read.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

/// Where the faults of one file are collected.
pub(super) struct Faults<'a> {
    source: &'a Arc<Source>,
    found: &'a mut Vec<Fault>,
}

impl Source {
    pub(super) fn new(path: &Path, text: String) -> Arc<Self> {
        Arc::new(Self { path: path.to_owned(), text })
    }

    /// Line and column of a byte, both from 1; columns count characters.
    pub(super) fn place(&self, at: usize) -> (usize, usize) {
        let before = &self.text[..self.text.floor_char_boundary(at)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

impl Fault {
    /// The file.
    pub fn path(&self) -> &Path {
        &self.source.path
    }

    /// Line and column, both from 1; columns count characters. (1, 1) for the file as a whole.
    pub fn line_and_column(&self) -> (usize, usize) {
        self.source.place(self.span.as_ref().map_or(0, |span| span.start))
    }

    /// What stands at the place, or should.
    pub fn label(&self) -> &str {
        &self.label
    }
}

impl<'a> Faults<'a> {
    pub(super) fn of(source: &'a Arc<Source>, found: &'a mut Vec<Fault>) -> Self {
        Self { source, found }
    }

    /// The configuration's folder, in which relative paths begin.
    pub(super) fn folder(&self) -> &Path {
        let folder = self.source.path.parent().unwrap_or(Path::new(""));
        let is_below = folder.file_name().is_some_and(|name| name == super::load::SERVICES);
        folder.parent().filter(|_| is_below).unwrap_or(folder)
    }

    /// Notes a fault at a place of the file.
    pub(super) fn at(&mut self, span: &Range<usize>, message: &str, label: impl Into<String>) -> &mut Fault {
        self.push(Some(span.clone()), message, label.into())
    }

    /// Notes a fault of the file as a whole.
    pub(super) fn whole(&mut self, message: &str, label: impl Into<String>) -> &mut Fault {
        self.push(None, message, label.into())
    }

    /// Takes over what is wrong with another file that this one names.
    pub(super) fn take_over(&mut self, others: Vec<Fault>) {
        self.found.extend(others);
    }

    fn push(&mut self, span: Option<Range<usize>>, message: &str, label: String) -> &mut Fault {
        let source = self.source.clone();
        let place = self.found.len();
        self.found.push(Fault { source, span, message: message.to_owned(), label, help: None });
        &mut self.found[place]
    }
}

impl Fault {
    /// Says how to mend it.
    pub(super) fn help(&mut self, help: impl Into<String>) {
        self.help = Some(help.into());
    }
}
