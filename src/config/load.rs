use std::collections::BTreeMap;
use std::fs;
use std::hash::Hasher;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use siphasher::sip::SipHasher13;

use crate::model::ServiceName;

use super::check_tls::{Files, InForce};
use super::checked::{Config, ProcessConfig, ServiceConfig};
use super::fault::{Fault, Faults, Source};
use super::fleet::FleetConfig;
use super::parse::parse;
use super::raw_process::RawProcess;
use super::raw_service::RawService;
use super::routes::{Claim, check_conflicts};
use super::{check_fleet, check_process, check_service};

/// Switchback's own settings, in the configuration's folder.
const PROCESS_FILE: &str = "switchback.toml";
/// The folder of the services' files.
pub(super) const SERVICES: &str = "services";

/// A configuration, and what was read for it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What was read.
    pub config: Config,
    /// How many files.
    pub files: usize,
    /// Files that were not read because they do not end in `.toml`.
    pub ignored: Vec<PathBuf>,
    /// Changes whenever a byte of any file does: 16 hexadecimal digits.
    pub fingerprint: String,
}

/// Reads a folder. The error is every fault of every file, in the order of the files' names.
pub fn load(folder: &Path) -> Result<Loaded, Vec<Fault>> {
    read_folder(folder, Files::Read)
}

/// Reads a folder again. TLS that is set up as before stays the same, and is not read again.
pub(crate) fn reload(folder: &Path, before: &Config) -> Result<Loaded, Vec<Fault>> {
    read_folder(folder, Files::ReadUnless(&InForce::of(before)))
}

fn read_folder(folder: &Path, files: Files<'_>) -> Result<Loaded, Vec<Fault>> {
    let mut found = Vec::new();
    let mut hasher = SipHasher13::new();
    let path = folder.join(PROCESS_FILE);
    let process = read(&path, &mut hasher, &mut found).map(|source| settings(&source, files, &mut found));
    let (paths, ignored) = list(&folder.join(SERVICES), &mut found);
    let mut claims = Vec::with_capacity(paths.len());
    let rights = process.as_ref().and_then(|(process, _)| process.admin.rights.as_ref());
    let count = paths.len() + 1 + usize::from(rights.is_some());
    for path in paths {
        let Some(source) = read(&path, &mut hasher, &mut found) else { continue };
        let Some(name) = name_of(&source, &mut found) else { continue };
        let (raw, lost) = parse::<RawService>(&source, &mut found);
        if let Some(process) = &process {
            let mut faults = Faults::of(&source, &mut found);
            let (process, fleet) = process;
            let (service, host_places) =
                check_service::check(name, raw, &lost, (process, fleet), files, &mut faults);
            claims.push(Claim { service: Arc::new(service), source, host_places });
        }
    }
    check_conflicts(&claims, &mut found);
    // As one reads a file: from its top.
    found.sort_by(|a, b| (a.path(), a.line_and_column()).cmp(&(b.path(), b.line_and_column())));
    let services: BTreeMap<ServiceName, Arc<ServiceConfig>> =
        claims.into_iter().map(|claim| (claim.service.name.clone(), claim.service)).collect();
    match process {
        Some((process, fleet)) if found.is_empty() => Ok(Loaded {
            config: Config { process, fleet, services },
            files: count,
            ignored,
            fingerprint: format!("{:016x}", hasher.finish()),
        }),
        Some(_) | None => Err(found),
    }
}

/// Reads one service's file by itself. Listeners and addresses are held against the `switchback.toml` of the
/// folder that the file lies in, if there is a good one. The error is every fault of the file.
pub fn load_service(path: &Path) -> Result<ServiceConfig, Vec<Fault>> {
    let mut found = Vec::new();
    let (process, fleet) = neighbour(path);
    let service = read(path, &mut SipHasher13::new(), &mut found).and_then(|source| {
        let name = name_of(&source, &mut found)?;
        let (raw, lost) = parse::<RawService>(&source, &mut found);
        let mut faults = Faults::of(&source, &mut found);
        Some(check_service::check(name, raw, &lost, (&process, &fleet), Files::Leave, &mut faults).0)
    });
    found.sort_by_key(Fault::line_and_column);
    service.filter(|_| found.is_empty()).ok_or(found)
}

