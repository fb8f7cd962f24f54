use std::path::Path;

use crate::model::Address;
use crate::tls::Connector;

use super::at::At;
use super::check_process;
use super::fault::Faults;

/// The system has room for no longer path of a socket (unix(7)).
const LONGEST_PATH: usize = 107;
/// Until it has its permissions, a listener's socket has a longer name.
const ASIDE: usize = ".new".len();

/// An endpoint's address and port, or its Unix socket.
pub(super) fn endpoint(raw: &At<String>, faults: &mut Faults<'_>) -> Option<Address> {
    address(raw, LONGEST_PATH, faults)
}

/// A listener's address and port, or its Unix socket.
pub(super) fn listener(raw: &At<String>, faults: &mut Faults<'_>) -> Option<Address> {
    address(raw, LONGEST_PATH - ASIDE, faults)
}

fn address(raw: &At<String>, longest: usize, faults: &mut Faults<'_>) -> Option<Address> {
    let text = raw.value.trim();
    if text.starts_with('/') {
        faults
            .at(&raw.span, "not an address and port", "a path of what?")
            .help(format!("did you mean {}{text}?", Address::UNIX));
        return None;
    }
    match text.strip_prefix(Address::UNIX) {
        Some(path) => socket(path, longest, raw, faults),
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

fn socket(path: &str, longest: usize, raw: &At<String>, faults: &mut Faults<'_>) -> Option<Address> {
    let (label, help) = if !path.starts_with('/') {
        ("a path begins with a slash".to_owned(), "write the whole path, as in unix:/run/playlist.sock")
    } else if path.len() > longest {
        (
            format!("{} bytes, and there is room for {longest}", path.len()),
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
