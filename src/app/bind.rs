use std::fs::Permissions;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, Type};

use crate::dataplane::Listening;
use crate::model::Address;

/// Connections that may wait to be accepted; the system's own limit may be lower.
const BACKLOG: i32 = 4_096;

/// What clients of one listener connect to.
pub(super) struct Doors {
    /// One for each worker.
    pub(super) sockets: Vec<Listening>,
    /// Where, as it turned out.
    pub(super) address: Address,
    /// The file of a Unix socket.
    pub(super) file: Option<SocketFile>,
}

/// Opens one listener for all workers.
pub(super) fn listeners(address: &Address, mode: u32, workers: usize) -> io::Result<Doors> {
    match address {
        Address::Tcp(address) => {
            let sockets = tcp_listeners(*address, workers)?;
            let address = sockets.first().map_or(Ok(*address), TcpListener::local_addr)?;
            let sockets = sockets.into_iter().map(Listening::Tcp).collect();
            Ok(Doors { sockets, address: Address::Tcp(address), file: None })
        }
        // Nothing spreads connections over several sockets of one path, so all workers listen on one: each connection
        // wakes those that have nothing to do, and the first of them has it.
        Address::Unix(path) => {
            let listener = unix(path, mode)?;
            let file = SocketFile::new(path)?;
            let rest: io::Result<Vec<_>> = (1..workers).map(|_| listener.try_clone()).collect();
            let sockets = std::iter::once(listener).chain(rest?).map(Listening::Unix).collect();
            Ok(Doors { sockets, address: address.clone(), file: Some(file) })
        }
    }
}

/// A Unix socket's file. It is removed when the program ends, unless it has become another's.
pub(super) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    fn new(path: &Path) -> io::Result<Self> {
        let there = std::fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_owned(), device: there.dev(), inode: there.ino() })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let there = std::fs::symlink_metadata(&self.path);
        if there.is_ok_and(|there| (there.dev(), there.ino()) == (self.device, self.inode)) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// One socket a worker on the same address: the system spreads connections over them.
fn tcp_listeners(address: SocketAddr, workers: usize) -> io::Result<Vec<TcpListener>> {
    let first = listener(address, ReusePort::Yes)?;
    // Port 0 has become a port: the others share it.
    let address = first.local_addr()?;
    let rest = (1..workers).map(|_| listener(address, ReusePort::Yes));
    std::iter::once(Ok(first)).chain(rest).collect()
}

/// A socket that nobody shares.
pub(super) fn single(address: SocketAddr) -> io::Result<TcpListener> {
    listener(address, ReusePort::No)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ReusePort {
    Yes,
    No,
}

fn listener(address: SocketAddr, reuse_port: ReusePort) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if reuse_port == ReusePort::Yes {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    // What is said goes out as it comes. Linux hands this on to connections, but only if it is set before they are made.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A Unix socket, for those whom its mode lets in. One that nobody answers any more is taken over.
pub(super) fn unix(path: &Path, mode: u32) -> io::Result<UnixListener> {
    // Under its own name it is there only when nobody else can connect any more.
    let mut aside = path.as_os_str().to_owned();
    aside.push(".new");
    let aside = PathBuf::from(aside);
    for path in [path, &aside] {
        match std::fs::symlink_metadata(path) {
            Ok(there) if !there.file_type().is_socket() => {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    "a file that is no socket lies there",
                ));
            }
            Ok(_) if UnixStream::connect(path).is_ok() => {
                return Err(io::Error::from(io::ErrorKind::AddrInUse));
            }
            Ok(_) => std::fs::remove_file(path)?,
            Err(_) => {}
        }
    }
    let listener = UnixListener::bind(&aside)?;
    std::fs::set_permissions(&aside, Permissions::from_mode(mode))?;
    std::fs::rename(&aside, path)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Raises the limit of open files to what this user may have; connections need them.
pub(super) fn raise_file_limit() -> Option<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() {
        Some(hard)
    } else {
        Some(soft)
    }
}
