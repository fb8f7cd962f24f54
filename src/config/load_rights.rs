use std::hash::Hasher;
use std::path::Path;

use siphasher::sip::SipHasher13;

use super::check_rights;
use super::check_tls::{Files, InForce};
use super::fault::{Fault, Faults};
use super::load::read;
use super::parse::parse;
use super::raw_rights::RawRights;
use super::rights::RightsConfig;

/// A rights file that was read.
#[derive(Clone, Debug)]
pub struct LoadedRights {
    /// What it says.
    pub rights: RightsConfig,
    /// Changes whenever a byte of it does: 16 hexadecimal digits.
    pub fingerprint: String,
}

/// Reads a rights file. The error is every fault of it.
pub fn load_rights(path: &Path) -> Result<LoadedRights, Vec<Fault>> {
    read_rights(path, Files::Read)
}

/// Reads a rights file, and none of the files that it names: they may be on another machine, or not be ours to read.
pub(crate) fn load_rights_alone(path: &Path) -> Result<LoadedRights, Vec<Fault>> {
    read_rights(path, Files::Leave)
}

/// Reads a rights file again. What its identity provider is asked by stays as it was, where it says the same.
pub(crate) fn reload_rights(path: &Path, before: &RightsConfig) -> Result<LoadedRights, Vec<Fault>> {
    read_rights(path, Files::ReadUnless(&InForce::of_rights(before)))
}

pub(super) fn read_rights(path: &Path, files: Files<'_>) -> Result<LoadedRights, Vec<Fault>> {
    let (mut found, mut hasher) = (Vec::new(), SipHasher13::new());
    let source = read(path, &mut hasher, &mut found);
    let rights = source.map(|source| {
        let (raw, lost) = parse::<RawRights>(&source, &mut found);
        check_rights::check(raw, &lost, files, &mut Faults::of(&source, &mut found))
    });
    found.sort_by_key(Fault::line_and_column);
    match rights {
        Some(rights) if found.is_empty() => {
            Ok(LoadedRights { rights, fingerprint: format!("{:016x}", hasher.finish()) })
        }
        Some(_) | None => Err(found),
    }
}
