use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::{load_rights_alone, render};

use super::super::Failure;

/// A rights file that nobody else changes meanwhile, as long as they do it by this program.
pub(super) struct RightsFile {
    path: PathBuf,
    /// `None` if there is none yet.
    text: Option<String>,
    _lock: File,
}

impl RightsFile {
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        // What a link leads to is changed, and the link stays.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let failed = |error: io::Error| Failure::Refused(format!("{}: {error}", path.display()));
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            Some(_) | None => Path::new("."),
        };
        let lock = File::open(folder).map_err(failed)?;
        lock.lock().map_err(failed)?;
        let text = match fs::read_to_string(&path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(error)),
        };
        Ok(Self { path, text, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn exists(&self) -> bool {
        self.text.is_some()
    }

    /// Adds an entry at the end. Everything else stays as it is.
    pub(super) fn add(&self, entry: &str) -> Result<(), Failure> {
        let text = self.text.as_deref().unwrap_or_default();
        let gap = match text {
            "" => "",
            text if text.ends_with("\n\n") => "",
            text if text.ends_with('\n') => "\n",
            _ => "\n\n",
        };
        self.write(&format!("{text}{gap}{entry}"))
    }

    /// Takes a token's entry out, with the comment that stands right above it.
    pub(super) fn remove(&self, name: &str) -> Result<(), Failure> {
        let text = self.text.as_deref().unwrap_or_default();
        let without = without(text, name).ok_or_else(|| {
            Failure::Refused(format!(
                "{}: the entry of {name} is no table of its own: take it out by hand",
                self.path.display()
            ))
        })?;
        self.write(&without)
    }

    /// Puts another text in its place, at once, if that is good.
    fn write(&self, text: &str) -> Result<(), Failure> {
        let mut aside = self.path.clone().into_os_string();
        aside.push(".new");
        let aside = PathBuf::from(aside);
        let written = self.write_aside(&aside, text).and_then(|()| fs::rename(&aside, &self.path));
        // Else a token that was revoked might be back after a power cut.
        let written = written.and_then(|()| sync_folder_of(&self.path));
        if let Err(error) = written {
            let _ = fs::remove_file(&aside);
            return Err(Failure::Refused(format!("{}: {error}; nothing was changed", self.path.display())));
        }
        Ok(())
    }

    fn write_aside(&self, aside: &Path, text: &str) -> io::Result<()> {
        // One that lies there is of somebody who was interrupted: we have the lock.
        let _ = fs::remove_file(aside);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(aside)?;
        file.write_all(text.as_bytes())?;
        if let Ok(before) = fs::metadata(&self.path) {
            let now = file.metadata()?;
            if (before.uid(), before.gid()) != (now.uid(), now.gid()) {
                // Else Switchback might not be able to read it any more.
                fchown(&file, Some(before.uid()), Some(before.gid()))?;
            }
            file.set_permissions(before.permissions())?;
        }
        file.sync_all()?;
        load_rights_alone(aside).map(|_| ()).map_err(|faults| io::Error::other(render(&faults, false)))
    }
}

fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// A file's text without the table of a token; `None` if that is not a table with a heading of its own.
fn without(text: &str, name: &str) -> Option<String> {
    let document = DeTable::parse(text).ok()?.into_inner();
    let mut headings = Vec::new();
    let mut own = None;
    for (section, entries) in &document {
        headings.push(entries.span().start);
        let DeValue::Table(entries) = entries.get_ref() else { continue };
        headings.extend(entries.iter().map(|(_, entry)| entry.span().start));
        if section.get_ref() == "tokens" {
            own = entries
                .iter()
                .find(|(key, _)| key.get_ref() == name)
                .map(|(_, entry): (_, &Spanned<_>)| entry.span().start);
        }
    }
    let start = own.filter(|start| is_heading(text, *start))?;
    let next = headings.into_iter().filter(|other| *other > start && is_heading(text, *other)).min();
    let body = &text[start..next.unwrap_or(text.len())];
    // What stands in front of the next heading belongs to that.
    let is_of_entry = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let lines: Vec<&str> = body.split_inclusive('\n').collect();
    let last = lines.iter().rposition(is_of_entry)?;
    let mut end = start + lines[..=last].iter().map(|line| line.len()).sum::<usize>();
    let mut begin = start;
    for line in text[..start].split_inclusive('\n').rev().take_while(|line| line.starts_with('#')) {
        begin -= line.len();
    }
    // At the beginning of the file it is about the file.
    if begin == 0 {
        begin = start;
    }
    let (before, after) = (&text[..begin], &text[end..]);
    if (before.is_empty() || before.ends_with("\n\n")) && after.starts_with('\n') {
        end += 1;
    }
    Some(format!("{before}{}", &text[end..]))
}

fn is_heading(text: &str, at: usize) -> bool {
    text[at..].starts_with('[') && (at == 0 || text[..at].ends_with('\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_goes_and_everything_else_stays() {
        let [head, first, second, other] = [
            "# Who may do what.\n\n",
            "# Anna's.\n[tokens.a]\nrole = \"viewer\" # really\nteams = [\n  \"[x]\",\n]\n",
            "[tokens.\"b@c\"]\nrole = \"viewer\"\n",
            "# The people.\n[people.x]\nrole = \"admin\"\n",
        ];
        let whole = format!("{head}{first}\n{second}\n{other}");
        assert_eq!(without(&whole, "a").unwrap(), format!("{head}{second}\n{other}"));
        assert_eq!(without(&whole, "b@c").unwrap(), format!("{head}{first}\n{other}"));
        assert_eq!(without(&format!("{head}{other}\n{first}"), "a").unwrap(), format!("{head}{other}\n"));
        assert_eq!(without(first, "a").unwrap(), "# Anna's.\n", "at the beginning it is about the file");
        assert_eq!(without(second, "b@c").unwrap(), "");
        assert_eq!(without(&whole, "x"), None, "people are no tokens");
        for by_hand in ["tokens.a.role = \"viewer\"\n", "[tokens]\na = { role = \"viewer\" }\n"] {
            assert_eq!(without(by_hand, "a"), None, "{by_hand}");
        }
    }
}
