use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use tracing::warn;

use crate::model::ServiceName;
use crate::rollout::{Record, Word};

use super::super::history::{
    self, Draft, History, ReceiptSeal, receipt_at, receipt_file, receipts_in, sha256,
};
use super::calibration::CalibrationsRecord;
use super::endpoints::EndpointsRecord;
use super::ledger::LedgerRecord;
use super::receipt::ReceiptRecord;
use super::record::{self, Unreadable};

/// The state directory. Only one process has it at a time.
#[derive(Debug)]
pub(crate) struct Store {
    folder: PathBuf,
    history: History,
    /// Held for as long as the process lives.
    _lock: File,
}

/// What was kept.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) records: BTreeMap<ServiceName, Result<Record, Unreadable>>,
    /// The latest of each service.
    pub(crate) receipts: BTreeMap<ServiceName, ReceiptRecord>,
    /// As they were last.
    pub(crate) endpoints: BTreeMap<ServiceName, EndpointsRecord>,
    /// What the ledger knows of each service.
    pub(crate) ledgers: BTreeMap<ServiceName, LedgerRecord>,
    /// What the last calibration of each service came to.
    pub(crate) calibrations: BTreeMap<ServiceName, CalibrationsRecord>,
    /// Files that are no service's record.
    pub(crate) strange: Vec<PathBuf>,
}

/// Another process has the state directory.
#[derive(Debug, thiserror::Error)]
#[error("{} is in use by another Switchback", folder.display())]
pub(crate) struct InUse {
    pub(crate) folder: PathBuf,
}

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error(transparent)]
    InUse(#[from] InUse),
    #[error("cannot use the state directory {}: {source}", folder.display())]
    Io { folder: PathBuf, source: io::Error },
}

/// Receipts kept of one service; the oldest goes first.
const MOST_RECEIPTS: usize = 32;

/// How often, and how long after one another, a lock is asked for: somebody who is just ending still has it, and so has a
/// child of theirs between its birth and its own program.
const LOCK_TRIES: usize = 50;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

const RECORDS: &str = "services";
const RECEIPTS: &str = history::RECEIPTS;
const ENDPOINTS: &str = "endpoints";
const LEDGER: &str = "ledger";
const CALIBRATIONS: &str = "calibrations";

#[expect(clippy::disallowed_methods, reason = "nothing is served yet")]
fn take(lock: &File) -> Result<(), TryLockError> {
    for _ in 1..LOCK_TRIES {
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
            taken => return taken,
        }
    }
    lock.try_lock()
}

impl Store {
    /// Opens the state directory, making it if it is not there. Nobody else may read it: reasons and names
    /// are people's. The history in it has at most so many bytes.
    pub(crate) fn open(folder: &Path, history_bytes: u64) -> Result<Self, OpenError> {
        let io_error = |source| OpenError::Io { folder: folder.to_owned(), source };
        let parts = [RECORDS, RECEIPTS, ENDPOINTS, LEDGER, CALIBRATIONS].map(|part| folder.join(part));
        for part in [folder.to_owned()].into_iter().chain(parts) {
            DirBuilder::new().recursive(true).mode(0o700).create(part).map_err(io_error)?;
        }
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(folder.join("lock"))
            .map_err(io_error)?;
        match take(&lock) {
            Ok(()) => {
                let history =
                    History::open(&folder.join(history::FOLDER), history_bytes).map_err(io_error)?;
                Ok(Self { folder: folder.to_owned(), history, _lock: lock })
            }
            Err(TryLockError::WouldBlock) => Err(InUse { folder: folder.to_owned() }.into()),
            Err(TryLockError::Error(source)) => Err(io_error(source)),
        }
    }

    /// Everything that was kept.
    pub(crate) fn read(&self) -> io::Result<Kept> {
        let (mut kept, mut asides) = (Kept::default(), Vec::new());
        for entry in fs::read_dir(self.folder.join(RECORDS))? {
            let path = entry?.path();
            match name_of(&path, "json") {
                Some(name) => {
                    let bytes = fs::read(&path).map_err(Unreadable::from);
                    let record = bytes.and_then(|bytes| record::decode(&name, &bytes));
                    kept.records.insert(name, record);
                }
                // Left over from a write that a crash cut short; the record itself is whole.
                None if path.extension().is_some_and(|end| end == "new") => asides.push(path),
                None => kept.strange.push(path),
            }
        }
        for path in asides {
            salvage(&path, &mut kept.records);
        }
        for entry in fs::read_dir(self.folder.join(RECEIPTS))? {
            let path = entry?.path();
            let Some(name) = path.file_name().and_then(|name| ServiceName::parse(name.to_str()?).ok()) else {
                kept.strange.push(path);
                continue;
            };
            if let Some(receipt) = latest_receipt(&path) {
                kept.receipts.insert(name, receipt);
            }
        }
        kept.endpoints = self.read_all(ENDPOINTS, EndpointsRecord::decode)?;
        kept.ledgers = self.read_all(LEDGER, LedgerRecord::decode)?;
        // A service can be calibrated again.
        kept.calibrations = self.read_all(CALIBRATIONS, |name, bytes| {
            let read = CalibrationsRecord::decode(name, bytes);
            read.inspect_err(|error| {
                warn!(service = %name, "what was kept of its calibration {error}: it is as if there were none");
            })
            .ok()
        })?;
        Ok(kept)
    }

