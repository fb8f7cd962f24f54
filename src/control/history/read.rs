use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::ServiceName;

use super::super::journal::ReceiptRecord;
use super::chain::{Link, sha256};
use super::entry::{HistoryEntry, ReceiptSeal};
use super::files::{files_in, is_entry_but_for_its_end, name, seq_of};

/// Reads a history, also one that is being written.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    folder: PathBuf,
    receipts: PathBuf,
}

/// What a reader is interested in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Page {
    /// At most so many entries, the newest.
    pub(crate) most: usize,
    /// Only those before this one.
    pub(crate) before: Option<u64>,
}

/// Whether a history is as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Verification {
    /// Entries that were looked at.
    pub entries: u64,
    /// The number of the first that is there; those before it were rotated away.
    pub first: u64,
    /// The number of the last.
    pub last: u64,
    /// The hash of the last entry: who has written it down elsewhere sees by it that none was taken off the end.
    pub hash: String,
    /// Receipts that are as they were written.
    pub receipts: u64,
    /// What is wrong; nothing if all is well.
    pub faults: Vec<HistoryFault>,
}

/// A line of a history, or a receipt, that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HistoryFault {
    /// The file, in the state directory.
    pub file: String,
    /// The line, from 1; absent for a receipt.
    pub line: Option<u64>,
    /// What is wrong with it.
    pub what: String,
}

/// Faults that are told: who has so many needs no more.
const MOST_FAULTS: usize = 100;

impl Reader {
    /// Of the history and the receipts in a state directory.
    pub(crate) fn of(state: &Path) -> Self {
        Self { folder: state.join(super::FOLDER), receipts: state.join(super::RECEIPTS) }
    }

    /// The newest entries that `wanted` takes, the newest first. What cannot be read is left out.
    pub(crate) fn read(
        &self,
        page: &Page,
        wanted: impl Fn(&HistoryEntry) -> bool,
    ) -> io::Result<Vec<HistoryEntry>> {
        let mut found = Vec::new();
        for path in files_in(&self.folder)?.iter().rev() {
            if page.before.is_some_and(|before| seq_of(path).is_some_and(|first| first >= before)) {
                continue;
            }
            let Some(bytes) = read_unless_gone(path)? else { continue };
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let lines: Vec<&str> = whole_lines(&text).collect();
            for line in lines.into_iter().rev() {
                if found.len() == page.most {
                    return Ok(found);
                }
                let Ok((entry, _)) = Link::follow(None, line) else { continue };
                if page.before.is_none_or(|before| entry.seq < before) && wanted(&entry) {
                    found.push(entry);
                }
            }
        }
        Ok(found)
    }

    /// Checks every entry, the links between them, and the receipts that they name.
    pub(crate) fn verify(&self) -> io::Result<Verification> {
        let mut verification = Verification {
            entries: 0,
            first: 0,
            last: 0,
            hash: String::new(),
            receipts: 0,
            faults: Vec::new(),
        };
        let (mut link, mut seals) = (None, BTreeMap::new());
        for path in files_in(&self.folder)? {
            let Some(bytes) = read_unless_gone(&path)? else { continue };
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            if is_entry_but_for_its_end(&bytes[whole..]) {
                let (file, number) =
                    (format!("{}/{}", super::FOLDER, name(&path)), text.lines().count() as u64);
                verification.find(&file, Some(number), "has another end than it was written with".to_owned());
            }
            for (line, number) in whole_lines(&text).zip(1..) {
                verification.entries += 1;
                match Link::follow(link.as_ref(), line) {
                    Ok((entry, next)) => {
                        if verification.first == 0 {
                            verification.first = entry.seq;
                        }
                        if let (Some(service), Some(seal)) = (&entry.what.service, entry.what.receipt) {
                            seals.insert((service.clone(), seal.reverted_unix_ms), seal);
                        }
                        link = Some(next);
                    }
                    Err(broken) => {
                        let file = format!("{}/{}", super::FOLDER, name(&path));
                        verification.find(&file, Some(number), broken.to_string());
                        // What follows is held against what can be told of this one, so that one fault is one.
                        link = resume_after(line);
                    }
                }
            }
        }
        if let Some(link) = link {
            (verification.last, verification.hash) = (link.seq, link.hash);
        }
        for ((service, _), seal) in seals {
            self.check_receipt(&service, &seal, &mut verification);
        }
        Ok(verification)
    }