/// The rights file that a folder's `switchback.toml` names, if it does, whatever else it says. The error is every fault of its
/// shape.
pub fn rights_file(folder: &Path) -> Result<Option<PathBuf>, Vec<Fault>> {
    let mut found = Vec::new();
    let source = read(&folder.join(PROCESS_FILE), &mut SipHasher13::new(), &mut found);
    let raw = source.map(|source| parse::<RawProcess>(&source, &mut found).0);
    let rights = raw.and_then(|raw| raw.admin?.rights).map(|rights| folder.join(rights.value));
    if found.is_empty() { Ok(rights) } else { Err(found) }
}

/// The settings of the Switchback that a service's file is for. Where they have faults those are not the file's,
/// and what stands there is taken as far as it goes.
fn neighbour(service: &Path) -> (ProcessConfig, FleetConfig) {
    let mut others = Vec::new();
    let service = service.canonicalize().ok();
    let folder = service.as_deref().and_then(Path::parent).and_then(Path::parent);
    let path = folder.map(|folder| folder.join(PROCESS_FILE));
    let source = path.and_then(|path| read(&path, &mut SipHasher13::new(), &mut others));
    let source = source.unwrap_or_else(|| Source::new(Path::new(PROCESS_FILE), String::new()));
    settings(&source, Files::Leave, &mut others)
}

/// What `switchback.toml` says.
fn settings(source: &Arc<Source>, files: Files<'_>, found: &mut Vec<Fault>) -> (ProcessConfig, FleetConfig) {
    let (mut raw, lost) = parse::<RawProcess>(source, found);
    let mut faults = Faults::of(source, found);
    let fleet = check_fleet::check(&mut raw, &lost, files, &mut faults);
    (check_process::check(raw, &lost, files, &mut faults), fleet)
}

pub(super) fn read(path: &Path, hasher: &mut SipHasher13, found: &mut Vec<Fault>) -> Option<Arc<Source>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            unreadable(path, &error, found);
            return None;
        }
    };
    hasher.write(path.as_os_str().as_encoded_bytes());
    hasher.write_usize(bytes.len());
    hasher.write(&bytes);
    match String::from_utf8(bytes) {
        Ok(text) => Some(Source::new(path, text)),
        Err(error) => {
            let good = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            let source = Source::new(path, text);
            Faults::of(&source, found)
                .at(&(good..good), "not text", "this byte is not UTF-8")
                .help("save the file as UTF-8");
            None
        }
    }
}

fn unreadable(path: &Path, error: &io::Error, found: &mut Vec<Fault>) {
    let source = Source::new(path, String::new());
    let help = match error.kind() {
        io::ErrorKind::NotFound if path.ends_with(PROCESS_FILE) || path.ends_with(SERVICES) => {
            "a configuration is a folder with switchback.toml and services/NAME.toml"
        }
        io::ErrorKind::NotFound => "there is no such file: has it been renamed?",
        io::ErrorKind::PermissionDenied => "let the user that runs Switchback read it",
        _ => "the system gives this reason",
    };
    Faults::of(&source, found).whole("cannot be read", error.to_string()).help(help);
}

/// The services' files by name, and what else lies there. Hidden entries are nobody's: editors make them, and
/// a mounted `ConfigMap` keeps its versions in `..` folders.
fn list(folder: &Path, found: &mut Vec<Fault>) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            unreadable(folder, &error, found);
            return (Vec::new(), Vec::new());
        }
    };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."))
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    paths.into_iter().partition(|path| path.extension().is_some_and(|end| end == "toml") && !path.is_dir())
}

fn name_of(source: &Arc<Source>, found: &mut Vec<Fault>) -> Option<ServiceName> {
    let stem = source.path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    ServiceName::parse(stem)
        .map_err(|fault| {
            Faults::of(source, found)
                .whole("the file's name is not a service's", fault.to_string())
                .help("rename the file: its name is the service's name");
        })
        .ok()
}