    /// What one folder has of each service, without what cannot be read.
    fn read_all<T>(
        &self,
        folder: &str,
        decode: impl Fn(&ServiceName, &[u8]) -> Option<T>,
    ) -> io::Result<BTreeMap<ServiceName, T>> {
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(self.folder.join(folder))? {
            let path = entry?.path();
            let Some(name) = name_of(&path, "json") else { continue };
            let record = fs::read(&path).ok().and_then(|bytes| decode(&name, &bytes));
            found.extend(record.map(|record| (name, record)));
        }
        Ok(found)
    }

    /// Adds to the history; all of it is on disk, or nothing.
    pub(crate) fn write_history(&mut self, drafts: &[(u64, Draft)]) -> io::Result<()> {
        self.history.append(drafts)
    }

    /// Keeps a service's endpoints in place of the last. Losing them with the machine costs nothing but a wait.
    pub(crate) fn write_endpoints(&self, service: &ServiceName, record: &EndpointsRecord) -> io::Result<()> {
        self.write_lightly(ENDPOINTS, service, &serde_json::to_vec(record)?)
    }

    /// Keeps what is known of a service's calibrations in place of what was.
    pub(crate) fn write_calibrations(
        &self,
        service: &ServiceName,
        record: &CalibrationsRecord,
    ) -> io::Result<()> {
        let mut bytes = serde_json::to_vec_pretty(record)?;
        bytes.push(b'\n');
        replace(&self.folder.join(CALIBRATIONS), &format!("{service}.json"), &bytes)
    }

    /// Keeps what the ledger knows of a service in place of the last.
    pub(crate) fn write_ledger(&self, service: &ServiceName, record: &LedgerRecord) -> io::Result<()> {
        self.write_lightly(LEDGER, service, &serde_json::to_vec_pretty(record)?)
    }

    fn write_lightly(&self, folder: &str, service: &ServiceName, bytes: &[u8]) -> io::Result<()> {
        let folder = self.folder.join(folder);
        let aside = write_aside(&folder, &format!("{service}.json"), bytes)?.0;
        fs::rename(aside, folder.join(format!("{service}.json")))
    }

    /// Keeps a service's record in place of the last.
    pub(crate) fn write_record(&self, service: &ServiceName, record: &Record) -> io::Result<()> {
        let folder = self.folder.join(RECORDS);
        replace(&folder, &format!("{service}.json"), &record::encode(service, record))
    }

    /// Keeps a receipt beside the earlier ones; tells by what it will be seen that it is as it was written.
    pub(crate) fn write_receipt(
        &self,
        service: &ServiceName,
        receipt: &ReceiptRecord,
    ) -> io::Result<ReceiptSeal> {
        let folder = self.folder.join(RECEIPTS).join(service.as_str());
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let mut bytes = serde_json::to_vec_pretty(receipt)?;
        bytes.push(b'\n');
        replace(&folder, &receipt_file(receipt.reverted_unix_ms), &bytes)?;
        let receipts = receipts_in(&folder);
        for oldest in receipts.iter().take(receipts.len().saturating_sub(MOST_RECEIPTS)) {
            fs::remove_file(oldest)?;
        }
        Ok(ReceiptSeal { reverted_unix_ms: receipt.reverted_unix_ms, sha256: sha256(&bytes) })
    }
}

/// A record that was written aside, and did not come into its place. If it is whole, and takes the service back, it is
/// believed: it was in force before it was written. Anything else was not, or another is in its place.
fn salvage(aside: &Path, records: &mut BTreeMap<ServiceName, Result<Record, Unreadable>>) {
    let path = aside.with_extension("");
    if let Some(name) = name_of(&path, "json") {
        let found = fs::read(aside).ok().and_then(|bytes| record::decode(&name, &bytes).ok());
        let known = records.get(&name).and_then(|record| record.as_ref().ok());
        let is_newer = |found: &Record| known.is_none_or(|known| found.revision > known.revision);
        let holds = |found: &Record| matches!(found.said.word, Word::Held(_));
        if let Some(record) = found.filter(|found| holds(found) && is_newer(found)) {
            records.insert(name, Ok(record));
            if fs::rename(aside, &path).is_ok() {
                return;
            }
        }
    }
    let _ = fs::remove_file(aside);
}

