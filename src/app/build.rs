use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use crate::clock::Clock;
use crate::config::{Fault, Loaded, LoadedRights, load, load_rights};
use crate::control::{Kept, OpenError, Store};
use crate::dataplane::Listening;
use crate::model::Address;
use crate::telemetry::LogFile;

use super::bind::{self, SocketFile};

/// A program with every socket open, and nothing running.
pub struct Bound {
    pub(super) clock: Clock,
    pub(super) folder: PathBuf,
    pub(super) loaded: Loaded,
    pub(super) rights: Option<(PathBuf, LoadedRights)>,
    pub(super) store: Store,
    pub(super) kept: Kept,
    pub(super) access_log: Option<LogFile>,
    /// By listener, then by worker.
    pub(super) listeners: Vec<Vec<Listening>>,
    /// Of those that are Unix sockets.
    pub(super) files: Vec<SocketFile>,
    pub(super) admin: TcpListener,
    pub(super) admin_socket: UnixListener,
    addresses: Vec<(String, Address)>,
    admin_address: SocketAddr,
}

/// Why the program cannot start. Each is the fault of who set it up, and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The configuration has faults.
    #[error("the configuration has {} faults", .0.len())]
    Config(Vec<Fault>),
    /// The state directory cannot be used.
    #[error("{0}")]
    State(String),
    /// The access log's file cannot be opened.
    #[error("cannot open the access log {}: {source}", path.display())]
    AccessLog {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A socket cannot be opened.
    #[error("cannot listen on {address} for {what}: {source}")]
    Listen {
        /// Where.
        address: String,
        /// What for: a listener's name, or `admin`.
        what: String,
        /// Why.
        source: io::Error,
    },
}

impl From<OpenError> for BuildError {
    fn from(error: OpenError) -> Self {
        Self::State(error.to_string())
    }
}

/// Reads the configuration and the state, and opens every socket.
pub fn build(folder: &Path) -> Result<Bound, BuildError> {
    let loaded = load(folder).map_err(BuildError::Config)?;
    let process = &loaded.config.process;
    let rights = process.admin.rights.clone().map(|path| {
        let rights = load_rights(&path);
        rights.map(|rights| (path, rights))
    });
    let rights = rights.transpose().map_err(BuildError::Config)?;
    let store = Store::open(&process.state, process.history_bytes)?;
    let kept = store.read().map_err(|error| {
        BuildError::State(format!("cannot read the state directory {}: {error}", process.state.display()))
    })?;
    let access_log = process.access_log.as_deref().map(open_access_log).transpose()?;
    bind::raise_file_limit();
    // First what only one process can have: clients are not let in by one that will not stay.
    let admin_error = |source| listen_error(&process.admin.address, "admin", source);
    let admin = bind::single(process.admin.address).map_err(admin_error)?;
    let admin_address = admin.local_addr().map_err(admin_error)?;
    let socket = &process.admin.socket;
    let admin_socket = bind::unix(socket, process.admin.mode)
        .map_err(|source| listen_error(&socket.display(), "admin", source))?;
    let mut listeners = Vec::new();
    let mut addresses = Vec::new();
    let mut files = Vec::new();
    for listener in &process.listeners {
        let doors = bind::listeners(&listener.address, listener.mode, process.workers)
            .map_err(|source| listen_error(&listener.address, &listener.name, source))?;
        addresses.push((listener.name.to_string(), doors.address));
        listeners.push(doors.sockets);
        files.extend(doors.file);
    }
    let (clock, folder) = (Clock::start(), folder.to_owned());
    Ok(Bound {
        clock,
        folder,
        loaded,
        rights,
        store,
        kept,
        access_log,
        listeners,
        files,
        admin,
        admin_socket,
        addresses,
        admin_address,
    })
}

impl Bound {
    /// Where each listener listens, by name.
    pub fn addresses(&self) -> &[(String, Address)] {
        &self.addresses
    }

    /// Where the admin interface listens.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// The admin interface's Unix socket.
    pub fn admin_socket(&self) -> &Path {
        &self.loaded.config.process.admin.socket
    }
}

fn open_access_log(path: &Path) -> Result<LogFile, BuildError> {
    LogFile::open(path).map_err(|source| BuildError::AccessLog { path: path.to_owned(), source })
}

fn listen_error(address: &dyn std::fmt::Display, what: &str, source: io::Error) -> BuildError {
    BuildError::Listen { address: address.to_string(), what: what.to_owned(), source }
}
