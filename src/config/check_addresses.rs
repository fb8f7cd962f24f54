use std::path::Path;

use crate::model::Address;
use crate::tls::Connector;

use super::at::At;
use super::check_process;
use super::fault::Faults;

/// The system has room for no longer path of a socket (unix(7)).
const LONGEST_PATH: usize = 107;

/// An address and port, or a Unix socket.
pub(super) fn address(raw: &At<String>, faults: &mut Faults<'_>) -> Option<Address> {
    match raw.value.trim().strip_prefix(Address::UNIX) {
        Some(path) => socket(path, raw, faults),
        None => check_process::address(raw, faults).map(Address::Tcp),
    }
}

/// Notes Unix sockets whose certificates nobody could verify.
pub(super) fn has_name(connector: &Connector, addresses: &[At<String>], faults: &mut Faults<'_>) {
    if connector.settings().name.is_some() {
        return;
    }
    for raw in addresses.iter().filter(|raw| raw.value.trim().starts_with(Address::UNIX)) {
        faults
            .at(&raw.span, "TLS toward a socket without a name", "a path is in no certificate")
            .help("add name = \"…\" to the side's tls: the name in the endpoint's certificate");
    }
}

fn socket(path: &str, raw: &At<String>, faults: &mut Faults<'_>) -> Option<Address> {
    let (label, help) = if !path.starts_with('/') {
        ("a path begins with a slash".to_owned(), "write the whole path, as in unix:/run/playlist.sock")
    } else if path.len() > LONGEST_PATH {
        (
            format!("{} bytes; the system takes {LONGEST_PATH}", path.len()),
            "put the socket where its path is shorter",
        )
    } else if path.ends_with('/') || path.contains('\0') {
        ("a path that can be a socket's".to_owned(), "such as unix:/run/playlist.sock")
    } else {
        return Some(Address::Unix(Path::new(path).into()));
    };
    faults.at(&raw.span, "not a Unix socket", label).help(help);
    None
}