/// Writes aside, syncs, renames, and syncs the folder: the file is the old one or the new one, whole.
fn replace(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let (aside, file) = write_aside(folder, name, bytes)?;
    file.sync_all()?;
    fs::rename(&aside, folder.join(name))?;
    File::open(folder)?.sync_all()
}

fn write_aside(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<(PathBuf, File)> {
    let aside = folder.join(format!("{name}.new"));
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&aside)?;
    file.write_all(bytes)?;
    Ok((aside, file))
}

fn latest_receipt(folder: &Path) -> Option<ReceiptRecord> {
    receipts_in(folder).iter().rev().find_map(|path| receipt_at(path))
}

fn name_of(path: &Path, extension: &str) -> Option<ServiceName> {
    let is_record = path.extension().is_some_and(|end| end == extension);
    is_record.then(|| path.file_stem()?.to_str()).flatten().and_then(|stem| ServiceName::parse(stem).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{UnixMillis, Weight};
    use crate::rollout::{Actor, Hold, Override, Said};

    fn name(text: &str) -> ServiceName {
        ServiceName::parse(text).unwrap()
    }

    fn held() -> Record {
        let hold = Hold { by: Actor::Judge, reason: "x".into(), since: UnixMillis(1), before: Weight::FULL };
        Record { revision: 3, said: Word::Held(hold).into() }
    }

    fn open(folder: &Path) -> Result<Store, OpenError> {
        Store::open(folder, 64 << 20)
    }

    #[test]
    fn what_is_written_is_read_back_by_the_next_process() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).unwrap();
        store.write_record(&name("a"), &held()).unwrap();
        store.write_record(&name("b.c"), &Record { revision: 1, said: Said::NOTHING }).unwrap();
        drop(store);
        let kept = open(folder.path()).unwrap().read().unwrap();
        assert_eq!(kept.records[&name("a")].as_ref().unwrap(), &held());
        assert_eq!(kept.records[&name("b.c")].as_ref().unwrap().said, Said::NOTHING);
    }

    #[test]
    fn a_hold_that_a_crash_kept_from_its_place_is_believed_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).unwrap();
        let services = folder.path().join("services");
        let aside = |record: &Record, cut: usize| {
            let bytes = record::encode(&name("a"), record);
            fs::write(services.join("a.json.new"), &bytes[..bytes.len() - cut]).unwrap();
        };
        let raise = |revision| {
            let (by, reason) = (Actor::Judge, "x".into());
            let over = Override { weight: Weight::FULL, by, reason, since: UnixMillis(1), until: None };
            Record { revision, said: Word::Override(over).into() }
        };
        let read = || store.read().unwrap().records.remove(&name("a")).map(Result::unwrap);
        aside(&raise(1), 0);
        assert_eq!(read(), None, "toward Kubernetes it was not in force");
        aside(&held(), 5);
        assert_eq!(read(), None, "half a record is none");
        store.write_record(&name("a"), &raise(7)).unwrap();
        aside(&held(), 0);
        assert_eq!(read(), Some(raise(7)), "an older one");
        store.write_record(&name("a"), &raise(2)).unwrap();
        aside(&held(), 0);
        assert_eq!(read(), Some(held()));
        assert_eq!(read(), Some(held()), "it is in its place now");
        assert!(!services.join("a.json.new").exists());
    }

    #[test]
    fn only_one_process_has_the_directory() {
        let folder = tempfile::tempdir().unwrap();
        let first = open(folder.path()).unwrap();
        assert!(matches!(open(folder.path()), Err(OpenError::InUse(_))));
        drop(first);
        assert!(open(folder.path()).is_ok());
    }

    #[test]
    fn a_damaged_record_is_told_apart_from_no_record() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).unwrap();
        store.write_record(&name("a"), &held()).unwrap();
        fs::write(folder.path().join("services/a.json"), "{\"version\": 1").unwrap();
        fs::write(folder.path().join("services/b.json.new"), "half").unwrap();
        fs::write(folder.path().join("services/UPPER.json"), "{}").unwrap();
        let kept = store.read().unwrap();
        assert!(kept.records[&name("a")].is_err());
        assert_eq!(kept.records.len(), 1);
        assert_eq!(kept.strange.len(), 1);
        assert!(!folder.path().join("services/b.json.new").exists());
    }
}