    /// The receipts of a service's reverts, the newest first. What cannot be read is left out.
    pub(crate) fn receipts(&self, service: &ServiceName) -> Vec<ReceiptRecord> {
        let paths = receipts_in(&self.receipts.join(service.as_str()));
        paths.iter().rev().filter_map(|path| receipt_at(path)).collect()
    }

    /// The receipt of the revert at this time.
    pub(crate) fn receipt(&self, service: &ServiceName, reverted_unix_ms: u64) -> Option<ReceiptRecord> {
        receipt_at(&self.receipts.join(service.as_str()).join(receipt_file(reverted_unix_ms)))
    }

    /// A receipt that was rotated away is no fault: each service keeps so many.
    fn check_receipt(&self, service: &str, seal: &ReceiptSeal, verification: &mut Verification) {
        let file = format!("{service}/{}", receipt_file(seal.reverted_unix_ms));
        let Ok(bytes) = fs::read(self.receipts.join(&file)) else { return };
        if sha256(&bytes) == seal.sha256 {
            verification.receipts += 1;
        } else {
            let file = format!("{}/{file}", super::RECEIPTS);
            verification.find(&file, None, "has been changed: its hash is another".to_owned());
        }
    }
}

impl Verification {
    fn find(&mut self, file: &str, line: Option<u64>, what: String) {
        if self.faults.len() < MOST_FAULTS {
            self.faults.push(HistoryFault { file: file.to_owned(), line, what });
        }
    }
}

/// What is in a file; nothing if it was rotated away meanwhile.
fn read_unless_gone(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The name of a receipt's file.
pub(crate) fn receipt_file(reverted_unix_ms: u64) -> String {
    format!("{reverted_unix_ms:016}.json")
}

/// Receipts by age, the oldest first: their names are times.
pub(crate) fn receipts_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .collect();
    paths.sort();
    paths
}

pub(crate) fn receipt_at(path: &Path) -> Option<ReceiptRecord> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Lines that end: the last may be under way.
fn whole_lines(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'))
}

