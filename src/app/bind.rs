use std::fs::Permissions;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, Type};

/// Connections that may wait to be accepted; the system's own limit may be lower.
const BACKLOG: i32 = 4_096;

/// One socket a worker on the same address: the system spreads connections over them.
pub(super) fn listeners(address: SocketAddr, workers: usize) -> io::Result<Vec<TcpListener>> {
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
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// The admin socket, for its owner alone. One that nobody answers any more is taken over.
pub(super) fn unix(path: &Path) -> io::Result<UnixListener> {
    // Under its own name it is there only when nobody else can connect any more.
    let aside = path.with_extension("new");
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
    std::fs::set_permissions(&aside, Permissions::from_mode(0o600))?;
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
