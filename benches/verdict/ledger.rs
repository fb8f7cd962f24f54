//! Service-weeks that have been played, in a file that grows: a thousand of them take hours, and may be played in
//! pieces. It belongs to one judge: a judge that judges otherwise begins a ledger of its own.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::report::results;

/// The weeks of one judge.
pub(crate) struct Ledger {
    known: Vec<Played>,
    /// Where further weeks are noted, if they are to be kept.
    file: Option<Mutex<File>>,
}

/// One service-week.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Played {
    pub(crate) seed: u64,
    pub(crate) messy: bool,
    pub(crate) ticks: u64,
    pub(crate) reverts: u32,
}

const HEADER: &str = "seed,traffic,ticks,false_reverts";

impl Ledger {
    /// One that is not kept.
    pub(crate) fn in_memory() -> Self {
        Self { known: Vec::new(), file: None }
    }

    /// That of the judge with this fingerprint, among the results.
    pub(crate) fn open(fingerprint: u64) -> io::Result<Self> {
        let path = results().join("weeks.csv");
        let first = format!("# judge {fingerprint:016x}");
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::begin(&path, &first)?,
            text => text?,
        };
        let mut lines = text.lines();
        if lines.next() != Some(&first) {
            let what = format!("{} is of another judge: remove it to begin anew", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        let known = lines
            .skip(1)
            .enumerate()
            .map(|(place, line)| {
                Played::read(line).ok_or_else(|| {
                    let what = format!("{}:{}: not {HEADER}", path.display(), place + 3);
                    io::Error::new(io::ErrorKind::InvalidData, what)
                })
            })
            .collect::<io::Result<_>>()?;
        let file = OpenOptions::new().append(true).open(&path)?;
        Ok(Self { known, file: Some(Mutex::new(file)) })
    }

    fn begin(path: &Path, first: &str) -> io::Result<String> {
        fs::create_dir_all(path.parent().map(PathBuf::from).unwrap_or_default())?;
        let text = format!("{first}\n{HEADER}\n");
        fs::write(path, &text)?;
        Ok(text)
    }

    /// The week with this seed, if it has been played.
    pub(crate) fn get(&self, seed: u64) -> Option<Played> {
        self.known.iter().find(|week| week.seed == seed).copied()
    }

    /// Notes a week.
    pub(crate) fn note(&self, week: &Played) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(week.line().as_bytes())
    }
}

impl Played {
    fn line(&self) -> String {
        let Self { seed, messy, ticks, reverts } = self;
        format!("{seed},{},{ticks},{reverts}\n", if *messy { "messy" } else { "quiet" })
    }

    fn read(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split(',').collect();
        let [seed, traffic, ticks, reverts] = fields[..] else { return None };
        let messy = match traffic {
            "messy" => true,
            "quiet" => false,
            _ => return None,
        };
        Some(Self {
            seed: seed.parse().ok()?,
            messy,
            ticks: ticks.parse().ok()?,
            reverts: reverts.parse().ok()?,
        })
    }
}