/// The link to a line that is not as it was written, as far as it still says which it is.
fn resume_after(line: &str) -> Option<Link> {
    let (hash, json) = line.split_once(' ')?;
    let entry: HistoryEntry = serde_json::from_str(json).ok()?;
    (hash.len() == 64).then(|| Link { seq: entry.seq, hash: hash.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::super::entry::{Deed, Draft};
    use super::super::files::History;
    use super::*;

    fn draft(service: &str) -> (u64, Draft) {
        (1, Draft { service: Some(service.to_owned()), ..Draft::done(Deed::WeightSet) })
    }

    fn written(count: usize) -> (tempfile::TempDir, Reader) {
        let state = tempfile::tempdir().unwrap();
        let mut history = History::open(&state.path().join(super::super::FOLDER), 64 << 20).unwrap();
        for place in 0..count {
            history.append(&[draft(if place % 2 == 0 { "even" } else { "odd" })]).unwrap();
        }
        let reader = Reader::of(state.path());
        (state, reader)
    }

    fn all() -> Page {
        Page { most: 1_000, before: None }
    }

    #[test]
    fn the_newest_come_first_and_a_page_leads_to_the_next() {
        let (_state, reader) = written(10);
        let seqs = |entries: Vec<HistoryEntry>| entries.iter().map(|entry| entry.seq).collect::<Vec<_>>();
        assert_eq!(seqs(reader.read(&Page { most: 3, before: None }, |_| true).unwrap()), [10, 9, 8]);
        assert_eq!(seqs(reader.read(&Page { most: 2, before: Some(8) }, |_| true).unwrap()), [7, 6]);
        let odd = |entry: &HistoryEntry| entry.what.service.as_deref() == Some("odd");
        assert_eq!(seqs(reader.read(&all(), odd).unwrap()), [10, 8, 6, 4, 2]);
    }

    #[test]
    fn a_history_goes_on_after_a_restart_and_half_a_line_is_cut_off_and_told() {
        let (state, reader) = written(2);
        let folder = state.path().join(super::super::FOLDER);
        let file = &files_in(&folder).unwrap()[0];
        let whole = fs::read_to_string(file).unwrap();
        fs::write(file, format!("{whole}0123 {{\"seq\":3,")).unwrap();
        assert_eq!(reader.read(&all(), |_| true).unwrap().len(), 2, "what is under way is nobody's");
        let mut history = History::open(&folder, 64 << 20).unwrap();
        history.append(&[draft("x")]).unwrap();
        let entries = reader.read(&all(), |_| true).unwrap();
        assert_eq!(entries.len(), 4);
        assert_eq!(entries[1].what.deed, Deed::HistoryOpened);
        assert!(entries[1].what.details.as_deref().unwrap().contains("14 bytes"), "{entries:?}");
        assert!(reader.verify().unwrap().faults.is_empty());
    }

    #[test]
    fn a_flipped_byte_is_found_and_named_and_is_one_fault() {
        let (state, reader) = written(20);
        let file = &files_in(&state.path().join(super::super::FOLDER)).unwrap()[0];
        let good = fs::read(file).unwrap();
        assert_eq!(reader.verify().unwrap().entries, 20);
        let mut rng = fastrand::Rng::with_seed(3);
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1 << rng.u8(0..8);
            fs::write(file, &bad).unwrap();
            let line = good[..at].split(|byte| *byte == b'\n').count() as u64;
            let faults = reader.verify().unwrap().faults;
            assert!(!faults.is_empty(), "byte {at}");
            // A line's end that is gone makes one of two.
            assert_eq!(faults[0].line, Some(line), "byte {at}: {faults:?}");
            assert!(faults[0].file.ends_with("000000000001.jsonl"));
        }
    }

    #[test]
    fn it_is_bounded_and_what_is_left_can_be_verified() {
        let state = tempfile::tempdir().unwrap();
        let folder = state.path().join(super::super::FOLDER);
        let mut history = History::open(&folder, 12 << 20).unwrap();
        let long = "x".repeat(60_000);
        for _ in 0..400 {
            let (at, mut draft) = draft("a");
            draft.reason = Some(long.clone());
            history.append(&[(at, draft)]).unwrap();
        }
        let bytes: u64 =
            files_in(&folder).unwrap().iter().map(|file| fs::metadata(file).unwrap().len()).sum();
        assert!(bytes <= 12 << 20, "{bytes}");
        let verification = Reader::of(state.path()).verify().unwrap();
        assert!(verification.faults.is_empty() && verification.first > 1, "{verification:?}");
        assert_eq!(verification.last, 400);
    }

    #[test]
    fn a_damaged_end_is_left_as_it_is_and_the_history_goes_on_behind_it() {
        let (state, reader) = written(3);
        let folder = state.path().join(super::super::FOLDER);
        let file = &files_in(&folder).unwrap()[0];
        let text = fs::read_to_string(file).unwrap().replacen("\"seq\":3", "\"seq\":9", 1);
        fs::write(file, &text).unwrap();
        History::open(&folder, 64 << 20).unwrap().append(&[draft("x")]).unwrap();
        assert_eq!(fs::read_to_string(file).unwrap(), text);
        let faults = reader.verify().unwrap().faults;
        assert_eq!(faults[0].line, Some(3), "{faults:?}");
        let entries = reader.read(&all(), |_| true).unwrap();
        assert_eq!(entries[0].what.service.as_deref(), Some("x"));
        assert_eq!(entries[1].what.deed, Deed::HistoryOpened);
    }
}
